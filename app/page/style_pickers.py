"""The choices of a style on the page. They all offer what can be painted now, also what was trained since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from styles.catalog import Style
from transformer_net.prediction.style_picture import predicted_norms

NO_OTHER = ("No other style", "")
"""What a choice of a second style begins with."""

YOUR_PICTURE = ("Your picture", ":picture")
"""The first choice of the Compare tab: a picture of the visitor's, no style of the catalogue."""

PICTURES = "style-pictures"
"""Class of the choices that show each style's picture; see `theme.thumbnails`."""

WITH_YOURS = "with-yours"
"""Class of those that begin with `YOUR_PICTURE`."""


@dataclass(frozen=True)
class Pickers:
    """Every choice of a style.

    Attributes:
        style: What is painted in the Compare tab.
        second: What it is mixed with.
        curves: Whose training is shown.
        live: How the camera is painted; None where this server does not.
    """

    style: gr.Radio
    second: gr.Dropdown
    curves: gr.Radio
    live: gr.Radio | None

    def components(self) -> list[Any]:
        """Those that there are, `style` first."""
        return [self.style, self.second, self.curves, *([self.live] if self.live else [])]

    def offer(self, styles: Sequence[Style], chosen: str | None = None) -> list[Any]:
        """Updates of the `components`.

        Args:
            styles: What is offered.
            chosen: The style to choose in the Compare tab; all others keep what the visitor chose.
        """
        offered = choices(styles)
        update, listed = gr.Radio(choices=offered), [*yours(), *offered]
        first = gr.Radio(choices=listed, value=chosen) if chosen else gr.Radio(choices=listed)
        rest = [gr.Dropdown(choices=[NO_OTHER, *offered]), update, update]
        return [first, *rest][: len(self.components())]


def choices(styles: Sequence[Style]) -> list[tuple[str, str]]:
    """Each style as it is written on the page, and its name."""
    return [(style.name.capitalize(), style.name) for style in styles]


def yours() -> list[tuple[str, str]]:
    """`YOUR_PICTURE`, where this server can paint like any picture."""
    return [YOUR_PICTURE] if predicted_norms() else []


def with_pictures(styles: Sequence[Style], elem_id: str, first: Sequence[tuple[str, str]] = ()) -> gr.Radio:
    """A choice of styles by their pictures, the first style chosen; before them, perhaps, `yours`."""
    return gr.Radio(
        [*first, *choices(styles)],
        value=styles[0].name if styles else None,
        label="Style",
        elem_id=elem_id,
        elem_classes=[PICTURES, *([WITH_YOURS] if first else [])],
    )
