"""A frozen network as a graph of OpenVINO's, built node by node.

A frozen network is made for one picture, so nothing can be kept on disk. Tracing it in PyTorch takes half a
second; a graph of convolutions, sums and copies is written down in a thousandth of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from transformer_net.inference.engines.conversion import BlockConv2d
from transformer_net.inference.tiling.fold_norms import Reached
from transformer_net.network import (
    HEAD_OFFSET,
    HEAD_SCALE,
    ReflectConv2d,
    ResidualBlock,
    TransformerNet,
)
from transformer_net.norms import Norm


def frozen_graph(network: TransformerNet) -> Any:
    """`TransformerNet.core` as an `openvino.Model`: (1, 3, H, W) in.

    Convolutions are called as in the network, as `quantization.quantize` wants it.

    Args:
        network: From `freeze`.

    Returns:
        The model. What it gives is the painting; or, where a norm was left, what that norm takes.
    """
    import openvino
    from openvino import opset13 as opset

    def constant(values: Tensor) -> Any:
        return opset.constant(values.detach().float().cpu().numpy())

    def per_channel(values: Tensor) -> Any:
        return constant(values.view(1, -1, 1, 1))

    def convolve(module: ReflectConv2d | BlockConv2d, x: Any, stride: tuple[int, ...]) -> Any:
        assert module.bias is not None
        rim = [0, 0, module.rim[0], module.rim[0]]
        padded = opset.pad(x, rim, rim, "reflect")
        y = opset.convolution(padded, constant(module.weight), stride, [0, 0], [0, 0], [1, 1])
        y.set_friendly_name(names[module])
        return opset.add(y, per_channel(module.bias))

    def apply(module: nn.Module, x: Any) -> Any:
        if isinstance(module, Norm):
            raise Reached(x)
        if isinstance(module, nn.Identity):
            return x
        if isinstance(module, nn.ReLU):
            return opset.relu(x)
        if isinstance(module, nn.Upsample):
            scales = np.full(2, module.scale_factor, np.float32)
            return opset.interpolate(
                x, scales, "nearest", "scales", axes=[2, 3],
                coordinate_transformation_mode="asymmetric", nearest_mode="floor",
            )  # fmt: skip
        if isinstance(module, BlockConv2d):
            return opset.depth_to_space(convolve(module, x, (2, 2)), "depth_first", 2)
        if isinstance(module, ReflectConv2d):
            return convolve(module, x, module.stride)
        if isinstance(module, ResidualBlock):
            y = opset.relu(apply(module.norm1, apply(module.conv1, x)))
            return opset.add(x, apply(module.norm2, apply(module.conv2, y)))
        if isinstance(module, nn.Sequential):
            for child in module:
                x = apply(child, x)
            return x
        raise AssertionError(f"a {type(module).__name__} is no part of a frozen network")

    head = BlockConv2d(network.head)
    names = {module: name for name, module in network.named_modules()} | {head: "head"}
    photo = opset.parameter([1, 3, -1, -1], np.float32, "photo")
    x = opset.divide(opset.subtract(photo, per_channel(network.mean)), per_channel(network.std))
    try:
        for part in (network.encoder, network.residual, network.decoder, head):
            x = apply(part, x)
        scaled = opset.multiply(x, np.float32(HEAD_SCALE))
        x = opset.add(scaled, np.float32(HEAD_OFFSET))
    except Reached as reached:
        x = reached.x
    return openvino.Model([x], [photo], "frozen")
