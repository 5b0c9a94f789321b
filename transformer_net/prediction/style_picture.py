"""A picture that nobody has trained on, as a style: its descriptor, and the network that paints like it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from transformer_net.checkpoint import ModelInfo
from transformer_net.errors import SettingError
from transformer_net.imaging.arrays import fit, to_array
from transformer_net.imaging.mark_scale import ANALYSED, check_style_picture, marks_seen_best
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS, canonical_norm, norm_slug
from transformer_net.prediction.descriptor import describe
from transformer_net.prediction.predictor import StylePredictor, load_predictor
from transformer_net.training.losses.vgg import Vgg16Features

PREDICTORS = Path(__file__).parents[1] / "predictors"

_WHOLE = 448 * 448
"""Pixels of the largest picture that is described as a whole, which takes two cores half a second."""

_SQUARE = 224
"""Side in pixels of the four squares that a larger picture is described by."""


class StylePicture:
    """A style picture and what the predictors make of it. Safe to share between threads.

    Args:
        picture: RGB. What is kept of it has a longer side of at most `ANALYSED` px.
        name: What its style is called.
        size: Shorter side in pixels at which the picture is seen; `marks_seen_best` where None. It is not
            enlarged.

    Attributes:
        image: The picture, as far as it is kept.
        name: As given.
        size: The shorter side in pixels.

    Raises:
        ImageSizeError, StylePictureError: See `check_style_picture`.
    """

    def __init__(self, picture: Image.Image, name: str, size: int | None = None) -> None:
        check_style_picture(picture)
        self.image, self.name = fit(picture, ANALYSED), name
        self.size = min(size or marks_seen_best(self.image), min(self.image.size))

    @cached_property
    def descriptor(self) -> Tensor:
        """What the norms are predicted from, (`DESCRIPTOR`,)."""
        scale = self.size / min(self.image.size)
        seen = self.image.resize(
            (round(self.image.width * scale), round(self.image.height * scale)), Image.Resampling.LANCZOS
        )
        pixels = _places(torch.from_numpy(to_array(seen))).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            # Statistics do not ask where anything is: the squares, one below the other, are one picture.
            features = [_one(activation) for activation in _vgg()(pixels)]
            return describe(features, _one(pixels))[0]

    def model(self, norm: str) -> tuple[TransformerNet, ModelInfo]:
        """The network that paints in this style, and what a model file says of it.

        Raises:
            UnknownNormError: There is no such normalizer.
            SettingError: It has no predictor.
            ModelFileError: Its predictor's file is unusable.
        """
        predictor, description = _predictor(predictor_file(norm))
        card: dict[str, Any] = description["training"]
        training = {
            "predicted": True,
            "style_size": self.size,
            "base_sha256": card.get("base_sha256", ""),
            "predictor_iterations": _steps(card),
        }
        network = predictor.for_style(self.descriptor)
        info = ModelInfo(
            network.norm,
            network.width,
            network.norm_options,
            self.name,
            description["grain"],
            training,
            network.upsampling,
        )
        return network, info


def predicted_norms() -> list[str]:
    """Normalizers that have a predictor, in the table's order."""
    return [norm for norm in NORMS if _file(norm).is_file()]


def predictor_file(norm: str) -> Path:
    """The file of a normalizer's predictor.

    Raises:
        UnknownNormError: There is no such normalizer.
        SettingError: It has no predictor.
    """
    path = _file(norm)
    if not path.is_file():
        raise SettingError(
            f"There is no style predictor for {canonical_norm(norm)}; "
            f"there is one for: {', '.join(predicted_norms()) or 'none'}."
        )
    return path


def _steps(card: Mapping[str, Any]) -> int:
    """Steps of a predictor's training, with those of the trainings that it went on from."""
    before = card.get("before")
    return int(card["iterations_done"]) + (_steps(before) if before else 0)


def _file(norm: str) -> Path:
    return PREDICTORS / f"{norm_slug(norm)}.safetensors"


def _places(picture: Tensor) -> Tensor:
    """(B, 3, H, W): a picture (3, H, W), or the squares in the middle of the quarters of a large one."""
    _, height, width = picture.shape
    if height * width <= _WHOLE:
        return picture[None]
    high, wide = min(_SQUARE, height // 2), min(_SQUARE, width // 2)
    rows, columns = (
        [round(length * middle - side / 2) for middle in (0.25, 0.75)]
        for length, side in ((height, high), (width, wide))
    )
    return torch.stack([picture[:, r : r + high, c : c + wide] for r in rows for c in columns])


def _one(squares: Tensor) -> Tensor:
    """(B, C, H, W) as (1, C, B · H, W)."""
    return squares.permute(1, 0, 2, 3).flatten(1, 2)[None]


@lru_cache(maxsize=1)
def _vgg() -> Vgg16Features:
    return Vgg16Features().to(memory_format=torch.channels_last)


@lru_cache(maxsize=len(NORMS))
def _predictor(path: Path) -> tuple[StylePredictor, dict[str, Any]]:
    return load_predictor(path)
