"""Intervals and verdicts, against values from tables of Student's t."""

import math

import pytest

from experiments.ablations import all_of
from experiments.harness.intervals import Claim, Estimate, difference, judge, reason


def test_interval_of_three_runs():
    estimate = Estimate.of({0: 1.0, 1: 2.0, 2: 3.0})
    assert estimate.mean == 2
    assert estimate.half == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert estimate.show(1, " %", signed=True) == "+2.0 ± 2.5 % (n = 3)"


def test_one_run_and_none_have_no_interval():
    one, none = Estimate.of({0: 5.0}), Estimate.of({})
    assert one.show() == "5.00 (n = 1)"
    assert none.show() == "not run"
    for estimate in (one, none):
        assert judge(estimate) == "not decidable"
    assert reason(one) == "one run decides nothing"
    assert reason(none) == "not run yet"


@pytest.mark.parametrize(
    ("values", "margin", "verdict"),
    [
        ([1.0, 1.1, 0.9], 0, "reproduced"),
        ([-1.0, -1.1, -0.9], 0, "not reproduced"),
        ([-1.0, 1.1, 0.9], 0, "not decidable"),
        ([-0.2, -0.25, -0.22], -0.5, "reproduced"),
        ([1.0, math.inf, 1.0], 0, "not decidable"),
    ],
)
def test_verdicts(values, margin, verdict):
    estimate = Estimate.of(dict(enumerate(values)))
    assert judge(estimate, margin) == verdict
    assert bool(reason(estimate, margin)) == (verdict == "not decidable")
    claim = Claim.above(margin, "Table 0", "a is above b", "nothing", estimate, estimate.show(), "true")
    assert (claim.verdict, claim.reason) == (verdict, reason(estimate, margin))


def test_differences_are_taken_between_pairs():
    assert difference({0: 3.0, 1: 5.0, 2: 7.0}, {1: 1.0, 2: 2.0, 3: 0.0}) == {1: 4.0, 2: 5.0}


def test_a_claim_about_all_needs_all():
    assert all_of(["reproduced", "reproduced"]) == "reproduced"
    assert all_of(["reproduced", "not decidable"]) == "not decidable"
    assert all_of(["not reproduced", "not decidable"]) == "not reproduced"
