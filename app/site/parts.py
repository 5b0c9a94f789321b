"""What paints in a visitor's browser: scripts, the runtime's files, models. The static page and the server's
have them from here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from transformer_net.checkpoint import ModelInfo
from transformer_net.inference.engines.onnx_graph import pixel_graph
from transformer_net.inference.export import describe
from transformer_net.network import TransformerNet

ROOT: Final = Path(__file__).parents[2]

ASSETS: Final = Path(__file__).parent / "assets"

RUNTIME: Final = ROOT / "node_modules" / "onnxruntime-web"
"""What `npm ci` installs."""

BUILDS: Final = {
    "WebAssembly": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    "WebGPU": ("ort.jspi.min.mjs", "ort-wasm-simd-threaded.jspi.mjs", "ort-wasm-simd-threaded.jspi.wasm"),
}
"""Files of the runtime, by what computes. A browser loads one of these."""

PAINTER: Final = ("painter.js", "worker.js", "grain.js", "options.js", "live.js")
"""The scripts that paint, without those of the static page itself."""

ISOLATING: Final = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
"""Headers of a page, and of the scripts of its workers, by which browsers let it use threads."""


def are_there() -> bool:
    """Whether a server can offer them: the runtime is installed, and models can be exported."""
    return RUNTIME.is_dir() and find_spec("onnx") is not None


def model(network: TransformerNet, info: ModelInfo, licence: str | None = None) -> bytes:
    """A model as browsers read it.

    Args:
        network: In evaluation mode.
        info: What its model file says of it.
        licence: SPDX name of its licence, where that is known.

    Raises:
        SettingError: onnx is not installed.
    """
    return pixel_graph(network, info.grain, describe(info, licence))
