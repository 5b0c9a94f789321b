"""The network as a graph of OpenVINO's, built node by node: in 10 ms, where tracing it takes a second."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from transformer_net.errors import SettingError
from transformer_net.inference.engines.block_conv import BlockConv2d
from transformer_net.inference.tiling.fold_norms import Reached, constant_statistics, freeze, is_constant
from transformer_net.network import (
    HEAD_OFFSET,
    HEAD_SCALE,
    MARGIN,
    STRIDE,
    ReflectConv2d,
    ResidualBlock,
    TransformerNet,
    UpsampledConv2d,
)
from transformer_net.norms import (
    InstanceEnhancementBatchNorm,
    InstanceNorm,
    Norm,
    SqueezeExcitedBatchNorm,
)


def openvino_graph(network: TransformerNet, piecewise: bool = False, clamped: bool = False) -> Any:
    """`network` as an `openvino.Model`: `photo` (1, 3, H, W) in, `painting` of the same shape out.

    Convolutions are called as in the network, as `quantization.quantize` wants it.

    Args:
        network: In evaluation mode.
        piecewise: Whether it computes `TransformerNet.core`, for pieces that have their margin. Then the
            network comes from `freeze`; where that left a norm, the graph gives what the first of them takes.
        clamped: Whether paintings are clamped to [0, 1].

    Raises:
        SettingError: The normalizer has options for which there is no graph.
    """
    import openvino
    from openvino import opset13 as opset

    if network.norm_options:
        raise SettingError("OpenVINO does not support options of the normalizers; use --engine torch.")
    if not piecewise and is_constant(network):
        network = freeze(network, constant_statistics(network))

    def constant(values: Tensor) -> Any:
        return opset.constant(values.detach().float().cpu().numpy())

    def per_channel(values: Tensor) -> Any:
        return constant(values.view(1, -1, 1, 1))

    def convolve(module: nn.Module, x: Any, weight: Tensor, bias: Tensor, rim: int, stride: int) -> Any:
        edge = [0, 0, rim, rim]
        padded = opset.pad(x, edge, edge, "reflect")
        y = opset.convolution(padded, constant(weight), [stride] * 2, [0, 0], [0, 0], [1, 1])
        y.set_friendly_name(names[module])
        return opset.add(y, per_channel(bias))

    def mean_of(x: Any) -> Any:
        return opset.reduce_mean(x, [2, 3], keep_dims=True)

    def fully_connected(layer: nn.Linear, x: Any) -> Any:  # (1, C, 1, 1) in and out
        y = opset.matmul(opset.reshape(x, [1, -1], special_zero=False), constant(layer.weight), False, True)
        return opset.reshape(opset.add(y, constant(layer.bias)), [1, -1, 1, 1], special_zero=False)

    def normalize(norm: Norm, x: Any) -> Any:
        if isinstance(norm, InstanceNorm):
            x = opset.mvn(x, [2, 3], True, norm.eps, "inside_sqrt")
            return opset.add(opset.multiply(x, per_channel(norm.weight)), per_channel(norm.bias))
        if isinstance(norm, InstanceEnhancementBatchNorm):
            slope, offset = norm.standardizing()
            m = opset.multiply(mean_of(x), per_channel(norm.gate_weight))
            delta = opset.sigmoid(opset.add(m, per_channel(norm.gate_bias)))
            standardized = opset.add(opset.multiply(x, per_channel(slope)), per_channel(offset))
            scaled = opset.multiply(standardized, opset.multiply(delta, per_channel(norm.weight)))
            return opset.add(scaled, per_channel(norm.bias))
        assert isinstance(norm, SqueezeExcitedBatchNorm)
        slope, offset = norm.standardizing()
        a, b = slope * norm.weight, offset * norm.weight + norm.bias
        y = opset.add(opset.multiply(x, per_channel(a)), per_channel(b))
        hidden = opset.relu(fully_connected(norm.squeeze, mean_of(y)))
        return opset.multiply(y, opset.sigmoid(fully_connected(norm.excite, hidden)))

    def apply(module: nn.Module, x: Any) -> Any:
        if isinstance(module, Norm):
            if piecewise:
                raise Reached(x)
            return normalize(module, x)
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
        if isinstance(module, UpsampledConv2d):
            y = convolve(module, x, module.phase_weight(), module.phase_bias(), 1, 1)
            return opset.depth_to_space(y, "depth_first", 2)
        if isinstance(module, BlockConv2d):
            y = convolve(module, x, module.weight, module.bias, module.rim[0], 2)
            return opset.depth_to_space(y, "depth_first", 2)
        if isinstance(module, ReflectConv2d):
            assert module.bias is not None
            return convolve(module, x, module.weight, module.bias, module.rim[0], module.stride[0])
        if isinstance(module, ResidualBlock):
            y = opset.relu(apply(module.norm1, apply(module.conv1, x)))
            return opset.add(x, apply(module.norm2, apply(module.conv2, y)))
        if isinstance(module, nn.Sequential):
            for child in module:
                x = apply(child, x)
            return x
        raise AssertionError(f"a {type(module).__name__} is not part of the network")

    head = BlockConv2d(network.head)
    names = {module: name for name, module in network.named_modules()} | {head: "head"}
    photo = opset.parameter([1, 3, -1, -1], np.float32, "photo")
    x, sizes, margin = photo, opset.shape_of(photo), np.array([0, 0, MARGIN, MARGIN])
    if not piecewise:
        missing = opset.floor_mod(opset.negative(sizes), np.array([1, 1, STRIDE, STRIDE]))
        x = opset.pad(x, margin, opset.add(missing, margin), "reflect")
    x = opset.divide(opset.subtract(x, per_channel(network.mean)), per_channel(network.std))
    try:
        for part in (network.encoder, network.residual, network.decoder, head):
            x = apply(part, x)
        scaled = opset.multiply(x, np.float32(HEAD_SCALE))
        x = opset.add(scaled, np.float32(HEAD_OFFSET))
    except Reached as reached:
        x = reached.x
    if not piecewise:
        x = opset.slice(x, margin, opset.add(sizes, margin), np.ones(4, np.int64))
    if clamped:
        x = opset.clamp(x, 0.0, 1.0)
    model = openvino.Model([x], [photo], "stylizer")
    model.input(0).get_tensor().set_names({"photo"})
    model.output(0).get_tensor().set_names({"painting"})
    return model
