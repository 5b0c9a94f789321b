"""The phase of each step of a run: by its number, or by the clock where the run has a budget of time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from transformer_net.network import MARGIN
from transformer_net.training.config import TrainConfig

Phase = Literal["warm-up", "style"]

_WARMUP_LR = 2e-3

_RISE = 0.1
"""Share of the style phase in which the learning rate rises."""

_WARMUP_SHARE = 0.2
"""The most of a budget that goes into the warm-up: about its share of a run of the default length."""

_WARMUP_COST = 0.35
"""What a step of the warm-up takes of one on the perceptual losses; see the shares in docs/training.md."""


class Schedule:
    """Phases, learning rate and crops of a run of `config.iterations` steps, after those of the warm-up.

    Attributes:
        style_from: The first iteration on the perceptual losses; None while that is not known.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.style_from: int | None = config.warmup_iterations

    def phase(self, iteration: int) -> Phase:
        """What `iteration` minimizes."""
        return "warm-up" if self.style_from is None or iteration < self.style_from else "style"

    def progress(self, iteration: int) -> float:
        """How much of its phase is over at `iteration`, 0 to 1."""
        if self.phase(iteration) == "warm-up":
            return iteration / self.config.warmup_iterations
        return (iteration - self.config.warmup_iterations + 0.5) / self.config.iterations

    def learning_rate(self, iteration: int) -> float:
        """Learning rate of `iteration`: a fall in the warm-up; a linear rise, then a cosine, after it."""
        progress = self.progress(iteration)
        if self.phase(iteration) == "warm-up":
            return _WARMUP_LR * (1 - progress)
        if progress < _RISE:
            return self.config.lr * progress / _RISE
        return self.config.lr * 0.5 * (1 + math.cos(math.pi * (progress - _RISE) / (1 - _RISE)))

    def crop_size(self, iteration: int) -> int:
        """Side in pixels of the crops of `iteration`."""
        if self.phase(iteration) == "warm-up":
            return self.config.warmup_size
        size, early = self.config.size, self.config.early_size
        return min(early, size) if early and self.progress(iteration) <= 0.5 else size

    def smooths(self, iteration: int) -> bool:
        """Whether `iteration` minimizes the lattice, too: the second half of the style phase does.

        Batch norms keep their running statistics from then on: with those of the batch, its paintings know of
        each other, and learn to have opposite patterns instead of none.
        """
        return (
            bool(self.config.lattice) and self.phase(iteration) == "style" and self.progress(iteration) > 0.5
        )

    def is_over(self, iteration: int) -> bool:
        """Whether `iteration` steps are all."""
        return iteration >= self.config.total_iterations

    def total(self, iteration: int) -> int:
        """Steps in all, as far as can be said after `iteration` of them."""
        return self.config.total_iterations

    def seconds_left(self, iteration: int, step: float) -> float:
        """Seconds left after `iteration` steps, at least one, of which the last took `step` seconds."""
        return step * self.work_left(iteration) / self._work(iteration - 1)

    def work_left(self, iteration: int) -> float:
        """What is still to be done after `iteration` steps, in proportion to time: late crops are larger."""
        warm, left = self.config.warmup_iterations, 0.0
        for end in (warm, warm + (self.config.iterations + 1) // 2, self.config.total_iterations):
            if iteration < end:  # steps up to there are alike
                left += (end - iteration) * self._work(iteration)
                iteration = end
        return left

    def _work(self, iteration: int) -> float:
        """What one step takes: pixels painted, so with margins."""
        pixels = (self.crop_size(iteration) + 2 * MARGIN) ** 2
        return pixels * (_WARMUP_COST if self.phase(iteration) == "warm-up" else 1)

    def tick(self, iteration: int, now: float, step: float, reserve: float) -> None:
        """Say how the run stands before `iteration`.

        Args:
            iteration: The step to come.
            now: Seconds since the run began, over all sittings.
            step: Seconds that a step takes, as it seems.
            reserve: Seconds to keep for what comes after the last step.
        """

    def leaves_time(self, seconds: float) -> bool:
        """Whether something beside the steps may take so long, without the last step being late."""
        return True

    def state(self) -> dict[str, Any]:
        """What a resumed run cannot derive from its config and iteration."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave."""


class BudgetSchedule(Schedule):
    """A run of `config.budget` seconds, the last validation and saving included.

    Progress is a share of time, not of a number of steps: a machine that gets slower or faster meanwhile
    takes other steps, but sees the same curve of learning rates to its end, on time. Everything follows from
    the last `tick`, so that ranks that agree on that agree on all.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self.style_from = None
        self._style_began = self._now = self._step = self._reserve = 0.0

    def progress(self, iteration: int) -> float:
        if self.phase(iteration) == "warm-up":
            by_time = self._now / (_WARMUP_SHARE * self.config.budget)
            return min(1.0, max(by_time, iteration / self.config.warmup_iterations))
        spent, time = self._now + self._step / 2 - self._style_began, self._end - self._style_began
        return min(1.0, spent / time) if time > 0 else 1.0

    def is_over(self, iteration: int) -> bool:
        """Whether another step would end too late; there is one on the perceptual losses at least."""
        begun = self.style_from is not None and iteration > self.style_from
        return begun and self._now + self._step > self._end

    def leaves_time(self, seconds: float) -> bool:
        return self._now + seconds + self._step <= self._end

    def total(self, iteration: int) -> int:
        if self._step <= 0:
            return iteration + 1
        return iteration + max(0, int((self._end - self._now) / self._step))

    def seconds_left(self, iteration: int, step: float) -> float:
        return max(0.0, self.config.budget - self._now)

    def tick(self, iteration: int, now: float, step: float, reserve: float) -> None:
        self._now, self._step, self._reserve = now, step, reserve
        warm = iteration >= self.config.warmup_iterations or now >= _WARMUP_SHARE * self.config.budget
        if self.style_from is None and warm:
            self.style_from, self._style_began = iteration, now

    def state(self) -> dict[str, Any]:
        return {"style_from": self.style_from, "style_began": self._style_began}

    def load_state(self, state: Mapping[str, Any]) -> None:
        style_from = state["style_from"]
        self.style_from = None if style_from is None else int(style_from)
        self._style_began = float(state["style_began"])

    @property
    def _end(self) -> float:
        """When the last step has to be over."""
        return self.config.budget - self._reserve


def make_schedule(config: TrainConfig) -> Schedule:
    """By the clock where there is a budget, by the number of steps otherwise."""
    return BudgetSchedule(config) if config.budget else Schedule(config)
