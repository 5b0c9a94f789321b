"""Painters: seeded programs that draw the style pictures.

Every painter module offers ``paint(size, seed) -> PIL.Image.Image`` and runs
as ``python -m styles.gallery.painters.NAME OUT.png``.  The same size and seed give the
same pixels, so a style picture can always be drawn again from its code.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

Paint = Callable[[int, int], Image.Image]


def run(paint: Paint, doc: str | None, argv: Sequence[str] | None = None) -> None:
    """Command line of a painter: write its picture to the path given.

    ``doc`` is the painter's module docstring; size and seed default as in ``paint``.
    """
    defaults = {k: p.default for k, p in inspect.signature(paint).parameters.items()}
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="picture to write")
    parser.add_argument("--size", type=int, default=defaults["size"], help="side in pixels")
    parser.add_argument("--seed", type=int, default=defaults["seed"])
    args = parser.parse_args(argv)
    paint(args.size, args.seed).save(args.out, optimize=True)
