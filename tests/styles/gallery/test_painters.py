"""The painters: same seed, same picture; a palette spread over the canvas; right size."""

import importlib
from functools import cache

import numpy as np
import pytest
from PIL import Image

from styles.gallery.painters import engraving, run, shapes, strokes
from styles.gallery.painters import primitives as pr

SIZE = 192

# Least share of warm, cool, light and dark pixels in the whole picture; every quarter
# must reach half of it.
SPREAD = {
    "mosaic": {"warm": 0.18, "cool": 0.18, "light": 0.18, "dark": 0.18},
    "starry": {"warm": 0.12, "cool": 0.40, "light": 0.18, "dark": 0.20},
    "wave": {"warm": 0.15, "cool": 0.30, "light": 0.30, "dark": 0.18},
    "cubist": {"warm": 0.20, "cool": 0.20, "light": 0.15, "dark": 0.18},
    "pointillist": {"warm": 0.22, "cool": 0.25, "light": 0.22, "dark": 0.15},
    "ink": {"warm": 0.25, "cool": 0.12, "light": 0.25, "dark": 0.20},
}


def painter(name):
    return importlib.import_module(f"styles.gallery.painters.{name}")


@cache
def picture(name):
    return painter(name).paint(SIZE)


def channels(image):
    """Hue in 0..1, saturation and luma in 0..1 of each pixel."""
    hue, saturation, _ = (np.asarray(c) / 255.0 for c in image.convert("HSV").split())
    return hue, saturation, pr.luminance(np.asarray(image) / 255.0)


def shares(image):
    """Share of warm, cool, light and dark pixels."""
    hue, saturation, luma = channels(image)
    vivid = saturation > 0.35
    warm = vivid & ((hue < 0.18) | (hue > 0.90))
    cool = vivid & (hue > 0.28) & (hue < 0.80)
    return {
        "warm": warm.mean(),
        "cool": cool.mean(),
        "light": (luma > 0.6).mean(),
        "dark": (luma < 0.3).mean(),
    }


def quarters(image):
    half = image.width // 2
    return [image.crop((x, y, x + half, y + half)) for x in (0, half) for y in (0, half)]


@pytest.mark.slow
@pytest.mark.parametrize("name", SPREAD)
def test_command_line_repeats_the_picture_without_global_random_state(name, tmp_path):
    out = tmp_path / "out.png"
    before = np.random.get_state()[1].copy()
    module = painter(name)
    run(module.paint, module.__doc__, [str(out), "--size", str(SIZE)])
    assert np.array_equal(np.random.get_state()[1], before)
    with Image.open(out) as again:
        assert (again.size, again.mode, again.format) == ((SIZE, SIZE), "RGB", "PNG")
        assert again.tobytes() == picture(name).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", SPREAD)
def test_other_seed_gives_another_picture(name):
    other = np.asarray(painter(name).paint(64, seed=1234), float)
    here = np.asarray(picture(name).resize((64, 64), Image.Resampling.BOX), float)
    assert np.abs(other - here).mean() > 12


@pytest.mark.parametrize("name", SPREAD)
def test_palette_is_wide_in_the_whole_and_in_each_quarter(name):
    parts = [shares(part) for part in quarters(picture(name))]
    whole = shares(picture(name))
    for kind, least in SPREAD[name].items():
        assert whole[kind] >= least, kind
        assert min(part[kind] for part in parts) >= least / 2, kind


@pytest.mark.parametrize("name", SPREAD)
def test_luminance_is_balanced(name):
    luma = channels(picture(name))[2]
    assert 0.3 < luma.mean() < 0.65
    assert luma.std() > 0.15
    assert min(channels(part)[2].std() for part in quarters(picture(name))) > 0.10


def test_ramps_run_from_dark_to_light():
    for family in pr.FAMILIES:
        luma = pr.luminance(pr.ramp(family, np.linspace(0, 1, 16)))
        assert np.all(np.diff(luma) > 0), family


@pytest.mark.parametrize("noise", [pr.noise, pr.soft_noise])
def test_noise_is_standardised(noise):
    field = noise(128, 20, np.random.default_rng(1))
    assert abs(field.mean()) < 1e-3
    assert abs(field.std() - 1) < 1e-3


def test_border_distance_is_zero_on_outlines_only():
    labels = np.zeros((32, 32), int)
    labels[:, 16:] = 1
    distance = pr.border_distance(labels)
    assert distance[5, 16] == 0
    assert distance[5, 26] == 10


def test_iso_line_keeps_its_distance_from_the_outline():
    x, y = pr.grid(128)
    disc = np.hypot(x - 64, y - 64) < 50
    depth, angle = pr.flow(disc.astype(int))
    lines = pr.iso_lines(10.0, 6, disc, depth, angle)
    assert len(lines) == 1
    radius = np.hypot(lines[0][:, 0] - 64, lines[0][:, 1] - 64)
    assert np.ptp(radius) < 4


def test_later_strokes_cover_earlier_ones():
    rng = np.random.default_rng(0)
    rows = np.array([[32, 32, 0.0, 24, 8, 0.0], [32, 32, np.pi / 2, 24, 8, 0.0]])
    owner = strokes.cover(rows, 64, 64, rng)
    assert owner[0, 0] == -1
    assert owner[32, 14] == 0
    assert owner[32, 32] == owner[14, 32] == 1


def test_strokes_bend_with_the_flow():
    x, y = pr.grid(128)
    around = np.arctan2(y - 64, x - 64) + np.pi / 2
    turn = strokes.curvature(around)
    assert turn[64, 100] == pytest.approx(1 / 36.5, rel=0.05)


def test_clip_keeps_the_side_that_the_normal_points_to():
    square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)], float)
    half = shapes.clip(square, np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    assert half[:, 0].min() == 1
    assert np.ptp(half, axis=0).tolist() == [3, 4]


def test_ribbon_is_as_wide_as_asked():
    path = np.column_stack([np.arange(10.0), np.zeros(10)])
    assert np.ptp(shapes.ribbon(path, 6)[:, 1]) == pytest.approx(6)


def test_hatching_darkens_with_the_tone():
    phase = pr.grid(256)[1]
    tones = np.linspace(0, 1, 6)
    inked = [
        engraving.hatch(np.full((256, 256), tone), phase, 256, np.random.default_rng(0)).mean()
        for tone in tones
    ]
    assert inked[0] < 0.1
    assert inked[-1] > 0.8
    assert np.all(np.diff(inked) > 0)
