"""The network with its norms frozen at one picture's statistics.

Each norm is y = a·x + b once the picture is known (see `norms`), and so it is folded into the convolution
before it: a·(W∗x + c) + b = (a·W)∗x + (a·c + b). A frozen network has no norms left, and paints a piece
of the picture exactly as it paints the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from transformer_net.network import ReflectConv2d, TransformerNet
from transformer_net.norms import Norm, moments

Affine: TypeAlias = tuple[Tensor, Tensor]
"""a and b of one norm, (1, C) each."""

Moments: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Mean and variance, (1, C) each, of what reaches a norm, (B, C, H, W)."""

Statistics: TypeAlias = Sequence[Affine]
"""The affine of every norm of a network for one picture, in the order in which the picture passes them."""


def norms(network: TransformerNet) -> list[Norm]:
    """The norms of a network, in the order in which a picture passes them."""
    return [norm for _, _, _, norm in _layers(network)]


def is_constant(network: TransformerNet) -> bool:
    """Whether the norms are the same for every picture, as batch norm's are."""
    return all(norm.MOMENTS == 0 for norm in norms(network))


def constant_statistics(network: TransformerNet) -> list[Affine]:
    """The statistics of a network that `is_constant`, for which no picture is needed."""
    nothing = [torch.zeros(1, norm.num_features, device=norm.weight.device) for norm in norms(network)]
    return [norm.as_affine(x, x) for norm, x in zip(norms(network), nothing, strict=True)]


@torch.inference_mode()
def statistics_of(network: TransformerNet, photo: Tensor) -> list[Affine]:
    """The statistics of a photo that is painted whole, by one pass.

    Args:
        network: In evaluation mode. It is not changed, so that threads can share it.
        photo: (1, 3, H, W), with its grain, on the network's device.
    """
    observed, found = _observed(network, moments)
    observed(photo)
    return found


@torch.inference_mode()
def statistics_of_samples(network: TransformerNet, samples: Tensor, rim: tuple[int, int]) -> list[Affine]:
    """The statistics of a picture of which only some pieces are known, as if these were all of it.

    Args:
        network: In evaluation mode. It is left alone.
        samples: The pieces, (B, 3, H, W), with their grain, on the network's device; H and W multiples of
            `STRIDE`, at least 8.
        rim: Rows above and below, columns left and right of each that do not count: the network sees
            reflections there in place of the picture. Multiples of `STRIDE`.
    """

    def inner_moments(x: Tensor) -> tuple[Tensor, Tensor]:
        scale = samples.shape[-1] // x.shape[-1]
        y, x_ = (edge // scale for edge in rim)
        inner = x[..., y : x.shape[-2] - y, x_ : x.shape[-1] - x_]
        return moments(inner.transpose(0, 1).flatten(1, 2)[None])  # (1, C, B·h, w)

    observed, found = _observed(network, inner_moments)
    observed.core(samples)
    return found


def _observed(network: TransformerNet, moments_of: Moments) -> tuple[TransformerNet, list[Affine]]:
    """A copy of `network` that freezes its norms by what reaches them, and the list where they are noted."""
    copy = deepcopy(network)
    found: list[Affine] = []
    for parent, name, _, norm in list(_layers(copy)):
        setattr(parent, name, _RecordingNorm(norm, moments_of, found))
    return copy, found


class _RecordingNorm(nn.Module):
    """A norm that notes its affine and applies it in place: instance norm itself needs half as much again."""

    def __init__(self, norm: Norm, moments_of: Moments, found: list[Affine]) -> None:
        super().__init__()
        self.norm, self.moments_of, self.found = norm, moments_of, found

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.norm.as_affine(*self.moments_of(x))
        self.found.append((a, b))
        return x.mul_(a[..., None, None].to(x.dtype)).add_(b[..., None, None].to(x.dtype))


@torch.inference_mode()
def freeze(network: TransformerNet, statistics: Statistics) -> TransformerNet:
    """A copy of `network` whose norms are folded into the convolutions before them.

    Args:
        network: In evaluation mode.
        statistics: Of all its norms, or of the first few: the others stay as they are.
    """
    copy = deepcopy(network)
    for (parent, name, convolution, _), (a, b) in zip(list(_layers(copy)), statistics, strict=False):
        weight, bias = convolution.weight, convolution.bias
        assert bias is not None
        convolution.weight = nn.Parameter((weight * a[0, :, None, None, None]).to(weight.dtype))
        convolution.bias = nn.Parameter((bias * a[0] + b[0]).to(bias.dtype))
        setattr(parent, name, nn.Identity())
    return copy


Piecewise: TypeAlias = Callable[[npt.NDArray[np.float32]], Tensor]
"""A frozen network that paints: it takes a piece of a padded picture, (3, H, W), as `TransformerNet.core`
does, and gives its painting, (1, 3, H, W); or, where norms were left, what the first of them takes. The next
call may overwrite what the last one gave."""


def by_torch(network: TransformerNet) -> Piecewise:
    """PyTorch in float32 for a network from `freeze`, on the device where it is."""
    device = network.head.weight.device
    for norm in norms(network)[:1]:
        norm.register_forward_pre_hook(_stop)

    @torch.inference_mode()
    def run(padded: npt.NDArray[np.float32]) -> Tensor:
        batch = torch.from_numpy(padded)[None].to(device, memory_format=torch.channels_last)
        try:
            return network.core(batch)
        except Reached as reached:
            x: Tensor = reached.x
            return x

    return run


def _stop(norm: Norm, inputs: tuple[Tensor]) -> None:
    raise Reached(inputs[0])


class Reached(Exception):  # noqa: N818 - no error, but the shortest way out of a nested network
    """Raised at a norm that was not folded; `x` is its input."""

    def __init__(self, x: Any) -> None:
        self.x = x


def _layers(network: TransformerNet) -> Iterator[tuple[nn.Module, str, ReflectConv2d, Norm]]:
    """Each norm: its parent, its name there, and the convolution before it."""
    for parent in network.modules():
        before: nn.Module | None = None
        for name, child in parent.named_children():
            if isinstance(child, Norm):
                assert isinstance(before, ReflectConv2d)
                yield parent, name, before, child
            before = child
