"""The noise that lets flat regions be painted."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from transformer_net.grain import grain, kept_grain
from transformer_net.inference.tiling.tiles import grained


def test_mean_zero_and_unit_deviation_at_every_scale():
    noise = grain(1600, 1500)
    assert noise.shape == (3, 1600, 1500)
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.mean((1, 2)), 0, atol=0.08)
    np.testing.assert_allclose(noise.std((1, 2)), 3**0.5, rtol=0.05)
    fine = noise - ndimage.uniform_filter(noise, (0, 3, 3))
    strokes = ndimage.uniform_filter(noise, (0, 8, 8))
    assert 0.8 < fine.std() < 1.2
    assert 0.8 < strokes.std() < 1.4  # some of the 4 px octave is left


def test_a_tile_has_the_grain_of_the_whole():
    whole = grain(60, 80, seed=3)
    np.testing.assert_array_equal(grain(20, 30, top=17, left=41, seed=3), whole[:, 17:37, 41:71])


def test_seeds_differ_and_repeat():
    assert np.array_equal(grain(16, 16, seed=5), grain(16, 16, seed=5))
    assert not np.array_equal(grain(16, 16, seed=5), grain(16, 16, seed=6))


def test_channels_and_seeds_are_uncorrelated():
    a, b = grain(600, 600), grain(600, 600, seed=1)
    for left, right in [(a[0], a[1]), (a[1], a[2]), (a, b), (a[:, 64:], a[:, :-64])]:
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("scale", [4, 16])
def test_the_lattice_does_not_show(scale):
    """Noise is as strong on the lattice as between its points; straight lines would lose half of it."""
    noise = grain(1200, 1200)
    smooth = ndimage.uniform_filter(noise, (0, scale // 2, scale // 2))
    on = smooth[:, ::scale, ::scale].std()
    between = smooth[:, scale // 2 :: scale, scale // 2 :: scale].std()
    assert 0.9 < on / between < 1.15


def test_the_finest_octave_is_white():
    """No frequency above the coarser octaves' stands out, as a lattice would make it."""
    spectrum = np.abs(np.fft.fft2(grain(256, 256)[0])) ** 2
    middle = spectrum[96:160, 96:160]
    assert middle.max() / middle.mean() < 20


def test_what_is_kept_is_the_grain_of_the_last_two_sizes():
    for size in ((40, 50), (50, 40), (40, 50), (30, 30), (40, 50)):
        np.testing.assert_array_equal(kept_grain(*size), grain(*size))
    assert kept_grain(40, 50) is kept_grain(40, 50)
    assert kept_grain.cache_info().currsize <= 2
    with pytest.raises(ValueError, match="read-only"):
        kept_grain(40, 50)[:] = 0


@pytest.mark.parametrize(("size", "top", "left"), [((48, 64), 0, 0), ((48, 64), 16, 0), ((48, 64), 0, 16)])
def test_pictures_and_tiles_get_the_grain_of_their_place(size, top, left):
    region = Image.new("RGB", size, (51, 102, 204))
    wanted = np.full((3, size[1], size[0]), 0.2, np.float32) * np.array([1, 2, 4], np.float32)[:, None, None]
    wanted += 0.25 * grain(size[1], size[0], top, left)
    for _ in range(2):
        np.testing.assert_allclose(grained(region, 0.25, top, left), wanted, atol=1e-6)
