"""Losses against flicker and against a lattice, the same for every style.

A network that enlarges twice by 2 can tell where a pixel lies on its grid of 4 px. In calm areas, a pattern
that repeats every 4 px is the easiest way to lower the perceptual losses. Two terms prevent this:

- Consistency: a photo that has moved by a few pixels, with another exposure and the noise of a sensor, gives
  the painting that has moved. The grain stays where it was, as it does in videos. Frame differences without
  optical flow, as in arXiv 2102.05822 and arXiv 1906.02913.
- Lattice: what repeats every 4 px differs from painting to painting, as strokes do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transformer_net.network import STRIDE

_MOVED = 3
"""How far the photo moves, in pixels, at most, each way."""

_SENSOR, _EXPOSURE = 0.008, 0.03
"""What else changes from frame to frame: noise, its standard deviation, and the share of light."""

ZOOMS = (1, 1, 2, 4)
"""How much photos are enlarged, each as often as it stands here."""

_UNSEEN = 1e-9
"""What is added to mean squares before one divides by them: a pattern of 0.01 levels of 255."""

_WAVES = (
    torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [2**0.5, 0, -(2**0.5), 0], [0, 2**0.5, 0, -(2**0.5)]]) / 2
)
"""Rows: the mean, a wave of 2 px, and cosine and sine of one of 4 px; orthonormal."""


class SecondView(NamedTuple):
    """What the network sees a second time.

    Attributes:
        photo: With its grain, (B, 3, S, S).
        rows, columns: Where that was in the first photo, as indices.
    """

    photo: Tensor
    rows: Tensor
    columns: Tensor


def enlarged(photo: Tensor, rng: np.random.Generator, zooms: Sequence[int]) -> Tensor:
    """A part of each photo (B, 3, H, H), the same in all, at the size of the whole; or the whole.

    `zooms` are how much photos are enlarged, one of them at random.

    A lattice shows where photos have few details: in print, or at 12 megapixels. A network that sees only
    small crops, which are full of details, can cheat: it learns one pattern there and the opposite one in
    calm areas, and the mean has no lattice.
    """
    zoom, side = int(rng.choice(zooms)), photo.shape[-1]
    if zoom == 1:
        return photo
    part = side // zoom
    top, left = (int(start) for start in rng.integers(0, side - part + 1, 2))
    pixels = photo.numpy()[..., top : top + part, left : left + part]
    away = (np.arange(side, dtype=np.float32)[:, None] + 0.5) / zoom - 0.5 - np.arange(part, dtype=np.float32)
    weights = np.exp(-2 * np.square(away))  # a Gaussian of half a pixel of the part
    weights /= weights.sum(1, keepdims=True)
    return torch.from_numpy(weights @ pixels @ weights.T).contiguous(memory_format=torch.channels_last)


def second_view(photo: Tensor, grainy: Tensor, rng: np.random.Generator, first: int, of: int) -> SecondView:
    """The view of a batch a moment later; in NumPy, as batches are made (see `ContentBatches`).

    Args:
        photo: (B, 3, H, H) in [0, 1], on the CPU.
        grainy: The same with its grain.
        rng: Decides everything; alike in all processes that share a batch.
        first: Number of this process's first photo in the whole batch.
        of: Photos in the whole batch.
    """
    pixels, side = photo.numpy(), photo.shape[-1] - _MOVED
    top, left = (int(start) for start in rng.integers(0, _MOVED + 1, 2))
    light = np.float32(1 + rng.uniform(-_EXPOSURE, _EXPOSURE))
    noise = rng.standard_normal((of, 3, side, side), np.float32)[first : first + len(photo)]
    view = pixels[..., top : top + side, left : left + side] * light
    view += (grainy.numpy() - pixels)[..., :side, :side] + np.float32(_SENSOR) * noise
    moved = torch.from_numpy(view).contiguous(memory_format=torch.channels_last)
    return SecondView(moved, torch.arange(side) + top, torch.arange(side) + left)


def consistency(first: Tensor, second: Tensor, view: SecondView) -> Tensor:
    """Mean squared difference between two paintings where both show the same; a scalar.

    Args:
        first: Painting of the first photo, (B, 3, H, H).
        second: Painting of the second view, (B, 3, S, S).
        view: That view.
    """
    return F.mse_loss(second, first.index_select(2, view.rows).index_select(3, view.columns))


def lattice(painting: Tensor, average: Callable[[Tensor], Tensor], of: int) -> Tensor:
    """How much of what repeats every `STRIDE` px the paintings of a batch have in common, up to 1; a scalar.

    A painting's waves of 2 and 4 px are mostly its strokes, which should stay. So the waves of each painting
    are multiplied by those of the other paintings only: the mean of what they do not share is zero. (This
    needs paintings that do not depend on each other, as they would through the statistics of a batch.) Each
    wave is divided by its own mean square, so that a faint lattice counts where there are few fine strokes.

    Args:
        painting: This process's share of the batch, (B, 3, H, W).
        average: The mean of a tensor over the processes that share the batch (`Ranks.average`).
        of: Paintings in the whole batch, two or more.
    """
    height, width = (side // STRIDE * STRIDE for side in painting.shape[-2:])
    cells = F.pixel_unshuffle(painting[..., :height, :width], STRIDE).mean((2, 3))
    basis = _WAVES.to(painting.device)
    waves = (basis @ cells.reshape(-1, 3, STRIDE, STRIDE) @ basis.T).flatten(2)[..., 1:]
    own = average(waves.square().mean(0))
    shared = (of * average(waves.mean(0)).square() - own) / (of - 1)
    return (shared / (own.detach() + _UNSEEN)).mean()
