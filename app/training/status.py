"""A training as the page sees it: the request, how long its parts take, and its progress."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from transformer_net.training.config import TrainConfig
from transformer_net.training.run_folder import RunFolder

TrainingState: TypeAlias = Literal["starting", "training", "stopping", "finished", "stopped", "failed"]

SAMPLES: Final = 8
"""Sample paintings of a training, the last one included."""

TIMING_STEPS: Final = 4
"""Steps of the short trial that is timed beforehand; a sample is painted after each half of it."""


@dataclass(frozen=True)
class TrainingRequest:
    """What to train.

    Attributes:
        style: Name of the style.
        norm: Canonical name of the normalizer.
        iterations: Steps.
        photo: What its samples paint, and then it begins at the predicted model of the picture; None: the
            example photo, and it begins where train_style.py does.
    """

    style: str
    norm: str
    iterations: int
    photo: Path | None = None

    @property
    def sample_every(self) -> int:
        """Steps between sample paintings."""
        return math.ceil(self.iterations / SAMPLES)


@dataclass(frozen=True)
class TrainingTimes:
    """Seconds that the parts of a training take: measured on this machine with the same network.

    Attributes:
        fixed: Start and end.
        step: One step.
        sample: One sample painting, with the validation that belongs to it.
    """

    fixed: float
    step: float
    sample: float

    def seconds(self, iterations: int) -> float:
        """How long a training of so many steps takes."""
        return self.fixed + iterations * self.step + min(SAMPLES, iterations) * self.sample


@dataclass(frozen=True)
class TrainingStatus:
    """Where the training is, or how the last one ended.

    Attributes:
        request: What is being trained.
        state: `starting` until the first figures are there.
        iteration: Steps that are known to be done.
        seconds_left: Estimate at the recent speed; None where nothing was measured yet.
        records: The lines of metrics.jsonl.
        sample: The latest sample painting.
        kept: Whether the style was saved.
        sentence: What went wrong.
    """

    request: TrainingRequest
    state: TrainingState = "starting"
    iteration: int = 0
    seconds_left: float | None = None
    records: Sequence[dict[str, Any]] = ()
    sample: Path | None = None
    kept: bool = False
    sentence: str = ""

    @property
    def running(self) -> bool:
        """Whether the process still runs."""
        return self.state in ("starting", "training", "stopping")


def times_of(folder: RunFolder, seconds: float) -> TrainingTimes:
    """What a trial of `seconds` shows: its records tell the speed of a step, and it paints two samples."""
    step = TrainConfig.batch_size / _speed(folder.records())
    first, last = (path.stat().st_mtime for path in sorted(folder.samples.glob("*.jpg")))
    sample = max(0.0, last - first - TIMING_STEPS / 2 * step)
    return TrainingTimes(max(0.0, seconds - TIMING_STEPS * step - 2 * sample), step, sample)


def seconds_left(
    request: TrainingRequest,
    records: Sequence[dict[str, Any]],
    observations: Sequence[tuple[int, float]],
    now: float,
) -> float | None:
    """Seconds to the end at the speed of the last eighth, samples included; by the last steps alone at first.

    Args:
        request: What is being trained.
        records: The lines of metrics.jsonl; the result is None where no speed is in them yet.
        observations: Steps done and the time at which they were seen, in order; at least one.
        now: The time.
    """
    *earlier, (done, seen) = observations
    if earlier:
        every = request.sample_every
        since, then = next((mark for mark in reversed(earlier) if mark[0] <= done - every), earlier[0])
        step = (seen - then) / (done - since)
    elif speed := _speed(records):
        step = TrainConfig.batch_size / speed
    else:
        return None
    return max(0.0, (request.iterations - done) * step - (now - seen))


def _speed(records: Sequence[dict[str, Any]]) -> float:
    """Images a second, over the last few steps; 0 where it was not recorded yet."""
    return next((r["images_per_second"] for r in reversed(records) if "images_per_second" in r), 0.0)


def steps_done(records: Sequence[dict[str, Any]]) -> int:
    """Steps that the lines of metrics.jsonl tell of."""
    return max((int(record["iteration"]) for record in records), default=0)


def latest_sample(folder: RunFolder) -> Path | None:
    """The last sample painting; None before the first."""
    return max(folder.samples.glob("*.jpg"), default=None)
