"""Style pictures without end: the gallery's painters, each picture with a seed of its own."""

from __future__ import annotations

import importlib
from functools import lru_cache

from PIL import Image

from transformer_net.optional import require

PAINTERS = ("cubist", "ink", "mosaic", "pointillist", "starry", "wave")
"""Modules of `styles.gallery.painters`, in turn."""

SIDE = 384
"""Side in pixels. A picture takes 1 to 7 seconds to draw."""

CROPS = 16
"""Numbers in a row that have the same picture."""


def require_painters() -> None:
    """See that the painters can draw.

    Raises:
        SettingError: scipy, which they need, is not installed.
    """
    require("scipy", "scipy, which draws style pictures,", "'.[painters]'")


def painted(number: int, seed: int = 0) -> Image.Image:
    """The picture of a crop's `number`, RGB, the same each time; `seed` shifts all pictures.

    Raises:
        SettingError: scipy, which the painters need, is not installed.
    """
    return _drawn(number // CROPS, seed)


@lru_cache(maxsize=2)
def _drawn(index: int, seed: int) -> Image.Image:
    require_painters()
    painter = importlib.import_module(f"styles.gallery.painters.{PAINTERS[index % len(PAINTERS)]}")
    picture: Image.Image = painter.paint(SIDE, 1_000_003 * seed + index + 1)
    return picture
