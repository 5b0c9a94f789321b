"""A comparison sheet: a photo and its paintings, labelled, in one picture."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from PIL import Image, ImageDraw, ImageFont

from transformer_net.imaging.arrays import fit
from transformer_net.imaging.pixel_layouts import separate

__all__ = ["Layout", "arrange", "side_by_side"]

_Colour: TypeAlias = tuple[int, int, int]

_PAPER: Final = (248, 247, 245)
_INK: Final = (32, 32, 34)
_HAIRLINE: Final = (222, 220, 216)

_WIDEST_ROW: Final = 3.6
"""Width over height up to which one row, the easiest to compare along, is kept."""

_PANORAMA: Final = 3.0
"""Width over height above which a cell takes the whole width of a sheet."""

_MIN_CELL: Final = 128
"""Cells of smaller pictures are widened to this many pixels, to leave room for the label."""

_ENLARGED: Final = 4

_SUBSTITUTES: Final = str.maketrans(
    {"\u00d7": "x", "\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2022": "\u00b7", "\u00df": "ss"}
)
"""For multiplication and minus signs, dashes, bullets and sharp s, which the typeface lacks."""


@dataclass(frozen=True)
class Layout:
    """Where the panels go, in units of cells.

    Attributes:
        columns: Width of the sheet.
        rows: Height of the sheet.
        cells: Column and row of each panel's upper left corner; halves centre a panel between two.
    """

    columns: int
    rows: int
    cells: tuple[tuple[float, float], ...]


def arrange(count: int, aspect: float) -> Layout:
    """Chooses where equal cells go: in one row as long as it is not too wide, otherwise in two.

    An odd number has the first panel, the photo, alone on the left, half-way up. Panoramas go below each
    other.

    Args:
        count: How many panels, at least one.
        aspect: Width over height of a cell, label included.
    """
    if count * aspect <= _WIDEST_ROW or count == 1:
        return _grid(count, count)
    if aspect > _PANORAMA or count == 2:
        return _grid(count, 1)
    return _lead(count, (count - 1) // 2) if count % 2 else _grid(count, count // 2)


def _grid(count: int, columns: int) -> Layout:
    rows = -(-count // columns)
    shift = (rows * columns - count) / 2  # centres the last row
    cells = tuple(
        (index % columns + (shift if index // columns == rows - 1 else 0.0), index // columns)
        for index in range(count)
    )
    return Layout(columns, rows, cells)


def _lead(count: int, columns: int) -> Layout:
    rows = (count - 1) // columns
    rest = tuple((1 + index % columns, index // columns) for index in range(count - 1))
    return Layout(1 + columns, rows, ((0, (rows - 1) / 2), *rest))


def side_by_side(
    panels: Sequence[tuple[str, Image.Image]],
    *,
    columns: int | None = None,
    panel_side: int | None = None,
) -> Image.Image:
    """Draws a photo and its paintings beside each other, each with its label below.

    All panels are shrunk to the longest side of the smallest one, since paintings at different
    scales cannot be compared; panels that have the same size already keep their pixels untouched.

    Args:
        panels: Label and picture of each panel, the photo first.
        columns: Panels in a row; None to choose what suits a screen.
        panel_side: Bound on the longer side of a panel, in pixels; None for no bound.

    Raises:
        ValueError: There are no panels.
        SettingError: `panel_side` is less than one.
    """
    if not panels:
        raise ValueError("a sheet needs at least one panel")
    side = min(max(picture.size) for _, picture in panels)
    side = side if panel_side is None else min(side, panel_side)
    pictures = [separate(fit(picture, side))[0] for _, picture in panels]
    labels = [_one_line(label) for label, _ in panels]

    width = max(_MIN_CELL, *(picture.width for picture in pictures))
    height = max(picture.height for picture in pictures)
    unit = math.sqrt(width * height)
    label_type = _Type(labels, width, unit * 0.046, smallest=13)
    gap = max(6, round(unit * 0.022))
    text_height = gap + label_type.line
    gutter = max(14, round(unit * 0.06))
    row_gap = max(gutter, round(unit * 0.075))

    aspect = (width + gutter) / (height + text_height + row_gap)
    layout = _grid(len(panels), columns) if columns else arrange(len(panels), aspect)
    margin = round(gutter * 1.3)
    sheet = Image.new(
        "RGB",
        (
            2 * margin + layout.columns * (width + gutter) - gutter,
            2 * margin + layout.rows * (height + text_height + row_gap) - row_gap,
        ),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    for (column, row), picture, label in zip(layout.cells, pictures, labels, strict=True):
        left = margin + round(column * (width + gutter))
        top = margin + round(row * (height + text_height + row_gap))
        x = left + (width - picture.width) // 2
        y = top + (height - picture.height) // 2
        draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=_HAIRLINE)
        sheet.paste(picture, (x, y))
        base = y + picture.height + gap
        span = (left, left + width)
        label_type.write(sheet, label, x, base, span, _INK)
    return sheet


def _one_line(text: str) -> str:
    plain = unicodedata.normalize("NFKD", " ".join(text.split())).translate(_SUBSTITUTES)
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


class _Type:
    """The sheet's typeface, which ships with Pillow, at one size.

    Text is drawn enlarged and then reduced: at its own size the letters snap to whole pixels, which
    makes their spacing uneven.
    """

    def __init__(self, texts: Sequence[str], width: int, size: float, smallest: int) -> None:
        """Takes `size`, or as much less as the longest text needs, but nothing illegible."""
        size = max(smallest, size)
        self._font = ImageFont.load_default(size * _ENLARGED)
        longest = max(self.width(text) for text in texts)
        if longest > width:
            size = max(smallest, size * width / longest)
            self._font = ImageFont.load_default(size * _ENLARGED)
        self.line = math.ceil(self._font.getbbox("Ág")[3] / _ENLARGED)

    def width(self, text: str) -> int:
        """Gives the width of a text in pixels."""
        return math.ceil(self._font.getlength(text) / _ENLARGED)

    def write(
        self, sheet: Image.Image, text: str, x: int, y: int, span: tuple[int, int], ink: _Colour
    ) -> None:
        """Writes a text from `x`, or from where `span` begins if it needs more room."""
        left, right = span
        if x + self.width(text) > right:
            x = left
        if self.width(text) > right - x:
            while text and self.width(text + "…") > right - x:
                text = text[:-1]
            text = text.rstrip() + "…"
        mask = Image.new("L", ((self.width(text) + 1) * _ENLARGED, self.line * _ENLARGED))
        ImageDraw.Draw(mask).text((0, 0), text, font=self._font, fill=255)
        mask = mask.reduce(_ENLARGED)
        sheet.paste(ink, (x, y, x + mask.width, y + mask.height), mask)
