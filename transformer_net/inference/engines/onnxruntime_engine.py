"""ONNX Runtime on the CPU."""

from __future__ import annotations

from transformer_net.inference.engines.base import Floats, require_engine
from transformer_net.inference.engines.onnx_graph import onnx_graph
from transformer_net.inference.tiling.fold_norms import Piecewise, by_torch
from transformer_net.network import TransformerNet


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU, in float32.

    Args:
        network: What to compute.
        threads: How many compute one painting.

    Raises:
        SettingError: ONNX Runtime or ONNX is not installed.
    """

    name, precision, fingerprint = "onnxruntime", "fp32", "fp32"

    def __init__(self, network: TransformerNet, threads: int) -> None:
        library = require_engine("onnxruntime")
        options = library.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.enable_cpu_mem_arena = False  # the arena never gives memory back
        options.log_severity_level = 3  # errors; what is wrong with a model is raised besides
        self._session = library.InferenceSession(
            onnx_graph(network), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixels: Floats) -> Floats:
        """As `Engine.__call__`."""
        paintings: list[Floats] = self._session.run(None, {"photo": pixels[None]})[0]
        return paintings[0]

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """As `Engine.piecewise`, by PyTorch: a session for each picture would take longer than its pieces."""
        return by_torch(frozen)
