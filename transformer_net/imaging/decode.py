"""The one decode and the one encode of pictures, shared by command line, HTTP API and web page.

What `decode` settles, so that nothing after it has to ask again:

* **Colours** are 8-bit sRGB. An embedded ICC profile is applied; a broken one is ignored.
* **Orientation** from EXIF is applied to the pixels. No metadata gets into a painting unless asked for
  (`encode`): it must not carry the place or the camera of the photo.
* **Alpha** is kept apart, and the pixels are laid over white, so that colours hidden under
  transparent pixels never reach a painting. `Photo.with_alpha` puts the alpha back.
* **Animations** and multi-page files give their first frame.

This module does not import torch: a picture can be checked before any model is loaded.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from transformer_net.errors import (
    ImageSizeError,
    SettingError,
    StylizerError,
    UnreadableImageError,
    UnsupportedImageError,
)
from transformer_net.imaging.metadata import exif_of, srgb_profile
from transformer_net.imaging.pixel_layouts import flatten, from_samples, separate, straight, upright

__all__ = [
    "DEFAULT_LIMITS",
    "INPUT_FORMATS",
    "MEDIA_TYPES",
    "SUFFIXES",
    "Limits",
    "Photo",
    "Source",
    "decode",
    "encode",
    "extended",
    "fit",
    "from_array",
    "output_format",
    "to_array",
]

Source: TypeAlias = "bytes | bytearray | memoryview | str | os.PathLike[str] | Image.Image | npt.NDArray[Any]"

INPUT_FORMATS: Final[tuple[str, ...]] = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""What `decode` opens. Everything else that Pillow knows stays shut: codecs are attack surface."""

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"})
"""What files of these formats are called: a picture in a folder is known by it. `decode` ignores names."""

MEDIA_TYPES: Final = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp"}
"""What `encode` writes, with the media type of each."""

_T = TypeVar("_T")

_LONGEST_SIDE: Final = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}


@dataclass(frozen=True)
class Limits:
    """Bounds on a picture, checked on its header before any pixel is decoded.

    Attributes:
        max_pixels: Largest width x height.
        min_side: Shortest side, in pixels.
    """

    max_pixels: int = 50_000_000
    min_side: int = 16

    def check(self, size: tuple[int, int]) -> None:
        """Raises `ImageSizeError` if a picture of that width and height is out of bounds."""
        width, height = size
        if width * height > self.max_pixels:
            raise ImageSizeError(
                f"The picture has {width} x {height} pixels; at most {self.max_pixels:,} pixels "
                "in all are accepted."
            )
        if min(width, height) < self.min_side:
            raise ImageSizeError(
                f"The picture has {width} x {height} pixels; each side needs at least {self.min_side}."
            )


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True)
class Photo:
    """A decoded picture.

    Attributes:
        rgb: The pixels: mode RGB, sRGB, upright, laid over white.
        alpha: The opacity of each pixel (mode L), or None where all of them are opaque.
        exif: The file's EXIF as it came, if any; `metadata.kept` makes of it what a painting may keep.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    exif: Image.Exif | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture."""
        return self.rgb.size

    def with_alpha(self, painting: Image.Image) -> Image.Image:
        """Gives a painting of this photo, at any size, the photo's transparency."""
        if self.alpha is None:
            return painting
        alpha = self.alpha
        if alpha.size != painting.size:
            alpha = alpha.resize(painting.size, Image.Resampling.LANCZOS)
        result = painting.convert("RGB")
        result.putalpha(alpha)
        return result


def decode(source: Source, limits: Limits = DEFAULT_LIMITS) -> Photo:
    """Reads a picture, whatever it comes as.

    Args:
        source: The bytes of a file, a path, a Pillow image, or an array of shape (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool, or float within [0, 1].
        limits: Bounds on the picture's size.

    Returns:
        The picture; it shares no memory with `source`.

    Raises:
        UnsupportedImageError: The bytes are not of one of `INPUT_FORMATS`.
        UnreadableImageError: The picture is damaged, cut short or empty, or there is no such file.
        ImageSizeError: The picture is outside `limits`.
        TypeError: `source` is none of the above.
    """
    if isinstance(source, Image.Image):
        return _finish(source, limits, "picture")
    if isinstance(source, np.ndarray):
        return _decode_array(source, limits)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode_stream(io.BytesIO(source), limits)
    if isinstance(source, (str, os.PathLike)):
        return _decode_file(os.fspath(source), limits)
    raise TypeError(f"cannot decode a picture from {type(source).__name__}")


