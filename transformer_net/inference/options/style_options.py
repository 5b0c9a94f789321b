"""What a visitor can choose: each option is declared once, for library, command line, HTTP API and page."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from PIL import Image

from transformer_net.errors import SettingError
from transformer_net.imaging.colour_space import from_oklab, oklab, strips


@dataclass(frozen=True)
class Option:
    """What every way in says of a field of `StyleOptions`.

    Attributes:
        label: Name for people, as it begins a sentence.
        help: What it does, in one sentence.
        least, most: Bounds of a number, both included.
        step: Of a slider.
        example: A value that is not the default.
    """

    label: str
    help: str
    least: float | None = None
    most: float | None = None
    step: float | None = None
    example: float | None = None


def _option(default: Any, *description: Any, **bounds: Any) -> Any:
    return field(default=default, metadata={"option": Option(*description, **bounds)})


@dataclass(frozen=True)
class StyleOptions:
    """What is done to a photo before it is painted, and to its painting afterwards.

    Attributes:
        strength: From 0, the photo itself, to 1, the painting.
        keep_colour: Whether the painting has the photo's colours and only its light and strokes are new.
        match_palette: Whether the photo first gets the style picture's colours (see `palette`). `strength`
            and `keep_colour` then take these for the photo's own.
        stroke_scale: How many times larger the brush strokes are: the photo is painted that many times
            smaller, and the painting enlarged; see `strokes`.

    Raises:
        SettingError: A number is out of range.
    """

    strength: float = _option(
        1.0, "Strength", "How much of the painting there is; less lets the photo show through.",
        least=0, most=1, step=0.05, example=0.7,
    )  # fmt: skip
    keep_colour: bool = _option(
        False, "Keep the photo's colours", "Keep the photo's own colours; light and brush strokes change."
    )
    match_palette: bool = _option(
        False, "Match the palette", "Give the photo the style picture's colours before it is painted."
    )
    stroke_scale: float = _option(
        1.0, "Stroke scale", "How many times larger the brush strokes are.",
        least=1, most=8, step=0.5, example=2,
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, option in DECLARED.items():
            value = getattr(self, name)
            if option.least is None or option.most is None:
                continue
            if not option.least <= value <= option.most:  # false for NaN, too
                raise SettingError(
                    f"The {option.label.lower()} must be within {option.least:g} and {option.most:g}, "
                    f"not {value:g}."
                )

    def chosen(self) -> dict[str, float | bool]:
        """The options that differ from their defaults."""
        values = ((field, getattr(self, field.name)) for field in fields(self))
        return {field.name: value for field, value in values if value != field.default}

    @property
    def needs_photo(self) -> bool:
        """Whether the photo is needed once more when the painting is finished."""
        return self.keep_colour or self.strength < 1 or self.stroke_scale > 1

    def working_side(self, size: tuple[int, int]) -> int:
        """The longer side to paint a photo of that width and height at, in pixels."""
        return max(1, round(max(size) / self.stroke_scale))

    def apply(self, photo: Image.Image, painting: Image.Image) -> Image.Image:
        """The painting as it is wanted; all three are RGB and of one size."""
        if self.keep_colour:
            painting = recolour(painting, photo)
        if self.strength < 1:
            painting = Image.blend(photo, painting, self.strength)
        return painting


DECLARED: dict[str, Option] = {one.name: one.metadata["option"] for one in fields(StyleOptions)}
"""The options by the names of their fields, in their order."""

DEFAULT_OPTIONS = StyleOptions()
"""The painting as it comes from the network."""


def recolour(painting: Image.Image, photo: Image.Image) -> Image.Image:
    """The lightness of `painting` with the hue and chroma of `photo`, both RGB and of one size."""
    light, colour = np.asarray(painting), np.asarray(photo)
    result = np.empty_like(light)
    for strip in strips(*painting.size):
        lab = oklab(colour[strip])
        lab[..., 0] = oklab(light[strip])[..., 0]
        result[strip] = from_oklab(lab)
    return Image.fromarray(result)
