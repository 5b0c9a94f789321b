"""What a style picture looks like, in numbers: what the norms' parameters are predicted from."""

from __future__ import annotations

import torch
from torch import Tensor

from transformer_net.training.losses.vgg import CHANNELS

_QUANTILES = 19
_LEAST = 1e-4
"""What is added to a mean or a deviation before its logarithm: no texture is no minus infinity."""

DESCRIPTOR = 2 * sum(CHANNELS) + 3 * _QUANTILES + 6
"""Numbers in a descriptor."""


def describe(features: list[Tensor], picture: Tensor) -> Tensor:
    """Descriptors of style pictures, (B, `DESCRIPTOR`) in float32.

    Logarithms of mean and standard deviation of each channel at the four taps of VGG-16, quantiles of red,
    green and blue, and the covariance of the colours.

    Args:
        features: What `Vgg16Features` makes of the pictures.
        picture: The pictures, (B, 3, H, W) in [0, 1].
    """
    numbers = []
    for activation in features:
        deviation, mean = torch.std_mean(activation.float(), dim=(2, 3), correction=0)
        numbers += [(mean + _LEAST).log(), (deviation + _LEAST).log()]
    pixels = picture.float()[..., ::2, ::2].flatten(2)
    places = torch.linspace(0, 1, _QUANTILES + 2, device=picture.device)[1:-1]
    numbers.append(torch.quantile(pixels, places, dim=2).permute(1, 2, 0).flatten(1))
    centred = pixels - pixels.mean(2, keepdim=True)
    covariance = centred @ centred.mT / pixels.shape[2]
    upper = torch.triu_indices(3, 3, device=picture.device)
    numbers.append(covariance[:, upper[0], upper[1]])
    return torch.cat(numbers, 1)


def colour_covariance(descriptors: Tensor) -> Tensor:
    """The covariance of the colours that (B, `DESCRIPTOR`) hold, (B, 3, 3)."""
    rows, columns = torch.triu_indices(3, 3, device=descriptors.device)
    covariance = descriptors.new_empty(len(descriptors), 3, 3)
    covariance[:, rows, columns] = covariance[:, columns, rows] = descriptors[:, -len(rows) :]
    return covariance
