"""Perceptual losses: content, style, palette and total variation.

Johnson, Alahi and Fei-Fei 2016, arXiv 1603.08155, section 3.2. The style term deviates from it: each layer's
squared Gram distance is divided by the squared norm of the style's own Gram matrix, so that a weight means
the same for every style picture, and every layer counts. With the usual absolute sum, relu4_3 counts for less
than a hundredth of relu2_2, and the large shapes of the style never appear.

The palette term is an addition of this project. Gram matrices of VGG features depend little on absolute
colour, so paintings have few of the style's colours, and pale ones. A sliced Wasserstein distance (Bonneel et
al. 2015, doi 10.1007/s10851-014-0506-3) between the colours of painting and style picture repairs that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_net.training.losses.vgg import TAPS, Vgg16Features

CONTENT_TAP = TAPS.index("relu2_2")

_LAYOUT = 8
"""Side in pixels of the squares whose mean colours are compared."""

_FAINT = 0.03**2
"""Variance of colours that count half."""


def gram_matrix(features: Tensor) -> Tensor:
    """G = F·Fᵀ / (C·H·W), shape (B, C, C), of features F (B, C, H, W); always in float32 or wider."""
    c, h, w = features.shape[1:]
    with torch.autocast(features.device.type, enabled=False):
        gram: Tensor = _Gram.apply(features.permute(0, 2, 3, 1).flatten(1, 2))
        return gram / (c * h * w)


class _Gram(torch.autograd.Function):
    """PᵀP of pixels P (B, N, C).

    One plain product a sample, pixels first: no copy of channels-last features, and on a CPU up to twice as
    fast as a batched product. The gradient P·(D + Dᵀ) takes one product where autograd would take two, and
    is computed in the precision of P, in which it is handed on anyway.
    """

    @staticmethod
    def forward(ctx: Any, pixels: Tensor) -> Tensor:
        ctx.save_for_backward(pixels)
        wide = torch.promote_types(pixels.dtype, torch.float32)
        return torch.stack([p.T @ p for p in (sample.to(wide) for sample in pixels)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (pixels,) = ctx.saved_tensors
        both = (gradient + gradient.mT).to(pixels.dtype)
        return torch.stack([p @ d for p, d in zip(pixels, both, strict=True)])


def _same(mean: Tensor) -> Tensor:
    return mean


def relative_gram_distance(
    gram: Tensor,
    target: Tensor,
    locality: float = 1.0,
    over_ranks: Callable[[Tensor], Tensor] = _same,
) -> Tensor:
    """(‖Ḡ − S‖² + locality · avg ‖G − Ḡ‖²) / ‖S‖²: 0 is the style itself, 1 is as far as no picture at all.

    Ḡ is the batch's mean. With locality 1 that is avg ‖G − S‖² / ‖S‖², the distance of each image by itself;
    with 0, images may differ as long as they have the style together.

    Args:
        gram: G, shape (B, C, C).
        target: S, shape (C, C) or (1, C, C).
        locality: 0 to 1.
        over_ranks: Turns the mean of this process's images into that of the whole batch, where several
            processes share it; the mean of their distances is then the whole batch's.
    """
    mean = over_ranks(gram.mean(0, keepdim=True))
    spread = (gram - mean).square().sum(dim=(1, 2)).mean()
    return ((mean - target).square().sum() + locality * spread) / target.square().sum()


def total_variation(image: Tensor) -> Tensor:
    """Mean squared difference of horizontal and of vertical neighbours, summed; image (B, C, H, W)."""
    return (image[..., :, 1:] - image[..., :, :-1]).square().mean() + (
        image[..., 1:, :] - image[..., :-1, :]
    ).square().mean()


def layout_distance(painting: Tensor, photo: Tensor, covariance: Tensor) -> Tensor:
    """1 − the correlation between a painting's colours, blurred, and the photo's in the style's palette.

    A scalar from 0 to 2: 0 where each colour of the style lies where the photo has its counterpart, and above
    1 for a negative. The content loss hardly sees that: it is about edges. The counterpart is the linear
    optimal transport of colours (Pitié and Kokaram 2007, doi 10.1049/cp:20070055). All axes of the palette
    count, as far as the style uses them.

    Args:
        painting, photo: (B, 3, H, W) in [0, 1].
        covariance: Of the style picture's colours, (B, 3, 3).
    """
    # Eigenvalues have no bfloat16, which autocast would give these products.
    with torch.autocast(photo.device.type, enabled=False):
        covariance = covariance.float()
        wanted, found = (
            F.avg_pool2d(image.float(), _LAYOUT).flatten(2).permute(0, 2, 1) for image in (photo, painting)
        )
        wanted, found = (colours - colours.mean(1, keepdim=True) for colours in (wanted, found))
        own = wanted.mT @ wanted / wanted.shape[1] + _FAINT * torch.eye(3, device=photo.device)
        root, back = _power(own, 0.5), _power(own, -0.5)
        transport = back @ _power(root @ covariance @ root, 0.5) @ back
        axes = _power(covariance + _FAINT * torch.eye(3, device=photo.device), -0.5)
        wanted, found = (wanted @ transport @ axes).flatten(1), (found @ axes).flatten(1)
        return 1 - F.cosine_similarity(found, wanted, eps=1e-3).mean()


def _power(matrices: Tensor, exponent: float) -> Tensor:
    """A power of symmetric positive matrices (B, N, N)."""
    values, vectors = torch.linalg.eigh(matrices)
    power: Tensor = (vectors * values.clamp(min=1e-8).pow(exponent)[:, None]) @ vectors.mT
    return power


class PaletteDistance(nn.Module):
    """Sliced squared Wasserstein distance between the colours of a painting and of the style picture.

    Colours are projected on fixed directions in RGB and compared quantile by quantile; 0 means that each
    image of the batch has the style picture's distribution of colours, wherever they are.

    Args:
        style: The style picture, (1, 3, H, W) in [0, 1]; None where each image has its own.
        directions: Number of projections.
        quantiles: Number of quantiles compared on each.
    """

    directions: Tensor
    target: Tensor

    def __init__(self, style: Tensor | None = None, directions: int = 16, quantiles: int = 256) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        normals = torch.randn(directions, 3, generator=generator)
        self.quantiles = quantiles
        self.register_buffer("directions", F.normalize(normals, dim=1))
        if style is not None:
            self.directions = self.directions.to(style)
            self.register_buffer("target", self.project(style))

    def forward(self, image: Tensor, target: Tensor | None = None) -> Tensor:
        """The distance of (B, 3, H, W), averaged over batch, directions and quantiles; a scalar.

        `target` is what to compare with in place of the style picture: what `project` gave, one for each
        image.
        """
        wanted = self.target.expand(len(image), -1, -1) if target is None else target
        return F.mse_loss(self.project(image), wanted)

    def project(self, image: Tensor) -> Tensor:
        """Quantiles of the colours of (B, 3, H, W) along each direction, (B, directions, quantiles)."""
        # Every third pixel each way is plenty for a distribution, and 3 has no factor in common with the
        # network's stride of 4, so no phase of its upsampling goes unseen.
        pixels = image.float()[..., ::3, ::3].flatten(2)
        with torch.autocast(image.device.type, enabled=False):
            ordered = (self.directions @ pixels).sort(dim=2).values
        places = torch.linspace(0, ordered.shape[2] - 1, self.quantiles, device=image.device)
        return ordered[:, :, places.long()]


@dataclass(frozen=True)
class Losses:
    """One evaluation of the loss, every term before its weight except `total`.

    Attributes:
        total: What is minimized; a scalar with gradient.
        content: Mean squared distance at relu2_2; a scalar.
        style: Relative Gram distance at relu1_2, relu2_2, relu3_3 and relu4_3; shape (4,).
        palette: Distance between the colours of output and style; a scalar.
        tv: Total variation of the output; a scalar.
    """

    total: Tensor
    content: Tensor
    style: Tensor
    palette: Tensor
    tv: Tensor

    def detached(self) -> dict[str, Tensor]:
        """Scalars by name, without gradient, the style term layer by layer."""
        layers = {f"style_{tap}": value for tap, value in zip(TAPS, self.style.detach(), strict=True)}
        return {
            "total": self.total.detach(),
            "content": self.content.detach(),
            **layers,
            "palette": self.palette.detach(),
            "tv": self.tv.detach(),
        }

    def as_dict(self) -> dict[str, float]:
        """Plain numbers by name, for logs and cards; waits for the device."""
        return {name: value.item() for name, value in self.detached().items()}


class PerceptualLoss(nn.Module):
    """L = a·content + Σ_l b_l·style_l + c·palette + d·tv for one style picture.

    Args:
        vgg: The feature extractor.
        style: The style picture, (1, 3, H, W) in [0, 1], already at the scale of its shapes.
        content_weight: a.
        style_weight: b, the same for every layer unless `layer_weights` says otherwise.
        palette_weight: c.
        tv_weight: d.
        layer_weights: Factors on b for relu1_2, relu2_2, relu3_3 and relu4_3.
        locality: How much each image of a batch has to have the whole style by itself; see
            `relative_gram_distance`.
    """

    layer_weights: Tensor

    def __init__(
        self,
        vgg: Vgg16Features,
        style: Tensor,
        content_weight: float = 1.0,
        style_weight: float = 8.0,
        palette_weight: float = 0.0,
        tv_weight: float = 0.0,
        layer_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        locality: float = 1.0,
    ) -> None:
        super().__init__()
        self.vgg = vgg
        self.content_weight, self.style_weight = content_weight, style_weight
        self.palette_weight, self.tv_weight = palette_weight, tv_weight
        self.locality = locality
        self.palette = PaletteDistance(style)
        self.register_buffer("layer_weights", torch.tensor(layer_weights, dtype=torch.float32))
        with torch.no_grad():
            for tap, features in zip(TAPS, vgg(style), strict=True):
                self.register_buffer(f"target_{tap}", gram_matrix(features))

    def forward(
        self, output: Tensor, photo: Tensor, over_ranks: Callable[[Tensor], Tensor] = _same
    ) -> Losses:
        """The losses of `output` painted from `photo`, both (B, 3, H, W), the photo in [0, 1].

        `over_ranks` is as in `relative_gram_distance`: the style term looks at a batch's mean, all others at
        one image at a time.
        """
        return self.compare(output, self.content_of(photo), over_ranks)

    @torch.no_grad()
    def content_of(self, photo: Tensor) -> Tensor:
        """What a painting of `photo` (B, 3, H, W) should keep: its activations at relu2_2."""
        wanted: Tensor = self.vgg(photo, taps=CONTENT_TAP + 1)[CONTENT_TAP]
        return wanted

    def compare(
        self, output: Tensor, wanted: Tensor, over_ranks: Callable[[Tensor], Tensor] = _same
    ) -> Losses:
        """The losses of `output` (B, 3, H, W), with `wanted` from `content_of` its photo."""
        found = self.vgg(output)
        content = F.mse_loss(found[CONTENT_TAP].float(), wanted.float())
        style = torch.stack(
            [
                relative_gram_distance(
                    gram_matrix(features), self.get_buffer(f"target_{tap}"), self.locality, over_ranks
                )
                for tap, features in zip(TAPS, found, strict=True)
            ]
        )
        palette, tv = self.palette(output), total_variation(output)
        total = (
            self.content_weight * content
            + self.style_weight * (self.layer_weights * style).sum()
            + self.palette_weight * palette
            + self.tv_weight * tv
        )
        return Losses(total, content, style, palette, tv)
