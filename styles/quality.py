"""How well the shipped models paint: their losses on photos that none of them was trained on.

    python -m styles.quality                 every style
    python -m styles.quality --style mosaic

The photos are the ones in `examples/`, so anybody can compute the same figures; evaluation mode, float32, the
central square of each photo at 512 px. `photo` is the photo itself, unpainted: what its style losses are
before anything is done.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.table import Table

from styles.catalog import Style, find_style, styles
from transformer_net.checkpoint import load_model, read_info
from transformer_net.commandline import console, run
from transformer_net.images import decode
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import EXAMPLES, ContentPhotos
from transformer_net.training.losses import PerceptualLoss
from transformer_net.training.report import STYLE_LOSSES
from transformer_net.training.trainer import scaled_style, validation_losses
from transformer_net.training.vgg import Vgg16Features

SIDE = 512
"""Side in pixels of the squares that the losses are taken on."""

_CPU = torch.device("cpu")


def model_losses(style: Style, model: Path) -> dict[str, float]:
    """Mean losses of a model file on the example photos, against the picture of `style`."""
    network, info = load_model(model)
    return _losses(style, _style_size(info.training), network, info.grain)


def photo_losses(style: Style) -> dict[str, float]:
    """The same for the photos themselves."""
    info = read_info(style.model(style.norms[0]))
    return _losses(style, _style_size(info.training), torch.nn.Identity(), 0.0)


def _style_size(training: dict[str, dict[str, int]]) -> int:
    return int(training.get("config", {}).get("style_size", TrainConfig.style_size))


def _losses(style: Style, style_size: int, network: torch.nn.Module, grain: float) -> dict[str, float]:
    photos = ContentPhotos("examples", [], sorted(EXAMPLES.glob("*.jpg"))).validation_tensors(SIDE)
    return validation_losses(network, _loss(style.picture, style_size), photos, grain, _CPU)


@cache
def _loss(picture: Path, style_size: int) -> PerceptualLoss:
    return PerceptualLoss(Vgg16Features(), scaled_style(decode(picture).rgb, style_size))


def quality_table(style: Style) -> Table:
    """Losses of the photo and of each of the style's models."""
    table = Table(title=f"{style.name}: losses on the example photos at {SIDE} px", title_justify="left")
    for column in (
        "",
        "content",
        *(name.removeprefix("style_") for name in STYLE_LOSSES),
        "style",
        "palette",
    ):
        table.add_column(column, justify="right" if column else "left")
    rows = {"photo": photo_losses(style)}
    rows |= {norm: model_losses(style, style.model(norm)) for norm in style.norms}
    for name, losses in rows.items():
        layers = [losses[layer] for layer in STYLE_LOSSES]
        cells = [f"{value:.3f}" for value in (*layers, sum(layers) / len(layers))]
        table.add_row(name, f"{losses['content']:.2f}", *cells, f"{losses['palette']:.4f}")
    return table


def quality(
    style: Annotated[str | None, typer.Option(help="One style; all of them if not given.")] = None,
) -> None:
    """Print the losses of the shipped models on the example photos."""
    for found in [find_style(style)] if style else [s for s in styles() if s.norms]:
        console.print(quality_table(found))


if __name__ == "__main__":
    run(quality)
