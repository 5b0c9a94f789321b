"""The processes of a training run that share its batches: one, or those that torchrun starts.

Every rank computes its slice of the same batch, and whatever the loss or a norm takes over the batch is taken
over all of them, with gradient. So N ranks take the steps of one, up to float rounding.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from transformer_net.errors import SettingError


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run.

    Attributes:
        rank: 0 to `count` − 1; rank 0 writes the files and reports progress.
        count: Number of processes.
        sync_bn: Whether batch norms take their statistics over all ranks. Otherwise each takes its own, of a
            smaller batch, and the run is another one than that of a single process.
    """

    rank: int = 0
    count: int = 1
    sync_bn: bool = True

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def share(self, batch_size: int) -> int:
        """Photos of a batch that fall to each rank.

        Raises:
            SettingError: They cannot be shared out evenly.
        """
        if batch_size % self.count:
            raise SettingError(
                f"A batch of {batch_size} cannot be shared evenly by {self.count} processes; "
                f"choose a --batch-size that is a multiple of {self.count}."
            )
        return batch_size // self.count

    def average(self, value: Tensor) -> Tensor:
        """The mean of `value` over all ranks, with gradient; a collective, so every rank has to call it."""
        if self.count == 1:
            return value
        averaged: Tensor = _Average.apply(value)
        return averaged

    def greatest(self, values: Sequence[float]) -> list[float]:
        """The greatest of each of the ranks' `values`; a collective, on the CPU, that waits for no GPU."""
        if self.count == 1:
            return list(values)
        agreed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(agreed, dist.ReduceOp.MAX)
        found: list[float] = agreed.tolist()
        return found


ALONE = Ranks()
"""A run in one process."""


class _Average(torch.autograd.Function):
    """The mean over the ranks. Each value counts 1/N in every rank's loss: the gradient is a mean, too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _mean(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _mean(gradient)


def _mean(value: Tensor) -> Tensor:
    value = value.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(value)
    return value / dist.get_world_size()


def under_torchrun() -> bool:
    """Whether torchrun, or something that speaks as it does, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and dist.is_available()


def own_device(name: str) -> str:
    """`name`, or this process's own GPU where `auto` or `cuda` leave the choice, under torchrun."""
    if under_torchrun() and torch.cuda.is_available() and name in ("auto", "cuda"):
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return name


@contextlib.contextmanager
def process_group(device: torch.device, sync_bn: bool = True) -> Iterator[Ranks]:
    """The ranks that torchrun started, connected while the block lasts; `ALONE` where it did not.

    CPU tensors go by gloo, CUDA tensors by NCCL.
    """
    if not under_torchrun():
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), sync_bn)
        # Rank 0 validates and saves, and torchrun would stop it if another failed on its way out.
        dist.barrier()
    finally:
        # What still holds the connection keeps threads alive in it, and those abort a process that ends.
        gc.collect()
        dist.destroy_process_group()
