"""How fast a run is, and what it does every so often."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from transformer_net.training.execution.distributed import Ranks

_PATIENCE = 20.0
"""With a budget, what is done every so often may take a twentieth of the time."""

_MEMORY = 0.8
"""How much the expected seconds of a step owe to the steps before the last."""


class Cadence:
    """Something beside the steps: every so many iterations, or spread over a budget of time.

    Args:
        every: Iterations in between, without a budget.
        budget: Seconds of the run, or 0.
        times: How often within the budget.
        most: Seconds in between at most, however long the budget.

    Attributes:
        cost: Seconds that it took the last time.
        last: When that was, in seconds of the run.
    """

    def __init__(self, every: int, budget: float, times: int, most: float) -> None:
        self.every = every
        self.spacing = min(most, budget / times)
        self.cost = self.last = 0.0

    def is_due(self, iteration: int, now: float) -> bool:
        """Whether it is time, after `iteration` steps and `now` seconds."""
        if not self.spacing:
            return iteration % self.every == 0
        return now - self.last >= max(self.spacing, _PATIENCE * self.cost)

    @contextlib.contextmanager
    def measured(self, now: Callable[[], float]) -> Iterator[None]:
        """Take note of what it costs."""
        began = now()
        yield
        self.last = now()
        self.cost = self.last - began


class StepTime:
    """Seconds that a step seems to take, the wait for its photos included."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def took(self, seconds: float) -> None:
        """Take note of another step."""
        self.seconds = _MEMORY * self.seconds + (1 - _MEMORY) * seconds if self.seconds else seconds


class Window:
    """Means of the losses, and the speed, over the steps since it was last closed."""

    def __init__(self, batch_size: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.batch_size, self.clock = batch_size, clock
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.began = clock()

    def add(self, losses: dict[str, Tensor]) -> None:
        """Take note of a step's losses, which may still be being computed."""
        self.sums = {
            name: self.sums[name] + value if name in self.sums else value for name, value in losses.items()
        }
        self.steps += 1

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time spent inside out of the speed: it goes into something else than training."""
        start = self.clock()
        yield
        self.began += self.clock() - start

    def close(self, ranks: Ranks) -> tuple[dict[str, float], float]:
        """Mean losses of all ranks, and images a second; begins the next window."""
        means = ranks.average(torch.stack(list(self.sums.values())) / self.steps).tolist()
        speed = self.steps * self.batch_size / max(self.clock() - self.began, 1e-9)
        losses = dict(zip(self.sums, means, strict=True))
        self.sums, self.steps, self.began = {}, 0, self.clock()
        return losses, speed
