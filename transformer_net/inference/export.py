"""A model as one file for other programs: ONNX, OpenVINO or TorchScript.

Photo in, painting out, both (1, 3, H, W), RGB in [0, 1], any H and W from `MIN_SIDE` up. What the model file
says of the model stands in the exported file, too. The grain is not part of the graph: who wants it adds
`grain` times the noise of `transformer_net.grain` to the photo.
"""

from __future__ import annotations

import io
import json
import math
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from transformer_net.checkpoint import FORMAT_VERSION, ModelInfo, load_model, write_atomically
from transformer_net.errors import ExportError, SettingError
from transformer_net.inference.engines.base import require_engine
from transformer_net.inference.engines.onnx_graph import onnx_graph
from transformer_net.inference.engines.openvino_graph import openvino_graph
from transformer_net.inference.painting_module import PaintingModule

EXTENSIONS = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".pt"}
"""Format → the usual extension of its files."""

TOLERANCE = 5e-4
"""Largest difference from PyTorch; an eighth of a level of 8 bits. Usual is a hundredth of it."""

SIZES = ((20, 20), (37, 54), (64, 49), (101, 150))
"""Heights and widths at which an exported model is compared with PyTorch."""

_TRACED = (1, 3, 37, 54)
"""Shape that TorchScript is traced at: no side is a multiple of `STRIDE`, so a size made constant shows."""

# PyTorch's tracer and its warnings filter are the process's, not the thread's.
_ONE_AT_A_TIME = threading.Lock()

Floats = npt.NDArray[np.float32]
ArrayFunction = Callable[[Floats], Any]


def export_model(source: Path, target: Path, format: str, licence: str | None = None) -> float:
    """Write the model in `source` to `target`, unless its paintings differ from PyTorch's.

    OpenVINO's format has two files: `target`, which must end in .xml, and the weights beside it in .bin.

    Args:
        source: A model file of ours.
        target: Where to.
        format: A key of `EXTENSIONS`, in any case.
        licence: SPDX name of the model's licence, for the metadata.

    Returns:
        The largest absolute difference between the exported model's paintings and PyTorch's.

    Raises:
        SettingError: There is no such format, a package is missing, or `target` cannot be written.
        ModelFileError: `source` is unusable.
        ExportError: The exported model's paintings differ.
    """
    kind = format.strip().lower()
    if kind not in EXTENSIONS:
        raise SettingError(f"There is no format {format!r}; choose one of {', '.join(EXTENSIONS)}.")
    if kind == "openvino" and target.suffix != ".xml":
        raise SettingError(f"The name of an OpenVINO file ends in .xml, unlike {target}.")
    network, info = load_model(source)
    module = PaintingModule(network).eval()
    make = {"onnx": _onnx, "openvino": _openvino, "torchscript": _torchscript}[kind]
    contents, painter = make(module, describe(info, licence))
    difference = largest_difference(module, painter)
    if not difference <= TOLERANCE:  # NaN, too
        raise ExportError(
            f"The exported model differs from PyTorch by {difference:.1e}, more than {TOLERANCE:.0e}, "
            f"so {target} was not written."
        )
    try:
        for suffix, data in contents.items():
            write_atomically(target.with_suffix(suffix) if suffix else target, data)
    except OSError as error:
        raise SettingError(f"{target} cannot be written: {error.strerror or error}.") from error
    return difference


def describe(info: ModelInfo, licence: str | None = None) -> dict[str, str]:
    """The metadata of an exported file."""
    described = {
        "stylizer_format": str(FORMAT_VERSION),
        "style": info.style,
        "norm": info.norm,
        "norm_options": json.dumps(info.norm_options, sort_keys=True),
        "width": str(info.width),
        "grain": str(info.grain),
    }
    return described if licence is None else {**described, "license": licence}


def largest_difference(module: torch.nn.Module, painter: ArrayFunction) -> float:
    """The largest absolute difference between two painters over `SIZES`; NaN or infinity where one fails."""
    differences = []
    for height, width in SIZES:
        photo = np.random.default_rng(height).random((1, 3, height, width), dtype=np.float32)
        with torch.inference_mode():
            expected = module(torch.from_numpy(photo)).numpy()
        painting = np.asarray(painter(photo))
        same = painting.shape == expected.shape
        differences.append(float(np.abs(painting - expected).max()) if same else np.inf)
    return float(np.max(differences))


def _onnx(module: PaintingModule, metadata: dict[str, str]) -> tuple[dict[str, bytes], ArrayFunction]:
    runtime = require_engine("onnxruntime")
    data = onnx_graph(module.network, metadata, clamped=True)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return {"": data}, lambda photo: session.run(None, {"photo": photo})[0]


def _openvino(module: PaintingModule, metadata: dict[str, str]) -> tuple[dict[str, bytes], ArrayFunction]:
    library = require_engine("openvino")
    model = openvino_graph(module.network, clamped=True)
    for key, value in metadata.items():
        model.set_rt_info(value, ["stylizer", key])
    with tempfile.TemporaryDirectory() as folder:  # it writes to paths only
        file = Path(folder, "model.xml")
        library.save_model(model, file, compress_to_fp16=False)
        xml, weights = file.read_bytes(), file.with_suffix(".bin").read_bytes()
    core = library.Core()
    compiled = core.compile_model(core.read_model(xml, weights), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    # The weights first: who finds the graph finds them, too.
    return {".bin": weights, "": xml}, lambda photo: compiled(photo)[0]


def _torchscript(module: PaintingModule, metadata: dict[str, str]) -> tuple[dict[str, bytes], ArrayFunction]:
    buffer = io.BytesIO()
    with _quiet(), torch.no_grad():
        example = torch.linspace(0, 1, math.prod(_TRACED)).view(_TRACED)
        traced = torch.jit.trace(module, (example,), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, buffer, _extra_files={"stylizer.json": json.dumps(metadata)})
        data = buffer.getvalue()
        loaded = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]

    def paint(photo: Floats) -> Any:
        with torch.inference_mode():
            return loaded(torch.from_numpy(photo)).numpy()

    return {"": data}, paint


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's warnings: that sizes are traced too, which is meant, and that it grows old."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
