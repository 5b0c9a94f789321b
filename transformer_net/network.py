"""Johnson's image transformation network with a choice of normalizer.

Johnson, Alahi and Fei-Fei 2016, arXiv 1603.08155, and its supplement, with two changes: bilinear upsampling
instead of transposed convolution (less of a lattice, docs/training.md) and reflection padding in every
convolution (no grey rim). As in the supplement, the photo gets a reflected margin that is cut off at the end,
because the reflections inside still tell the layers where the border is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_net.norms import canonical_norm, make_norm
from transformer_net.spatial import reflection_pad

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

STRIDE = 4
"""Inputs are padded to a multiple of this, the network's total downsampling."""

MARGIN = 16
"""Pixels of reflected photo painted beyond each edge and cut off.

Without a margin, batch-normalized networks paint the outermost 8 px in a colour of their own: at the edge
they differ by 0.29 of the full range from the same place painted with 64 px of surroundings; with 16 px, by
0.09.
"""

MIN_SIDE = MARGIN + STRIDE
"""Shortest side in pixels: below it, reflection has nothing left to reflect."""

HALO = 60
"""Pixels around a piece of a picture that its painting depends on, in whole strides."""
# Rows 0 to 3 of a painting, which are one stride, need these rows of the layers before, last layer first:
#   head, 9x9                       -4 to 7
#   decoder, 3x3 with upsampling    -3 to 4
#   decoder, 3x3 with upsampling    -3 to 3
#   ten residual 3x3               -13 to 13
#   encoder, 3x3 with stride       -27 to 27
#   encoder, 3x3 with stride       -55 to 55
#   encoder, 9x9                   -59 to 59
# So 59 rows before the stride's first, 56 after its last; with nearest upsampling four fewer.

# The head is linear, y = 0.45 + 0.1·net: at the start of training the output is a grey of natural
# brightness and contrast. A sigmoid head learned more slowly and lost the photo's structure.
HEAD_OFFSET, HEAD_SCALE = 0.45, 0.1


UPSAMPLING = ("bilinear", "nearest")
"""How the decoder can double height and width."""

# [phase][input pixel][tap]: what each pixel of the input, from the one before to the one after, adds to the
# three enlarged pixels that the taps of a kernel see around an even (phase 0) and an odd (phase 1) one.
_PHASES = (
    ((0.75, 0.25, 0.0), (0.25, 0.75, 0.75), (0.0, 0.0, 0.25)),
    ((0.25, 0.0, 0.0), (0.75, 0.75, 0.25), (0.0, 0.25, 0.75)),
)


