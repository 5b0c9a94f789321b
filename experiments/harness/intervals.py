"""Means over seeds with their intervals, and what they say about a claim."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scipy import stats

from experiments.harness.runner import Store, Trial

Verdict = Literal["holds", "does not hold", "no difference", "not decidable"]

SEEDS = (0, 1, 2)

NOT_RUN = "not run yet"
UNFINISHED = "not trained to the end"

LEVEL = 0.05
"""Probability of at least one wrong verdict in a family of claims that are all without substance."""

POWER = 0.8

MOST_SEEDS = 500
"""Where the search for a number of seeds ends."""


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` runs, half its 95 % interval (Student's t) and the runs' standard deviation.

    The last two are infinite for one run.
    """

    mean: float
    half: float
    count: int
    deviation: float = math.inf

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
        deviation = statistics.stdev(numbers)
        return cls(statistics.fmean(numbers), _half(deviation, count, LEVEL), count, deviation)

    def p_value(self, margin: float = 0.0) -> float | None:
        """Two-sided, of the hypothesis that the mean is `margin`; None where nothing can be said."""
        if not math.isfinite(self.half):
            return None
        if not self.deviation:
            return float(self.mean == margin)
        t = (self.mean - margin) / self.deviation * math.sqrt(self.count)
        return float(2 * stats.t.sf(abs(t), self.count - 1))

    def is_within(self, distance: float, margin: float = 0.0, tests: int = 1) -> bool:
        """Whether the mean is surely nearer to `margin` than `distance`: the test of equivalence.

        The interval lies between the two bounds (Schuirmann 1987), one of `LEVEL` by `tests`, Bonferroni's
        correction for so many claims.
        """
        if not math.isfinite(self.half):
            return False
        return abs(self.mean - margin) + _half(self.deviation, self.count, LEVEL / tests) < distance

    def show(self, digits: int = 2, unit: str = "", signed: bool = False) -> str:
        """For example `+1.20 ± 0.31 pp (n = 3)`; the range is left out where there is but one run."""
        if not self.count:
            return "not run"
        if not math.isfinite(self.mean):
            return f"not a number (n = {self.count})"
        mean = f"{self.mean:{'+' if signed else ''}z.{digits}f}"  # z: no minus before a zero
        spread = f" ± {self.half:.{digits}f}" if math.isfinite(self.half) else ""
        return f"{mean}{spread}{unit} (n = {self.count})"


def _half(deviation: float, count: int, level: float) -> float:
    """Half the interval of a mean that misses it with a probability of `level` (Student's t)."""
    return float(stats.t.ppf(1 - level / 2, count - 1)) * deviation / math.sqrt(count)


def seeds_needed(deviation: float, difference: float, tests: int = 1) -> int:
    """Pairs of runs by which a paired t-test finds a mean difference with a power of `POWER`.

    Args:
        deviation: Standard deviation of the pairs' differences.
        difference: What is to be found, in the same unit.
        tests: Tests in the family: the strictest of Holm's levels is `LEVEL` by so many.

    Returns:
        At most `MOST_SEEDS`, which then means that many or more.
    """
    for count in range(2, MOST_SEEDS):
        quantile = stats.t.ppf(1 - LEVEL / tests / 2, count - 1)
        shift = abs(difference) / deviation * math.sqrt(count) if deviation else math.inf
        if shift == math.inf or stats.nct.sf(quantile, count - 1, shift) >= POWER:
            return count
    return MOST_SEEDS


def shown_seeds(deviation: float, difference: float, tests: int = 1) -> str:
    """What `seeds_needed` finds, for people to read."""
    count = seeds_needed(deviation, difference, tests)
    return str(count) if count < MOST_SEEDS else f"{count} or more"


def per_seed(
    store: Store,
    trial: Callable[[int], Trial],
    metric: Callable[[Any], float | None],
    seeds: Sequence[int] = SEEDS,
) -> dict[int, float]:
    """The metric of `trial(seed)` for each seed that has been run, but where it is None."""
    found = {seed: store.metrics(trial(seed)) for seed in seeds}
    values = {seed: metric(metrics) for seed, metrics in found.items() if metrics is not None}
    return {seed: value for seed, value in values.items() if value is not None}


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


