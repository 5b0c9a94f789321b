"""PyTorch, on CPUs and GPUs."""

from __future__ import annotations

import torch

from transformer_net.devices import use_threads
from transformer_net.errors import SettingError
from transformer_net.inference.engines.base import ON_CPU, Floats
from transformer_net.inference.tiling.fold_norms import Piecewise, by_torch
from transformer_net.network import TransformerNet


class TorchEngine:
    """PyTorch, on a CPU, on CUDA, or on Apple's MPS (which is untested).

    Half precision is autocast: convolutions in float16, vectors and running statistics as they are.

    Raises:
        SettingError: The precision is not for PyTorch, or no gain there.
    """

    name = "torch"

    def __init__(
        self,
        network: TransformerNet,
        device: torch.device,
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        if precision in ON_CPU:
            raise SettingError(f"The precision {precision} needs the engine openvino, on a CPU.")
        if precision != "fp32" and device.type != "cuda":
            raise SettingError(f"The precision {precision} needs a CUDA GPU, not the device {device.type}.")
        self.precision, self.device, self._threads = precision, device, threads
        self.fingerprint = precision
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, pixels: Floats) -> Floats:
        """As `Engine.__call__`."""
        self._use_threads()
        batch = torch.from_numpy(pixels)[None].to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.float16, enabled=self.precision == "fp16"):
            painted = self.network(batch)
        painting: Floats = painted[0].float().cpu().numpy()
        return painting

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """As `Engine.piecewise`; always in float32."""
        self._use_threads()
        return by_torch(frozen)

    def _use_threads(self) -> None:
        if self.device.type == "cpu":  # another engine may have another number, or another thread
            use_threads(self._threads)
