"""The style pictures as a browser gets them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from styles.catalog import Style
from transformer_net.errors import UnknownStyleError
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode


def present(style: Style) -> Path:
    """The file of a style's picture, a PNG.

    Raises:
        UnknownStyleError: It is missing.
    """
    if not style.picture.is_file():
        raise UnknownStyleError(f"The picture of the style {style.name!r} is missing.")
    return style.picture


def thumbnail(style: Style, size: int) -> bytes:
    """The same as a JPEG whose longer side is at most `size`, by steps of 32 px from 64 on.

    Raises:
        UnknownStyleError: Its file is missing.
    """
    return _thumbnail(style, size if size < 64 else size // 32 * 32)


@lru_cache(maxsize=256)  # sizes are the client's choice, and each costs a decoding
def _thumbnail(style: Style, size: int) -> bytes:
    return encode(fit(decode(present(style)).rgb, size), "jpeg", quality=85)
