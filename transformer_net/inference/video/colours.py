"""A picture of a video as a display shows it: 8-bit sRGB.

HDR and wide gamuts are mapped as photos are, by `imaging.tone_mapping`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_net.imaging.cicp import BT2020, HLG, PQ
from transformer_net.imaging.tone_mapping import DEFAULT_PEAK, is_foreign, to_srgb

FramePixels = npt.NDArray[np.uint8]
"""A frame, (H, W, 3) RGB, or (H, W, 4) with opacity."""

BT709, VIDEO_RANGE, FULL_RANGE = 1, 1, 2  # numbers of H.273, which ffmpeg uses, and so are:
_UNSPECIFIED, _BT601, _BT2020, _BT2020_CONSTANT = 2, 5, 9, 10


def rgb(picture: Any, size: tuple[int, int], peak: float) -> FramePixels:
    """A frame in sRGB, in width and height `size`, with its opacity if it has any; `peak` as in `to_srgb`."""
    wanted = {
        "width": size[0],
        "height": size[1],
        "src_colorspace": _matrix(picture),
        "dst_color_range": FULL_RANGE,
        "interpolation": "BICUBIC",
    }
    pixels: FramePixels
    if is_foreign(picture.color_primaries, picture.color_trc):
        signal = picture.to_ndarray(format="rgb48le", **wanted)
        pixels = to_srgb(signal, picture.color_primaries, picture.color_trc, peak)
    else:
        pixels = picture.to_ndarray(format="rgba" if has_alpha(picture) else "rgb24", **wanted)
    return pixels


def has_alpha(picture: Any) -> bool:
    """Whether a frame has opacity. That of HDR and of palettes is left out."""
    layout = picture.format
    if layout.has_palette or is_foreign(picture.color_primaries, picture.color_trc):
        return False
    return any(component.is_alpha for component in layout.components)


def is_hdr(picture: Any) -> bool:
    """Whether it is PQ or HLG (ITU-R BT.2100)."""
    return picture.color_trc in (PQ, HLG)


def peak_light(picture: Any) -> float:
    """The brightest light of an HDR picture in cd/m²: its MaxCLL, or that of the display it was mastered on.

    The layouts are those of libavutil's AVContentLightMetadata and AVMasteringDisplayMetadata.
    """
    content = picture.side_data.get("CONTENT_LIGHT_LEVEL")
    if content is not None and (brightest := int(np.frombuffer(bytes(content), np.uint32)[0])):
        return float(brightest)
    display = picture.side_data.get("MASTERING_DISPLAY_METADATA")
    if display is not None:
        numbers = np.frombuffer(bytes(display), np.int32)
        light, unit, known = (int(numbers[at]) for at in (18, 19, 21))
        if known and light > 0 and unit > 0:
            return light / unit
    return DEFAULT_PEAK


def _matrix(picture: Any) -> int:
    """How its colours are coded; see H.273, table 4.

    Where it does not say, HDR is BT.2020, and other pictures, as players take them, BT.709 where they are
    large and BT.601 where they are small.
    """
    coding = int(picture.colorspace)
    if coding == _UNSPECIFIED and not picture.format.is_rgb:
        if is_hdr(picture) or picture.color_primaries == BT2020:
            return _BT2020
        return BT709 if picture.width >= 1280 or picture.height > 576 else _BT601
    return _BT2020 if coding == _BT2020_CONSTANT else coding
