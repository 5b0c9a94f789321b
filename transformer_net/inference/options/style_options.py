"""How much of the photo stays in its painting, and how large the strokes are."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from PIL import Image

from transformer_net.errors import SettingError
from transformer_net.imaging.colour_space import from_oklab, oklab, strips

MAX_STROKE_SCALE = 8.0


@dataclass(frozen=True)
class StyleOptions:
    """What is done to a photo before it is painted, and to its painting afterwards.

    Attributes:
        strength: From 0, the photo itself, to 1, the painting.
        keep_colour: Whether the painting has the photo's colours and only its light and strokes are new.
        match_palette: Whether the photo's colours are first moved towards the style picture's (`palette`):
            what the other two keep of the photo, they then keep of that.
        stroke_scale: How many times larger the brush strokes are, from 1 to `MAX_STROKE_SCALE`: the photo
            is painted that many times smaller, and the painting enlarged; see `strokes`.

    Raises:
        SettingError: The strength or the scale is out of range.
    """

    strength: float = 1.0
    keep_colour: bool = False
    match_palette: bool = False
    stroke_scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:  # false for NaN, too
            raise SettingError(f"The strength must be within 0 and 1, not {self.strength:g}.")
        if not 1 <= self.stroke_scale <= MAX_STROKE_SCALE:
            raise SettingError(
                f"The stroke scale must be within 1 and {MAX_STROKE_SCALE:g}, not {self.stroke_scale:g}."
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
