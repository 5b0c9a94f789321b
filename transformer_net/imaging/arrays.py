"""An RGB picture as an array and back, and at another size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from transformer_net.errors import SettingError


def to_array(rgb: Image.Image) -> npt.NDArray[np.float32]:
    """Gives an RGB picture as a new array of shape (3, H, W) within [0, 1]."""
    planes = np.asarray(rgb if rgb.mode == "RGB" else rgb.convert("RGB")).transpose(2, 0, 1)  # convert copies
    array = planes.astype(np.float32, order="C")
    array /= 255
    return array


def from_array(array: npt.NDArray[Any]) -> Image.Image:
    """Makes an RGB picture of an array (3, H, W): clipped to [0, 1], rounded to 8 bits.

    Raises:
        ValueError: The shape is another, or a value is not finite: a network that diverged must not
            pass as a painting that is black in places.
    """
    if array.ndim != 3 or array.shape[0] != 3:
        raise ValueError(f"expected shape (3, H, W), got {array.shape}")
    if not bool(np.isfinite(array).all()):
        raise ValueError("the painting has values that are not finite")
    levels = np.clip(array, 0, 1).astype(np.float32, copy=False)
    levels *= 255
    planes = np.rint(levels, out=levels).astype(np.uint8)
    return Image.merge("RGB", [Image.fromarray(plane) for plane in planes])  # faster than NumPy's transpose


def fit(rgb: Image.Image, max_side: int | None) -> Image.Image:
    """Shrinks a picture until its longer side is at most `max_side`, in proportion; never enlarges.

    Args:
        rgb: The picture; it is returned as it is where nothing has to shrink.
        max_side: Longest side in pixels; None for no bound.

    Raises:
        SettingError: `max_side` is less than one.
    """
    size = fitted(rgb.size, max_side)
    return rgb if size == rgb.size else rgb.resize(size, Image.Resampling.LANCZOS)


def fitted(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """The width and height of what `fit` gives.

    Raises:
        SettingError: `max_side` is less than one.
    """
    if max_side is None:
        return size
    if max_side < 1:
        raise SettingError(f"The longest side must be at least 1 pixel, not {max_side}.")
    longest = max(size)
    if longest <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longest)) for side in size)
    return width, height


def extended(rgb: Image.Image, side: int) -> Image.Image:
    """`rgb`, its edge repeated to the right and below as far as it takes for sides of at least `side` px."""
    below, right = (max(0, side - length) for length in (rgb.height, rgb.width))
    if not below and not right:
        return rgb
    return Image.fromarray(np.pad(np.asarray(rgb), ((0, below), (0, right), (0, 0)), mode="edge"))
