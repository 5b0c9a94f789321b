"""Style pictures: which can be one, how large their marks are, and so at which size they should be seen."""

from __future__ import annotations

import numpy as np
from PIL import Image

from transformer_net.errors import ImageSizeError, StylePictureError
from transformer_net.imaging.arrays import fit, to_array

ANALYSED = 1024
"""Longer side in pixels that pictures are looked at with, at most. Finer marks than that vanish anyway."""

_FINEST, _COARSEST = 0.7, 64.0

_WANTED = 5.7
"""The scale, as `mark_scale` measures it, at which the losses see a style's marks best.

That of the six pictures of the gallery, at the sizes that were chosen for them by eye, is 3.6 to 7.2.
"""

_CONTRAST = 1 / 512
"""Below half a level of 255 there is rounding only."""

SMALLEST_STYLE = 64
"""Shorter side in pixels of the smallest style picture: VGG-16's deepest tap has 8 places along it."""

SMALLEST = 256
"""Shorter side in pixels below which there is too little of a picture for statistics."""


def check_style_picture(picture: Image.Image) -> None:
    """See that a picture can be a style.

    Args:
        picture: RGB.

    Raises:
        ImageSizeError: It is smaller than `SMALLEST_STYLE`.
        StylePictureError: It has one colour only, as a fully transparent one has.
    """
    if min(picture.size) < SMALLEST_STYLE:
        raise ImageSizeError(
            f"A style picture needs {SMALLEST_STYLE} pixels on its shorter side; "
            f"this one has {min(picture.size)}."
        )
    extremes = np.asarray([band.getextrema() for band in picture.convert("RGB").split()])
    if (np.diff(extremes) <= 1).all():
        raise StylePictureError("The style picture has a single colour, so there is nothing to paint with.")


def mark_scale(picture: Image.Image) -> float:
    """The mean size of what a picture is made of, as a standard deviation of a blur, in its pixels.

    The mean of log σ, weighted by the energy of σ²∇²G(σ) * picture: the scale-normalized Laplacian of
    Lindeberg 1998, doi 10.1023/A:1008045108935, which is largest where the blur has the size of the marks.

    Args:
        picture: RGB. One without any contrast has marks of the finest size.
    """
    pixels = to_array(picture)
    if pixels.std((1, 2)).max() < _CONTRAST:
        return _FINEST
    height, width = pixels.shape[1:]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    centred = (pixels - pixels.mean((1, 2), keepdims=True)) * window
    power = np.square(np.abs(np.fft.rfft2(centred))).sum(0)
    power[:, 1:] *= 2  # the other half of the spectrum, nearly
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    waves = (2 * np.pi) ** 2 * (np.square(rows) + np.square(columns))
    scales = np.geomspace(_FINEST, _COARSEST, 40)
    energy = np.array([(np.square(s * s * waves) * np.exp(-s * s * waves) * power).sum() for s in scales])
    return float(np.exp(np.average(np.log(scales), weights=energy)))


def marks_seen_best(picture: Image.Image) -> int:
    """The shorter side, in pixels, at which a style picture's marks are 8 to 20 px, as losses want them.

    Never larger than the picture, whose marks an enlargement would only blur.

    Args:
        picture: RGB, one that `check_style_picture` accepts.
    """
    analysed = fit(picture, ANALYSED)
    shorter = min(analysed.size)
    largest = min(max(shorter, SMALLEST_STYLE), *picture.size)  # a strip has few pixels where it is analysed
    return min(largest, max(SMALLEST, round(shorter * _WANTED / mark_scale(analysed))))
