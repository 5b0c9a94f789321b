"""Intervals, power and verdicts, against values from tables."""

import math
from dataclasses import replace

import pytest

from experiments.harness.intervals import Claim, Estimate, difference, judged, seeds_needed


def claim(values, margin=0.0, **more):
    estimate = Estimate.of(dict(enumerate(values)))
    return Claim("Table 1", "a is above b", "nothing", estimate, "true", estimate.show(), margin, **more)


def test_interval_of_three_runs():
    estimate = Estimate.of({0: 1.0, 1: 2.0, 2: 3.0})
    assert estimate.mean == 2
    assert estimate.half == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert estimate.show(1, " %", signed=True) == "+2.0 ± 2.5 % (n = 3)"
    assert estimate.p_value() == pytest.approx(0.0742, abs=1e-4)


@pytest.mark.parametrize(
    ("values", "margin", "verdict", "reason"),
    [
        ([1.0, 1.1, 0.9], 0, "holds", ""),
        ([-1.0, -1.1, -0.9], 0, "does not hold", ""),
        ([-1.0, 1.1, 0.9], 0, "not decidable", "the interval contains 0"),
        ([-0.2, -0.25, -0.22], -0.5, "holds", ""),
        ([1.0, math.inf, 1.0], 0, "not decidable", "a training diverged"),
        ([5.0], 0, "not decidable", "one run decides nothing"),
        ([], 0, "not decidable", "not run yet"),
    ],
)
def test_verdicts(values, margin, verdict, reason):
    (found,) = judged([claim(values, margin)])
    assert (found.verdict, found.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("values", "family", "verdict"),
    [
        ([-1.0, 1.1, 0.9], 1, "not decidable"),  # ± 2.9 around 0.3
        ([-0.5, 0.6, 0.4], 1, "no difference"),
        ([-0.5, 0.6, 0.4], 9, "not decidable"),  # corrected for nine, the interval is three times as wide
        ([1.0, 1.1, 0.9], 1, "holds"),  # there is one, though it be small
    ],
)
def test_a_difference_too_small_to_matter_is_a_verdict(values, family, verdict):
    claims = [claim(values, least=3.0) for _ in range(family)]
    assert {one.verdict for one in judged(claims)} == {verdict}
    assert judged([claim(values, least=3.0, finished=False)])[0].verdict == "not decidable"


@pytest.mark.parametrize(
    ("deviation", "family", "hint"),
    [
        (6.0, 1, "3 % would take 34 seeds"),
        (6.0, 12, "3 % would take 60 seeds"),  # ((2.87 + 0.84) · 2)² = 55 by the normal distribution
        (math.inf, 1, ""),  # of one run
        (600.0, 1, "3 % would take 500 or more seeds"),
    ],
)
def test_what_a_verdict_takes(deviation, family, hint):
    one = replace(claim([1.0]), estimate=Estimate(0.0, 2.0, 3, deviation), least=3.0)
    assert {found.hint for found in judged([one] * family)} == {hint}
    assert judged([replace(one, finished=False)] * family)[0].hint == hint
    assert judged([replace(one, least=0.0)])[0].hint == ""


def test_p_values_are_corrected_within_a_family_alone():
    """Holm's method on p = 0.01, 0.02, 0.03 and 0.2 gives 0.04, 0.06, 0.06 and 0.2."""

    class Known(Estimate):
        def p_value(self, margin=0.0):
            return self.half

    claims = [
        replace(claim([1.0, 2.0]), estimate=Known(1.0, p, 9, 1.0), family=family)
        for p, family in [(0.2, "a"), (0.02, "a"), (0.01, "a"), (0.03, "a"), (0.03, "b")]
    ]
    found = judged([*claims, claim([], family="a")])
    assert [one.p for one in found[:5]] == pytest.approx([0.2, 0.06, 0.04, 0.06, 0.03])
    assert [one.verdict == "holds" for one in found] == [False, False, True, False, True, False]


def test_power_is_that_of_the_tables():
    """Cohen's table: 34 pairs for half a standard deviation, 15 for 0.8 and 10 for one, at 80 %."""
    assert [seeds_needed(1.0, d) for d in (0.5, 0.8, 1.0)] == [34, 15, 10]
    assert seeds_needed(1.0, 1.0, tests=12) > seeds_needed(1.0, 1.0)
    assert seeds_needed(100.0, 0.1) == 500


def test_differences_are_taken_between_pairs():
    assert difference({0: 3.0, 1: 5.0, 2: 7.0}, {1: 1.0, 2: 2.0, 3: 0.0}) == {1: 4.0, 2: 5.0}
