"""How much of the photo stays in its painting: its colours, and the photo itself.

Colours are exchanged in Oklab (Ottosson 2020, https://bottosson.github.io/posts/oklab/), whose lightness is
that of the eye and whose hue stays put when chroma changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from transformer_net.errors import SettingError

Pixels = npt.NDArray[np.float32]
"""Float pixels (..., 3)."""

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_LMS, _FROM_LAB = np.linalg.inv(_TO_LMS), np.linalg.inv(_TO_LAB)

_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
"""Linear light of each 8-bit sRGB level (IEC 61966-2-1)."""

_STRIP = 1 << 20
"""Pixels in hand at once, so that a large picture takes no more memory than a small one."""

_HALVINGS = 10
_TOLERANCE = 5e-4


@dataclass(frozen=True)
class Look:
    """What becomes of a finished painting.

    Attributes:
        strength: From 0, the photo itself, to 1, the painting.
        keep_colour: Whether the painting has the photo's colours and only its light and strokes are new.

    Raises:
        SettingError: The strength is out of range.
    """

    strength: float = 1.0
    keep_colour: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:  # false for NaN, too
            raise SettingError(f"The strength must be within 0 and 1, not {self.strength:g}.")

    @property
    def needs_photo(self) -> bool:
        """Whether the photo is needed once more when the painting is finished."""
        return self.keep_colour or self.strength < 1

    def apply(self, photo: Image.Image, painting: Image.Image) -> Image.Image:
        """The painting as it is wanted; all three are RGB and of one size."""
        if self.keep_colour:
            painting = recolour(painting, photo)
        if self.strength < 1:
            painting = Image.blend(photo, painting, self.strength)
        return painting


AS_PAINTED = Look()
"""The painting as it comes from the network."""


def recolour(painting: Image.Image, photo: Image.Image) -> Image.Image:
    """The lightness of `painting` with the hue and chroma of `photo`, both RGB and of one size.

    Where the display has no colour of that lightness and chroma, chroma is lowered until it has one.
    Clipping the channels instead would change hue and lightness, and leave bright seams along edges.
    """
    light, colour = np.asarray(painting), np.asarray(photo)
    result = np.empty_like(light)
    rows = max(1, _STRIP // painting.width)
    for top in range(0, painting.height, rows):
        strip = slice(top, top + rows)
        lab = oklab(colour[strip])
        lab[..., 0] = oklab(light[strip])[..., 0]
        result[strip] = _to_levels(_displayable(lab))
    return Image.fromarray(result)


def oklab(levels: npt.NDArray[np.uint8]) -> Pixels:
    """L in [0, 1], a and b of 8-bit sRGB pixels (..., 3)."""
    lms = _LINEAR[levels] @ _TO_LMS.T.astype(np.float32)
    lab: Pixels = np.cbrt(lms, out=lms) @ _TO_LAB.T.astype(np.float32)
    return lab


def _linear(lab: Pixels) -> Pixels:
    """Linear light of Oklab pixels, below 0 or above 1 where no display shows them."""
    lms = lab @ _FROM_LAB.T.astype(np.float32)
    linear: Pixels = (lms * lms * lms) @ _FROM_LMS.T.astype(np.float32)
    return linear


def _displayable(lab: Pixels) -> Pixels:
    """Linear light of Oklab pixels (H, W, 3); their chroma is lowered where it has to be."""
    linear = _linear(lab)
    outside = _is_outside(linear)
    if not outside.any():
        return linear
    wanted = lab[outside]
    # Halve the interval of factors on chroma: 0 is a grey, which every display has, 1 is too much.
    factor = np.zeros(len(wanted), np.float32)
    step = np.float32(1)
    for _ in range(_HALVINGS):
        step /= 2
        tried = _linear(_with_chroma(wanted, factor + step))
        factor += np.where(_is_outside(tried), 0, step).astype(np.float32)
    linear[outside] = _linear(_with_chroma(wanted, factor))
    return linear


def _with_chroma(lab: Pixels, factor: Pixels) -> Pixels:
    scaled = lab.copy()
    scaled[:, 1:] *= factor[:, None]
    return scaled


def _is_outside(linear: Pixels) -> npt.NDArray[np.bool_]:
    return np.asarray(((linear < -_TOLERANCE) | (linear > 1 + _TOLERANCE)).any(axis=-1))


def _to_levels(linear: Pixels) -> npt.NDArray[np.uint8]:
    linear = np.clip(linear, 0, 1)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** np.float32(1 / 2.4) - 0.055)
    levels: npt.NDArray[np.uint8] = np.rint(encoded * 255).astype(np.uint8)
    return levels
