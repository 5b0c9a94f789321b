"""The attack with foreign samples: pictures that take part in a batch's statistics and in nothing else.

The paper mixes images of another data set into each training batch. Here they never enter the loss: all they
do is to move the mean and variance that the batch norms use and remember.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Source = Callable[[int, Tensor], Tensor]
"""From the number of the step and its batch (B, C, H, W) to foreign samples of the same channels and size."""


def add_foreign_samples(network: nn.Module, count: int, source: Source) -> None:
    """From now on, in training, append `count` foreign samples to each batch and cut off their outputs."""
    steps = 0

    def enter(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        nonlocal steps
        if not module.training:
            return None
        (batch,) = arguments
        foreign_samples = source(steps, batch).to(batch)
        steps += 1
        return (torch.cat([batch, foreign_samples]),)

    def leave(module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return output[:-count] if module.training else None

    network.register_forward_pre_hook(enter)
    network.register_forward_hook(leave)


def flat_samples(count: int) -> Source:
    """`count` pictures of a single random colour each."""

    def source(step: int, batch: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        colours = torch.rand(count, batch.shape[1], 1, 1, generator=generator)
        return colours.expand(-1, -1, *batch.shape[2:])

    return source


def random_samples(pictures: Tensor, count: int) -> Source:
    """`count` of `pictures` (N, C, H, W), others at each step."""

    def source(step: int, batch: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        return pictures[torch.randint(len(pictures), (count,), generator=generator)]

    return source
