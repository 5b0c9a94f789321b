"""The size of a style picture's marks."""

import numpy as np
import pytest
from PIL import Image

from styles.catalog import find_style, recipes, shipped
from transformer_net.imaging.mark_scale import SMALLEST, mark_scale, marks_seen_best


def spots(side, size, seed=0):
    """Squares of random colours, `size` px wide."""
    cells = np.random.default_rng(seed).integers(0, 256, (side // size, side // size, 3), np.uint8)
    return Image.fromarray(cells).resize((side, side), Image.Resampling.NEAREST)


def test_larger_marks_have_a_larger_scale():
    fine, coarse = (mark_scale(spots(512, size)) for size in (8, 32))
    assert 2 < coarse / fine < 5


@pytest.mark.parametrize("style", [style.name for style in shipped()])
def test_the_gallery_gets_the_sizes_that_were_chosen_by_eye_within_a_third(style):
    picture = Image.open(find_style(style).picture).convert("RGB")
    chosen = recipes()[style]["style_size"]
    assert chosen / 1.34 < marks_seen_best(picture) < chosen * 1.34


def test_no_picture_is_enlarged_and_coarse_ones_are_reduced():
    assert marks_seen_best(spots(200, 8)) == 200
    assert marks_seen_best(spots(2048, 8)) == 1024
    assert SMALLEST <= marks_seen_best(spots(1024, 64)) < 512


def test_a_picture_without_marks_has_a_size_too():
    assert marks_seen_best(Image.new("RGB", (300, 400), (10, 20, 30))) == 300
    assert marks_seen_best(Image.new("RGB", (1, 3000))) == 1
