"""What computes a painting: PyTorch, OpenVINO or ONNX Runtime behind one call.

All take the photo with its grain and give what `TransformerNet` gives, so that everything else (decoding,
grain, clamping, encoding) exists once. The same input gives the same output each time, from any thread.
"""

from __future__ import annotations

import logging
import threading
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from transformer_net.cores import available_cores, default_threads
from transformer_net.devices import multiplies_bf16
from transformer_net.errors import SettingError
from transformer_net.inference.engines import working_memory
from transformer_net.inference.engines.conversion import fingerprint, openvino_bytes, to_onnx, to_openvino
from transformer_net.inference.engines.conversion_cache import cached
from transformer_net.inference.engines.openvino_graph import frozen_graph
from transformer_net.inference.engines.quantization import Ranges, quantize
from transformer_net.inference.tiling.fold_norms import Piecewise, by_torch
from transformer_net.memory import give_back
from transformer_net.network import TransformerNet
from transformer_net.optional import require

log = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "openvino", "onnxruntime")

ON_CPU = ("bf16", "int8")
"""Precisions that are for CPUs, by OpenVINO."""

PRECISIONS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "int8": "int8"}
"""Name of a precision in options → the number format that is computed in."""

Floats = npt.NDArray[np.float32]


class Engine(Protocol):
    """Computes paintings with one network. Safe to share between threads.

    Attributes:
        name: Its name in `ENGINES`.
        precision: A key of `PRECISIONS`.
    """

    name: str
    precision: str

    def __call__(self, pixels: Floats) -> Floats:
        """The painting of a photo; both (3, H, W), each side at least `MIN_SIDE`.

        Args:
            pixels: RGB in [0, 1], grain already added.

        Returns:
            RGB, not clamped.
        """

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """What paints a picture piece by piece; see `tiles`.

        Args:
            frozen: This engine's network, frozen for that picture; from `freeze`.

        Returns:
            For one thread, and for as long as that picture is being painted.
        """


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
        device: Where to compute.
        engine: A name in `ENGINES`, in any case. `auto` is OpenVINO on a CPU, and PyTorch elsewhere or where
            OpenVINO is not installed.
        precision: A key of `PRECISIONS`; fp16 is for CUDA, bf16 and int8 are for OpenVINO.
        threads: Threads on a CPU; None for as many as this process may use.
        ranges: What int8 needs to know of the network; see `quantization`.

    Raises:
        SettingError: There is no such engine or precision, it is not installed, or it cannot do this.
    """
    device, name, precision = torch.device(device), engine.strip().lower(), precision.strip().lower()
    if name not in ENGINES:
        raise SettingError(f"There is no engine {engine!r}; choose one of {', '.join(ENGINES)}.")
    if precision not in PRECISIONS:
        raise SettingError(f"There is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if name == "auto":
        name = _best_engine(device)
    if name == "torch":
        return TorchEngine(network, device, precision, threads)
    if device.type != "cpu":
        raise SettingError(f"The engine {name} computes on the CPU only, not on {device.type}.")
    if name == "openvino":
        return OpenVinoEngine(network, threads or default_threads(), precision, ranges)
    if precision != "fp32":
        raise SettingError(f"The engine {name} computes in fp32 only, not in {precision}.")
    return OnnxRuntimeEngine(network, threads or default_threads())


def _best_engine(device: torch.device) -> str:
    if device.type != "cpu":
        return "torch"
    try:
        require_engine("openvino")
    except SettingError as error:
        _say_once(f"Painting with PyTorch, which takes longer: {error}")
        return "torch"
    return "openvino"


# ONNX Runtime reads what the other two write.
_PACKAGES = {"openvino": "openvino", "onnxruntime": "onnxruntime onnx onnxscript"}


def require_engine(name: str) -> Any:
    """The module of a library that computes: openvino or onnxruntime.

    Raises:
        SettingError: It is not installed; the sentence says what to do.
    """
    return require(name, f"The engine {name}", _PACKAGES[name])


@lru_cache  # one line, however many models are loaded
def _say_once(sentence: str) -> None:
    log.warning(sentence)


class TorchEngine:
    """PyTorch, on a CPU, on CUDA, or on Apple's MPS (which has never been tried).

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
        self.precision, self.device = precision, device
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)
        if device.type == "cpu":
            # The number is the process's. PyTorch knows the affinity, but not the container's quota.
            torch.set_num_threads(threads or min(torch.get_num_threads(), available_cores()))

    @torch.inference_mode()
    def __call__(self, pixels: Floats) -> Floats:
        """As `Engine.__call__`."""
        batch = torch.from_numpy(pixels)[None].to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.float16, enabled=self.precision == "fp16"):
            painted = self.network(batch)
        painting: Floats = painted[0].float().cpu().numpy()
        return painting

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """As `Engine.piecewise`; always in float32."""
        return by_torch(frozen)


