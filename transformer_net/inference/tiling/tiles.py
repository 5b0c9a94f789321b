"""Pictures of any size in bounded memory: cut into tiles, each painted as if the whole were there.

A tile brings `HALO` px of surroundings, on which its painting depends, and its grain is that of its place in
the picture. Only the norms look at the whole picture: they are folded (`fold_norms`) at
statistics taken beforehand. Given the same statistics, tiles give the same painting as the whole, to float
rounding.

The statistics come from samples, small pieces on a grid over the picture; or exactly, by streaming the
picture through the network once for each norm, only as deep as that norm lies. Batch norm has constant ones:
exact, and for free.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from transformer_net.errors import SettingError
from transformer_net.grain import grain, kept_grain
from transformer_net.imaging.arrays import from_array, to_array
from transformer_net.inference.tiling.fold_norms import (
    Affine,
    Piecewise,
    Statistics,
    by_torch,
    constant_statistics,
    freeze,
    is_constant,
    norms,
    statistics_of,
    statistics_of_samples,
)
from transformer_net.network import HALO, MARGIN, STRIDE, TransformerNet
from transformer_net.norms import moments

DEFAULT_MEMORY = 4 * 1024**3
"""Bytes that computing a painting may take, unless told otherwise: enough for 6.5 megapixels in one piece,
the largest picture that the web takes."""

LARGEST_TILE = 896
"""Longest side of a tile with its surroundings. Larger ones save nothing: at width 16, 16 megapixels took as
much processor time in 400 MB as in 1 GB or 4."""

SAMPLED_PIXELS = LARGEST_TILE**2
"""Pixels from which statistics are taken. A picture that has no more is taken as a whole."""

SAMPLE, SAMPLE_RIM = 96, 16
"""Side of a sample in pixels, and how many of them on each side do not count, for their surroundings are
missing. Larger samples are fewer, and see less of the picture; see docs/decisions/0002-tiles.md."""

MIN_TILE = 64
"""Smallest side of a tile. Its surroundings make it 176 px: below, nearly all work would be for them."""

# Peak memory in bytes for each pixel and each channel w of the first layer, on a CPU in float32: 22 to 28 for
# frozen networks of widths 4 to 32 in PyTorch, 22 in OpenVINO; up to 39 where a whole picture is painted with
# instance norm. It is reached after the last upsampling: 2w channels of full size, once more with their
# padding, and w channels of the result.
_FROZEN, _WITH_NORMS = 28, 40

# The same for rows of the photo at full width, kept because the painting overwrites it: 4 bytes a pixel, for
# the rows kept, their successors, and what they are copied from.
_STRIP = 12

_KEPT_GRAIN = 2**21
"""Pixels of the largest picture whose grain is kept for the next one of its size: 25 MB."""

ProgressCallback = Callable[[float], None]
"""Called with the share that is done, 0 to 1."""


def parse_memory(text: str) -> int:
    """Bytes, for a size such as 800M, 1.5G or 65536; K, M and G are powers of 1024, in either case.

    Raises:
        SettingError: `text` is not such a size, or is empty.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([KMG]?)(?:i?B)?\s*", text, re.IGNORECASE | re.ASCII)
    size = float(found[1]) * 1024 ** " KMG".index(found[2].upper() or " ") if found else 0.0
    if not 1 <= size < math.inf:
        raise SettingError(f"The memory must be a size such as 800M or 1.5G, not {text!r}.")
    return int(size)


def grained(region: Image.Image, amount: float, top: int = 0, left: int = 0) -> npt.NDArray[np.float32]:
    """What a network is given of a picture: RGB in [0, 1] with its grain, (3, H, W).

    Args:
        region: Mode RGB.
        amount: Strength of the grain.
        top: Row of the region's first pixel in the whole picture.
        left: Column of the same.
    """
    pixels = to_array(region)
    if amount:
        height, width = pixels.shape[1:]
        kept = not top and not left and height * width <= _KEPT_GRAIN
        pixels += amount * (kept_grain(height, width) if kept else grain(height, width, top, left))
    return pixels


def fits_whole(network: TransformerNet, size: tuple[int, int], memory: int) -> bool:
    """Whether a picture of that width and height can be painted in one piece with `memory` bytes."""
    width, height = (_padded(side) for side in size)
    return width * height * _WITH_NORMS * network.width <= memory


