"""Where to compute, and with how many threads: the device, its failures, its name for the records."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from transformer_net.cores import available_cores
from transformer_net.errors import DeviceFailedError, DeviceMemoryError, SettingError
from transformer_net.network import TransformerNet

log = logging.getLogger(__name__)

_MEMORY = re.compile("out of memory|_ALLOC_FAILED", re.IGNORECASE)
_FAILURE = re.compile("CUDA error|cuDNN error|CUDNN_STATUS|CUBLAS_STATUS|MPS backend")


@lru_cache  # one trial and one logged line, however many models are loaded
def pick_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA, else Apple's MPS, if it paints; else the CPU, with a logged line if there is a GPU.

    Raises:
        SettingError: The device is unknown or not in this machine, or does not paint.
    """
    if name == "auto":
        gpu = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        try:
            return pick_device(gpu)
        except SettingError as error:
            log.warning("Computing on the CPU: %s", error)
            return torch.device("cpu")
    try:
        device = torch.device(name)
        painted = device.type == "cpu" or paints(device)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"The device {name!r} is not available on this machine.") from error
    if not painted:
        raise SettingError(f"The device {name!r} does not compute what a CPU does.")
    return device


@torch.inference_mode()
def paints(device: torch.device) -> bool:
    """Whether a small network paints on a device what it paints on the CPU.

    Raises:
        RuntimeError, AssertionError: The device is missing or fails.
    """
    with torch.random.fork_rng(devices=[]):  # a training's random numbers must not depend on this
        network, photo = TransformerNet("iebn", 8).eval(), torch.rand(1, 3, 64, 64)
    expected = network(photo)
    network = network.to(device).to(memory_format=torch.channels_last)
    painted = network(photo.to(device, memory_format=torch.channels_last)).cpu()
    return bool((painted - expected).abs().max() < 0.1 * expected.std())  # TF32 rounds to a thousandth


@contextmanager
def device_errors() -> Iterator[None]:
    """Tell of a GPU's memory that is full, and of a GPU that fails, in a sentence.

    Raises:
        DeviceMemoryError: In place of what PyTorch raises where memory is full.
        DeviceFailedError: In place of what it raises where the GPU reports an error.
    """
    try:
        yield
    except RuntimeError as error:
        said = str(error)
        if isinstance(error, torch.OutOfMemoryError) or _MEMORY.search(said):
            traceback.clear_frames(error.__traceback__)  # they keep what memory is full of
            raise DeviceMemoryError from error
        if isinstance(error, torch.AcceleratorError) or _FAILURE.search(said):
            raise DeviceFailedError from error
        raise


def release_memory(device: torch.device) -> None:
    """Return to the GPU what PyTorch keeps of its memory for the next painting."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def bound_memory(device: torch.device, share: float) -> None:
    """Let this process take at most this share of a CUDA GPU's memory, within 0 and 1."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(share, device)


def openvino_plugin(device: str | torch.device) -> str | None:
    """`GPU` of `openvino:GPU`, the name of a device of OpenVINO's; None for PyTorch's devices."""
    library, _, plugin = str(device).partition(":")
    return plugin.upper() if library.lower() == "openvino" else None


def torch_device(device: str | torch.device) -> torch.device:
    """Where PyTorch computes beside it: on the CPU where the device is one of OpenVINO's."""
    return torch.device("cpu" if openvino_plugin(device) is not None else device)


def use_threads(threads: int | None = None) -> int:
    """Let PyTorch compute with so many threads from now on, when it is called by this thread or a new one.

    Args:
        threads: How many; None for as many as PyTorch would take by itself, at most the container's quota, of
            which it does not know.

    Returns:
        The number.
    """
    usual = _usual_threads()  # before it is changed
    chosen = threads or min(usual, available_cores())
    if torch.get_num_threads() != chosen:
        torch.set_num_threads(chosen)
    return chosen


@lru_cache
def _usual_threads() -> int:
    """What PyTorch had before `use_threads` was first called."""
    return torch.get_num_threads()


def describe_machine(device: torch.device) -> str:
    """Processor and thread count, or the GPU's name, for the card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        name = str(torch.cpu.get_capabilities().get("cpu_name") or "CPU").strip()
        return f"{name}, {torch.get_num_threads()} threads"
    return device.type


def multiplies_bf16() -> bool:
    """Whether this processor multiplies bfloat16 natively, which makes it faster than float32."""
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))
