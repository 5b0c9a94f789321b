"""Perceptual losses: content, style and total variation.

Johnson, Alahi and Fei-Fei 2016, arXiv 1603.08155, section 3.2. The style term deviates from it: each layer's
squared Gram distance is divided by the squared norm of the style's own Gram matrix, so that a weight means
the same for every style picture and every layer has a voice. With the usual absolute sum, relu4_3 counts for
less than a hundredth of relu2_2 and the large shapes of the style never appear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_net.training.vgg import TAPS, Vgg16Features

CONTENT_TAP = TAPS.index("relu2_2")


def gram_matrix(features: Tensor) -> Tensor:
    """G = F·Fᵀ / (C·H·W), shape (B, C, C), of features F (B, C, H, W); always in float32 or wider."""
    c, h, w = features.shape[1:]
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    with torch.autocast(features.device.type, enabled=False):
        # One plain product a sample, pixels first: no copy of channels-last features, and on a CPU up to
        # twice as fast as a batched product.
        pixels = wide.permute(0, 2, 3, 1).flatten(1, 2)
        return torch.stack([p.T @ p for p in pixels]) / (c * h * w)


def relative_gram_distance(gram: Tensor, target: Tensor) -> Tensor:
    """‖G − S‖² / ‖S‖², averaged over the batch: 0 is the style itself, 1 is as far as no picture at all.

    Args:
        gram: G, shape (B, C, C).
        target: S, shape (C, C) or (1, C, C).
    """
    return (gram - target).square().sum(dim=(1, 2)).mean() / target.square().sum()


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of horizontal and of vertical neighbours, summed; image (B, C, H, W)."""
    return (image[..., :, 1:] - image[..., :, :-1]).square().mean() + (
        image[..., 1:, :] - image[..., :-1, :]
    ).square().mean()


@dataclass(frozen=True)
class Losses:
    """One evaluation of the loss, every term before its weight except `total`.

    Attributes:
        total: What is minimized; a scalar with gradient.
        content: Mean squared distance at relu2_2; a scalar.
        style: Relative Gram distance at relu1_2, relu2_2, relu3_3 and relu4_3; shape (4,).
        tv: Total variation of the output; a scalar.
    """

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor

    def detached(self) -> dict[str, Tensor]:
        """Scalars by name, without gradient, the style term layer by layer."""
        layers = {f"style_{tap}": value for tap, value in zip(TAPS, self.style.detach(), strict=True)}
        return {
            "total": self.total.detach(),
            "content": self.content.detach(),
            **layers,
            "tv": self.tv.detach(),
        }

    def as_dict(self) -> dict[str, float]:
        """Plain numbers by name, for logs and cards; waits for the device."""
        return {name: value.item() for name, value in self.detached().items()}


class PerceptualLoss(nn.Module):
    """L = a·content + Σ_l b_l·style_l + c·tv for one style picture.

    Args:
        vgg: The feature extractor.
        style: The style picture, (1, 3, H, W) in [0, 1], already at the scale its shapes shall have.
        content_weight: a.
        style_weight: b, the same for every layer unless `layer_weights` says otherwise.
        tv_weight: c.
        layer_weights: Factors on b for relu1_2, relu2_2, relu3_3 and relu4_3.
    """

    layer_weights: Tensor

    def __init__(
        self,
        vgg: Vgg16Features,
        style: Tensor,
        content_weight: float = 1.0,
        style_weight: float = 6.0,
        tv_weight: float = 0.0,
        layer_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.vgg = vgg
        self.content_weight, self.style_weight, self.tv_weight = content_weight, style_weight, tv_weight
        self.register_buffer("layer_weights", torch.tensor(layer_weights, dtype=torch.float32))
        with torch.no_grad():
            for tap, features in zip(TAPS, vgg(style), strict=True):
                self.register_buffer(f"target_{tap}", gram_matrix(features))

    def forward(self, output: Tensor, photo: Tensor) -> Losses:
        """The losses of `output` painted from `photo`, both (B, 3, H, W), the photo in [0, 1]."""
        with torch.no_grad():
            wanted = self.vgg(photo, taps=CONTENT_TAP + 1)[CONTENT_TAP]
        found = self.vgg(output)
        content = F.mse_loss(found[CONTENT_TAP].float(), wanted.float())
        style = torch.stack(
            [
                relative_gram_distance(gram_matrix(features), self.get_buffer(f"target_{tap}"))
                for tap, features in zip(TAPS, found, strict=True)
            ]
        )
        tv = total_variation(output)
        total = (
            self.content_weight * content
            + self.style_weight * (self.layer_weights * style).sum()
            + self.tv_weight * tv
        )
        return Losses(total, content, style, tv)
