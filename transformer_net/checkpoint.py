"""The one model-file format: safetensors with a JSON description, read back strictly.

Convolution weights are stored as float16, vectors (biases, norm parameters, running statistics) as float32:
they are a thousandth of the bytes, and a running variance does not fit float16's range. Nothing in a model
file is ever unpickled.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from transformer_net.errors import ModelFileError, UnknownNormError
from transformer_net.network import TransformerNet

FORMAT_VERSION = 2

_UPSAMPLING = {1: "nearest"}
"""What networks of a format version had that does not say so."""

_KEY = "stylizer"  # the metadata entry that holds the description


@dataclass(frozen=True)
class ModelInfo:
    """The description in a model file.

    Attributes:
        norm: Canonical name of the normalizer.
        width: Channels of the first layer.
        norm_options: Keyword arguments of the normalizer.
        style: Name of the style it paints.
        grain: Standard deviation of the noise that its input needs; see `transformer_net.grain`.
        training: How it was trained: iterations, content set, weights of the losses, seed, validation
            losses, torch version. For people to read; painting does not depend on it.
        upsampling: How the network enlarges; see `TransformerNet`.
    """

    norm: str
    width: int
    norm_options: dict[str, Any] = field(default_factory=dict)
    style: str = "unnamed"
    grain: float = 0.0
    training: dict[str, Any] = field(default_factory=dict)
    upsampling: str = "bilinear"


def save_model(
    path: Path,
    network: TransformerNet,
    style: str,
    grain: float = 0.0,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write `network` to `path`, completely or not at all.

    Raises:
        OSError: The file cannot be written.
        ModelFileError: The network holds a value that is not finite.
    """
    tensors = {}
    for name, tensor in network.state_dict().items():
        dtype = torch.float16 if tensor.ndim > 1 else tensor.dtype
        tensors[name] = tensor.detach().to("cpu", dtype).contiguous()
        if not torch.isfinite(tensors[name]).all():
            raise ModelFileError(f"The network's {name} is not finite, so it was not saved to {path}.")
    description = {
        "format": FORMAT_VERSION,
        "norm": network.norm,
        "norm_options": network.norm_options,
        "width": network.width,
        "upsampling": network.upsampling,
        "style": style,
        "grain": grain,
        "training": dict(training or {}),
    }
    write_atomically(path, save(tensors, {_KEY: json.dumps(description, sort_keys=True)}))


def load_model(path: Path | str) -> tuple[TransformerNet, ModelInfo]:
    """The network in `path`, in float32 and evaluation mode, and what the file says of it.

    Raises:
        ModelFileError: There is no such file, it is not a safetensors file of ours, its format version
            is unknown, its description does not make a network, its keys or shapes differ from that
            network's, or a value is not finite. The sentence says which.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"The model file {path} cannot be read: {error.strerror}.") from error
    try:
        tensors = load(data)  # checks the header, the offsets and the length
    except SafetensorError as error:
        raise ModelFileError(f"The model file {path} is damaged or not a safetensors file.") from error
    info = _parse(path, data[8 : 8 + int.from_bytes(data[:8], "little")])
    if info.norm_options.get("operator") == "fc" and any(name.endswith("gate_weight") for name in tensors):
        info = replace(info, norm_options={**info.norm_options, "operator": "full"})  # its name since
    try:
        network = TransformerNet(info.norm, info.width, info.norm_options, info.upsampling)
    except (UnknownNormError, TypeError, ValueError) as error:
        raise ModelFileError(f"The model file {path} does not describe a valid network: {error}") from error
    _fill(path, network, tensors)
    return network.eval(), info


def read_info(path: Path | str) -> ModelInfo:
    """The description alone, without building the network; raises as `load_model`."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(min(size, 1 << 20))
    except OSError as error:
        raise ModelFileError(f"The model file {path} cannot be read: {error.strerror}.") from error
    return _parse(path, header)


def network_sha256(network: TransformerNet) -> str:
    """Checksum of what a network is: its norm, the norm's options, width, upsampling and weights."""
    kind = [network.norm, network.width, network.norm_options, network.upsampling]
    digest = hashlib.sha256(json.dumps(kind).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile.mkstemp: its files have mode 0600, and this one's is what the umask leaves.
    temporary = path.with_name(f".{secrets.token_hex(8)}")  # short: the name itself may be as long as can be
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _parse(path: Path, header: bytes) -> ModelInfo:
    try:
        description = json.loads(json.loads(header)["__metadata__"][_KEY])
        version = description["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"The model file {path} does not describe a style network.") from error
    if version not in (FORMAT_VERSION, *_UPSAMPLING):
        raise ModelFileError(
            f"The model file {path} has format version {version!r}; this program reads {FORMAT_VERSION} and "
            "those before."
        )
    try:
        info = ModelInfo(
            norm=description["norm"],
            width=description["width"],
            norm_options=description["norm_options"],
            style=description["style"],
            grain=description["grain"],
            training=description["training"],
            upsampling=_UPSAMPLING.get(version) or description["upsampling"],
        )
    except KeyError as error:
        raise ModelFileError(f"The model file {path} lacks {error} in its description.") from error
    kinds: dict[str, type | tuple[type, ...]] = {
        "norm": str,
        "width": int,
        "norm_options": dict,
        "style": str,
        "grain": (int, float),
        "training": dict,
        "upsampling": str,
    }
    for name, kind in kinds.items():
        value = getattr(info, name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ModelFileError(f"The model file {path} has a wrong {name!r} in its description.")
    if not (math.isfinite(info.grain) and info.grain >= 0):
        raise ModelFileError(f"The model file {path} has a grain of {info.grain}, which is not 0 or more.")
    if info.style in ("", ".", "..") or set(info.style) & set("/\\\0"):
        raise ModelFileError(f"The model file {path} has an unusable style name: {info.style!r}.")
    if not 1 <= info.width <= 1024:
        raise ModelFileError(f"The model file {path} has a width of {info.width}, outside 1 to 1024.")
    return info


def _fill(path: Path, network: TransformerNet, tensors: Mapping[str, Tensor]) -> None:
    wanted = network.state_dict()
    if missing := sorted(wanted.keys() - tensors.keys()):
        raise ModelFileError(f"The model file {path} lacks {missing[0]} ({len(missing)} tensors missing).")
    if extra := sorted(tensors.keys() - wanted.keys()):
        raise ModelFileError(
            f"The model file {path} has an unknown {extra[0]} ({len(extra)} tensors too many)."
        )
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise ModelFileError(
                f"In the model file {path}, {name} has shape {tuple(tensor.shape)} "
                f"instead of {tuple(wanted[name].shape)}."
            )
        if not torch.isfinite(tensor).all():
            raise ModelFileError(f"In the model file {path}, {name} is not finite.")
    network.load_state_dict({name: tensor.to(wanted[name].dtype) for name, tensor in tensors.items()})
