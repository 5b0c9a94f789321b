"""The one decode of pictures, shared by command line, HTTP API and web page.

What `decode` guarantees to all code after it:

* **Colours** are 8-bit sRGB, whatever the file says that they are; see `profiles.managed_colours`. A broken
  profile is ignored.
* **Orientation** from EXIF is applied to the pixels. No metadata gets into a painting unless asked for
  (`encode`): it must not carry the place or the camera of the photo.
* **Alpha** is kept apart, and the pixels are laid over white, so that colours hidden under
  transparent pixels never reach a painting. `Photo.with_alpha` puts the alpha back.
* **Animations** and multi-page files give their first frame; `photo_of` gives the others.

This module does not import torch: a picture can be checked before any model is loaded.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from transformer_net.errors import ImageSizeError, StylizerError, UnreadableImageError
from transformer_net.imaging.arrays import fitted
from transformer_net.imaging.formats import ANIMATED, PREFIX, identify
from transformer_net.imaging.metadata import exif_of
from transformer_net.imaging.pixel_layouts import SIDEWAYS, from_samples, separate, turn_of

__all__ = [
    "DEFAULT_LIMITS",
    "Limits",
    "Photo",
    "Source",
    "decode",
    "frames_of",
    "opened",
    "photo_of",
]

Source: TypeAlias = (
    "bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes] | Image.Image | npt.NDArray[Any]"
)

_PLAIN: Final = frozenset({"L", "RGB", "CMYK"})
"""Modes whose samples can be averaged."""

_XMP: Final = ("xmp", "XML:com.adobe.xmp")
"""Where Pillow keeps XMP. It would turn a picture by it, which no viewer does."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Limits:
    """Bounds on a picture, checked on its header before any pixel is decoded.

    Attributes:
        max_pixels: Largest width x height.
        min_side: Shortest side, in pixels.
    """

    max_pixels: int = 120_000_000
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

    def resized(self, size: tuple[int, int]) -> Photo:
        """This photo, of that width and height."""
        if size == self.size:
            return self
        rgb, alpha = (part and part.resize(size, Image.Resampling.LANCZOS) for part in (self.rgb, self.alpha))
        return Photo(cast("Image.Image", rgb), alpha, self.exif)

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


def decode(source: Source, limits: Limits = DEFAULT_LIMITS, max_side: int | None = None) -> Photo:
    """Reads a picture from any supported source.

    Args:
        source: The bytes of a file, a path, a file opened for reading bytes, a Pillow image, or an array of
            shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of uint8, uint16, bool, or float within [0, 1].
        limits: Bounds on the picture's size, whatever it is shrunk to.
        max_side: Shrink it, in proportion, so that its longer side has at most this many pixels; None for its
            own size. One of at least four times that is shrunk while it is decoded, where its format allows.

    Returns:
        The picture; it shares no memory with `source`.

    Raises:
        UnsupportedImageError: The bytes are not of one of `formats.INPUT_FORMATS`.
        UnreadableImageError: The picture is damaged, truncated or empty, or there is no such file.
        ImageSizeError: The picture is outside `limits`.
        SettingError: `max_side` is less than one.
        TypeError: `source` is none of the above.
    """
    if isinstance(source, Image.Image):
        return _finish(source, limits, "picture", max_side)
    if isinstance(source, np.ndarray):
        photo = _decode_array(source, limits)
        return photo.resized(fitted(photo.size, max_side))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode_stream(io.BytesIO(source), limits, max_side)
    if isinstance(source, (str, os.PathLike)):
        return _decode_file(os.fspath(source), limits, max_side)
    if hasattr(source, "read"):
        return _decode_stream(source, limits, max_side)
    raise TypeError(f"cannot decode a picture from {type(source).__name__}")


@contextmanager
def opened(path: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[tuple[str, Image.Image]]:
    """The format of a picture's file, and the picture, whose pixels are not read yet; see `photo_of`.

    Raises:
        UnsupportedImageError, UnreadableImageError, ImageSizeError, OSError: It cannot be opened.
    """
    with path.open("rb") as stream:
        name, opener = identify(stream.read(PREFIX))
        stream.seek(0)
        with _sound(name, lambda: opener(stream, limits.check)) as image:
            yield name, image


def frames_of(name: str, image: Image.Image) -> range:
    """Numbers of the frames of a picture that is `opened`: several where it is an animation.

    Some APNGs have another picture before the first frame, for programs that know no animations.
    """
    if name not in ANIMATED:
        return range(1)
    return _sound(
        name, lambda: range(int(getattr(image, "default_image", False)), getattr(image, "n_frames", 1))
    )


def photo_of(image: Image.Image, limits: Limits, name: str, frame: int) -> Photo:
    """A frame of an animation that is `opened`, as `decode` would give it if it were the first."""
    _sound(name, lambda: image.seek(frame))
    return _finish(image, limits, name, None)


def _decode_file(name: str, limits: Limits, max_side: int | None) -> Photo:
    # Only the last part of the path is named: on a server the rest is private.
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
        return _decode_stream(stream, limits, max_side)


def _decode_stream(stream: IO[bytes], limits: Limits, max_side: int | None) -> Photo:
    try:
        prefix = stream.read(PREFIX)
    except OSError:
        raise UnreadableImageError("The file cannot be read.") from None
    if not prefix:
        raise UnreadableImageError("The file is empty.")
    name, opener = identify(prefix)
    stream.seek(0)
    with _sound(name, lambda: opener(stream, limits.check)) as image:
        return _finish(image, limits, name, max_side, ours=True)


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
        raise ImageSizeError("The picture decodes to too many pixels.") from None
    except Exception:
        what = "picture" if name == "picture" else f"{name} picture"
        raise UnreadableImageError(
            f"The {what} is damaged, truncated, or of a kind that cannot be read."
        ) from None


def _finish(image: Image.Image, limits: Limits, name: str, max_side: int | None, ours: bool = False) -> Photo:
    """Checks a picture's size, loads it, and brings it to sRGB and upright; one that is `ours` is used up."""
    limits.check(image.size)
    fitted(image.size, max_side)  # before minutes of decoding: is it in range?
    size, shrunk = _sound(name, lambda: _load(image, max_side if ours else None))
    limits.check(size)  # a loader may correct the header's size
    if ours:
        for key in _XMP:
            image.info.pop(key, None)
    exif, turn = exif_of(image), turn_of(image)
    turned = shrunk if turn is None else _sound(name, lambda: shrunk.transpose(turn))
    if turn in SIDEWAYS:
        size = size[::-1]
    if ours and turned is not image:
        image.close()  # so that there are two pictures in memory at most, not three
        del shrunk
    rgb, alpha = _sound(name, lambda: separate(turned))
    return Photo(rgb, alpha, exif).resized(fitted(size, max_side))


def _load(image: Image.Image, max_side: int | None) -> tuple[tuple[int, int], Image.Image]:
    """The size of a picture, and its pixels: perhaps fewer, but the longer side at least twice `max_side`.

    JPEG shrinks while it is decoded, others as soon as they are.
    """
    size = image.size
    spare = 1 if max_side is None else max(size) // (2 * max_side)
    if spare > 1 and isinstance(image, JpegImageFile):
        image.draft(None, (max(1, size[0] // spare), max(1, size[1] // spare)))
        drafted = image.size != size
        image.load()
        if drafted:
            return size, image
    image.load()
    plain = image.mode in _PLAIN and not image.has_transparency_data
    return image.size, image.reduce(spare) if spare > 1 and plain else image


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
