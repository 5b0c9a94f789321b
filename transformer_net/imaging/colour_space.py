"""8-bit sRGB, linear light and Oklab, and the way back.

Oklab (Ottosson 2020, https://bottosson.github.io/posts/oklab/) has the eye's lightness, and a hue that stays
put when chroma changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

FloatPixels = npt.NDArray[np.float32]
"""Float pixels (..., 3)."""

Levels = npt.NDArray[np.uint8]
"""8-bit sRGB pixels (..., 3)."""

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_LMS, _FROM_LAB = np.linalg.inv(_TO_LMS), np.linalg.inv(_TO_LAB)


def decoded(signal: npt.NDArray[np.float64]) -> FloatPixels:
    """Linear light of an sRGB signal, both in [0, 1] (IEC 61966-2-1)."""
    light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


_LINEAR = decoded(np.arange(256) / 255)
"""Linear light of each 8-bit level."""

STRIP = 1 << 20
"""Pixels processed at once, so that a large picture takes no more memory than a small one."""

_HALVINGS = 10
_TOLERANCE = 5e-4


def strips(width: int, height: int) -> Iterator[slice]:
    """The rows of a picture, in slices of at most `STRIP` pixels (one row at least)."""
    rows = max(1, STRIP // width)
    return (slice(top, top + rows) for top in range(0, height, rows))


def to_light(levels: Levels) -> FloatPixels:
    """Linear light in [0, 1]."""
    return _LINEAR[levels]


def from_light(linear: FloatPixels) -> Levels:
    """The nearest levels; `from_light(to_light(levels))` is `levels`."""
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)
    levels: Levels = np.rint(encoded * 255).astype(np.uint8)
    return levels


def rgb_to_xyz(points: Sequence[float]) -> npt.NDArray[np.float64]:
    """The matrix from linear light in some primaries to CIE XYZ, 1 for white's Y.

    Args:
        points: x and y of white, red, green and blue.

    Raises:
        ValueError: There is no such white or primary, or the primaries lie on a line.
    """
    xy = np.reshape(np.asarray(points, float), (4, 2))
    if not (xy[:, 1] > 0).all():
        raise ValueError("no such colours")
    xyz = np.column_stack([xy[:, 0], xy[:, 1], 1 - xy.sum(axis=1)]) / xy[:, 1:]
    white, colours = xyz[0], xyz[1:].T
    return np.asarray(colours * np.linalg.solve(colours, white))


def oklab(levels: Levels) -> FloatPixels:
    """L in [0, 1], a and b."""
    lms = to_light(levels) @ _TO_LMS.T.astype(np.float32)
    lab: FloatPixels = np.cbrt(lms, out=lms) @ _TO_LAB.T.astype(np.float32)
    return lab


def from_oklab(lab: FloatPixels) -> Levels:
    """The nearest levels of Oklab pixels (H, W, 3), whose L is in [0, 1].

    Where the display has no colour of that lightness and chroma, chroma is lowered until it has one. Clipping
    the channels instead would change hue and lightness, and leave bright seams along edges.
    """
    return from_light(_displayable(lab))


def _linear(lab: FloatPixels) -> FloatPixels:
    """Linear light of Oklab pixels, below 0 or above 1 where no display shows them."""
    lms = lab @ _FROM_LAB.T.astype(np.float32)
    linear: FloatPixels = (lms * lms * lms) @ _FROM_LMS.T.astype(np.float32)
    return linear


def _displayable(lab: FloatPixels) -> FloatPixels:
    """Linear light of Oklab pixels (H, W, 3); their chroma is lowered where it has to be."""
    linear = _linear(lab)
    outside = _is_outside(linear)
    if not outside.any():
        return linear
    wanted = lab[outside]
    # Halve the interval of factors on chroma: 0 is a grey, which every display has, 1 is too much.
    factor = np.zeros(len(wanted), np.float32)
    step = np.float32(1)
    for _ in range(_HALVINGS):
        step /= 2
        tried = _linear(_with_chroma(wanted, factor + step))
        factor += np.where(_is_outside(tried), 0, step).astype(np.float32)
    linear[outside] = _linear(_with_chroma(wanted, factor))
    return linear


def _with_chroma(lab: FloatPixels, factor: FloatPixels) -> FloatPixels:
    scaled = lab.copy()
    scaled[:, 1:] *= factor[:, None]
    return scaled


def _is_outside(linear: FloatPixels) -> npt.NDArray[np.bool_]:
    return np.asarray(((linear < -_TOLERANCE) | (linear > 1 + _TOLERANCE)).any(axis=-1))
