"""Photographic grain: what a translation-equivariant network needs to paint a flat sky.

A convolutional network maps a constant region to a constant region, however it was trained, so cloudless
skies and overexposed walls would stay bare of brush strokes. A little noise in the input gives it something
to hang a texture on, as in texture networks (Ulyanov et al. 2016, arXiv 1603.03417). The noise is a hash of
the pixel's position: the same photo gives the same painting, and a tile the same grain as the whole.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def grain(height: int, width: int, top: int = 0, left: int = 0, seed: int = 0) -> npt.NDArray[np.float32]:
    """Uniform noise of mean 0 and standard deviation 1, independent per pixel and channel.

    Args:
        height: Rows.
        width: Columns.
        top: Row of the first pixel in the whole picture.
        left: Column of the first pixel in the whole picture.
        seed: Another seed is another noise.

    Returns:
        Array (3, height, width).
    """
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
