"""PyTorch, on CPUs and GPUs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from transformer_net.devices import use_threads
from transformer_net.errors import SettingError
from transformer_net.inference.engines.base import ON_CPU, Floats
from transformer_net.inference.tiling.fold_norms import Piecewise, by_torch
from transformer_net.network import TransformerNet

HALF = ("cuda",)
"""Types of devices on which fp16 is faster."""


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
        if precision != "fp32" and device.type not in HALF:
            raise SettingError(f"The precision {precision} needs a CUDA GPU, not the device {device.type}.")
        self.precision, self.device, self.threads = precision, device, threads
        self.fingerprint = precision
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)

    def __call__(self, pixels: Floats) -> Floats:
        """As `Engine.__call__`."""
        return self.paint_batch([pixels])[0]

    @torch.inference_mode()
    def paint_batch(self, photos: Sequence[Floats]) -> list[Floats]:
        """The paintings of photos of one size, computed together; each as `Engine.__call__`."""
        self._use_threads()
        there = [torch.from_numpy(pixels).to(self.device) for pixels in photos]
        batch = torch.stack(there) if len(there) > 1 else there[0][None]
        with torch.autocast(self.device.type, torch.float16, enabled=self.precision == "fp16"):
            painted = self.network(batch.to(memory_format=torch.channels_last))
        return list(painted.float().cpu().numpy())

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """As `Engine.piecewise`; always in float32."""
        self._use_threads()
        return by_torch(frozen)

    def _use_threads(self) -> None:
        if self.device.type == "cpu":  # another engine may have another number, or another thread
            use_threads(self.threads)
