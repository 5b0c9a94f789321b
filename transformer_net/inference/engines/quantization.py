"""int8 for OpenVINO: convolutions multiply 8-bit integers; everything else stays in float32.

The input of a convolution is rounded to one of 256 equally spaced numbers within its range, and its weights
to one of 255 around zero, with a scale for each output channel (Jacob et al. 2018, arXiv 1712.05877). The
ranges are calibrated: sixteen pairs of numbers, in a small file beside the model. Norms, gates and the sums
of the residual blocks stay in float32, because strokes and flat regions depend most on the sums.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from transformer_net.checkpoint import write_atomically
from transformer_net.network import ReflectConv2d, TransformerNet

Ranges: TypeAlias = dict[str, tuple[float, float]]
"""Name of each convolution → the smallest and the largest number that it takes."""

_STEPS = 255
"""Steps between the 256 numbers that a byte holds. Weights use one less, to be symmetric."""


def calibrate(network: TransformerNet, photos: Iterable[npt.NDArray[np.float32]]) -> Ranges:
    """What the convolutions of a network take: the means over photos of their smallest and largest inputs.

    The extremes of all photos together are decided by a few odd pixels of one, and gave worse paintings than
    the means; the ranges with the least squared error gave the same.

    Args:
        network: In evaluation mode, on the CPU.
        photos: At least one; (3, H, W), as an engine takes them.
    """
    seen: dict[str, list[Tensor]] = {}

    def watch(name: str, convolution: nn.Module) -> Any:
        def note(_: nn.Module, inputs: tuple[Tensor]) -> None:
            seen.setdefault(name, []).append(torch.stack(inputs[0].aminmax()))

        return convolution.register_forward_pre_hook(note)

    hooks = [watch(name, m) for name, m in network.named_modules() if isinstance(m, ReflectConv2d)]
    try:
        with torch.inference_mode():
            for photo in photos:
                network(torch.from_numpy(photo)[None])
    finally:
        for hook in hooks:
            hook.remove()
    means = {name: torch.stack(pairs).mean(0).tolist() for name, pairs in seen.items()}
    return {name: _with_zero(low, high) for name, (low, high) in means.items()}


def _with_zero(low: float, high: float) -> tuple[float, float]:
    """The range, moved by less than a step so that zero is one of its 256 numbers, and stays zero."""
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / _STEPS or 1.0
    below = round(-low / step)
    return -below * step, (_STEPS - below) * step


def quantize(model: Any, ranges: Ranges) -> None:
    """Have the convolutions of an `openvino.Model` computed in 8 bits: OpenVINO finds the roundings put here.

    Args:
        model: By `openvino_graph`. It is changed.
        ranges: Of that network.

    Raises:
        KeyError: A convolution has no range.
    """
    from openvino import opset13 as opset

    def rounded(source: Any, low: Any, high: Any, numbers: int) -> Any:
        ends = [opset.constant(np.asarray(end, np.float32)) for end in (low, high)]
        return opset.fake_quantize(source, *ends, *ends, numbers).output(0)

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        low, high = ranges[node.get_friendly_name()]
        taken, weights = node.input(0), node.input(1)
        while taken.get_source_output().get_node().get_type_name() in ("Pad", "Interpolate"):
            # These only copy numbers, and bytes are copied four times as fast.
            taken = taken.get_source_output().get_node().input(0)
        taken.replace_source_output(rounded(taken.get_source_output(), low, high, _STEPS + 1))
        source = weights.get_source_output()
        most = np.abs(source.get_node().data).max((1, 2, 3), keepdims=True)
        most = np.maximum(most, np.finfo(np.float32).tiny)  # a channel of zeros has a range, too
        weights.replace_source_output(rounded(source, -most, most, _STEPS))
    model.validate_nodes_and_infer_types()


def ranges_file(model: Path) -> Path:
    """Where the ranges of the model in a file lie: beside it."""
    return model.with_suffix(".int8.json")


def save_ranges(model: Path, ranges: Ranges, content: Mapping[str, Any]) -> None:
    """Write the ranges of the model in a file beside it.

    Args:
        model: The model's file.
        ranges: Its ranges.
        content: What photos they were taken on, for people to read.

    Raises:
        OSError: The file cannot be written.
    """
    # Seven digits: their error is a ten-thousandth of a step.
    rounded = {name: [float(f"{end:.7g}") for end in ends] for name, ends in ranges.items()}
    entry = {"model_sha256": _sha256(model), **content, "ranges": rounded}
    write_atomically(ranges_file(model), (json.dumps(entry, indent=1) + "\n").encode())


def load_ranges(model: Path) -> Ranges | None:
    """The ranges of the model in a file; None where there are none, or where they are another model's."""
    try:
        entry = json.loads(ranges_file(model).read_bytes())
        if entry["model_sha256"] != _sha256(model):
            return None
        ranges = {str(name): (float(low), float(high)) for name, (low, high) in entry["ranges"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    sound = all(-math.inf < low <= 0 <= high < math.inf for low, high in ranges.values())
    return ranges if sound else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
