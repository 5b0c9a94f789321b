"""The network as an ONNX graph, built node by node: in 10 ms, where tracing it takes seconds.

`onnx_graph` is for other programs; `pixel_graph` is for the page that paints in the visitor's browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from transformer_net.inference.engines.block_conv import BlockConv2d
from transformer_net.inference.tiling.fold_norms import constant_statistics, freeze, is_constant
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
from transformer_net.optional import require

OPSET = 20
"""ONNX operator set: what ONNX Runtime, also in browsers, and OpenVINO read."""

_IR_VERSION = 10
"""Of the file; newer ones are refused by programs that know the operator set."""

_FLOAT, _UINT8, _INT32 = 1, 2, 6
"""Numbers of `onnx.TensorProto`."""

_APART = 1024
"""Numbers in an array for which it pays to store their bytes apart."""


def onnx_graph(
    network: TransformerNet, metadata: Mapping[str, str] | None = None, clamped: bool = False
) -> bytes:
    """`network` as an ONNX file: `photo` (1, 3, height, width) in, `painting` of the same shape out.

    Args:
        network: In evaluation mode.
        metadata: Entries of the file's metadata.
        clamped: Whether paintings are clamped to [0, 1].

    Raises:
        SettingError: onnx is not installed.
    """
    graph = _Graph()
    shape = [1, 3, "height", "width"]
    painting = graph.paint(network, "photo", BlockConv2d(network.head))
    if clamped:
        graph.add("Clip", painting, graph.constant(0), graph.constant(1), output="painting")
    else:
        graph.add("Identity", painting, output="painting")
    return graph.model({"photo": (_FLOAT, shape)}, (_FLOAT, shape), metadata)


def pixel_graph(network: TransformerNet, grain: float, metadata: Mapping[str, str] | None = None) -> bytes:
    """`network` from and to the pixels of a canvas, as an ONNX file with weights in float16.

    `photo` and `painting` are RGBA (height, width, 4), uint8; both sides have at least `MIN_SIDE`. `grain`
    (3, height, width) is what `transformer_net.grain` gives for them. Margin, clamping and rounding are in
    the graph, and opacity passes through. It computes in float32, so that its pixels are the library's.

    The head is not painted in blocks: that is no faster in the WebAssembly build of ONNX Runtime.

    Args:
        network: In evaluation mode.
        grain: The model's strength of the grain.
        metadata: Entries of the file's metadata.

    Raises:
        SettingError: onnx is not installed.
    """
    graph = _Graph(half=True)
    add, whole = graph.add, graph.whole
    rgb = add("Cast", add("Slice", "photo", whole(0), whole(3), whole(2)), to=_FLOAT)
    photo = add("Div", add("Transpose", rgb, perm=[2, 0, 1]), graph.constant(255))
    grained = add("Add", photo, add("Mul", "grain", graph.constant(grain)))
    painting = graph.paint(network, add("Unsqueeze", grained, whole(0)), network.head)
    clamped = add("Clip", add("Squeeze", painting, whole(0)), graph.constant(0), graph.constant(1))
    levels = add("Cast", add("Round", add("Mul", clamped, graph.constant(255))), to=_UINT8)
    opacity = add("Slice", "photo", whole(3), whole(4), whole(2))
    add("Concat", add("Transpose", levels, perm=[1, 2, 0]), opacity, axis=2, output="painting")
    pixels = (_UINT8, ["height", "width", 4])
    return graph.model({"photo": pixels, "grain": (_FLOAT, [3, "height", "width"])}, pixels, metadata)


class _Graph:
    """Nodes and constants in the order in which they are added; values are known by their names.

    Args:
        half: Whether constants are stored in float16. What is computed with them is float32.
    """

    def __init__(self, half: bool = False) -> None:
        self._onnx = require("onnx", "Writing ONNX needs a package that", "onnx")
        self._half = half
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._low: list[Any] = []
        self._tables: list[str] | None = None

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Adds a node; gives the name of its output."""
        name = output or f"{operator}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, values: npt.ArrayLike) -> str:
        """Adds numbers; gives their name."""
        array = np.asarray(values, np.float32)
        if self._half and array.ndim:
            return self._unpacked(array.astype(np.float16))
        return self._stored(array)

    def _unpacked(self, array: npt.NDArray[np.float16]) -> str:
        """Adds numbers that are stored as their upper and their lower bytes, the latter at the end of the
        file: compressed, they take 87 % like that, and 93 % side by side. Runtimes put them together once,
        when they read the file."""
        if array.size < _APART:
            return self.add("Cast", self._stored(array), to=_FLOAT)
        bits = array.view(np.uint16)
        name = self._stored((bits >> 8).astype(np.uint8))
        low = f"{name}_low"
        self._low.append(self._onnx.numpy_helper.from_array((bits & 255).astype(np.uint8), low))
        if self._tables is None:
            self._tables = [self._stored(table) for table in _upper_bytes()]
        base, step = (self.add("Gather", table, self.add("Cast", name, to=_INT32)) for table in self._tables)
        return self.add("Add", base, self.add("Mul", self.add("Cast", low, to=_FLOAT), step))

    def whole(self, *values: int) -> str:
        """Adds sizes, axes or places; gives their name."""
        return self._stored(np.array(values, np.int64))

    def model(
        self,
        inputs: Mapping[str, tuple[int, list[Any]]],
        painting: tuple[int, list[Any]],
        metadata: Mapping[str, str] | None,
    ) -> bytes:
        """The file: types and shapes of the inputs, by name, and of the output."""
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes,
            "stylizer",
            [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
            [helper.make_tensor_value_info("painting", *painting)],
            self._constants + self._low,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        helper.set_model_props(model, dict(metadata or {}))
        self._onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data

    def paint(self, network: TransformerNet, photo: str, head: nn.Module) -> str:
        """The painting of `photo` (1, 3, height, width), as `TransformerNet.forward` gives it.

        Args:
            network: In evaluation mode.
            photo: A name.
            head: What computes as `network.head` does.
        """
        if is_constant(network):
            network = freeze(network, constant_statistics(network))
        size, margin = self.add("Shape", photo, start=2), self.whole(MARGIN)
        missing = self.add("Mod", self.add("Neg", size), self.whole(STRIDE))
        edges = [self.whole(0, 0, MARGIN, MARGIN, 0, 0), self.add("Add", missing, margin)]
        x = self.add("Pad", photo, self.add("Concat", *edges, axis=0), mode="reflect")
        x = self.add(
            "Div", self.add("Sub", x, self._per_channel(network.mean)), self._per_channel(network.std)
        )
        for part in (network.encoder, network.residual, network.decoder, head):
            x = self._apply(part, x)
        x = self.add("Add", self.add("Mul", x, self.constant(HEAD_SCALE)), self.constant(HEAD_OFFSET))
        return self.add(
            "Slice", x, self.whole(MARGIN, MARGIN), self.add("Add", size, margin), self.whole(2, 3)
        )

    def _apply(self, module: nn.Module, x: str) -> str:
        if isinstance(module, Norm):
            return self._normalize(module, x)
        if isinstance(module, nn.Identity):
            return x
        if isinstance(module, nn.ReLU):
            return self.add("Relu", x)
        if isinstance(module, nn.Upsample):
            scales = self._stored(np.array([1, 1, module.scale_factor, module.scale_factor], np.float32))
            return self.add(
                "Resize", x, "", scales, mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor",
            )  # fmt: skip
        if isinstance(module, UpsampledConv2d):
            y = self._convolve(x, module.phase_weight(), module.phase_bias(), 1, 1)
            return self.add("DepthToSpace", y, blocksize=2, mode="CRD")
        if isinstance(module, BlockConv2d):
            y = self._convolve(x, module.weight, module.bias, module.rim[0], 2)
            return self.add("DepthToSpace", y, blocksize=2, mode="CRD")
        if isinstance(module, ReflectConv2d):
            assert module.bias is not None
            return self._convolve(x, module.weight, module.bias, module.rim[0], module.stride[0])
        if isinstance(module, ResidualBlock):
            y = self.add("Relu", self._apply(module.norm1, self._apply(module.conv1, x)))
            return self.add("Add", x, self._apply(module.norm2, self._apply(module.conv2, y)))
        if isinstance(module, nn.Sequential):
            for child in module:
                x = self._apply(child, x)
            return x
        raise AssertionError(f"a {type(module).__name__} is not part of the network")

    def _convolve(self, x: str, weight: Tensor, bias: Tensor, rim: int, stride: int) -> str:
        edge = (0, 0, rim, rim)
        padded = self.add("Pad", x, self.whole(*edge, *edge), mode="reflect")
        return self.add("Conv", padded, self._tensor(weight), self._tensor(bias), strides=[stride, stride])

    def _fully_connected(self, weight: Tensor, bias: Tensor, x: str) -> str:  # (1, C, 1, 1) in and out
        return self.add("Conv", x, self._tensor(weight[..., None, None]), self._tensor(bias))

    def _through(self, squeeze: nn.Linear, excite: nn.Linear, x: str) -> str:
        hidden = self.add("Relu", self._fully_connected(squeeze.weight, squeeze.bias, x))
        return self._fully_connected(excite.weight, excite.bias, hidden)

    def _normalize(self, norm: Norm, x: str) -> str:
        """y = a·x + b, both of which depend on x."""
        if isinstance(norm, InstanceNorm):
            affine = self._tensor(norm.weight), self._tensor(norm.bias)
            return self.add("InstanceNormalization", x, *affine, epsilon=norm.eps)
        mean = self.add("ReduceMean", x, self.whole(2, 3))
        slope, offset = norm.standardizing()
        if isinstance(norm, InstanceEnhancementBatchNorm):
            delta = self._gate(norm, mean)
            scale, shift = self._per_channel(norm.weight), self._per_channel(norm.bias)
            if norm.acts_on in ("scale", "both"):
                scale = self.add("Mul", scale, delta)
            if norm.acts_on in ("shift", "both"):
                shift = self.add("Mul", shift, delta)
            a = self.add("Mul", scale, self._per_channel(slope))
            b = self.add("Add", self.add("Mul", scale, self._per_channel(offset)), shift)
        else:
            assert isinstance(norm, SqueezeExcitedBatchNorm)
            slopes = self._per_channel(slope * norm.weight)
            offsets = self._per_channel(offset * norm.weight + norm.bias)
            normalized = self.add("Add", self.add("Mul", mean, slopes), offsets)
            gate = self.add("Sigmoid", self._through(norm.squeeze, norm.excite, normalized))
            a, b = self.add("Mul", gate, slopes), self.add("Mul", gate, offsets)
        return self.add("Add", self.add("Mul", x, a), b)

    def _gate(self, norm: InstanceEnhancementBatchNorm, mean: str) -> str:
        if norm.operator == "linear":
            scaled = self.add("Mul", mean, self._per_channel(norm.gate_weight))
            mean = self.add("Add", scaled, self._per_channel(norm.gate_bias))
        elif norm.operator == "fc":
            mean = self._through(norm.squeeze, norm.excite, mean)
        elif norm.operator == "full":
            mean = self._fully_connected(norm.gate_weight, norm.gate_bias, mean)
        if norm.activation == "softmax":
            return self.add("Softmax", mean, axis=1)
        return self.add({"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}[norm.activation], mean)

    def _tensor(self, values: Tensor) -> str:
        return self.constant(values.detach().float().cpu().numpy())

    def _per_channel(self, values: Tensor) -> str:
        return self._tensor(values.view(1, -1, 1, 1))

    def _stored(self, array: npt.NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name


def _upper_bytes() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each upper byte of a number in float16, the number with a lower byte of 0, and what each 1 of the
    lower byte adds to it; both are exact. 0 for the upper bytes of infinity, which no weight has."""
    upper = np.arange(256, dtype=np.uint16) << 8
    first, second = (bits.view(np.float16).astype(np.float32) for bits in (upper, upper | 1))
    finite = np.isfinite(first)
    return np.where(finite, first, 0), np.subtract(second, first, where=finite, out=np.zeros_like(first))
