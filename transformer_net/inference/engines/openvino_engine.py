"""OpenVINO on the CPU: float32, bfloat16 or int8; and on the GPUs and NPUs that it has plugins for."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from transformer_net.devices import multiplies_bf16
from transformer_net.errors import SettingError
from transformer_net.inference.engines import working_memory
from transformer_net.inference.engines.base import Floats, require_engine
from transformer_net.inference.engines.openvino_graph import openvino_graph
from transformer_net.inference.engines.quantization import Ranges, quantize
from transformer_net.inference.tiling.fold_norms import Piecewise
from transformer_net.memory import give_back
from transformer_net.network import TransformerNet


class OpenVinoEngine:
    """OpenVINO on the CPU, or on another device by its plugin (which is untested).

    Args:
        network: What to compute.
        threads: How many compute one painting on a CPU.
        precision: fp32; bf16; or int8, in which the convolutions are computed, the rest in float32. fp16 in
            place of bf16 where it is not a CPU.
        ranges: What int8 needs to know of the network.
        plugin: OpenVINO's name of the device: CPU, GPU, GPU.1, NPU.

    Raises:
        SettingError: OpenVINO is not installed or has no such device, there are no ranges, the precision is
            no gain here, or the normalizer has options.
    """

    name = "openvino"

    def __init__(
        self,
        network: TransformerNet,
        threads: int,
        precision: str = "fp32",
        ranges: Ranges | None = None,
        plugin: str = "CPU",
    ) -> None:
        self.precision = precision
        self.fingerprint = precision if precision != "int8" else f"int8 {ranges}"
        _check(precision, ranges, plugin)
        require_engine("openvino")
        self._threads, self._ranges, self.plugin = threads, ranges, plugin
        self._model = self._compiled(openvino_graph(network))
        self._kept = 0  # pixels of the painting whose memory is kept
        self._alone = threading.Lock()

    def _compiled(self, model: Any) -> Any:
        if self.precision == "int8":
            assert self._ranges is not None
            quantize(model, self._ranges)
        # What is not in int8. Left alone, OpenVINO takes less than float32 where it is faster.
        hints: dict[str, object] = {
            "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp16": "f16"}.get(self.precision, "f32"),
            "PERFORMANCE_HINT": "LATENCY",
        }
        if self.plugin == "CPU":
            hints["INFERENCE_NUM_THREADS"] = self._threads
            hints["ENABLE_CPU_PINNING"] = False  # two servers on one machine would share the first cores
        try:
            return _openvino_core().compile_model(model, self.plugin, hints)
        except RuntimeError as error:
            raise SettingError(f"OpenVINO's {self.plugin} cannot compute this network.") from error

    def __call__(self, pixels: Floats) -> Floats:
        """As `Engine.__call__`."""
        tensor = require_engine("openvino").Tensor
        photos = np.ascontiguousarray(pixels[None])
        paintings = np.empty_like(photos)
        working_memory.owner.claim(self)
        # One at a time: a painting uses all threads anyway, and memory can only be released at rest.
        with self._alone:
            request = self._model.create_infer_request()
            request.set_input_tensor(tensor(photos, shared_memory=True))
            request.set_output_tensor(tensor(paintings, shared_memory=True))  # it would keep one of its own
            request.infer()
            del request
            self._kept = paintings[0, 0].size
        if paintings[0, 0].size < working_memory.LARGE:
            working_memory.owner.claim(self)
        else:
            self.release_memory()
        painting: Floats = paintings[0]
        return painting

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """As `Engine.piecewise`, in this engine's precision."""
        working_memory.owner.claim(self)
        self.release_memory()  # what whole pictures were painted in
        request = self._compiled(openvino_graph(frozen, piecewise=True)).create_infer_request()
        tensor = require_engine("openvino").Tensor

        def run(padded: Floats) -> torch.Tensor:
            piece = np.ascontiguousarray(padded[None])
            with self._alone:
                request.infer({0: tensor(piece, shared_memory=True)})
            return torch.from_numpy(request.get_output_tensor().data)

        return run

    def release_memory(self) -> None:
        """Releases the memory of the last painting, unless the next one is being painted."""
        if self._alone.acquire(blocking=False):
            try:
                if self._kept and self.plugin == "CPU":
                    self._model.release_memory()
                if self._kept >= working_memory.TRIMMED:
                    give_back()
                self._kept = 0
            finally:
                self._alone.release()


def _check(precision: str, ranges: Ranges | None, plugin: str) -> None:
    if plugin != "CPU" and plugin.split(".")[0] not in {name.split(".")[0] for name in _present()}:
        have = ", ".join(_present())
        raise SettingError(f"OpenVINO finds no {plugin} in this machine, or no driver of it, but: {have}.")
    if precision == ("fp16" if plugin == "CPU" else "bf16"):
        others = "bf16 or int8" if plugin == "CPU" else "fp16 or int8"
        raise SettingError(f"The engine openvino computes in fp32, {others}, not in {precision}.")
    if precision == "bf16" and not multiplies_bf16():
        raise SettingError("This processor has no bfloat16 arithmetic, so bf16 would take longer than fp32.")
    if precision == "int8" and ranges is None:
        raise SettingError(
            "This model is not prepared for int8, or has changed since: run python -m "
            "styles.gallery.quantize first, for a file of your own with --model FILE."
        )


def _present() -> list[str]:
    devices: list[str] = _openvino_core().available_devices
    return devices


@lru_cache
def _openvino_core() -> Any:
    return require_engine("openvino").Core()
