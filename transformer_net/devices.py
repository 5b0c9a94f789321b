"""Where to compute, and with how many threads: the choice of device, and its name for the records."""

from __future__ import annotations

from functools import lru_cache

import torch

from transformer_net.cores import available_cores
from transformer_net.errors import SettingError


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU.

    Raises:
        SettingError: The device is unknown or not in this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # which a device without memory, meta, cannot
    except (RuntimeError, AssertionError) as error:
        raise SettingError(f"The device {name!r} is not available on this machine.") from error
    return device


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
