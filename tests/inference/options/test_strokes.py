"""Larger strokes: a small painting in the size of the photo, with its edges."""

import numpy as np
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.inference.test_stylizer import stylizer
from transformer_net.errors import SettingError
from transformer_net.imaging.arrays import fit
from transformer_net.inference.options import strokes
from transformer_net.inference.options.strokes import enlarge
from transformer_net.inference.options.style_options import StyleOptions


def edge(width, height, at):
    """Black left of a column, white from it on."""
    picture = Image.new("RGB", (width, height))
    picture.paste("white", (at, 0, width, height))
    return picture


def levels(picture):
    return np.asarray(picture).astype(float)


def test_edges_that_the_painting_shares_with_the_photo_are_sharp_again():
    photo = edge(120, 90, 61)
    small = fit(photo, 40)
    painting = Image.eval(small, lambda level: 200 - level // 2)  # the same edge, other levels
    expected = levels(Image.eval(photo, lambda level: 200 - level // 2))
    plain = painting.resize(photo.size, Image.Resampling.LANCZOS)
    ours = enlarge(painting, small, photo)
    near = np.s_[:, 55:68]
    blurred, sharp = (np.abs(levels(p)[near] - expected[near]).mean() for p in (plain, ours))
    assert sharp < 0.25 * blurred
    # No halo: beyond the edge, nothing is darker or brighter than it should be.
    assert np.abs(levels(ours)[:, :50] - 200).max() <= 3
    assert np.abs(levels(ours)[:, 72:] - expected[0, 100]).max() <= 3


def test_strokes_that_are_not_in_the_photo_stay_as_they_are():
    photo = Image.new("RGB", (150, 120), (90, 140, 200))
    small, painting = fit(photo, 50), make_picture(50, 40)
    plain = painting.resize(photo.size, Image.Resampling.LANCZOS)
    assert np.abs(levels(enlarge(painting, small, photo)) - levels(plain)).max() <= 1


def test_strips_meet(monkeypatch):
    photo = make_picture(97, 131)
    small, painting = fit(photo, 50), make_picture(*fit(photo, 50).size, seed=1)
    whole = levels(enlarge(painting, small, photo))
    monkeypatch.setattr(strokes, "_STRIP", 97 * 7)
    assert np.abs(levels(enlarge(painting, small, photo)) - whole).max() <= 1


def test_a_stylizer_paints_small_and_enlarges():
    painter, photo = stylizer(), make_picture(120, 90)
    small = fit(photo, 40)
    painting = painter.paint(photo, options=StyleOptions(stroke_scale=3))
    assert painting.size == photo.size
    assert painting.tobytes() == enlarge(painter.paint(small), small, photo).tobytes()
    assert (
        painter.paint(photo, options=StyleOptions(stroke_scale=1)).tobytes() == painter.paint(photo).tobytes()
    )


def test_sizes_that_leave_hardly_anything_to_paint():
    for size in ((24, 20), (300, 16)):
        assert stylizer().paint(make_picture(*size), options=StyleOptions(stroke_scale=8)).size == size


def test_strokes_transparency_strength_and_tiles():
    photo = make_picture(90, 60).convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    painting = stylizer().paint(photo, options=StyleOptions(0.5, stroke_scale=2))
    assert (painting.mode, painting.size) == ("RGBA", (90, 60))
    wide = make_picture(400, 320)
    whole = levels(stylizer("bn").paint(wide, options=StyleOptions(stroke_scale=2)))
    tiled = levels(stylizer("bn").paint(wide, options=StyleOptions(stroke_scale=2), max_memory=5_000_000))
    assert np.abs(whole - tiled).max() <= 1


@pytest.mark.parametrize("scale", [0, 0.99, 8.1, float("nan"), float("inf"), -2])
def test_scales_out_of_range(scale):
    with pytest.raises(SettingError, match="The stroke scale must be within 1 and 8, not "):
        StyleOptions(stroke_scale=scale)
