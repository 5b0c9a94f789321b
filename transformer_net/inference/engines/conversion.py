"""What the formats of other programs share, and TorchScript.

The graphs of OpenVINO and ONNX are written by `openvino_graph` and `onnx_graph`.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transformer_net.network import ReflectConv2d

_EXAMPLE = (1, 3, 37, 54)

# PyTorch's tracer and its warnings filter are the process's, not the thread's.
_ONE_AT_A_TIME = threading.Lock()


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


def to_torchscript(network: torch.nn.Module) -> torch.jit.ScriptModule:
    """The network traced on the CPU: photo (B, 3, H, W) in, painting of the same shape out, not clamped.

    The size that it is traced at has nothing that is a multiple of `STRIDE`, so that a size that became a
    constant by mistake shows at once.
    """
    with quiet(), torch.no_grad():
        example = torch.linspace(0, 1, _numel(_EXAMPLE)).view(_EXAMPLE)
        traced: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, (example,), check_trace=False
        )
    return traced


def openvino_bytes(model: Any) -> tuple[bytes, bytes]:
    """An `openvino.Model` as the contents of its two files: the graph as XML, and the weights in float32."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:  # it writes to paths only
        xml = Path(folder, "model.xml")
        openvino.save_model(model, xml, compress_to_fp16=False)
        return xml.read_bytes(), xml.with_suffix(".bin").read_bytes()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the tracers' warnings: that sizes are traced too, which is meant, and that they grow old."""
    exporter = logging.getLogger("torch.onnx")
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = exporter.level
        exporter.setLevel(logging.ERROR)
        try:
            yield
        finally:
            exporter.setLevel(level)


def _numel(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()
