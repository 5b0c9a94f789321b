"""The style prediction network: a style picture's descriptor in, the parameters of all norms out.

Ghiasi et al. 2017, arXiv 1705.06830, after the conditional norms of Dumoulin et al. 2016, arXiv 1610.07629:
all styles share the convolutions, and a style is what the norms multiply by and add. Put into the norms, the
predicted numbers make an ordinary `TransformerNet`, which nothing after the prediction can tell from a
trained one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.func import functional_call

from transformer_net.checkpoint import write_atomically
from transformer_net.errors import ModelFileError
from transformer_net.network import HEAD_OFFSET, HEAD_SCALE, TransformerNet
from transformer_net.norms import BatchNorm, InstanceNorm
from transformer_net.prediction.descriptor import DESCRIPTOR

_PREDICTED = ("weight", "bias", "gate_weight", "gate_bias", "excite.bias")
"""Parameters of a norm that are predicted, where it has them: the vectors. The gate's matrices are shared."""

_COLOUR = 12
"""Numbers of an affine map of colours."""

_KEY = "style predictor"  # the metadata entry that holds the description

_CLIP = 4.0
"""Standardized numbers of a descriptor are limited to so many standard deviations."""


class StylePredictor(TransformerNet):
    """The convolutions that all styles share, and what predicts the norms' parameters for each.

    Three linear layers with GELU between them; the last one starts at zero, so that training begins at the
    parameters that the norms have. A linear map of the painting's colours is predicted, too, and goes into
    the last convolution.

    Args:
        norm, width, norm_options, upsampling: As of `TransformerNet`.
        hidden: Units of the two inner layers.
    """

    mean_descriptor: Tensor
    deviation: Tensor

    def __init__(
        self,
        norm: str = "in",
        width: int = 16,
        norm_options: Mapping[str, Any] | None = None,
        upsampling: str = "bilinear",
        hidden: int = 512,
    ) -> None:
        super().__init__(norm, width, norm_options, upsampling)
        self.hidden = hidden
        self._shapes = {
            f"{place}.{name}": parameter.shape
            for place, module in self.named_modules()
            if isinstance(module, BatchNorm | InstanceNorm)
            for name, parameter in module.named_parameters()
            if name in _PREDICTED
        }
        numbers = sum(shape.numel() for shape in self._shapes.values())
        self.register_buffer("mean_descriptor", torch.zeros(DESCRIPTOR))
        self.register_buffer("deviation", torch.ones(DESCRIPTOR))
        last = nn.Linear(hidden, numbers + _COLOUR)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.predictor = nn.Sequential(
            nn.Linear(DESCRIPTOR, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), last
        )

    @classmethod
    def around(cls, network: TransformerNet, hidden: int = 512, seed: int = 0) -> StylePredictor:
        """A predictor that has learned nothing yet: every style is painted as `network` paints.

        Args:
            network: Whose convolutions and norms it begins with.
            hidden: Units of the two inner layers.
            seed: Decides their first weights.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            new = cls(network.norm, network.width, network.norm_options, network.upsampling, hidden)
        new.load_state_dict(network.state_dict(), strict=False)
        return new

    def forward(self, photo: Tensor, descriptor: Tensor | None = None) -> Tensor:
        """The paintings (B, 3, H, W) of photos in [0, 1], each in the style of its own descriptor.

        Args:
            photo: (B, 3, H, W).
            descriptor: (B, `DESCRIPTOR`); None paints with the parameters that the norms have.
        """
        if descriptor is None:
            return super().forward(photo)
        parameters, colour, offset = self.predict(descriptor)
        painting = functional_call(self, parameters, (photo,))
        with torch.autocast(photo.device.type, enabled=False):
            mixed = torch.einsum("bij,bjhw->bihw", colour, painting.float() - HEAD_OFFSET)
            return mixed + (HEAD_OFFSET + HEAD_SCALE * offset[:, :, None, None])

    def predict(self, descriptor: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """The norms' parameters by name, (B, C) each; and the map of the colours, (B, 3, 3) and (B, 3)."""
        with torch.autocast(descriptor.device.type, enabled=False):
            standardized = ((descriptor - self.mean_descriptor) / self.deviation).clamp(-_CLIP, _CLIP)
            numbers = self.predictor(standardized)
        found, start = dict[str, Tensor](), 0
        for name, shape in self._shapes.items():
            found[name] = self.get_parameter(name) + numbers[:, start : start + shape.numel()]
            start += shape.numel()
        colour, offset = numbers[:, start : start + 9], numbers[:, start + 9 :]
        return found, torch.eye(3, device=colour.device) + colour.view(-1, 3, 3), offset

    @torch.no_grad()
    def for_style(self, descriptor: Tensor) -> TransformerNet:
        """The network that paints in the style of one descriptor, (`DESCRIPTOR`,); in evaluation mode."""
        found, colour, offset = self.predict(descriptor[None])
        network = TransformerNet(self.norm, self.width, self.norm_options, self.upsampling)
        state = {key: value for key, value in self.state_dict().items() if key in network.state_dict()}
        state |= {name: value[0] for name, value in found.items()}
        state["head.weight"] = torch.einsum("ij,jcyx->icyx", colour[0], state["head.weight"])
        state["head.bias"] = F.linear(state["head.bias"], colour[0], offset[0])
        network.load_state_dict(state)
        return network.eval()


def save_predictor(path: Path, predictor: StylePredictor, grain: float, training: Mapping[str, Any]) -> None:
    """Write a predictor to `path`, matrices as float16.

    Args:
        path: The file.
        predictor: What to write.
        grain: Standard deviation of the noise that its networks' inputs need.
        training: How it was trained, for people to read.

    Raises:
        OSError: The file cannot be written.
    """
    description = {
        "norm": predictor.norm,
        "norm_options": predictor.norm_options,
        "width": predictor.width,
        "upsampling": predictor.upsampling,
        "hidden": predictor.hidden,
        "grain": grain,
        "training": dict(training),
    }
    tensors = {
        name: tensor.detach().to("cpu", torch.float16 if tensor.ndim > 1 else tensor.dtype).contiguous()
        for name, tensor in predictor.state_dict().items()
    }
    write_atomically(path, save(tensors, {_KEY: json.dumps(description, sort_keys=True)}))


def load_predictor(path: Path) -> tuple[StylePredictor, dict[str, Any]]:
    """The predictor in `path`, in evaluation mode, and its description.

    Raises:
        ModelFileError: There is no such file, or it is not a predictor.
    """
    try:
        with safe_open(path, "pt") as file:
            description: dict[str, Any] = json.loads(file.metadata()[_KEY])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (no mapping)
        kind = {name: description[name] for name in ("norm", "width", "norm_options", "upsampling", "hidden")}
        predictor = StylePredictor(**kind)
        predictor.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{path} is not the file of a style predictor.") from error
    return predictor.eval(), description
