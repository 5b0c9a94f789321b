"""The measures of docs/performance.md: how near a painting is to another."""

import math

import pytest
import torch

from benchmarks.int8 import psnr, ssim
from styles.gallery.quality import example_photos


@pytest.fixture(scope="module")
def picture():
    return example_photos(96)["coffee"]


def test_psnr(picture):
    assert psnr(picture, picture) == math.inf
    assert psnr(picture * 0.5, picture * 0.5 + 0.1) == pytest.approx(20, abs=1e-4)


def test_ssim_is_one_for_the_same_and_falls_with_noise_and_blur(picture):
    assert ssim(picture, picture) == pytest.approx(1, abs=1e-4)
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    little, much = (ssim(picture + amount * noise, picture) for amount in (0.02, 0.2))
    assert 1 > little > much > 0
    assert ssim(torch.nn.functional.avg_pool2d(picture, 5, 1, 2), picture) < 0.95


def test_ssim_of_flat_pictures_compares_their_brightness():
    dark, bright = torch.full((1, 3, 32, 32), 0.2), torch.full((1, 3, 32, 32), 0.4)
    expected = (2 * 0.2 * 0.4 + 1e-4) / (0.2**2 + 0.4**2 + 1e-4)
    assert ssim(dark, bright) == pytest.approx(expected, abs=1e-4)
