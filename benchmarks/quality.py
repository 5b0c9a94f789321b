"""What the gallery's models make of photos that they were not trained on, in figures.

    python -m benchmarks.quality                           every style, 512 and 1024 px
    python -m benchmarks.quality --style mosaic --side 512
    python -m benchmarks.quality --optimum astronaut       and how far any picture could get, a quarter of an
                                                           hour a style on two cores

Each row is measured once and kept in `styles/<style>/quality.json` until its model, its style picture or the
recipe's losses change; docs/gallery.md shows them. Evaluation mode, float32. Beside the losses stand the
defects that feed-forward style transfer is known for; see `border`, `checkerboard` and `flat_share`.

`optimum` is a direct optimisation of the pixels for the same losses (Gatys et al. 2016, doi
10.1109/CVPR.2016.265): L-BFGS, 300 steps, from the photo. It bounds what a network can reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from rich.table import Table
from torch import Tensor

from styles.catalog import Style, find_style, shipped
from styles.gallery.quality import (
    COLUMNS,
    OPTIMUM,
    PHOTO,
    SIDE,
    SIDES,
    PaintFunction,
    QualityFigures,
    cells,
    config_of,
    example_photos,
    gallery_loss,
    painter,
)
from transformer_net.commandline import console, run, say
from transformer_net.errors import SettingError
from transformer_net.imaging.decode import decode
from transformer_net.training.losses.perceptual import PerceptualLoss
from transformer_net.training.report import STYLE_LOSSES
from transformer_net.training.trainer import scaled_style, uses_bf16

STEPS = 300
_BLOCK = 16
_SURROUNDINGS = 64
_RIM = 8


def luminance(image: Tensor) -> Tensor:
    """Rec. 601 luma (B, 1, H, W) of RGB (B, 3, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def border(paint: PaintFunction, photo: Tensor, painting: Tensor) -> float:
    """How much of its own the outermost 8 px of `painting` have, 0 to 1; 0 is no border at all.

    The mean absolute difference from the same place painted with 64 px of mirrored photo around it, less the
    same difference in the middle, which instance-dependent norms have because they see other statistics.
    """
    mirrored = F.pad(photo, (_SURROUNDINGS,) * 4, mode="reflect")
    inner = slice(_SURROUNDINGS, -_SURROUNDINGS)
    difference = (painting - paint(mirrored)[..., inner, inner]).abs().mean(1)
    rim = torch.ones_like(difference, dtype=torch.bool)
    rim[..., _RIM:-_RIM, _RIM:-_RIM] = False
    return (difference[rim].mean() - difference[..., inner, inner].mean()).item()


def checkerboard(image: Tensor) -> float:
    """Strongest spectral line at a period of 2 or 4 px, along the axes or a diagonal, in decibels over its
    neighbourhood.

    Upsampling by 2 and by 4 leaves its trace there, if any; natural pictures have a few decibels.
    """
    side = min(image.shape[-2:]) // 8 * 8
    window = torch.hann_window(side, periodic=True)
    grey = luminance(image)[0, 0, :side, :side]
    power = torch.fft.fft2((grey - grey.mean()) * window * window[:, None]).abs().square()
    strongest = 0.0
    half, quarter = side // 2, side // 4
    # The spectrum of a real picture is symmetric about the origin: these are all the places there are.
    for y, x in [
        (0, quarter),
        (0, half),
        (quarter, 0),
        (half, 0),
        (quarter, quarter),
        (quarter, -quarter),
        (quarter, half),
        (half, quarter),
        (half, half),
    ]:
        near = power.roll((12 - y, 12 - x), (0, 1))[:25, :25]
        ring = torch.ones_like(near, dtype=torch.bool)
        ring[8:17, 8:17] = False
        # On an axis of the spectrum every straight edge of the picture shows: compare along the axis.
        if y == 0:
            ring[:11] = ring[14:] = False
        if x == 0:
            ring[:, :11] = ring[:, 14:] = False
        strongest = max(strongest, (near[11:14, 11:14].mean() / near[ring].mean()).item())
    return 10 * math.log10(max(strongest, 1.0))


def flat_share(image: Tensor, style: Tensor) -> float:
    """Share of 16 px blocks that are flatter than 95 % of the style picture's; 0.05 is as the style."""
    limit = _block_contrast(style).quantile(0.05)
    return (_block_contrast(image) < limit).float().mean().item()


def _block_contrast(image: Tensor) -> Tensor:
    """Standard deviation of luminance in each 16 px block, flat."""
    grey = luminance(image)
    mean = F.avg_pool2d(grey, _BLOCK)
    return (F.avg_pool2d(grey.square(), _BLOCK) - mean.square()).clamp(min=0).sqrt().flatten()


def optimise_pixels(
    loss: PerceptualLoss,
    photo: Tensor,
    steps: int = STEPS,
    on_step: Callable[[int, float], None] = lambda step, total: None,
) -> Tensor:
    """The picture that `steps` steps of L-BFGS find from `photo` (1, 3, H, W), in [0, 1].

    Mixed precision where the processor is built for it, as in training.
    """
    image = photo.clone().contiguous().requires_grad_()
    wanted = loss.content_of(photo)
    mixed = torch.autocast(photo.device.type, torch.bfloat16, enabled=uses_bf16("auto", photo.device))
    optimizer = torch.optim.LBFGS(
        [image],
        max_iter=steps,
        max_eval=2 * steps,
        tolerance_grad=0,
        tolerance_change=0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )
    told = -1

    def closure() -> Tensor:
        nonlocal told
        optimizer.zero_grad()
        with mixed:
            # Clamped here, too: what counts is the picture as it can be shown.
            total = loss.compare(image.clamp(0, 1), wanted).total
        total.backward()
        # A step's line search looks at one point or more: tell of the first.
        if steps > (step := optimizer.state[image].get("n_iter", 0)) > told:
            on_step(told := step, total.item())
        return total

    optimizer.step(closure)
    return image.detach().clamp(0, 1)


def figures(painting: Tensor, loss: PerceptualLoss, photo: Tensor, style: Tensor) -> dict[str, float]:
    """Losses of one painting, and the defects that can be seen on it alone."""
    with torch.inference_mode():
        losses = loss(painting, photo).as_dict()
    return {
        **{name: losses[name] for name in ("content", *STYLE_LOSSES, "palette")},
        "checkerboard": checkerboard(painting),
        "flat": flat_share(painting, style),
    }


def measure(style: Style, side: int, optimum: list[str]) -> None:
    """Measure what is missing or out of date of one style at one size."""
    book, photos = QualityFigures(style, side), example_photos(side)
    if unknown := [name for name in optimum if name not in photos]:
        raise SettingError(f"There is no example photo {unknown[0]!r}; choose from {', '.join(photos)}.")
    missing = [row for row in (PHOTO, *style.norms) if book.find(row).keys() != photos.keys()]
    optimised = book.find(OPTIMUM)
    missing_optima = [name for name in optimum if name not in optimised]
    if not missing and not missing_optima:
        return
    loss = gallery_loss(style)
    picture = scaled_style(decode(style.picture).rgb, config_of(style.name).style_size)
    for row in missing:
        found = {}
        paint = None if row == PHOTO else painter(style.model(row))
        for name, photo in photos.items():
            painting = paint(photo) if paint else photo
            found[name] = figures(painting, loss, photo, picture)
            if paint:
                found[name]["border"] = border(paint, photo, painting)
        book.keep(row, found)
    for name in missing_optima:
        painting = optimise_pixels(
            loss, photos[name], on_step=partial(_tell, f"{style.name} {side} px {name}")
        )
        optimised[name] = figures(painting, loss, photos[name], picture)
        book.keep(OPTIMUM, optimised)


def _tell(title: str, step: int, total: float) -> None:
    if step % 25 == 0:
        say(f"{title}: step {step} of {STEPS}, loss {total:.2f}")


def quality(
    style: Annotated[str | None, typer.Option(help="One style; all with models if not given.")] = None,
    side: Annotated[int | None, typer.Option(help="512 or 1024; both if not given.")] = None,
    optimum: Annotated[
        list[str] | None,
        typer.Option(help="Optimise the pixels of this example photo too, at 512 px; may be repeated."),
    ] = None,
) -> None:
    """Measure what is missing, and print all figures."""
    if side not in (None, *SIDES):
        raise SettingError(f"The side must be one of {', '.join(map(str, SIDES))}.")
    if optimum and side not in (None, SIDE):
        raise SettingError(f"An optimum is computed at {SIDE} px only.")
    console.width = max(console.width, 140)  # also where the output is no terminal
    for found in [find_style(style)] if style else [s for s in shipped() if s.norms]:
        for size in [side] if side else SIDES:
            measure(found, size, (optimum or []) if size == SIDE else [])
            drawn = Table("", title=f"{found.name} at {size} px", title_justify="left")
            for column in COLUMNS:
                drawn.add_column(column.removeprefix("style_"), justify="right")
            for row, values in QualityFigures(found, size).table().items():
                drawn.add_row(row, *cells(values))
            console.print(drawn)


if __name__ == "__main__":
    run(quality)
