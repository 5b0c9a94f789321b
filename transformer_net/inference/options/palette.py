"""A photo in the colours of another picture: linear colour transfer in Oklab.

Mean and covariance of the colours are made those of the other picture, by the linear map that moves
them least (Pitié & Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for example-based
colour transfer"):

    x' = T (x - mean of the photo) + mean of the picture,
    T = A^-½ (A^½ B A^½)^½ A^-½,   A and B the covariances of photo and picture.

The map is the same for all pixels: equal colours stay equal, and no edge is moved. Lights and shadows that
would leave the range are compressed by the curve of Reinhard et al. (2002, "Photographic tone reproduction
for digital images", equation 4), so that their details stay visible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from transformer_net.imaging.arrays import fit
from transformer_net.imaging.colour_space import from_oklab, oklab, strips

Matrix = npt.NDArray[np.float64]

Floats = npt.NDArray[np.float32]

_SIDE = 512
"""Longer side in pixels at which colours are counted."""

_LEAST = 1e-4
"""Variance that is added along every axis: a grey photo has none in a and b, and T would be infinite."""

_MOST = 2.5
"""No direction is stretched more than this: the noise of a photo, and the steps in its skies, would show."""


_KNEE = 0.25
"""How far from the ends of the scale of lightness the bending begins."""


@dataclass(frozen=True)
class Palette:
    """The colours of a picture, as far as a linear map can have them.

    Attributes:
        mean: In Oklab, (3,).
        covariance: The same, (3, 3).
    """

    mean: Matrix
    covariance: Matrix

    @classmethod
    def of(cls, picture: Image.Image) -> Palette:
        """The palette of an RGB picture."""
        return cls.of_colours(_colours(picture))

    @classmethod
    def of_colours(cls, lab: Matrix) -> Palette:
        """The palette of Oklab pixels (N, 3)."""
        return cls(lab.mean(axis=0), np.cov(lab, rowvar=False, bias=True))

    @classmethod
    def mixed(cls, palettes: Sequence[Palette], shares: Sequence[float]) -> Palette:
        """Between several palettes, by shares that add up to 1."""
        mean = sum(share * palette.mean for palette, share in zip(palettes, shares, strict=True))
        covariance = sum(share * palette.covariance for palette, share in zip(palettes, shares, strict=True))
        return cls(np.asarray(mean), np.asarray(covariance))

    @property
    def fingerprint(self) -> str:
        """Checksum of the colours."""
        return hashlib.sha256(self.mean.tobytes() + self.covariance.tobytes()).hexdigest()

    def colour(self, photo: Image.Image) -> Image.Image:
        """A copy of an RGB photo in these colours; see `from_oklab` for those that a display lacks."""
        colours = _colours(photo)
        own = Palette.of_colours(colours)
        transport = _transport(own.covariance, self.covariance)
        offset = self.mean - transport @ own.mean
        light = colours @ transport[0] + offset[0]
        ends = float(light.min()), float(light.max())
        turned, shift = transport.T.astype(np.float32), offset.astype(np.float32)
        levels = np.asarray(photo)
        result = np.empty_like(levels)
        for strip in strips(*photo.size):
            lab = oklab(levels[strip]) @ turned + shift
            lab[..., 0] = _bent(lab[..., 0], *ends)
            result[strip] = from_oklab(lab)
        return Image.fromarray(result)


def _colours(picture: Image.Image) -> Matrix:
    """Oklab pixels (N, 3) of a small copy."""
    return oklab(np.asarray(fit(picture, _SIDE))).reshape(-1, 3).astype(np.float64)


def _bent(light: Floats, least: float, most: float) -> Floats:
    """Lightness from `least` to `most`, brought into [0, 1]; unchanged where it lies within."""
    light = _bent_down(light, most)
    return 1 - _bent_down(1 - light, 1 - least)


def _bent_down(light: Floats, most: float) -> Floats:
    """`most` becomes 1, and everything up to the knee stays."""
    knee = 1 - _KNEE
    end = (most - knee) / _KNEE
    if end > 1:
        over = np.maximum(light - knee, 0) / np.float32(_KNEE)
        light = np.minimum(light, knee) + np.float32(_KNEE) * over * (1 + over / end**2) / (1 + over)
    return np.minimum(light, 1)


def _transport(photo: Matrix, picture: Matrix) -> Matrix:
    """T of the module's formula, at most `_MOST` in every direction."""
    photo, picture = (covariance + _LEAST * np.eye(3) for covariance in (photo, picture))
    root = _power(photo, 0.5)
    inverse = _power(photo, -0.5)
    transport = inverse @ _power(root @ picture @ root, 0.5) @ inverse
    values, vectors = np.linalg.eigh(transport)
    limited: Matrix = (vectors * np.minimum(values, _MOST)) @ vectors.T
    return limited


def _power(symmetric: Matrix, exponent: float) -> Matrix:
    """Of a symmetric matrix with positive eigenvalues."""
    values, vectors = np.linalg.eigh(symmetric)
    power: Matrix = (vectors * np.maximum(values, 0) ** exponent) @ vectors.T
    return power
