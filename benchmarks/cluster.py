"""Pictures a second on a Ray cluster of one machine, with 1 and 2 workers: what docs/scale.md counts with.

    python -m benchmarks.cluster
    python -m benchmarks.cluster --photos 200 --max-side 1024 --workers 1,2,4

Each worker computes with one core. The photos are those of examples/, over and over. The first third is left
out of the time, for then workers start and load their model.
"""

from __future__ import annotations

import logging
import tempfile
import time
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import ray
import typer
from rich.table import Table

from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import console, run
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.batch.inputs import InputFile
from transformer_net.inference.batch.ray_workers import PaintFunction, paint_on_ray
from transformer_net.inference.stylizer import Stylizer

ROOT = Path(__file__).parents[1]


def painter(out: Path, max_side: int) -> PaintFunction:
    """Decodes, paints and writes, as stylize.py does."""
    stylizer = Stylizer.from_style("mosaic", "iebn")

    def paint(file: InputFile) -> None:
        painting = stylizer.paint_photo(decode(file.photo), max_side)
        write_atomically(out / f"{file.stem}.jpg", encode(painting, "jpeg"))

    return paint


def rate(photos: int, max_side: int, workers: int) -> float:
    """Pictures a second with so many workers."""
    examples = sorted((ROOT / "examples").glob("*.jpg"))
    files = [
        InputFile(photo, Path(str(number))) for number, photo in enumerate(islice(cycle(examples), photos))
    ]
    ray.init("local", num_cpus=workers, log_to_driver=False, logging_level=logging.ERROR)
    try:
        with tempfile.TemporaryDirectory() as folder:
            times = []
            for file, error in paint_on_ray(files, partial(painter, Path(folder), max_side)):
                if error is not None:
                    raise SystemExit(f"{file.photo}: {error}")
                times.append(time.perf_counter())
    finally:
        ray.shutdown()
    first = photos // 3
    return (photos - 1 - first) / (times[-1] - times[first])


def main(
    photos: Annotated[int, typer.Option(min=6, help="How many photos.")] = 120,
    max_side: Annotated[int, typer.Option(min=16, help="Their longer side.")] = 512,
    workers: Annotated[str, typer.Option(help="Numbers of workers, with commas.")] = "1,2",
) -> None:
    """Print a table of pictures a second."""
    table = Table("workers", "pictures a second", "each", title=f"{photos} photos, {max_side} px, iebn, fp32")
    for number in map(int, workers.split(",")):
        speed = rate(photos, max_side, number)
        table.add_row(str(number), f"{speed:.2f}", f"{speed / number:.2f}")
    console.print(table)


if __name__ == "__main__":
    run(main)
