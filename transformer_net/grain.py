"""Grain: what a translation-equivariant network needs to paint a flat sky.

A convolutional network maps a constant region to a constant region, however it was trained, so cloudless
skies and overexposed walls would stay bare of brush strokes. A little noise in the input gives it something
to hang a texture on, as in texture networks (Ulyanov et al. 2016, arXiv 1603.03417), and like there it comes
at several scales: fine noise alone averages out over the size of a stroke, and only a fine texture appears.
The noise is a hash of the pixel's position: the same photo gives the same painting, and a tile the same
grain as the whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SCALES = (1, 4, 16)
"""Pixels between the independent values of each octave: a pixel, a bristle, a brush stroke."""

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
    for octave, scale in enumerate(SCALES[1:], 1):
        noise += _smooth(height, width, top, left, scale, seed ^ octave << 28)
    return noise


def _smooth(height: int, width: int, top: int, left: int, scale: int, seed: int) -> Floats:
    """Noise whose independent values stand `scale` px apart, joined by cubic B-splines.

    Splines rather than straight lines: their variance hardly changes between the values, so that the lattice
    does not show.
    """
    row, rows = divmod(top, scale)
    column, columns = divmod(left, scale)
    lattice = _hash(_count(rows + height, scale), _count(columns + width, scale), row, column, seed)
    across = _interpolate(lattice.swapaxes(1, 2), columns, width, scale)
    noise = _interpolate(across.swapaxes(1, 2), rows, height, scale)
    noise *= np.float32(1 / _SPLINE_VARIANCE)
    return noise


def _count(pixels: int, scale: int) -> int:
    return (pixels - 1) // scale + 4


def _interpolate(values: Floats, first: int, count: int, scale: int) -> Floats:
    """Cubic B-spline values at pixels `first` to `first + count − 1` along the middle axis of `values`."""
    place, phase = np.divmod(np.arange(first, first + count), scale)
    t = (phase / scale)[:, None]
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = [(tap / 6).astype(np.float32) for tap in taps]
    total = values[:, place] * weights[0]
    for tap in (1, 2, 3):
        total += values[:, place + tap] * weights[tap]
    return total


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
    bits = np.stack([h & 1023, (h >> np.uint32(10)) & 1023, (h >> np.uint32(20)) & 1023])
    return (bits.astype(np.float32) - 511.5) * np.float32(np.sqrt(12) / 1024)
