"""Prepare the gallery's models for int8: python -m styles.gallery.quantize

    python -m styles.gallery.quantize --content DIR            calibrated on these; default: shipped ones
    python -m styles.gallery.quantize --model my.safetensors   a model of your own

Each model gets a small file of ranges beside it; see `transformer_net.inference.engines.quantization`. A
model whose file is up to date is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from styles.catalog import shipped
from transformer_net.checkpoint import load_model
from transformer_net.commandline import run, say
from transformer_net.errors import SettingError
from transformer_net.imaging.arrays import extended, fit
from transformer_net.inference.engines.quantization import calibrate, load_ranges, ranges_file, save_ranges
from transformer_net.inference.tiling.tiles import grained
from transformer_net.network import MIN_SIDE
from transformer_net.training.content import ContentPhotos, open_content

PHOTOS = 24
"""Photos to calibrate on, evenly chosen. Sixteen gave the same paintings, nearly."""

SIDE = 432
"""Longer side of these photos in pixels. Ranges depend on it little."""


def calibration_photos(photos: ContentPhotos, count: int, grain: float) -> Iterator[npt.NDArray[np.float32]]:
    """`count` training photos, or all where there are fewer, as an engine takes them."""
    count = min(count, len(photos.training))
    for i in range(count):
        photo = photos.photo(i * len(photos.training) // count)
        yield grained(extended(fit(photo, SIDE), MIN_SIDE), grain)


def prepare(model: Path, photos: ContentPhotos, count: int = PHOTOS) -> None:
    """Calibrate a model and write its ranges beside it.

    Raises:
        ModelFileError: The model's file is unusable.
        ContentError: The photos are.
        SettingError: The ranges cannot be written.
    """
    network, info = load_model(model)
    ranges = calibrate(network, calibration_photos(photos, count, info.grain))
    content = {"content": photos.name, "photos": min(count, len(photos.training))}
    try:
        save_ranges(model, ranges, content)
    except OSError as error:
        raise SettingError(f"{ranges_file(model)} cannot be written: {error.strerror or error}.") from error


def quantize(
    content: Annotated[
        str | None,
        typer.Option(help="Photos to calibrate on: a folder or a data set, as for train_style.py."),
    ] = None,
    model: Annotated[
        list[Path] | None, typer.Option(help="This model file instead of the gallery's; may be repeated.")
    ] = None,
) -> None:
    """Prepare for int8 the models that are not prepared or have changed since."""
    files = model or [style.model(norm) for style in shipped() for norm in style.norms]
    pending = [path for path in files if load_ranges(path) is None]
    if len(pending) < len(files):
        say(f"{len(files) - len(pending)} of {len(files)} models: up to date")
    if not pending:
        return
    photos = open_content(content)
    for i, path in enumerate(pending, 1):
        prepare(path, photos)
        say(f"{i} of {len(pending)}: {ranges_file(path)}")


if __name__ == "__main__":
    run(quantize)
