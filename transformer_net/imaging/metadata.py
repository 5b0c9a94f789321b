"""What a painting may keep of its photo's metadata, and how files say that their colours are sRGB."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import Any, Final

from PIL import ExifTags, Image, ImageCms

_DESCRIPTIVE: Final = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
"""What is said of the picture. The other tags describe its file; the orientation is in the pixels."""

_LONGEST_TEXT: Final = 8_000
"""Bytes of a tag: JPEG holds 64 kB of EXIF in all. Longer texts, as of microscopes, tell how it was made."""

_MOST: Final = 65_533
"""Bytes of EXIF that a JPEG file can hold."""

_UNTRUE: Final = frozenset(
    {
        ExifTags.Base.ExifImageWidth,
        ExifTags.Base.ExifImageHeight,
        ExifTags.Base.ColorSpace,
        ExifTags.Base.ComponentsConfiguration,
        ExifTags.Base.CompressedBitsPerPixel,
        ExifTags.Base.ExifInteroperabilityOffset,
        ExifTags.Base.MakerNote,  # unreadable to us: it may hold thumbnails and places
    }
)


def exif_of(image: Image.Image) -> Image.Exif | None:
    """The EXIF of a picture; None where it has none, or none that can be read."""
    try:
        exif = image.getexif()
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            exif.get_ifd(part)  # read now: the file will be closed
        return exif or None
    except Exception:  # broken EXIF raises about anything
        return None


def kept(exif: Image.Exif | None, place: bool = False) -> bytes:
    """The EXIF of a painting, for that of its photo; empty where there is nothing to keep.

    Camera, time, exposure, author and description are kept; orientation, thumbnail and the maker's own notes
    are not.

    Args:
        exif: The photo's.
        place: Whether the place (GPS) may be told, too.
    """
    if exif is None:
        return b""
    result = Image.Exif()
    try:
        result.update(_writable({tag: exif[tag] for tag in _DESCRIPTIVE if tag in exif}))
        parts = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) if place else (ExifTags.IFD.Exif,)
        for part in parts:
            told = {tag: value for tag, value in exif.get_ifd(part).items() if tag not in _UNTRUE}
            if told := _writable(told):
                result.get_ifd(part).update(told)
                result[part] = 0  # where it will stand is filled in when it is written
        data = result.tobytes() if len(result) else b""
        return data if len(data) <= _MOST else b""
    except Exception:  # broken EXIF raises about anything, and is no reason to lose the painting
        return b""


def _writable(told: dict[int, Any]) -> dict[int, Any]:
    """Those tags that are not too long and can be written, each by itself: one may be broken."""
    good = {}
    for tag, value in told.items():
        if isinstance(value, str) and not value.isascii():
            # Pillow reads any text as Latin-1, and writes no other characters than ASCII's.
            value = value.encode("latin-1", "replace")
        if isinstance(value, str | bytes) and len(value) > _LONGEST_TEXT:
            continue
        trial = Image.Exif()
        trial[tag] = value
        with contextlib.suppress(Exception):  # about anything is raised
            trial.tobytes()
            good[tag] = value
    return good


@lru_cache
def srgb_profile() -> bytes:
    """An sRGB profile, the same bytes each time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = b"\x07\xe8\x00\x01\x00\x01" + bytes(6)  # made on 1 January 2024, as far as it matters
    return bytes(profile)