@dataclass(frozen=True)
class Claim:
    """A row of the table of verdicts: something is above `margin`, as `estimate` tells.

    Attributes:
        source: Where in the paper: keys of `paper.CAPTIONS`.
        text: What it says.
        ran: What we ran.
        estimate: Ours.
        command: Computes and prints it.
        figure: Ours with its interval, as it is shown.
        margin: See above.
        family: Claims that are corrected for their number together; of the same source, where empty.
        absent: Why there are no values, where there are none.
        least: The smallest difference from `margin` that would matter, in percent; 0 where nobody has named
            one.
        pairs: What there would be more of for it to be decided.
        finished: Whether its runs came to their end; of others there is no verdict.
        p: Two-sided p-value, corrected by `judged`; None where there is no test.
        equal: Whether the difference is surely smaller than `least`, as `judged` finds.
        hint: How many `pairs` find a difference of `least`, as `judged` finds.
        counted: The verdict where it follows from counting and not from runs.
    """

    source: str
    text: str
    ran: str
    estimate: Estimate
    command: str
    figure: str
    margin: float = 0.0
    family: str = ""
    absent: str = NOT_RUN
    least: float = 0.0
    pairs: str = "seeds"
    finished: bool = True
    p: float | None = None
    equal: bool = False
    hint: str = ""
    counted: Verdict | None = None

    @property
    def verdict(self) -> Verdict:
        """By the corrected p-value: holds if the mean is above the margin, does not if it is below.

        Where there is none, but what there may be is too small to matter, that is a verdict as well.
        """
        if self.counted:
            return self.counted
        if self.p is None or self.p >= LEVEL:
            return "no difference" if self.equal else "not decidable"
        return "holds" if self.estimate.mean > self.margin else "does not hold"

    @property
    def reason(self) -> str:
        """Why it is not decidable; empty where it is."""
        if self.verdict != "not decidable":
            return ""
        if not self.estimate.count:
            return self.absent
        if not math.isfinite(self.estimate.mean):
            return "a training diverged"
        if self.estimate.count < 2:
            return "one run decides nothing"
        inside = abs(self.estimate.mean - self.margin) <= self.estimate.half
        why = f"the interval contains {self.margin:g}" if inside else "one of many claims, it could be chance"
        if not self.finished:
            why = UNFINISHED
        return f"{why}; {self.hint}" if self.hint else why


def judged(claims: Iterable[Claim]) -> list[Claim]:
    """`claims` with what follows from the other claims of their families.

    p-values are corrected for the number of those that are finished (Holm 1979), and so is equivalence; hints
    are for the number of all.
    """
    found = [
        replace(claim, p=claim.estimate.p_value(claim.margin) if claim.finished else None) for claim in claims
    ]
    families: dict[str, list[int]] = {}
    for place, claim in enumerate(found):
        families.setdefault(claim.family or claim.source, []).append(place)
    for family in families.values():
        for place in family:
            found[place] = replace(found[place], hint=_what_it_takes(found[place], len(family)))
        tested = [place for place in family if found[place].p is not None]
        least = 0.0
        for rank, place in enumerate(sorted(tested, key=lambda i: found[i].p or 0.0)):
            claim = found[place]
            least = max(least, min(1.0, (len(tested) - rank) * (claim.p or 0.0)))
            equal = claim.estimate.is_within(claim.least, claim.margin, len(tested))
            found[place] = replace(claim, p=least, equal=equal)
    return found


def _what_it_takes(claim: Claim, tests: int) -> str:
    """How many pairs find the difference that matters; empty where nobody can tell, or has named one."""
    deviation = claim.estimate.deviation
    if not claim.least or not math.isfinite(deviation):
        return ""
    return f"{claim.least:g} % would take {shown_seeds(deviation, claim.least, tests)} {claim.pairs}"
