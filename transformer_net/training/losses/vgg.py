"""VGG-16 feature taps, for the perceptual losses.

Simonyan and Zisserman 2015, arXiv 1409.1556, with torchvision's ImageNet weights. The convolutions up to
conv4_3 ship beside this module as float16 (`weights/README.md` says where they come from), so that training
works without a network connection.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from transformer_net.errors import SettingError
from transformer_net.network import IMAGENET_MEAN, IMAGENET_STD, ReflectConv2d

WEIGHTS = Path(__file__).parent / "weights" / "vgg16_conv4_3.fp16.safetensors"

TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")

# Output channels of each 3x3 convolution, "pool" for 2x2 max pooling; a tap follows the last ReLU of a row.
_LAYERS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512))

CHANNELS = tuple(row[-1] for row in _LAYERS)
"""Channels of each tap."""

VggSource = Literal["shipped", "torchvision"]


class Vgg16Features(nn.Module):
    """Activations after relu1_2, relu2_2, relu3_3 and relu4_3.

    VGG pads with zeros, which after normalization means a mid-grey frame; a painting that fits its losses
    then fades to grey along its edges. So the default here pads by reflection; `zeros` is the original.

    The layers carry torchvision's indices (`features.0` to `features.21`), so torchvision's own state dict
    loads unchanged.

    Args:
        source: `shipped` (float16 file of the repository), `torchvision` (downloads
            `VGG16_Weights.IMAGENET1K_V1` at first use) or None (random weights, for tests and timings).
        padding: `reflect` or `zeros`.
    """

    mean: Tensor
    std: Tensor
    source: str

    def __init__(
        self, source: VggSource | None = "shipped", padding: Literal["reflect", "zeros"] = "reflect"
    ) -> None:
        super().__init__()
        self.source = source or "random"
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.features = nn.ModuleDict()
        index, channels = 0, 3
        self._rows: list[list[str]] = []
        for row in _LAYERS:
            names = []
            for out_channels in row:
                names.append(str(index))
                self.features[str(index)] = (
                    ReflectConv2d(channels, out_channels, 3)
                    if padding == "reflect"
                    else nn.Conv2d(channels, out_channels, 3, padding=1)
                )
                index, channels = index + 2, out_channels  # a ReLU stands between two convolutions
            self._rows.append(names)
            index += 1  # max pooling
        if source is not None:
            self.load_state_dict(vgg16_state_dict(source))
        self.requires_grad_(False).eval()

    def forward(self, image: Tensor, taps: int = len(TAPS)) -> list[Tensor]:
        """The first `taps` activations of an RGB image (B, 3, H, W) in [0, 1], finest first."""
        x = (image - self.mean) / self.std
        activations: list[Tensor] = []
        for row in self._rows[:taps]:
            if activations:
                x = F.max_pool2d(x, 2)
            for name in row:
                x = F.relu(self.features[name](x))
            activations.append(x)
        return activations


def vgg16_state_dict(source: VggSource) -> dict[str, Tensor]:
    """Weights and biases up to conv4_3 in float32, named as in torchvision (`features.0.weight`, …).

    Raises:
        SettingError: The download failed.
    """
    if source == "shipped":
        return {name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}
    from torchvision.models import VGG16_Weights

    try:
        everything = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, or half a file
        raise SettingError(
            f"torchvision's VGG-16 could not be downloaded ({error}); --vgg shipped needs no download."
        ) from error
    return {
        f"features.{i}.{kind}": everything[f"features.{i}.{kind}"]
        for i in convolution_indices()
        for kind in ("weight", "bias")
    }


def convolution_indices() -> list[int]:
    """Torchvision's indices of the ten convolutions up to conv4_3."""
    return [0, 2, 5, 7, 10, 12, 14, 17, 19, 21]
