"""The noise that lets flat regions be painted."""

import numpy as np

from transformer_net.grain import grain


def test_mean_zero_and_unit_deviation_in_every_channel():
    noise = grain(400, 500)
    assert noise.shape == (3, 400, 500)
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise.mean((1, 2)), 0, atol=0.01)
    np.testing.assert_allclose(noise.std((1, 2)), 1, atol=0.01)


def test_a_tile_has_the_grain_of_the_whole():
    whole = grain(60, 80, seed=3)
    np.testing.assert_array_equal(grain(20, 30, top=17, left=41, seed=3), whole[:, 17:37, 41:71])


def test_seeds_differ_and_repeat():
    assert np.array_equal(grain(16, 16, seed=5), grain(16, 16, seed=5))
    assert not np.array_equal(grain(16, 16, seed=5), grain(16, 16, seed=6))


def test_neighbours_channels_and_seeds_are_uncorrelated():
    a, b = grain(300, 300), grain(300, 300, seed=1)
    pairs = [
        (a[:, 1:], a[:, :-1]),
        (a[..., 1:], a[..., :-1]),
        (a[0], a[1]),
        (a[1], a[2]),
        (a, b),
        (a[:, 64:], a[:, :-64]),
    ]
    for left, right in pairs:
        assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.02


def test_no_visible_pattern():
    """No frequency stands out of the spectrum, as a lattice would make it."""
    spectrum = np.abs(np.fft.fft2(grain(256, 256)[0])) ** 2
    spectrum[0, 0] = 0
    assert spectrum.max() / spectrum.mean() < 20
