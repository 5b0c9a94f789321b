"""A step recorded once and replayed: CUDA graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

log = logging.getLogger(__name__)

_BEFORE = 3
"""Calls before recording: cuDNN and cuBLAS choose their kernels then, and optimizers make their state."""


class GraphedFunction:
    """A function of tensors, recorded as a CUDA graph at its fourth call and replayed from there on.

    The first calls are plain ones that count as any other. Whatever else the function reads and writes has to
    stay in the same memory: weights, buffers and an optimizer's state do. Where it cannot be recorded, all
    calls are plain ones.

    One recording is kept: with another key, or inputs of another shape, it is recorded again.

    Args:
        function: Maps tensors on the device to tensors by name; nothing in it may wait for the device.
        device: A CUDA device.
    """

    def __init__(self, function: Callable[..., dict[str, Tensor]], device: torch.device) -> None:
        self._function, self._device = function, device
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._key: Hashable = None
        self._calls = 0
        self._inputs: list[Tensor] = []
        self._outputs: dict[str, Tensor] = {}
        self._graph: torch.cuda.CUDAGraph | None = None
        self._possible = True

    def __call__(self, key: Hashable, *inputs: Tensor | float) -> dict[str, Tensor]:
        """The function of `inputs`; `key` names whatever else decides what it does.

        Args:
            key: Compared with the last call's.
            inputs: Tensors, in pinned memory best, and numbers, which the function gets as tensors.
        """
        shapes = [value.shape if isinstance(value, Tensor) else () for value in inputs]
        if (key, shapes) != self._key:
            self._begin((key, shapes), inputs)
        for place, value in zip(self._inputs, inputs, strict=True):
            if isinstance(value, Tensor):
                place.copy_(value, non_blocking=True)
            else:
                place.fill_(value)
        self._calls += 1
        if self._graph is None and self._calls > _BEFORE and self._possible:
            self._record()
        if self._graph is None:
            return self._plain()
        self._graph.replay()
        return {name: value.clone() for name, value in self._outputs.items()}

    def _begin(self, key: Hashable, inputs: tuple[Tensor | float, ...]) -> None:
        torch.cuda.synchronize(self._device)  # the old recording may still be running
        self._key, self._calls = key, 0
        self._graph, self._outputs = None, {}
        self._inputs = [
            torch.empty_like(value, device=self._device)
            if isinstance(value, Tensor)
            else torch.zeros((), device=self._device)
            for value in inputs
        ]

    def _plain(self) -> dict[str, Tensor]:
        # On a stream of its own, as recording is: autograd remembers on which it accumulates gradients.
        ordinary = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(ordinary)
        with torch.cuda.stream(self._stream):
            outputs = self._function(*self._inputs)
        ordinary.wait_stream(self._stream)
        return outputs

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # Threads that prepare batches pin memory meanwhile: only the thread that records must not.
            with (
                torch.cuda.device(self._device),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._outputs = self._function(*self._inputs)
        except RuntimeError as error:
            log.warning("Training steps cannot be recorded, so they are launched one by one: %s", error)
            self._possible, self._outputs = False, {}
        else:
            self._graph = graph
