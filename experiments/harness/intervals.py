"""Means over seeds with their intervals, and what they say about a claim."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from experiments.harness.runner import Store, Trial

Verdict = Literal["reproduced", "not reproduced", "not decidable"]

SEEDS = (0, 1, 2)

NOT_RUN = "not run yet"

# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201)


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` runs and half its 95 % interval (Student's t), infinite for one run."""

    mean: float
    half: float
    count: int

    @classmethod
    def of(cls, values: Mapping[Any, float]) -> Estimate:
        """That of `values`, one a run; nan without any, and where one is no number: a training diverged."""
        numbers, count = list(values.values()), len(values)
        if not count:
            return cls(math.nan, math.inf, 0)
        if not all(map(math.isfinite, numbers)):
            return cls(math.nan, math.inf, count)
        if count == 1:
            return cls(numbers[0], math.inf, count)
        quantile = _T[min(count - 1, len(_T)) - 1]
        return cls(statistics.fmean(numbers), quantile * statistics.stdev(numbers) / math.sqrt(count), count)

    def show(self, digits: int = 2, unit: str = "", signed: bool = False) -> str:
        """For example `+1.20 ± 0.31 pp (n = 3)`; the range is left out where there is but one run."""
        if not self.count:
            return "not run"
        if not math.isfinite(self.mean):
            return f"not a number (n = {self.count})"
        mean = f"{self.mean:{'+' if signed else ''}z.{digits}f}"  # z: no minus before a zero
        spread = f" ± {self.half:.{digits}f}" if math.isfinite(self.half) else ""
        return f"{mean}{spread}{unit} (n = {self.count})"


def per_seed(store: Store, trial: Callable[[int], Trial], metric: Callable[[Any], float]) -> dict[int, float]:
    """The metric of `trial(seed)` for each seed that has been run."""
    found = {seed: store.metrics(trial(seed)) for seed in SEEDS}
    return {seed: metric(metrics) for seed, metrics in found.items() if metrics is not None}


def difference(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> dict[Any, float]:
    """ours − theirs, run by run, where both are known: the pairs share their seed and with it their data."""
    return {key: ours[key] - theirs[key] for key in ours if key in theirs}


def change(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> dict[Any, float]:
    """By how many percent ours are above theirs, pair by pair; nan where either is no finite number."""
    return {
        key: 100 * (ours[key] / theirs[key] - 1) if math.isfinite(theirs[key]) else math.nan
        for key in ours
        if key in theirs
    }


def judge(estimate: Estimate, margin: float = 0.0) -> Verdict:
    """Whether something is above `margin`, as claimed.

    Reproduced if its whole interval is, not reproduced if none of it is, otherwise not decidable.
    """
    if estimate.mean - estimate.half > margin:
        return "reproduced"
    if estimate.mean + estimate.half < margin:
        return "not reproduced"
    return "not decidable"


def reason(estimate: Estimate, margin: float = 0.0) -> str:
    """Why `judge` cannot tell; empty where it can."""
    if judge(estimate, margin) != "not decidable":
        return ""
    if estimate.count < 2:
        return "one run decides nothing" if estimate.count else NOT_RUN
    return f"the interval contains {margin:g}" if math.isfinite(estimate.mean) else "a training diverged"


@dataclass(frozen=True)
class Claim:
    """A row of the table of verdicts.

    Attributes:
        source: Where in the paper.
        text: What it says.
        ran: What we ran.
        figure: Our figure with its interval.
        verdict: See `judge`.
        reason: Why it is not decidable, if it is not.
        command: Computes and prints it.
    """

    source: str
    text: str
    ran: str
    figure: str
    verdict: Verdict
    reason: str
    command: str

    @classmethod
    def above(
        cls,
        margin: float,
        source: str,
        text: str,
        ran: str,
        estimate: Estimate,
        figure: str,
        command: str,
    ) -> Claim:
        """The claim that what `estimate` estimates is above `margin`."""
        return cls(source, text, ran, figure, judge(estimate, margin), reason(estimate, margin), command)
