"""The engine for a name: PyTorch, OpenVINO or ONNX Runtime behind one call.

All take the photo with its grain and give what `TransformerNet` gives, so that everything else (decoding,
grain, clamping, encoding) exists once. The same input gives the same output each time, from any thread.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch

from transformer_net.cores import default_threads
from transformer_net.devices import openvino_plugin, pick_device, torch_device
from transformer_net.errors import SettingError
from transformer_net.inference.engines.base import (
    ENGINES,
    ON_CPU,
    PRECISIONS,
    Engine,
    Floats,
    require_engine,
)
from transformer_net.inference.engines.onnxruntime_engine import OnnxRuntimeEngine
from transformer_net.inference.engines.openvino_engine import OpenVinoEngine
from transformer_net.inference.engines.quantization import Ranges
from transformer_net.inference.engines.torch_engine import TorchEngine
from transformer_net.network import TransformerNet

log = logging.getLogger(__name__)

LEAST_HALF = 40.0
"""PSNR in dB that paintings in fp16 have against those in fp32, or the model is not painted in fp16."""


def painting_device(name: str = "auto", engine: str = "auto", precision: str = "fp32") -> str | torch.device:
    """The device called `name`: as `pick_device`, or OpenVINO's own, `openvino:GPU`.

    `auto` is the CPU where the engine or the precision is for CPUs only.

    Raises:
        SettingError: As in `pick_device`.
    """
    if openvino_plugin(name) is not None:
        return name
    return pick_device("cpu" if name == "auto" and not uses_torch_gpus(name, engine, precision) else name)


def uses_torch_gpus(device: str, engine: str, precision: str) -> bool:
    """Whether with these names, paintings are computed on a GPU of PyTorch's where there is one."""
    by_torch = engine.strip().lower() in ("auto", "torch") and precision.strip().lower() not in ON_CPU
    return by_torch and device != "cpu" and openvino_plugin(device) is None


def make_engine(
    network: TransformerNet,
    device: str | torch.device = "cpu",
    engine: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
    ranges: Ranges | None = None,
) -> Engine:
    """The engine called `engine` for `network`.

    Args:
        network: In evaluation mode. PyTorch's engine computes with it, the others with what it is now.
        device: Where to compute: a device of PyTorch's, or `openvino:GPU` or the like.
        engine: A name in `ENGINES`, in any case. `auto` is OpenVINO on a CPU, and PyTorch elsewhere or where
            OpenVINO is not installed, or has no graph for the norm's options.
        precision: A key of `PRECISIONS`; fp16 is for GPUs, bf16 and int8 are for OpenVINO.
        threads: Threads on a CPU; None for as many as this process may use.
        ranges: What int8 needs to know of the network; see `quantization`.

    Raises:
        SettingError: There is no such engine or precision, it is not installed, or it cannot do this.
    """
    name, precision, plugin = engine.strip().lower(), precision.strip().lower(), openvino_plugin(device)
    device = torch_device(device)
    if name not in ENGINES:
        raise SettingError(f"There is no engine {engine!r}; choose one of {', '.join(ENGINES)}.")
    if precision not in PRECISIONS:
        raise SettingError(f"There is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if plugin is not None:
        if name not in ("auto", "openvino"):
            raise SettingError(f"The device openvino:{plugin} is for the engine openvino, not for {name}.")
        return OpenVinoEngine(network, threads or default_threads(), precision, ranges, plugin)
    if name == "auto":
        name = "torch" if network.norm_options else _best_engine(device)
    if name == "torch":
        return TorchEngine(network, device, precision, threads)
    if device.type != "cpu":
        raise SettingError(f"The engine {name} computes on the CPU only, not on {device.type}.")
    if name == "openvino":
        return OpenVinoEngine(network, threads or default_threads(), precision, ranges)
    if precision != "fp32":
        raise SettingError(f"The engine {name} computes in fp32 only, not in {precision}.")
    return OnnxRuntimeEngine(network, threads or default_threads())


def least_psnr(engine: Engine, reference: Engine, photos: Iterable[Floats]) -> float:
    """The least PSNR in dB, over some photos, of what one engine paints against what another does."""
    errors = [np.clip(engine(photo), 0, 1) - np.clip(reference(photo), 0, 1) for photo in photos]
    worst = max(float(np.square(error).mean()) for error in errors)
    return math.inf if worst == 0 else -10 * math.log10(worst)


def _best_engine(device: torch.device) -> str:
    if device.type != "cpu":
        return "torch"
    try:
        require_engine("openvino")
    except SettingError as error:
        _say_once(f"Painting with PyTorch, which takes longer: {error}")
        return "torch"
    return "openvino"


@lru_cache  # one line, however many models are loaded
def _say_once(sentence: str) -> None:
    log.warning(sentence)