def _decode_file(name: str, limits: Limits) -> Photo:
    # Only the last part of the path is named: on a server the rest is nobody's business.
    if not name:
        raise UnreadableImageError("The path of the picture is empty.")
    path = Path(name)
    shown = repr(path.name or name)
    try:
        if path.is_dir():
            raise UnreadableImageError(f"{shown} is a folder, not a picture.")
        if not path.exists():
            raise UnreadableImageError(f"There is no file {shown}.")
        if not path.is_file():  # opening a pipe or a device could wait forever
            raise UnreadableImageError(f"{shown} is not a regular file.")
        stream = path.open("rb")
    except (OSError, ValueError):  # no permission, a loop of links, a NUL in the name
        raise UnreadableImageError(f"The file {shown} cannot be opened.") from None
    with stream:
        return _decode_stream(stream, limits)


def _decode_stream(stream: io.BufferedIOBase, limits: Limits) -> Photo:
    try:
        prefix = stream.read(16)
    except OSError:
        raise UnreadableImageError("The file cannot be read.") from None
    if not prefix:
        raise UnreadableImageError("The file is empty.")
    # The openers are called directly, not through Image.open: that would warn about large pictures
    # (a warnings filter is shared by all threads) and refuse them by a limit of its own.
    name, opener = _opener(prefix)
    stream.seek(0)
    with _sound(name, lambda: opener(stream, "")) as image:
        return _finish(image, limits, name, ours=True)


def _opener(prefix: bytes) -> tuple[str, Callable[[io.BufferedIOBase, str], Image.Image]]:
    """Finds the format that begins with these bytes."""
    Image.init()
    for name in INPUT_FORMATS:
        if name not in Image.OPEN:  # Pillow may be built without a codec
            continue
        opener, accepts = Image.OPEN[name]
        if accepts is not None and accepts(prefix) is True:
            return name, cast("Callable[[io.BufferedIOBase, str], Image.Image]", opener)
    *most, last = (name for name in INPUT_FORMATS if name in Image.OPEN)
    raise UnsupportedImageError(
        f"This is not a picture in a format that can be read ({', '.join(most)} or {last})."
    )


def _sound(name: str, step: Callable[[], _T]) -> _T:
    """Runs a step of Pillow's on foreign bytes.

    Damaged files surface as almost any exception (OSError, SyntaxError, struct.error, zlib.error,
    MemoryError, AttributeError ...), with internals in their text: all mean the same to the user.
    """
    try:
        return step()
    except StylizerError:
        raise
    except Image.DecompressionBombError:
        raise ImageSizeError("The picture unpacks to too many pixels.") from None
    except Exception:
        what = "picture" if name == "picture" else f"{name} picture"
        raise UnreadableImageError(
            f"The {what} is damaged, cut short, or of a kind that cannot be read."
        ) from None


def _finish(image: Image.Image, limits: Limits, name: str, ours: bool = False) -> Photo:
    """Checks a picture's size, loads it, and brings it to sRGB and upright; one that is `ours` is used up."""
    limits.check(image.size)

    def load() -> Image.Image:
        image.load()
        return upright(image)

    turned = _sound(name, load)
    limits.check(turned.size)  # a loader may correct the header's size
    exif = exif_of(image)
    if ours and turned is not image:
        image.close()  # so that there are two pictures in memory at most, not three
    rgb, alpha = _sound(name, lambda: separate(turned))
    return Photo(rgb, alpha, exif)


def _decode_array(array: npt.NDArray[Any], limits: Limits) -> Photo:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        shape = " x ".join(map(str, array.shape)) or "no size"
        raise UnreadableImageError(
            f"An array of {shape} is not a picture: height x width, with 1, 3 or 4 channels last, "
            "is expected."
        )
    limits.check((array.shape[1], array.shape[0]))
    rgb, alpha = separate(from_samples(array))
    return Photo(rgb, alpha)


