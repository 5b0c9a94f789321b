"""Grain: noise that is added to a photo, so that flat regions get brush strokes, too.

A convolutional network maps a constant region to a constant region, however it was trained. Without noise,
cloudless skies and overexposed walls would have no strokes. As in texture networks (Ulyanov et al. 2016,
arXiv 1603.03417), the noise has several scales: fine noise alone averages out over the size of a stroke, and
gives a fine texture only. The values of the three octaves are 1, 4 and 16 px apart: a pixel, a bristle, a
brush stroke. The noise is a hash of the pixel's position, so the same photo gives the same painting, and a
tile has the same grain as the whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def grain(height: int, width: int, top: int = 0, left: int = 0, seed: int = 0) -> Floats:
    """The sum of one noise a scale, each of mean 0 and standard deviation 1, independent for each channel.

    Args:
        height: Rows.
        width: Columns.
        top: Row of the first pixel in the whole picture.
        left: Column of the first pixel in the whole picture.
        seed: Another seed is another noise.

    Returns:
        Array (3, height, width).
    """
    noise = _hash(height, width, top, left, seed)
    rows, columns = _Span(top, height), _Span(left, width)
    # A spline of the coarse lattice is a spline of the finer one, too: join them there, and interpolate once.
    coarse = _lattice(rows, columns, 16, seed ^ 2 << 28)
    for scale in (16, 8):
        coarse = _refine(_refine(coarse, rows, scale).swapaxes(1, 2), columns, scale).swapaxes(1, 2)
    smooth = (_lattice(rows, columns, 4, seed ^ 1 << 28) + coarse) * np.float32(1 / _SPLINE_VARIANCE)
    across = _interpolate(smooth.swapaxes(1, 2), columns).swapaxes(1, 2)
    noise += _interpolate(np.ascontiguousarray(across), rows)  # four times as fast as with strides
    return noise


@lru_cache(maxsize=2)
def kept_grain(height: int, width: int) -> Floats:
    """`grain` of a whole picture, read-only; that of the last two sizes is kept, 12 bytes a pixel each.

    The frames of a video, and the paintings of one photo, have one size.
    """
    noise = grain(height, width)
    noise.setflags(write=False)
    return noise


class _Span(NamedTuple):
    """Pixels `first` to `first + length − 1` along an axis."""

    first: int
    length: int

    def values(self, scale: int) -> _Span:
        """The lattice values, `scale` px apart, of which these pixels are made: four for each."""
        start = self.first // scale
        return _Span(start, (self.first + self.length - 1) // scale + 4 - start)


def _lattice(rows: _Span, columns: _Span, scale: int, seed: int) -> Floats:
    """The independent values of an octave: the coefficients of a cubic B-spline.

    Splines rather than straight lines: their variance hardly changes between the values, so that the lattice
    does not show.
    """
    y, x = rows.values(scale), columns.values(scale)
    return _hash(y.length, x.length, y.first, x.first, seed)


def _refine(values: Floats, pixels: _Span, scale: int) -> Floats:
    """The same spline on a lattice twice as fine, along the middle axis, for the same pixels.

    By the two-scale relation of the cubic B-spline, whose mask is (1, 4, 6, 4, 1) / 8.
    """
    between = (values[:, :-1] + values[:, 1:]) * np.float32(1 / 2)
    at = (values[:, :-2] + values[:, 2:]) * np.float32(1 / 8) + values[:, 1:-1] * np.float32(6 / 8)
    finer = np.empty((values.shape[0], 2 * values.shape[1] - 3, values.shape[2]), np.float32)
    finer[:, ::2], finer[:, 1::2] = between, at
    have, need = 2 * pixels.values(scale).first, pixels.values(scale // 2)
    return finer[:, need.first - have : need.first - have + need.length]


def _interpolate(values: Floats, pixels: _Span) -> Floats:
    """Cubic B-spline values at `pixels` along the middle axis of a lattice with 4 px between its values."""
    cells = values.shape[1] - 3
    joined = np.empty((values.shape[0], cells, 4, values.shape[2]), np.float32)
    for phase in range(4):
        t = phase / 4
        taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
        place = joined[:, :, phase]
        np.multiply(values[:, :cells], np.float32(taps[0] / 6), out=place)
        for tap in (1, 2, 3):
            place += values[:, tap : tap + cells] * np.float32(taps[tap] / 6)
    start = pixels.first % 4
    return joined.reshape(values.shape[0], -1, values.shape[2])[:, start : start + pixels.length]


# The sum of the four squared spline weights, averaged over the phase: ∫ of the squared cubic B-spline.
_SPLINE_VARIANCE = 151 / 315


def _hash(height: int, width: int, top: int, left: int, seed: int) -> Floats:
    """Uniform noise of mean 0 and standard deviation 1, independent per pixel and channel."""
    rows = np.arange(top, top + height, dtype=np.uint32)[:, None] * np.uint32(0x9E3779B1)
    columns = np.arange(left, left + width, dtype=np.uint32)[None] * np.uint32(0x85EBCA77)
    h = rows ^ (columns + np.uint32(seed * 0xC2B2AE3D & 0xFFFFFFFF))
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):  # a 32-bit mixing function, two rounds
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    # Ten bits for each channel; the sum of squares of a uniform variable on [-√3, √3] has mean 1.
    noise = np.empty((3, height, width), np.float32)
    for channel in noise:
        channel[...] = h & np.uint32(1023)
        h >>= np.uint32(10)
    noise -= np.float32(511.5)
    noise *= np.float32(np.sqrt(12) / 1024)
    return noise
