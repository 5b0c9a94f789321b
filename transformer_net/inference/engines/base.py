"""What an engine is, and what all engines share."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from transformer_net.inference.tiling.fold_norms import Piecewise
from transformer_net.network import TransformerNet
from transformer_net.optional import require

ENGINES = ("auto", "torch", "openvino", "onnxruntime")

ON_CPU = ("bf16", "int8")
"""Precisions that are for CPUs, by OpenVINO."""

PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}
"""Name of a precision in options → the number format that is computed in."""


Floats = npt.NDArray[np.float32]


class Engine(Protocol):
    """Computes paintings with one network. Safe to share between threads.

    Attributes:
        name: Its name in `ENGINES`.
        precision: A key of `PRECISIONS`.
        fingerprint: What its paintings depend on besides the network.
    """

    name: str
    precision: str
    fingerprint: str

    def __call__(self, pixels: Floats) -> Floats:
        """The painting of a photo; both (3, H, W), each side at least `MIN_SIDE`.

        Args:
            pixels: RGB in [0, 1], grain already added.

        Returns:
            RGB, not clamped.
        """

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """What paints a picture piece by piece; see `tiles`.

        Args:
            frozen: This engine's network, frozen for that picture; from `freeze`.

        Returns:
            For one thread, and for as long as that picture is being painted.
        """


# ONNX Runtime reads what onnx writes.
_PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime onnx"}


def require_engine(name: str) -> Any:
    """The module of a library that computes: openvino or onnxruntime.

    Raises:
        SettingError: It is not installed; the sentence says what to do.
    """
    return require(name, f"The engine {name}", _PACKAGES[name])
