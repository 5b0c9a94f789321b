"""The styles of a predictor's training: crops of pictures, and what the losses compare paintings with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from transformer_net.imaging.arrays import fit, to_array
from transformer_net.prediction.descriptor import colour_covariance, describe
from transformer_net.training.content import ContentPhotos
from transformer_net.training.losses.perceptual import PaletteDistance, gram_matrix
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.prediction.config import PredictorConfig

BEGINNING = 256
"""Crops in use at the first step. Descriptors are standardized by these."""

_MOST_ENLARGED = 1.5
"""How much of a crop is made of pixels that were not there."""

_ASIDE, _DRAWN_ASIDE = 10**9, 4
"""Number of the first drawn picture that is held out for validation, and how many are."""

_RECOLOURED = 0.6
"""Share of crops whose colours are changed: pictures are few, and palettes are many."""


class StyleTargets(NamedTuple):
    """Styles, as the predictor and the losses see them; the first dimension of each counts them.

    Attributes:
        descriptor: (B, `DESCRIPTOR`).
        gram_1, gram_2, gram_3, gram_4: Gram matrices at the taps of VGG-16, (B, C, C).
        palette: What `PaletteDistance.project` gives.
    """

    descriptor: Tensor
    gram_1: Tensor
    gram_2: Tensor
    gram_3: Tensor
    gram_4: Tensor
    palette: Tensor

    @property
    def grams(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The Gram matrices, finest first."""
        return self[1], self[2], self[3], self[4]

    @property
    def covariance(self) -> Tensor:
        """Of the colours, (B, 3, 3)."""
        return colour_covariance(self.descriptor)


class StyleCrops:
    """Crops of style pictures, each a pure function of the seed and its number.

    What the losses need of a crop is computed once and kept, half in bfloat16, as long as it is in use.

    Args:
        pictures: The pictures, of which those for validation are not trained on; None for drawn ones only.
        painted: Draws a picture for the number of a crop.
        vgg: Feature extractor.
        device: Where it computes.
        config: Says which crops, and how many are in use at a time.
    """

    def __init__(
        self,
        pictures: ContentPhotos | None,
        painted: Callable[[int], Image.Image],
        vgg: Vgg16Features,
        device: torch.device,
        config: PredictorConfig,
    ) -> None:
        self.pictures, self.painted, self.vgg, self.device = pictures, painted, vgg, device
        self._painted_share = config.painted if pictures else 1.0
        self.seed, self.side, self.count, self.fresh = config.seed, config.crop, config.crops, config.fresh
        self.palette = PaletteDistance().to(device)
        self._kept: dict[int, StyleTargets] = {}

    def in_use(self, iteration: int) -> range:
        """Numbers of the crops that `iteration` draws from."""
        newest = BEGINNING + int(self.fresh * iteration)
        return range(max(0, newest - self.count), newest)

    def drawn(self, iteration: int, styles: int) -> list[int]:
        """Numbers of the crops of `iteration`, one for each photo of its batch."""
        numbers = self.in_use(iteration)
        rng = np.random.default_rng([self.seed, 3, iteration])
        return [int(number) for number in rng.integers(numbers.start, numbers.stop, styles)]

    def targets(self, numbers: Iterable[int], oldest: int = 0) -> StyleTargets:
        """Those of the crops with these `numbers`; what is older than `oldest` is forgotten."""
        for number in [number for number in self._kept if number < oldest]:
            del self._kept[number]
        found = []
        for number in numbers:
            if number not in self._kept:
                self._kept[number] = self._halved(self.of(self.crop(number)[None]))
            found.append(self._kept[number])
        return StyleTargets._make(torch.cat(parts).float() for parts in zip(*found, strict=True))

    @torch.no_grad()
    def of(self, picture: Tensor) -> StyleTargets:
        """The targets of pictures (B, 3, H, W) in [0, 1]."""
        picture = picture.to(self.device, memory_format=torch.channels_last)
        features = self.vgg(picture)
        grams = [gram_matrix(activation) for activation in features]
        return StyleTargets._make((describe(features, picture), *grams, self.palette.project(picture)))

    def validation(self) -> Iterator[StyleTargets]:
        """The targets of the central squares of the pictures that are held out, one at a time."""
        if self.pictures:
            for picture in self.pictures.validation_tensors(self.side):
                yield self.of(picture)
            return
        for number in range(_ASIDE, _ASIDE + 113 * _DRAWN_ASIDE, 113):  # no two by the same painter
            yield self.of(torch.from_numpy(to_array(fit(self.painted(number), self.side)))[None])

    def crop(self, number: int) -> Tensor:
        """Crop `number`, (3, S, S) in [0, 1]: of any scale, turned, mirrored, perhaps in other colours."""
        rng = np.random.default_rng([self.seed, 4, number])
        picture = self._picture(rng, number)
        shorter = min(picture.size)
        least = min(1.0, self.side / _MOST_ENLARGED / shorter)
        side = shorter * rng.uniform(least, 1.0)
        left, top = rng.uniform(0, picture.width - side), rng.uniform(0, picture.height - side)
        box = (left, top, left + side, top + side)
        pixels = to_array(picture.resize((self.side, self.side), Image.Resampling.BICUBIC, box=box))
        pixels = np.rot90(pixels, int(rng.integers(4)), axes=(1, 2))
        if rng.random() < 0.5:
            pixels = pixels[:, :, ::-1]
        if rng.random() < _RECOLOURED:
            pixels = pixels[rng.permutation(3)]
            if rng.random() < 0.3:
                pixels = np.where(rng.random((3, 1, 1)) < 0.5, 1 - pixels, pixels)
            grey = pixels.mean(0, keepdims=True)
            pixels = (grey + (pixels - grey) * rng.uniform(0.4, 1.6)).clip(0, 1)
            pixels = pixels ** np.exp(rng.uniform(-0.5, 0.5))
        return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))

    def _picture(self, rng: np.random.Generator, number: int) -> Image.Image:
        if self.pictures is None or rng.random() < self._painted_share:
            return self.painted(number)
        return self.pictures.photo(int(rng.integers(len(self.pictures.training))))

    def _halved(self, targets: StyleTargets) -> StyleTargets:
        """With the Gram matrices in bfloat16: they are nearly all of the bytes."""
        halved = (gram.bfloat16() for gram in targets.grams)
        return StyleTargets._make((targets.descriptor, *halved, targets.palette))
