"""Masks: a picture that says where in a painting which of two styles is."""

from __future__ import annotations

import numpy as np
from PIL import Image

from transformer_net.imaging.colour_space import FloatPixels, from_light, strips, to_light
from transformer_net.imaging.decode import DEFAULT_LIMITS, Limits, Source, decode


def read_mask(source: Source, limits: Limits = DEFAULT_LIMITS) -> Image.Image:
    """The lightness of a picture (mode L), transparent places white; raises as `decode`."""
    return decode(source, limits).rgb.convert("L")


def resized(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The mask, stretched to that width and height; sharper filters would ring at its edges."""
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)


def merged(first: Image.Image, second: Image.Image, mask: Image.Image) -> Image.Image:
    """`first` where `mask` is black, `second` where it is white; RGB, of one size, mixed in linear light."""
    one, other, share = np.asarray(first), np.asarray(second), np.asarray(resized(mask, first.size))
    result = np.empty_like(one)
    for strip in strips(*first.size):
        weight: FloatPixels = share[strip, :, None] * np.float32(1 / 255)
        dark, light = to_light(one[strip]), to_light(other[strip])
        result[strip] = from_light(dark + weight * (light - dark))
    return Image.fromarray(result)