class ReflectConv2d(nn.Conv2d):
    """A convolution with reflection padding that keeps the size, or halves it with stride 2.

    Like `nn.Conv2d(padding_mode="reflect")`, but under autocast it pads in the precision of its input;
    autocast on a CPU would pad in float32 and round afterwards, which takes several times as long.

    The bias stays even in front of a norm: batch and instance norm cancel it, but it shifts AVG(x) and with
    it the gate of IEBN, and the four networks should differ in their norm only.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: Side of the kernel, an odd number.
        stride: 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride)
        self.rim = (kernel // 2,) * 4

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(reflection_pad(x, self.rim[0]), self.weight, self.bias, self.stride)


class UpsampledConv2d(ReflectConv2d):
    """A 3x3 convolution of its input enlarged bilinearly by 2: (B, C, H, W) to (B, out, 2H, 2W).

    The enlarged input is never computed. Each output pixel depends on 3 x 3 pixels of the input, by weights
    that depend only on its position, one of four, between them. So one convolution of the input with four
    times the channels gives all output pixels, in the time of a 3x3 convolution after nearest-neighbour
    upsampling. At the border the input is mirrored, not the enlarged input.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    phases: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3)
        self.register_buffer("phases", torch.tensor(_PHASES), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        padded = reflection_pad(x, 1)
        return F.pixel_shuffle(F.conv2d(padded, self.phase_weight(), self.phase_bias()), 2)

    def phase_weight(self) -> Tensor:
        """What each pixel of the input counts, (4 · out, in, 3, 3), in the order of `pixel_shuffle`."""
        with torch.autocast(self.weight.device.type, enabled=False):
            weight = torch.einsum("yab,oibd,xcd->oyxiac", self.phases, self.weight, self.phases)
            return weight.flatten(0, 2)

    def phase_bias(self) -> Tensor:
        """(4 · out,)."""
        assert self.bias is not None
        return self.bias.repeat_interleave(4)


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))), without a ReLU after the sum; (B, C, H, W) in and out."""

    def __init__(self, channels: int, norm: str, **options: Any) -> None:
        super().__init__()
        self.conv1 = ReflectConv2d(channels, channels, 3)
        self.norm1 = make_norm(norm, channels, **options)
        self.conv2 = ReflectConv2d(channels, channels, 3)
        self.norm2 = make_norm(norm, channels, **options)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return x + y


class TransformerNet(nn.Module):
    """RGB photo in, RGB painting out; both (B, 3, H, W), the photo in [0, 1], any H and W from `MIN_SIDE` up.

    9x9-w, 3x3-2w with stride 2, 3x3-4w with stride 2, five residual blocks, upsampled 3x3-2w, upsampled
    3x3-w, 9x9-3; the chosen norm after every convolution but the last. The output has the input's size and is
    not clamped: training needs the gradient outside [0, 1], `Stylizer` clamps.

    Args:
        norm: Normalizer, any spelling that `make_norm` takes.
        width: w, the channels of the first layer; 32 is the paper's.
        norm_options: Keyword arguments for every normalizer.
        upsampling: `bilinear`; or `nearest`, which weaves a lattice of 4 px into calm areas, for models that
            were trained with it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        norm: str = "in",
        width: int = 16,
        norm_options: Mapping[str, Any] | None = None,
        upsampling: str = "bilinear",
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width}")
        if upsampling not in UPSAMPLING:
            raise ValueError(f"upsampling must be one of {', '.join(UPSAMPLING)}, not {upsampling!r}")
        self.upsampling = upsampling
        self.norm, self.width, self.norm_options = canonical_norm(norm), width, dict(norm_options or {})
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

        def followed(convolution: ReflectConv2d) -> list[nn.Module]:
            return [
                convolution,
                make_norm(self.norm, convolution.out_channels, **self.norm_options),
                nn.ReLU(),
            ]

        def layer(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
            return followed(ReflectConv2d(in_channels, out_channels, kernel, stride))

        def enlarging(in_channels: int, out_channels: int) -> list[nn.Module]:
            if upsampling == "nearest":
                return [nn.Upsample(scale_factor=2, mode="nearest"), *layer(in_channels, out_channels, 3)]
            # The first keeps the place, so that the weights have the same names.
            return [nn.Identity(), *followed(UpsampledConv2d(in_channels, out_channels))]

        w = width
        blocks = [ResidualBlock(4 * w, self.norm, **self.norm_options) for _ in range(5)]
        self.encoder = nn.Sequential(*layer(3, w, 9), *layer(w, 2 * w, 3, 2), *layer(2 * w, 4 * w, 3, 2))
        self.residual = nn.Sequential(OrderedDict((f"block{i}", b) for i, b in enumerate(blocks, 1)))
        self.decoder = nn.Sequential(*enlarging(4 * w, 2 * w), *enlarging(2 * w, w))
        self.head = ReflectConv2d(w, 3, 9)

    def forward(self, photo: Tensor) -> Tensor:
        height, width = photo.shape[-2:]
        right, below = MARGIN + -width % STRIDE, MARGIN + -height % STRIDE
        painting = self.core(F.pad(photo, (MARGIN, right, MARGIN, below), mode="reflect"))
        return painting[..., MARGIN : MARGIN + height, MARGIN : MARGIN + width]

    def core(self, padded: Tensor) -> Tensor:
        """The painting of a photo that has its margin, or of a piece of it; see `HALO`.

        Args:
            padded: RGB in [0, 1], shape (B, 3, H, W), H and W multiples of `STRIDE`, at least 8.

        Returns:
            The same shape; not clamped, and nothing cut off.
        """
        y: Tensor = self.head(self.decoder(self.residual(self.encoder((padded - self.mean) / self.std))))
        return HEAD_OFFSET + HEAD_SCALE * y


def with_upsampling(network: TransformerNet, upsampling: str) -> TransformerNet:
    """`network`, or one with its weights and another upsampling, to train further."""
    if network.upsampling == upsampling:
        return network
    other = TransformerNet(network.norm, network.width, network.norm_options, upsampling)
    other.load_state_dict(network.state_dict())
    return other


def parameter_count(network: nn.Module) -> int:
    """Number of learned parameters; buffers such as running statistics do not count."""
    return sum(p.numel() for p in network.parameters())