def output_format(name: str) -> str:
    """Gives "png", "jpeg" or "webp" for a format's name or suffix in any case, as "JPG" or ".jpg".

    Raises:
        UnsupportedImageError: Paintings cannot be written in that format.
    """
    key = name.lower().removeprefix(".")
    if key not in MEDIA_TYPES:
        raise UnsupportedImageError("Paintings can be written as png, jpeg or webp only.")
    return "jpeg" if key == "jpg" else key


def check_side(longest: int, kind: str) -> None:
    """Raises ImageSizeError where no file of `kind`, see `output_format`, has a longer side like that."""
    if longest > (most := _LONGEST_SIDE[kind]):
        sentence = f"A {kind} file can have at most {most:,} pixels on a side; png can hold this painting."
        raise ImageSizeError(sentence)


def encode(image: Image.Image, format: str = "png", quality: int = 92, exif: bytes | None = None) -> bytes:
    """Writes a picture; the same picture and options always give the same bytes.

    JPEG keeps full colour resolution (4:4:4), since halving it smears the
    edges of brush strokes, and has transparent pixels laid over white.

    Args:
        image: The picture; grayscale stays grayscale where the format allows, alpha is kept in PNG
            and WebP.
        format: A name or suffix that `output_format` knows.
        quality: 1 to 100, for JPEG and WebP; PNG has no loss.
        exif: EXIF to write, perhaps empty, beside a profile that says sRGB; None for no metadata at all.

    Raises:
        UnsupportedImageError: The format is unknown.
        SettingError: The quality is out of range.
        ImageSizeError: The format cannot hold a picture that large.
    """
    kind = output_format(format)
    if not 1 <= quality <= 100:
        raise SettingError(f"The quality must be within 1 and 100, not {quality}.")
    check_side(max(image.size), kind)
    if image.mode not in ("L", "RGB", "RGBA") or "transparency" in image.info:
        image = straight(image)
    if image.mode == "RGBA" and kind == "jpeg":
        image = flatten(image)
    elif image.info:
        image = image.copy()
    image.info = {}  # Pillow would write the profile, comments and density it finds there
    metadata: dict[str, bytes] = {}
    if exif is not None:
        metadata = {"icc_profile": srgb_profile(), **({"exif": exif} if exif else {})}
    buffer = io.BytesIO()
    if kind == "png":
        # Level 3 takes half the time of Pillow's default, 6, for a tenth more bytes (512 x 512 painting).
        image.save(buffer, "PNG", compress_level=3, **metadata)
    elif kind == "jpeg":
        # Not optimize=True: Pillow then fails on noisy pictures, its buffer too small for the whole file.
        image.save(buffer, "JPEG", quality=quality, subsampling=0, **metadata)
    else:
        image.save(buffer, "WEBP", quality=quality, method=4, **metadata)
    return buffer.getvalue()


def to_array(rgb: Image.Image) -> npt.NDArray[np.float32]:
    """Gives an RGB picture as a new array of shape (3, H, W) within [0, 1]."""
    planes = np.asarray(rgb.convert("RGB")).transpose(2, 0, 1)
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
    levels = np.clip(array, 0, 1).astype(np.float32, copy=False) * np.float32(255)
    pixels = np.rint(levels, out=levels).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels))


def fit(rgb: Image.Image, max_side: int | None) -> Image.Image:
    """Shrinks a picture until its longer side is at most `max_side`, in proportion; never enlarges.

    Args:
        rgb: The picture; it is returned as it is where nothing has to shrink.
        max_side: Longest side in pixels; None for no bound.

    Raises:
        SettingError: `max_side` is less than one.
    """
    if max_side is None:
        return rgb
    if max_side < 1:
        raise SettingError(f"The longest side must be at least 1 pixel, not {max_side}.")
    longest = max(rgb.size)
    if longest <= max_side:
        return rgb
    width, height = (max(1, round(side * max_side / longest)) for side in rgb.size)
    return rgb.resize((width, height), Image.Resampling.LANCZOS)


def extended(rgb: Image.Image, side: int) -> Image.Image:
    """`rgb`, its edge repeated to the right and below as far as it takes for sides of at least `side` px."""
    below, right = (max(0, side - length) for length in (rgb.height, rgb.width))
    if not below and not right:
        return rgb
    return Image.fromarray(np.pad(np.asarray(rgb), ((0, below), (0, right), (0, 0)), mode="edge"))
