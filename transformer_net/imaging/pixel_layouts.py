"""From the many pixel layouts of image files to 8-bit sRGB, used by `decode`, `encode` and `sheet`.

The functions here trust nothing about the data but assume that its size was checked.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageChops

from transformer_net.errors import UnreadableImageError
from transformer_net.imaging.profiles import COLOUR_KEYS, managed_colours

__all__ = [
    "SIDEWAYS",
    "flatten",
    "from_16_bits",
    "from_floats",
    "from_samples",
    "separate",
    "straight",
    "turn_of",
]

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation."""

SIDEWAYS: Final = frozenset(
    {
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_270,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_90,
    }
)
"""Turns after which width and height have changed places."""

_FLOAT_WHITES: Final = ((16.0, 1.0), (255.0, 255.0), (65535.0, 65535.0))
"""White levels of float pictures, which no file states, by their largest value.

Somewhat above 1 there are highlights of a picture whose white is 1; far above it, 8-bit or 16-bit
levels.
"""


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """What brings a picture upright by its EXIF orientation; EXIF data that cannot be read counts as none."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF raises about anything, and is no reason to refuse the pixels
        return None


def separate(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Splits a picture of any mode into its pixels over white and, unless all is opaque, alpha."""
    rgb, alpha = _parts(image)
    if alpha is None or alpha.getextrema() == (255, 255):
        return rgb, None
    _lay_over_white(rgb, alpha)
    return rgb, alpha


def flatten(image: Image.Image) -> Image.Image:
    """Lays an RGBA picture over white."""
    rgb = image.convert("RGB")
    _lay_over_white(rgb, image.getchannel("A"))
    return rgb


def straight(image: Image.Image) -> Image.Image:
    """Brings a picture of any mode to a new one of mode RGB or RGBA, in sRGB."""
    rgb, alpha = _parts(image)
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb


def _lay_over_white(rgb: Image.Image, alpha: Image.Image) -> None:
    """In place, for a second picture of that size may be too much."""
    rgb.paste("white", mask=ImageChops.invert(alpha))


def _parts(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """New pictures: the colours in sRGB, as they are under transparent pixels too, and the alpha if any."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _from_deep(image)
    elif image.mode in ("La", "RGBa"):  # colours multiplied by alpha
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    alpha = None
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = rgba.getchannel("A")
        # LA goes back to L: a gray profile does not fit RGB pixels.
        colours = image.getchannel("L") if image.mode == "LA" else rgba.convert("RGB")
    else:
        colours = image
    rgb = _to_srgb(colours, image.info)
    if rgb is image:
        rgb = image.copy()
    rgb.info = {}  # what stays here, profile and orientation, the next reader would apply once more
    return rgb, alpha


def from_samples(array: npt.NDArray[Any]) -> Image.Image:
    """Makes a picture of mode L, RGB or RGBA from an array (H, W) or (H, W, 1, 3 or 4).

    Raises:
        UnreadableImageError: The type or the range of the values is not one that we take.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    kind = array.dtype.kind
    if kind == "f":
        # The comparison is false for NaN as well.
        if not bool(np.all((array >= 0) & (array <= 1))):
            raise UnreadableImageError("An array of floats has values outside 0 to 1, or NaN.")
        levels = np.rint(array.astype(np.float64) * 255)
    elif kind == "b":
        levels = array * np.uint8(255)
    elif kind == "u" and array.dtype.itemsize == 1:
        levels = array
    elif kind == "u" and array.dtype.itemsize == 2:
        levels = from_16_bits(array)
    else:
        raise UnreadableImageError(
            f"An array of {array.dtype} is not a picture; uint8, uint16, bool, or floats from 0 "
            "to 1 are expected."
        )
    return Image.fromarray(np.asarray(levels, dtype=np.uint8))


def from_16_bits(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Rounds 0..65535 to 0..255: 65535 is 257 x 255."""
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _from_deep(image: Image.Image) -> Image.Image:
    """Scales gray samples of 16 bits, integers or floats to 8 bits, which Pillow would clip."""
    samples = np.asarray(image)
    if image.mode == "F":
        levels = from_floats(samples)
    else:
        if int(samples.min()) < 0 or int(samples.max()) > 65535:
            raise UnreadableImageError("Gray values of more than 16 bits cannot be read.")
        levels = from_16_bits(samples)
    gray = Image.fromarray(levels)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):  # PNG: one gray level that is see-through
        gray.putalpha(Image.fromarray(np.where(samples == transparent, 0, 255).astype(np.uint8)))
    gray.info.update({key: value for key, value in image.info.items() if key in COLOUR_KEYS})
    return gray


def from_floats(samples: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if not bool(np.isfinite(samples).all()):
        raise UnreadableImageError("The picture has values that are not numbers.")
    top = float(samples.max())
    for bound, white in _FLOAT_WHITES:
        if top <= bound:
            scaled = np.clip(samples.astype(np.float64) * (255 / white), 0, 255)
            return np.rint(scaled).astype(np.uint8)
    raise UnreadableImageError("The picture has values too large for any known white level.")


def _to_srgb(image: Image.Image, info: dict[Any, Any]) -> Image.Image:
    """Brings colours to sRGB by what `info` says of them, or plainly where that cannot be used.

    Gives the picture itself where nothing is to be done.
    """
    plain = image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
    try:
        managed = managed_colours(plain, info)
    except Exception:  # as for EXIF: a broken profile does not spoil the pixels
        managed = None
    if managed is not None:
        return managed
    return plain if plain.mode == "RGB" else plain.convert("RGB")
