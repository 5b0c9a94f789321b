"""Less flicker in a painted video: the last painting is warped to the new frame and blended with the new one.

A network paints each frame separately, and small changes of the photo make other strokes. So the last
painting is warped along the photo's optical flow (DIS: Kroeger et al. 2016, arXiv 1603.03590). It is blended
with the new one where the flow is reliable: where forward and backward flow agree (Sundaram et al. 2010), and
the photo has the same colour at both ends. After a cut, that is nowhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_net.inference.video.colours import FramePixels
from transformer_net.optional import require

Flow = npt.NDArray[np.float32]
"""Where each pixel of a frame lies in another one: how far to the right and how far down, (H, W, 2)."""

Share = npt.NDArray[np.float32]
"""A share within 0 and 1 for each pixel, (H, W)."""

BLEND = 0.7
"""The last painting's share in a painting. More is steadier, and softer: docs/video.md has figures."""

_LEAST_SIDE = 16  # pixels; the flow's own pyramid needs as much
_EDGE = 5  # pixels over which trust fades in
_LEVELS = 24.0  # of 255, between the colours at both ends: full trust up to here, none from twice as much on


def opencv() -> Any:
    """OpenCV.

    Raises:
        SettingError: It is not installed.
    """
    return require("cv2", "Steady videos need OpenCV, which", "opencv-python-headless")


class TemporalSmoother:
    """Blends each painting of a video with the one before. One for each video; frames come in their order.

    Args:
        last: The photo and the painting that came before the first frame, where there were any.
        blend: The last painting's share where the flow is trusted.

    Raises:
        SettingError: OpenCV is not installed.
    """

    def __init__(self, last: tuple[FramePixels, FramePixels] | None = None, blend: float = BLEND) -> None:
        opencv()
        self.last, self.blend = last, blend

    def __call__(self, photo: FramePixels, painting: FramePixels) -> FramePixels:
        """The painting that is to be shown; both (H, W, 3), of one size."""
        if self.last is not None and self.last[0].shape == photo.shape:
            last_photo, last_painting = self.last
            back, forth = flow(photo, last_photo), flow(last_photo, photo)
            weight = trust(back, forth)
            differs = np.abs(carried(last_photo.astype(np.float32), back) - photo).mean(axis=-1)
            weight *= np.clip(2 - differs / _LEVELS, 0, 1)
            weight = np.minimum(weight, opencv().blur(weight, (_EDGE, _EDGE)))
            before = carried(last_painting.astype(np.float32), back)
            blended = painting + self.blend * weight[..., None] * (before - painting)
            painting = np.rint(np.clip(blended, 0, 255)).astype(np.uint8)
        self.last = photo, painting
        return painting


def flow(photo: FramePixels, other: FramePixels) -> Flow:
    """Where each pixel of `photo` lies in `other`."""
    cv2 = opencv()
    if min(photo.shape[:2]) < _LEAST_SIDE:
        return np.zeros((*photo.shape[:2], 2), np.float32)
    grey, other_grey = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (photo, other))
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    found: Flow = search.calc(grey, other_grey, None)
    return found


def carried(picture: npt.NDArray[np.float32], along: Flow) -> npt.NDArray[np.float32]:
    """`picture` as it looks from the frame whose pixels lie in it as `along` says.

    Bicubic: as each painting is carried on and on, linear interpolation would blur it twice as much.
    """
    cv2 = opencv()
    x, y = _ends(along)
    rim = cv2.BORDER_REPLICATE
    moved: npt.NDArray[np.float32] = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=rim)
    return moved


def trust(back: Flow, forth: Flow) -> Share:
    """1 where a pixel is to be seen in the other frame as well, 0 elsewhere.

    Args:
        back: Where the pixels of this frame lie in the other.
        forth: Where those of the other lie in this one.
    """
    x, y = _ends(back)
    height, width = x.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    there = carried(forth, back)
    missed, went = ((back + there) ** 2).sum(axis=-1), (back**2 + there**2).sum(axis=-1)
    shares: Share = (inside & (missed < 0.01 * went + 0.5)).astype(np.float32)  # Sundaram et al., equation 5
    return shares


def flicker(last: FramePixels, painting: FramePixels, back: Flow, weight: Share) -> float:
    """How much a painting differs from the one before, carried along: mean, in levels of 255.

    Args:
        last: The painting before.
        painting: This one.
        back: Where the pixels of this frame's photo lie in that one's.
        weight: How much each pixel counts, as `trust` says.
    """
    differs = np.abs(carried(last.astype(np.float32), back) - painting).mean(axis=-1)
    return float((differs * weight).sum() / max(1.0, weight.sum()))


def _ends(along: Flow) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Column and row at which each pixel arrives."""
    rows, columns = np.indices(along.shape[:2], dtype=np.float32)
    return along[..., 0] + columns, along[..., 1] + rows
