"""The one encode of pictures: PNG, JPEG and WebP, the same bytes for the same picture and options."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

from transformer_net.errors import ImageSizeError, SettingError, UnsupportedImageError
from transformer_net.imaging.metadata import srgb_profile
from transformer_net.imaging.pixel_layouts import flatten, straight

MEDIA_TYPES: Final = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp"}
"""What `encode` writes, with the media type of each."""

_LONGEST_SIDE: Final = {
    **{"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383},
    **{"apng": 2**31 - 1, "gif": 65_535, "avif": 65_536},
}


def output_format(name: str) -> str:
    """Gives "png", "jpeg" or "webp" for a format's name or suffix in any case, as "JPG" or ".jpg".

    Raises:
        UnsupportedImageError: Paintings cannot be written in that format.
    """
    key = name.lower().removeprefix(".")
    if key not in MEDIA_TYPES:
        raise UnsupportedImageError("Paintings can be written as png, jpeg or webp only.")
    return "jpeg" if key == "jpg" else key


def check_side(longest: int, kind: str, instead: str = "png") -> None:
    """Raises ImageSizeError where no file of `kind` has a longer side like that; `instead` is one that has.

    Kinds are those of `output_format`, and of animations gif, apng and avif.
    """
    if longest > (most := _LONGEST_SIDE[kind]):
        raise ImageSizeError(
            f"A {kind} file can have at most {most:,} pixels on a side; {instead} can hold this painting."
        )


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
