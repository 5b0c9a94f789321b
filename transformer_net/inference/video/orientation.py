"""How a video is turned for display: frames are painted upright and stored as they were."""

from __future__ import annotations

from typing import Any

import numpy as np

from transformer_net.inference.video.colours import FramePixels

Matrix = tuple[int, ...]
"""How to turn and mirror a frame for display: 9 numbers as in the file. The first, second, fourth and fifth
map its columns and rows, in units of 1/65536."""


def display_matrix(picture: Any) -> Matrix | None:
    """That of one of PyAV's frames; None where it is upright."""
    data = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    return tuple(int(x) for x in np.frombuffer(bytes(data), np.int32))


def _axes(matrix: Matrix) -> tuple[bool, int, int]:
    """Whether columns and rows change places, then the direction of rows and that of columns, 1 or -1."""
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if a == d == 0 and b and c:
        return True, (1 if b > 0 else -1), (1 if c > 0 else -1)
    if b == c == 0 and a and d:
        return False, (1 if d > 0 else -1), (1 if a > 0 else -1)
    return False, 1, 1  # askew: painted as it is stored


def upright(pixels: FramePixels, matrix: Matrix | None) -> FramePixels:
    if matrix is None:
        return pixels
    swapped, rows, columns = _axes(matrix)
    return np.ascontiguousarray((pixels.swapaxes(0, 1) if swapped else pixels)[::rows, ::columns])


def turned_back(pixels: FramePixels, matrix: Matrix | None) -> FramePixels:
    if matrix is None:
        return pixels
    swapped, rows, columns = _axes(matrix)
    pixels = pixels[::rows, ::columns]
    return np.ascontiguousarray(pixels.swapaxes(0, 1) if swapped else pixels)