def scarce_memory(network: TransformerNet, picture_width: int, memory: int) -> int:
    """Bytes to paint with where the device has less than `memory` after all: for tiles of half the side."""
    least = _needed(network.width, picture_width, MIN_TILE + 2 * HALO)
    return max(least, min(memory, _needed(network.width, picture_width, LARGEST_TILE)) // 4)


@dataclass(frozen=True)
class Cut:
    """Rows or columns `start` to `stop` of a padded picture, `outer_start` to `outer_stop` with the halo."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int

    def inside(self, scale: int = 1) -> slice:
        """Where the cut lies in its outer cut, in pixels of a layer that is `scale` times smaller."""
        return slice(
            (self.start - self.outer_start) // scale,
            (self.stop - self.outer_start) // scale,
        )


def cuts(length: int, side: int) -> list[Cut]:
    """Cuts a padded length into equal parts of at most `side`, both multiples of `STRIDE`.

    At the picture's own border there is no halo: there the convolutions reflect, as they do in the whole.
    """
    count = -(-length // side)
    edges = [length // STRIDE * i // count * STRIDE for i in range(count + 1)]
    return [
        Cut(start, stop, max(0, start - HALO), min(length, stop + HALO)) for start, stop in pairwise(edges)
    ]


def boxes(width: int, height: int, pixels: int) -> list[tuple[int, int, int, int]]:
    """Where samples lie: left, top, right and bottom of each, on an even grid from edge to edge.

    Args:
        width: Of the picture, at least `MIN_SIDE`, as is the height.
        height: Of the picture.
        pixels: How many the samples may have together; there is one at least.
    """
    w, h = (min(SAMPLE, side // STRIDE * STRIDE) for side in (width, height))
    count = max(1, pixels // (w * h))
    rows = min(count, max(1, round(math.sqrt(count * height * w / (width * h)))))
    columns = count // rows
    return [
        (left, top, left + w, top + h)
        for top in _places(height - h, rows)
        for left in _places(width - w, columns)
    ]


def _places(last: int, count: int) -> list[int]:
    """Evenly from 0 to `last`; a single one lies in the middle."""
    return [last // 2] if count == 1 else [last * i // (count - 1) for i in range(count)]


class Tiling:
    """A picture, cut so that a tile takes no more than `memory` bytes.

    Args:
        network: In evaluation mode, on the device that computes.
        picture: Mode RGB, each side at least `MIN_SIDE`. Painting overwrites it.
        grain: Strength of the grain.
        memory: Bytes beside the picture's own.
        piecewise: What computes tiles: `Engine.piecewise`.

    Raises:
        SettingError: That memory is not enough for the smallest tile.
    """

    def __init__(
        self,
        network: TransformerNet,
        picture: Image.Image,
        grain: float,
        memory: int,
        piecewise: Callable[[TransformerNet], Piecewise] = by_torch,
    ) -> None:
        self.network, self.picture, self.grain = network, picture, grain
        self.memory, self.piecewise = memory, piecewise
        side = _side(network.width, picture.width, memory)
        self.rows, self.columns = (cuts(_padded(length), side) for length in (picture.height, picture.width))

    def paint_over(self, exact: bool = False, on_progress: ProgressCallback = lambda share: None) -> None:
        """Paint the picture over itself, by its own statistics or, where not `exact`, its samples'."""
        if not exact or is_constant(self.network):
            self.paint(self.sampled_statistics(), on_progress)
            return
        # The passes for the statistics reach half of the network each, on average.
        share = 1 - 1 / (1 + len(norms(self.network)) / 2)
        statistics = self.exact_statistics(lambda done: on_progress(share * done))
        self.paint(statistics, lambda done: on_progress(share + (1 - share) * done))

    def sampled_statistics(self) -> list[Affine]:
        """The statistics of samples that need no more memory than a tile; exact for batch norm, and for
        pictures of at most `SAMPLED_PIXELS`."""
        if is_constant(self.network):
            return constant_statistics(self.network)
        pixels = min(SAMPLED_PIXELS, self.memory // (_FROZEN * self.network.width))
        width, height = self.picture.size
        if width * height <= pixels:
            return statistics_of(self.network, self._batch([grained(self.picture, self.grain)]))
        samples = [
            grained(self.picture.crop(box), self.grain, box[1], box[0])
            for box in boxes(width, height, pixels)
        ]
        y, x = (min(SAMPLE_RIM, (side - 8) // 2) // STRIDE * STRIDE for side in samples[0].shape[1:])
        return statistics_of_samples(self.network, self._batch(samples), (y, x))

    @torch.inference_mode()
    def exact_statistics(self, on_progress: ProgressCallback = lambda share: None) -> list[Affine]:
        """The statistics of the whole picture: a pass over it for each norm, with those before it frozen."""
        if is_constant(self.network):
            return constant_statistics(self.network)
        found: list[Affine] = []
        targets = norms(self.network)
        count = len(targets) * len(self.rows) * len(self.columns)
        done = 0
        for norm in targets:
            run = self.piecewise(freeze(self.network, found))
            total = _Moments()
            for rows in self.rows:
                for columns in self.columns:
                    tile = self._tile(self.picture, 0, rows, columns)
                    x = run(tile)
                    scale = tile.shape[-1] // x.shape[-1]
                    total.add(x[..., rows.inside(scale), columns.inside(scale)])
                    done += 1
                    on_progress(done / count)
            mean, variance = (
                moment.to(self._device, torch.float32) for moment in (total.mean, total.variance)
            )
            found.append(norm.as_affine(mean, variance))
        return found

    @torch.inference_mode()
    def paint(self, statistics: Statistics, on_progress: ProgressCallback = lambda share: None) -> None:
        """Paint the picture over itself.

        Raises:
            ValueError: The painting has values that are not finite.
        """
        run = self.piecewise(freeze(self.network, statistics))
        strip = _Strip(self.picture)
        for i, rows in enumerate(self.rows):
            strip.advance(_mirrored(rows, self.picture.height))
            for j, columns in enumerate(self.columns):
                tile = self._tile(strip.pixels, strip.first, rows, columns)
                painted = run(tile)[0, :, rows.inside(), columns.inside()]
                self._put(painted.float().cpu().numpy(), rows, columns)
                on_progress((i * len(self.columns) + j + 1) / (len(self.rows) * len(self.columns)))

    def _tile(self, source: Image.Image, first_row: int, rows: Cut, columns: Cut) -> npt.NDArray[np.float32]:
        """The input of `TransformerNet.core` for a tile with its halo; `source` begins at `first_row`."""
        y, x = _mirrored(rows, self.picture.height), _mirrored(columns, self.picture.width)
        top, left = int(y.min()), int(x.min())
        region = source.crop((left, top - first_row, int(x.max()) + 1, int(y.max()) + 1 - first_row))
        pixels = grained(region, self.grain, top, left)
        return pixels[:, (y - top)[:, None], x - left]

    def _batch(self, pieces: list[npt.NDArray[np.float32]]) -> Tensor:
        return torch.from_numpy(np.stack(pieces)).to(self._device, memory_format=torch.channels_last)

    @property
    def _device(self) -> torch.device:
        return self.network.head.weight.device

    def _put(self, painted: npt.NDArray[np.float32], rows: Cut, columns: Cut) -> None:
        """Put a tile in its place, without what lies in the margin."""
        top, left = rows.start - MARGIN, columns.start - MARGIN
        tile = from_array(painted[:, max(0, -top) :, max(0, -left) :])
        self.picture.paste(tile, (max(0, left), max(0, top)))  # Pillow cuts off what is beyond the picture


class _Strip:
    """The rows of a photo that are still to be read, while it is being painted over from the top."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture = picture
        self.first = 0
        self.pixels = picture.crop((0, 0, picture.width, 0))

    def advance(self, wanted: npt.NDArray[np.int64]) -> None:
        """Drop the rows before the `wanted` ones, and read those that are missing."""
        first, last = int(wanted.min()), int(wanted.max()) + 1
        width, fetched = self.picture.width, self.first + self.pixels.height
        pixels = Image.new("RGB", (width, last - first))
        pixels.paste(self.pixels, (0, self.first - first))
        pixels.paste(self.picture.crop((0, fetched, width, last)), (0, fetched - first))
        self.first, self.pixels = first, pixels


class _Moments:
    """Mean and variance of everything added, in float64 and combined as differences (Chan et al. 1979).

    The sum of squares less the square of the sum would lose all digits where the mean is large.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros((), dtype=torch.float64)  # of the differences from the mean

    def add(self, x: Tensor) -> None:
        """Adds (1, C, H, W)."""
        count = x.shape[-2] * x.shape[-1]
        mean, variance = (moment.cpu().double() for moment in moments(x))
        total = self.count + count
        difference = mean - self.mean
        self.mean = self.mean + difference * (count / total)
        self.squares = self.squares + variance * count + difference.square() * (self.count * count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """(1, C)."""
        return self.squares / self.count


def _padded(side: int) -> int:
    """A side with its margins, as `TransformerNet.forward` pads it."""
    return side + 2 * MARGIN + -side % STRIDE


def _mirrored(cut: Cut, length: int) -> npt.NDArray[np.int64]:
    """Where the rows of an outer cut lie in the picture itself, whose margin is its reflection."""
    place: npt.NDArray[np.int64] = np.abs(np.arange(cut.outer_start, cut.outer_stop) - MARGIN)
    return np.minimum(place, 2 * (length - 1) - place)


def _needed(channels: int, picture_width: int, side: int) -> int:
    """Bytes for tiles that are `side` px with their halo."""
    return _FROZEN * channels * side * side + _STRIP * picture_width * side


def _side(channels: int, picture_width: int, memory: int) -> int:
    """Side of the largest tile that fits: with its halo it is s px, and s² tile + s·strip = memory."""
    least = _needed(channels, picture_width, MIN_TILE + 2 * HALO)
    if least > memory:
        raise SettingError(
            f"Painting this picture with this model needs at least {-(-least // 1024**2)}M of memory."
        )
    tile, strip = _FROZEN * channels, _STRIP * picture_width
    s = min(LARGEST_TILE, (math.sqrt(strip**2 + 4 * tile * memory) - strip) / (2 * tile))
    return (int(s) - 2 * HALO) // STRIDE * STRIDE
