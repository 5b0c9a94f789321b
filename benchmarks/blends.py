"""Is the way from one style to another a smooth one? Losses along it, in figures.

    python -m benchmarks.blends --first wave --second cubist --norm in,iebn --side 256

Each row is the network with these percentages of the two styles (`styles/blend.py`), in evaluation mode, on
the central squares of the example photos: content loss, and style loss (mean of the four layers) and palette
against either style picture. Below it, `fade` is a cross-fade of both finished paintings at the same share.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Annotated

import torch
import typer
from rich.table import Table
from torch import Tensor

from styles.blend import blend_name, load_blend, parse_blend
from styles.catalog import find_style
from styles.gallery.quality import PaintFunction, example_photos, gallery_loss, painting_of
from transformer_net.commandline import console, run
from transformer_net.norms import canonical_norm
from transformer_net.training.losses.perceptual import PerceptualLoss
from transformer_net.training.report import STYLE_LOSSES

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def faded(first: PaintFunction, second: PaintFunction, share: float) -> PaintFunction:
    """Paints with both, and lays the second over the first."""
    return lambda photo: torch.lerp(first(photo), second(photo), share)


@torch.inference_mode()
def figures(
    paint: PaintFunction, losses: Mapping[str, PerceptualLoss], photos: Mapping[str, Tensor]
) -> dict[str, float]:
    """Means over the photos: content, and style and palette against the picture of each style in `losses`."""
    found: list[dict[str, float]] = []
    for photo in photos.values():
        painting, row = paint(photo), {}
        for style, loss in losses.items():
            terms = loss(painting, photo).as_dict()
            row["content"] = terms["content"]  # the same for all: it knows no style
            row[f"style {style}"] = statistics.fmean(terms[layer] for layer in STYLE_LOSSES)
            row[f"palette {style}"] = terms["palette"]
        found.append(row)
    return {name: statistics.fmean(row[name] for row in found) for name in found[0]}


def blends(
    first: Annotated[str, typer.Option(help="A style.")] = "wave",
    second: Annotated[str, typer.Option(help="Another, from the same base network.")] = "cubist",
    norm: Annotated[str, typer.Option(help="Normalizers, with commas.")] = "in,iebn",
    side: Annotated[int, typer.Option(help="Side of the squares, in pixels.")] = 256,
) -> None:
    """Print the losses along the way from one style to another."""
    losses = {name: gallery_loss(find_style(name)) for name in parse_blend(f"{first},{second}")}
    photos = example_photos(side)
    console.width = max(console.width, 110)  # also where the output is no terminal
    for canonical in map(canonical_norm, norm.split(",")):
        ends = [painting_of(*load_blend({name: 1.0}, canonical)) for name in losses]
        drawn = Table(title=f"{canonical}, {side} px", title_justify="left")
        for share in SHARES:
            shares = parse_blend(f"{first}:{1 - share},{second}:{share}")
            rows = {blend_name(shares): painting_of(*load_blend(shares, canonical))}
            if len(shares) > 1:
                rows[f"fade {share:.0%}"] = faded(*ends, share)
            for title, paint in rows.items():
                values = figures(paint, losses, photos)
                if not drawn.columns:
                    for column in ("", *values):
                        drawn.add_column(column, justify="right")
                drawn.add_row(
                    title, *(format(v, ".4f" if "palette" in n else ".3f") for n, v in values.items())
                )
        console.print(drawn)


if __name__ == "__main__":
    run(blends)
