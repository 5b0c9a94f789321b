"""The picture formats that are read: how their files begin, what they are called, and what opens them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Final, cast

from PIL import Image

from transformer_net.errors import UnsupportedImageError

INPUT_FORMATS: Final[tuple[str, ...]] = ("JPEG", "PNG", "WEBP", "AVIF", "HEIC", "GIF", "BMP", "TIFF")
"""What `decode` opens. Everything else that Pillow knows is refused: codecs are attack surface."""

SUFFIXES: Final = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".heic", ".heif", ".hif"),
        *(".gif", ".bmp", ".dib", ".tif", ".tiff"),
    }
)
"""What files of these formats are called: a picture in a folder is known by it. `decode` ignores names."""

PREFIX: Final = 256
"""Bytes at the beginning of a file that tell its format."""

Check = Callable[[tuple[int, int]], None]
Opener = Callable[[io.BufferedIOBase, Check], Image.Image]
"""Takes a file, and what is to be called with width and height before any pixel is decoded."""

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
)


def identify(prefix: bytes) -> tuple[str, Opener]:
    """The format of a file that begins with these bytes, and what opens it: its size, not its pixels yet.

    The openers are called directly, not through `Image.open`: that would warn about large pictures (a
    warnings filter is shared by all threads) and refuse them by a limit of its own.

    Args:
        prefix: `PREFIX` bytes, or the whole of a smaller file.

    Raises:
        UnsupportedImageError: It is none of `INPUT_FORMATS`.
    """
    Image.init()
    known = [name for name in INPUT_FORMATS if name in Image.OPEN or name == "HEIC"]
    name = _container(prefix) or next((name for name in known if _accepts(name, prefix)), None)
    if name not in known:  # Pillow may be built without a codec
        *most, last = known
        raise UnsupportedImageError(
            f"This is not a picture in a format that can be read ({', '.join(most)} or {last})."
        )
    return name, {"HEIC": _open_heic, "AVIF": _open_avif}.get(name, _pillow(name))


def _container(prefix: bytes) -> str | None:
    """HEIC or AVIF, by the brands of a file of the ISO base media format (ISO/IEC 14496-12, 4.3).

    Both are named by `mif1` first in some files, so that what else they call themselves decides.
    """
    if prefix[4:8] != b"ftyp":
        return None
    length = min(int.from_bytes(prefix[:4], "big"), len(prefix))
    brands = {prefix[8:12], *(prefix[at : at + 4] for at in range(16, length - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIF_BRANDS else None


def _accepts(name: str, prefix: bytes) -> bool:
    if name in ("AVIF", "HEIC"):
        return False  # `_container` knows them
    accepts = Image.OPEN[name][1]
    return accepts is not None and accepts(prefix) is True


def _pillow(name: str) -> Opener:
    return lambda stream, check: _opened(Image.OPEN[name][0], stream)


def _opened(opener: Callable[..., Any], stream: io.BufferedIOBase) -> Image.Image:
    return cast("Image.Image", opener(stream, ""))


def _open_avif(stream: io.BufferedIOBase, check: Check) -> Image.Image:
    try:
        return _opened(Image.OPEN["AVIF"][0], stream)
    except (SyntaxError, ValueError, OSError):  # of older encoders: alpha without a size of its own, say
        from transformer_net.imaging.second_decoder import open_avif

        stream.seek(0)
        return open_avif(stream.read(), check)


def _open_heic(stream: io.BufferedIOBase, check: Check) -> Image.Image:
    """HEIF with HEVC inside. Of thumbnails, depth pictures and the other pictures nothing is looked at."""
    from pillow_heif import HeifImageFile  # 30 ms, and most pictures are no HEIC

    return _opened(HeifImageFile, stream)
