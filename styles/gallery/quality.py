"""How well a model of the gallery paints: its losses on held-out photos.

The photos are the ones in `examples/`, so anybody can compute the same figures; evaluation mode, float32, the
central square of each photo. `benchmarks/quality.py` measures more of it, beside the photos' own figures and
an optimum's, and keeps the figures in `styles/<style>/quality.json`, which `QualityFigures` reads and writes.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from styles.catalog import Style, gallery_settings, recipes
from transformer_net.checkpoint import ModelInfo, load_model, write_atomically
from transformer_net.errors import UnknownStyleError
from transformer_net.imaging.decode import decode
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import EXAMPLES, ContentPhotos
from transformer_net.training.losses.perceptual import PerceptualLoss
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.report import STYLE_LOSSES
from transformer_net.training.trainer import add_grain, perceptual_loss, validation_losses

SIDES = (512, 1024)
"""Sides in pixels of the squares that figures are taken on."""

SIDE = SIDES[0]
"""That of the figures in the cards."""

_CPU = torch.device("cpu")

PHOTO, OPTIMUM = "photo", "optimum"

_MEASURE = ("content_weight", "style_weight", "layer_weights", "palette_weight", "tv_weight", "style_size")
"""What of a recipe decides the losses of a single picture, and so what the optimum is."""

COLUMNS = ("content", *STYLE_LOSSES, "style", "closed", "palette", "border", "checkerboard", "flat")
"""The figures of a row, in the order in which they are shown; not every row has all."""

Figures = dict[str, dict[str, float]]
"""Values by photo and name."""

PaintFunction = Callable[[Tensor], Tensor]
"""From a photo (1, 3, H, W) in [0, 1] to its painting, of the same shape and range."""


def config_of(style: str, norm: str = TrainConfig.norm) -> TrainConfig:
    """The training settings of a model of the gallery; the losses are the same for every normalizer.

    Raises:
        UnknownStyleError: The style has no recipe: it is not of the gallery.
    """
    known = recipes()
    if style not in known:
        raise UnknownStyleError(f"The style {style!r} has no recipe; choose one of {', '.join(known)}.")
    return TrainConfig(**{**gallery_settings(), **known[style], "style": style, "norm": norm})


def example_photos(side: int = SIDE) -> dict[str, Tensor]:
    """The central square of each example photo, (1, 3, side, side) in [0, 1], by name."""
    files = sorted(EXAMPLES.glob("*.jpg"))
    tensors = ContentPhotos("examples", [], files).validation_tensors(side)
    return {path.stem: photo for path, photo in zip(files, tensors, strict=True)}


def painter(model: Path) -> PaintFunction:
    """What a model file does to a photo, as everybody sees it: with its grain, and clamped."""
    return painting_of(*load_model(model))


def painting_of(network: TransformerNet, info: ModelInfo) -> PaintFunction:
    """The same for a network that is loaded."""

    @torch.inference_mode()
    def paint(photo: Tensor) -> Tensor:
        painting: Tensor = network(add_grain(photo, info.grain))
        return painting.clamp(0, 1)

    return paint


def model_losses(style: Style, model: Path) -> dict[str, float]:
    """Mean losses of a model file on the example photos, against the picture of `style`."""
    network, info = load_model(model)
    return validation_losses(network, gallery_loss(style), example_photos().values(), info.grain, _CPU)


def gallery_loss(style: Style) -> PerceptualLoss:
    """The losses that the models of `style` were trained on, with its recipe's weights."""
    return perceptual_loss(config_of(style.name), decode(style.picture).rgb, Vgg16Features(), _CPU)


class QualityFigures:
    """The figures of one style at one size, photo by photo, kept in its `quality.json`.

    Rows are `photo` (the photos themselves), the normalizers, and `optimum`; each knows what it was measured
    on, so that a changed model, style picture or loss makes it void.
    """

    def __init__(self, style: Style, side: int) -> None:
        self.style, self.path, self.side = style, style.folder / "quality.json", str(side)
        everything = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.rows: dict[str, Any] = everything.get(self.side, {})

    def find(self, row: str) -> Figures:
        """What is known of `row` as things stand, by photo; empty where it has not been measured."""
        entry = self.rows.get(row, {})
        return dict(entry["photos"]) if entry.get("source") == self._source(row) else {}

    def keep(self, row: str, figures: Figures) -> None:
        """Write the figures of `row` down, with four digits."""
        rounded = {p: {n: float(f"{v:.4g}") for n, v in values.items()} for p, values in figures.items()}
        self.rows[row] = {"source": self._source(row), "photos": rounded}
        everything = json.loads(self.path.read_text()) if self.path.is_file() else {}
        write_atomically(
            self.path, (json.dumps({**everything, self.side: self.rows}, indent=1) + "\n").encode()
        )

    def table(self) -> dict[str, dict[str, float]]:
        """Means over the photos, row by row, in the order in which they are shown.

        `style` is the mean of the four layers. `closed` is the share of the way in style loss from the photo
        to the optimum that a model goes, on the photos that the optimum is known of.
        """
        found = {row: figures for row in (PHOTO, *self.style.norms, OPTIMUM) if (figures := self.find(row))}
        table = {}
        for row, figures in found.items():
            names = next(iter(figures.values())).keys()
            means = {name: _mean(values[name] for values in figures.values()) for name in names}
            means["style"] = _mean(means[layer] for layer in STYLE_LOSSES)
            if row in NORMS and OPTIMUM in found:
                common = found[OPTIMUM].keys() & found[PHOTO].keys() & figures.keys()
                photo, ours, optimum = (
                    _mean(found[r][p][layer] for p in common for layer in STYLE_LOSSES)
                    for r in (PHOTO, row, OPTIMUM)
                )
                means["closed"] = (photo - ours) / (photo - optimum)
            table[row] = means
        return table

    def _source(self, row: str) -> str:
        config = config_of(self.style.name).to_dict()
        measure = {name: config[name] for name in _MEASURE}
        parts = [self.style.picture.read_bytes(), json.dumps(measure, sort_keys=True).encode()]
        if row in NORMS:
            parts.append(self.style.model(row).read_bytes())
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def cells(row: Mapping[str, float]) -> list[str]:
    """The figures of a row as text, in the order of `COLUMNS`."""
    formats = {"content": ".2f", "closed": ".0%", "palette": ".4f", "checkerboard": ".1f", "flat": ".0%"}
    return [format(row[name], formats.get(name, ".3f")) if name in row else "" for name in COLUMNS]
