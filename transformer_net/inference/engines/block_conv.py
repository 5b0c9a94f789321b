"""Convolutions with few output channels, written so that other libraries compute them fast."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from transformer_net.network import ReflectConv2d


class BlockConv2d(nn.Module):
    """What a `ReflectConv2d` of stride 1 computes, 2 × 2 pixels at a time: (B, C, H, W), H and W even.

    Libraries compute 16 output channels in the time of 3. Here the channels are those of four pixels, and the
    kernel moves by two; it is larger by one, with zeros in the row and the column that a pixel does not see.

    Args:
        convolution: What to compute.
    """

    def __init__(self, convolution: ReflectConv2d) -> None:
        super().__init__()
        self.rim = convolution.rim
        outputs, inputs, height, width = convolution.weight.shape
        weight = convolution.weight.detach().new_zeros(outputs, 2, 2, inputs, height + 1, width + 1)
        for y in range(2):
            for x in range(2):
                weight[:, y, x, :, y : y + height, x : x + width] = convolution.weight.detach()
        assert convolution.bias is not None
        self.weight = nn.Parameter(weight.flatten(0, 2))
        self.bias = nn.Parameter(convolution.bias.detach().repeat_interleave(4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.rim, mode="reflect")
        return F.pixel_shuffle(F.conv2d(x, self.weight, self.bias, stride=2), 2)
