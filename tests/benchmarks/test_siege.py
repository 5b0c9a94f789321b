"""A small siege, and that the figures are what they are called."""

import pytest

from benchmarks.siege.__main__ import measure, summary


def test_the_figures_of_some_requests():
    figures = summary([float(second) for second in range(1, 100)], failures=1)
    assert figures == {"requests": 100, "success": 0.99, "p50": 50.0, "p99": 99.0}
    assert summary([], failures=3)["success"] == 0.0


@pytest.mark.slow
def test_honest_clients_are_served_in_a_siege():
    figures = measure(seconds=4, scale=0.05, clients=2, threads=1, side=64)
    assert figures["phases"]["during"]["requests"] > 0
    assert figures["phases"]["during"]["success"] >= 0.95
    assert figures["phases"]["during"]["log"] < 50_000
    assert figures["phases"]["during"]["disk"] < 900
    assert figures["connections"].keys() == {
        "slow writers", "slow readers", "silent", "fuzzers", "leavers", "uploads"
    }  # fmt: skip
    assert figures["back"] < 10
    assert figures["paints again"]