class OpenVinoEngine:
    """OpenVINO on the CPU.

    Args:
        network: What to compute.
        threads: How many compute one painting.
        precision: fp32; bf16; or int8, in which the convolutions are computed, the rest in float32.
        ranges: What int8 needs to know of the network.

    Raises:
        SettingError: OpenVINO is not installed, there are no ranges, or the precision is no gain here.
    """

    name = "openvino"

    def __init__(
        self,
        network: TransformerNet,
        threads: int,
        precision: str = "fp32",
        ranges: Ranges | None = None,
    ) -> None:
        self.precision = precision
        _check(precision, ranges)
        library = require_engine("openvino")
        key = f"{fingerprint(network)}-openvino-{_version(library)}-torch-{_version(torch)}"
        entry = cached(key, lambda: _joined(*openvino_bytes(to_openvino(_on_cpu(network)))))
        self._threads, self._ranges = threads, ranges
        self._model = self._compiled(_openvino_core().read_model(*_parted(entry)))
        self._kept = 0  # pixels of the painting whose memory is kept
        self._alone = threading.Lock()

    def _compiled(self, model: Any) -> Any:
        if self.precision == "int8":
            assert self._ranges is not None
            quantize(model, self._ranges)
        return _openvino_core().compile_model(
            model,
            "CPU",
            {
                # What is not in int8. Left alone, OpenVINO takes bfloat16 where the processor has it.
                "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bf16" else "f32",
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": self._threads,
                "ENABLE_CPU_PINNING": False,  # two servers on one machine would share the first cores
            },
        )

    def __call__(self, pixels: Floats) -> Floats:
        """As `Engine.__call__`."""
        tensor = require_engine("openvino").Tensor
        photos = np.ascontiguousarray(pixels[None])
        paintings = np.empty_like(photos)
        working_memory.keeper.is_now(self)
        # One at a time: a painting uses all threads anyway, and memory can only be released at rest.
        with self._alone:
            request = self._model.create_infer_request()
            request.set_input_tensor(tensor(photos, shared_memory=True))
            request.set_output_tensor(tensor(paintings, shared_memory=True))  # it would keep one of its own
            request.infer()
            del request
            self._kept = paintings[0, 0].size
        if paintings[0, 0].size < working_memory.LARGE:
            working_memory.keeper.is_now(self)
        else:
            self.release_memory()
        painting: Floats = paintings[0]
        return painting

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """As `Engine.piecewise`, in this engine's precision."""
        working_memory.keeper.is_now(self)
        self.release_memory()  # what whole pictures were painted in
        request = self._compiled(frozen_graph(frozen)).create_infer_request()
        tensor = require_engine("openvino").Tensor

        def run(padded: Floats) -> torch.Tensor:
            piece = np.ascontiguousarray(padded[None])
            with self._alone:
                request.infer({0: tensor(piece, shared_memory=True)})
            return torch.from_numpy(request.get_output_tensor().data)

        return run

    def release_memory(self) -> None:
        """Gives back what the last painting was computed in, unless the next one is being painted."""
        if self._alone.acquire(blocking=False):
            try:
                if self._kept:
                    self._model.release_memory()
                if self._kept >= working_memory.TRIMMED:
                    give_back()
                self._kept = 0
            finally:
                self._alone.release()


def _check(precision: str, ranges: Ranges | None) -> None:
    if precision == "fp16":
        raise SettingError("The engine openvino computes in fp32, bf16 or int8, not in fp16.")
    if precision == "bf16" and not multiplies_bf16():
        raise SettingError("This processor has no bfloat16 arithmetic, so bf16 would take longer than fp32.")
    if precision == "int8" and ranges is None:
        raise SettingError(
            "This model is not prepared for int8, or has changed since: run python -m "
            "styles.gallery.quantize first, for a file of your own with --model FILE."
        )


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU, in float32.

    Args:
        network: What to compute.
        threads: How many compute one painting.

    Raises:
        SettingError: ONNX Runtime is not installed; or, where no converted model is kept, ONNX is not.
    """

    name, precision = "onnxruntime", "fp32"

    def __init__(self, network: TransformerNet, threads: int) -> None:
        library = require_engine("onnxruntime")
        key = f"{fingerprint(network)}-onnx-torch-{_version(torch)}"
        options = library.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.enable_cpu_mem_arena = False  # the arena never gives memory back
        options.log_severity_level = 3  # errors; what is wrong with a model is raised besides
        self._session = library.InferenceSession(
            cached(key, lambda: to_onnx(_on_cpu(network))), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixels: Floats) -> Floats:
        """As `Engine.__call__`."""
        paintings: list[Floats] = self._session.run(None, {"photo": pixels[None]})[0]
        return paintings[0]

    def piecewise(self, frozen: TransformerNet) -> Piecewise:
        """As `Engine.piecewise`, by PyTorch: writing ONNX takes seconds, and would for each picture."""
        return by_torch(frozen)


@lru_cache
def _openvino_core() -> Any:
    return require_engine("openvino").Core()


def _on_cpu(network: TransformerNet) -> TransformerNet:
    """`network`, or a copy: it stays where it is, for tiles are painted with it."""
    if network.head.weight.device.type == "cpu":
        return network
    copy = TransformerNet(network.norm, network.width, network.norm_options).eval()
    copy.load_state_dict(network.state_dict())
    return copy


def _joined(xml: bytes, weights: bytes) -> bytes:
    return len(xml).to_bytes(8, "little") + xml + weights


def _parted(entry: bytes) -> tuple[bytes, bytes]:
    end = 8 + int.from_bytes(entry[:8], "little")
    return entry[8:end], entry[end:]


def _version(library: Any) -> str:
    """A library's version, as far as it belongs into a file's name."""
    return "".join(c for c in str(library.__version__) if c.isalnum() or c in ".-")
