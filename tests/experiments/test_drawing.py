"""Figures show what there is to tell apart."""

import math

import pytest
from matplotlib.axes import Axes

from experiments.harness import drawing
from experiments.harness.drawing import _limits, dots
from experiments.harness.intervals import Estimate
from transformer_net.imaging.decode import decode


def estimates(*means, half=0.5):
    return [Estimate(mean, half, 3) for mean in means]


def test_an_axis_leaves_out_what_is_far_off():
    low, high = _limits(estimates(22, 22.4, 23, 23.5, 24, 63))
    assert low < 21.5 < 24.5 < high < 30


def test_an_axis_shows_long_intervals_as_far_as_they_do_not_hide_the_rest():
    low, high = _limits([*estimates(22, 23, 24, 25), Estimate(23.5, 100.0, 3)])
    assert -10 < low < 21.5
    assert 25.5 < high < 60


def test_an_axis_shows_the_whole_intervals_of_means_that_are_near_to_each_other():
    low, high = _limits([Estimate(45.88, 0.9, 3), Estimate(45.8, 1.14, 3)])
    assert 44 < low < 45.8 - 1.14
    assert 45.8 + 1.14 < high < 48


@pytest.mark.parametrize("half", [0.0, 1.0, math.inf])
def test_an_axis_of_equal_values_has_a_length(half):
    low, high = _limits([Estimate(5.0, half, 1)])
    assert low < 5 < high < 10


@pytest.mark.parametrize(("last", "named"), [(63, ["63"]), (24, [])])
def test_what_is_left_out_is_an_arrow_that_says_its_value(tmp_path, monkeypatch, last, named):
    told = []
    annotate = Axes.annotate

    def noting(self, text, *arguments, **options):
        told.append(text)
        return annotate(self, text, *arguments, **options)

    monkeypatch.setattr(Axes, "annotate", noting)
    groups = {str(i): {"bn": e} for i, e in enumerate(estimates(22, 22.4, 23, 23.5, last))}
    assert decode(dots({"loss": groups}, tmp_path / "dots.png")[0]).rgb.width > 100
    assert told == named


def test_a_panel_of_which_nothing_is_known_is_left_out(tmp_path):
    known = {"bn": {"bn": Estimate(1.0, 0.1, 3)}}
    diverged = {"bn": {"bn": Estimate(math.nan, math.inf, 3)}}
    assert dots({"loss": diverged, "accuracy": {}}, tmp_path / "none.png") == []
    one = decode(dots({"loss": known}, tmp_path / "one.png")[0]).rgb
    assert decode(dots({"loss": known, "accuracy": diverged}, tmp_path / "dots.png")[0]).rgb.size == one.size


@pytest.mark.parametrize("value", [9.0, -9.0])
def test_a_line_is_in_sight_on_every_panel(tmp_path, monkeypatch, value):
    saved = []
    monkeypatch.setattr(drawing, "save", lambda figure, path: saved.append(figure) or path)
    dots({"loss": {"bn": {"bn": Estimate(value, 0.1, 3)}}}, tmp_path / "dots.png", line=0.0)
    low, high = saved[0].axes[0].get_xlim()
    assert low < 0 < high
