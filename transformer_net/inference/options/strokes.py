"""Larger brush strokes: the photo is painted at a smaller size, and the painting enlarged.

The small photo lacks the large photo's fine edges. They are added to the enlarged painting, multiplied by how
strongly the painting follows the photo at that place: the slope of a local linear model of the painting over
the photo's luminance, as in the fast guided filter (He and Sun 2015, arXiv 1505.00996). The filter itself
would give the linear model's output, which blurs strokes that are not in the photo.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from transformer_net.imaging.arrays import from_array, to_array

Plane = npt.NDArray[np.float32]

_RADIUS = 2
"""Of the windows that models are fitted in, in pixels of the small photo: as wide as its blurred edges."""

_EPSILON = 1e-3
"""Variance of luminance, of a full range of 1, below which a window counts as flat and adds no detail."""

_BEYOND = 2 * _RADIUS + 4
"""Rows of the small photo around a strip that have a say in it: two windows, and Lanczos's three."""

_STRIP = 1 << 20
"""Pixels processed at once, so that a large picture takes no more memory than a small one."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def enlarge(painting: Image.Image, small: Image.Image, photo: Image.Image) -> Image.Image:
    """The painting of `small` in the size of `photo`, with its edges.

    Args:
        painting: Mode RGB, of the size of `small`.
        small: Mode RGB, what was painted: `photo` shrunk.
        photo: Mode RGB.
    """
    result = Image.new("RGB", photo.size)
    rows = max(1, _STRIP // photo.width)
    scale = small.height / photo.height
    for top in range(0, photo.height, rows):
        below = min(photo.height, top + rows)
        size = (photo.width, below - top)
        # What Pillow and the windows look at beyond the strip is there, so that strips meet.
        first = max(0, int(top * scale) - _BEYOND)
        around = (0, first, small.width, min(small.height, math.ceil(below * scale) + _BEYOND))
        box = (0, top * scale - first, small.width, below * scale - first)
        painted, guide = painting.crop(around), _luminance(to_array(small.crop(around)))
        detail = _luminance(to_array(photo.crop((0, top, photo.width, below))))
        detail -= np.asarray(Image.fromarray(guide).resize(size, Image.Resampling.LANCZOS, box))
        strip = to_array(painted.resize(size, Image.Resampling.LANCZOS, box))
        for channel, slope in zip(strip, _slopes(to_array(painted), guide), strict=True):
            wide = Image.fromarray(slope).resize(size, Image.Resampling.BILINEAR, box)
            channel += np.asarray(wide) * detail
        result.paste(from_array(strip), (0, top))
    return result


def _luminance(rgb: Plane) -> Plane:
    """(H, W) of (3, H, W)."""
    plane: Plane = np.tensordot(_LUMA, rgb, 1)
    return plane


def _slopes(painting: Plane, guide: Plane) -> Plane:
    """How much each channel of the painting (3, H, W) changes with the guide (H, W), around each pixel.

    cov(guide, painting) / (var(guide) + ε) of each window, averaged over the windows that a pixel lies in.
    """
    p, g = torch.from_numpy(painting)[None], torch.from_numpy(guide)[None, None]
    mean_p, mean_g = _window_mean(p), _window_mean(g)
    slope = (_window_mean(p * g) - mean_p * mean_g) / (_window_mean(g * g) - mean_g * mean_g + _EPSILON)
    slopes: Plane = _window_mean(slope)[0].numpy()
    return slopes


def _window_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2 * _RADIUS + 1, 1, _RADIUS, count_include_pad=False)
