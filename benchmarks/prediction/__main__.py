"""What the style predictors make of pictures that they were not trained on, in figures and in paintings.

    python -m benchmarks.prediction                              benchmarks/prediction/pictures and drawn ones
    python -m benchmarks.prediction my-pictures/ --norm in --norm iebn
    python -m benchmarks.prediction --train 60s --train 1000     beside trainings
    python -m benchmarks.prediction --train gallery:60s --train predicted:60s --train gallery:1000
    python -m benchmarks.prediction --sheet out.jpg              one photo in every picture's style

The photos are the central squares of `examples/`, 512 px. For each style picture and normalizer, means over
the photos; the table has the medians over the pictures:

- gone: share of the photo's style distance that is gone, the mean of the four layers' relative distances;
- content: distance from the photo at relu2_2;
- palette: distance between the colours, as a share of the photo's own.

A training is one of `train_style.py` with its defaults: of a time or of a number of steps, after what it
begins at (`--init`) and a colon. One of a number of steps begins at the gallery's mean unless told otherwise,
and is the measure of those of a time, which begin at the prediction. With `--runs FOLDER` trainings stay
there, and the same command goes on after an interruption.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image, ImageOps

from benchmarks.tables import print_table, tell
from styles.gallery.painted import CROPS, PAINTERS, painted
from styles.gallery.quality import SIDE, PaintFunction, example_photos, painter, painting_of
from transformer_net.commandline import run
from transformer_net.devices import describe_machine
from transformer_net.imaging.arrays import from_array
from transformer_net.imaging.decode import decode
from transformer_net.imaging.formats import SUFFIXES
from transformer_net.inference.sheet import side_by_side
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import norm_slug
from transformer_net.prediction.style_picture import StylePicture, predicted_norms
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import EXAMPLES
from transformer_net.training.losses.perceptual import PerceptualLoss
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import perceptual_loss

ROOT = Path(__file__).parents[2]

PICTURES = Path(__file__).parent / "pictures"

UNSEEN = 10**8
"""Number of the first drawn picture: trainings number theirs from 0, and validations from 10⁹."""

_PANEL = 256


def style_pictures(folder: Path) -> Iterator[StylePicture]:
    """Those in a folder; and one of each of the gallery's painters, where it is that of the examples."""
    for path in _files(folder):
        yield StylePicture(decode(path).rgb, path.stem)
    if folder == PICTURES:
        for number, name in enumerate(PAINTERS):
            yield StylePicture(painted(UNSEEN // 96 * 96 + number * CROPS), f"{name} anew")


class Judge:
    """The figures of paintings in the style of one picture."""

    def __init__(self, picture: StylePicture, vgg: Vgg16Features) -> None:
        config = TrainConfig(style=picture.name, style_size=picture.size)
        self.photos = example_photos()
        self.loss: PerceptualLoss = perceptual_loss(config, picture.image, vgg, torch.device("cpu"))
        self._before = self._measure(lambda photo: photo)

    def __call__(self, paint: PaintFunction) -> dict[str, float]:
        """Of a painter: gone, content, palette, and the style distance itself."""
        after = self._measure(paint)
        return {
            "gone": 1 - after["style"] / self._before["style"],
            "content": after["content"],
            "palette": after["palette"] / self._before["palette"],
            "style": after["style"],
        }

    @torch.inference_mode()
    def _measure(self, paint: PaintFunction) -> dict[str, float]:
        losses = [self.loss(paint(photo), photo) for photo in self.photos.values()]
        return {
            "content": statistics.fmean(found.content.item() for found in losses),
            "palette": statistics.fmean(found.palette.item() for found in losses),
            "style": statistics.fmean(found.style.mean().item() for found in losses),
        }


def trained(picture: StylePicture, norm: str, training: str, folder: Path, content: str | None) -> Path:
    """The model file of a training such as `gallery:1000`, which is made unless it is in the folder."""
    init, _, length = training.rpartition(":")
    steps = length.isdecimal()
    init = init or ("gallery" if steps else "predicted")
    name = picture.name.replace(" ", "-")
    style = folder / f"{name}.png"
    run_folder = RunFolder(folder / f"{name}_{norm_slug(norm)}_{init}_{length}")
    if not (run_folder.state.exists() and run_folder.load_state().finished):
        folder.mkdir(parents=True, exist_ok=True)
        picture.image.save(style)
        command = ["train_style.py", "--norm", norm, "--style", style, "--out", run_folder.path.absolute()]
        command += ["--init", init, "--iterations" if steps else "--budget", length]
        command += ["--content", content] if content else []
        command += ["--resume"] if run_folder.state.exists() else []
        arguments = [sys.executable, *map(str, command)]
        subprocess.run(arguments, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return run_folder.model


def timings(norms: list[str], file: bytes, rounds: int = 3) -> dict[str, float]:
    """Seconds on a warm machine, medians, from a style picture's bytes to the paintings of a photo."""
    photo = decode(EXAMPLES / "astronaut.jpg")
    found: dict[str, list[float]] = {}
    for turn in range(1 + rounds):
        began = time.perf_counter()
        picture = StylePicture(decode(file).rgb, "picture")
        for count, norm in enumerate(norms, 1):
            stylizer = Stylizer.from_picture(picture, norm)
            stylizer.paint_photo(photo)
            if turn and count in (1, len(norms)):
                name = "the first painting" if count == 1 else f"all {count}"
                found.setdefault(name, []).append(time.perf_counter() - began)
        began = time.perf_counter()
        stylizer.paint_photo(photo)
        if turn:
            found.setdefault("one of a second photo", []).append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def prediction(
    folder: Annotated[Path, typer.Argument(help="Folder of style pictures.")] = PICTURES,
    norm: Annotated[list[str] | None, typer.Option(help="Normalizers; default: all that have one.")] = None,
    train: Annotated[
        list[str] | None,
        typer.Option(help="Trainings: 60s, 3m, steps; after what they begin at: gallery:60s."),
    ] = None,
    content: Annotated[
        Path | None, typer.Option(help="Folder of photos to train on; default: the shipped ones.")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder to keep trainings in, and go on with them.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Where to draw the paintings of a photo.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only the pictures of these names.")] = None,
) -> None:
    """Measure what predictions are worth."""
    norms, vgg = norm or predicted_norms(), Vgg16Features()
    photo = next(iter(example_photos().values()))
    rows: dict[tuple[str, str], list[dict[str, float]]] = {}
    panels: list[tuple[str, Image.Image]] = []
    photos = str(content.absolute()) if content else None
    pictures = [picture for picture in style_pictures(folder) if not only or picture.name in only]
    with tempfile.TemporaryDirectory() as scratch:
        for picture in pictures:
            judge = Judge(picture, vgg)
            panels.append((picture.name, ImageOps.fit(picture.image, (SIDE, SIDE), Image.Resampling.LANCZOS)))
            for name in norms:
                painters = {"predicted": painting_of(*picture.model(name))}
                place = (runs or Path(scratch)).absolute()
                painters |= {n: painter(trained(picture, name, n, place, photos)) for n in train or []}
                for length, paint in painters.items():
                    figures = judge(paint)
                    rows.setdefault((name, length), []).append(figures)
                    tell(f"{picture.name} · {name} · {length}: " + _line(figures))
                    panels.append((f"{name} {figures['gone']:.0%}", from_array(paint(photo)[0].numpy())))
    print(f"{describe_machine(torch.device('cpu'))}.\n")
    print_table(
        f"Medians over {len(pictures)} style pictures, four photos, 512 px",
        ["normalizer", "model", "gone", "content", "palette", "style"],
        [(*key, *_line(_medians(each)).split(" ")) for key, each in rows.items()],
        left=2,
    )
    seconds = timings(norms, _files(folder)[0].read_bytes())
    print_table(
        "Seconds from the bytes of a style picture to paintings, 512 px",
        ["until", "s"],
        [(until, f"{median:.2f}") for until, median in seconds.items()],
    )
    if sheet:
        columns = 1 + len(norms) * (1 + len(train or []))
        side_by_side(panels, columns=columns, panel_side=_PANEL).save(sheet, quality=85)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _medians(each: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(figures[name] for figures in each) for name in each[0]}


def _line(figures: dict[str, float]) -> str:
    return "{gone:.1%} {content:.2f} {palette:.2f} {style:.3f}".format(**figures)


if __name__ == "__main__":
    run(prediction)
