"""Train a network to paint in the style of a picture: python train_style.py --norm iebn --style mosaic"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from styles.catalog import find_style, recipes, styles
from transformer_net.base import has_base
from transformer_net.checkpoint import load_model
from transformer_net.commandline import console, run, say
from transformer_net.devices import pick_device
from transformer_net.errors import RunFolderError, SettingError, UnknownStyleError
from transformer_net.images import decode
from transformer_net.memory import keep_freed_memory
from transformer_net.network import TransformerNet
from transformer_net.norms import canonical_norm, norm_slug
from transformer_net.training.board import Board
from transformer_net.training.config import TrainConfig, parse_duration
from transformer_net.training.content import EXAMPLES, open_content
from transformer_net.training.ranks import joined, own_device
from transformer_net.training.report import ProgressLine, draw_comparison, draw_curve, duration, losses_table
from transformer_net.training.run import Outcome, Run
from transformer_net.training.runfolder import RunFolder
from transformer_net.training.trainer import Trainer
from transformer_net.training.vgg import Vgg16Features, VggSource

BASIC, LOSS, SCHEDULE, MACHINE = "What to train", "Taste", "Length and quality", "Machine and files"


def train(
    style: Annotated[
        str, typer.Option(help="A style of the catalogue, or a path to any picture.", rich_help_panel=BASIC)
    ] = "mosaic",
    norm: Annotated[
        str, typer.Option(help="Normalizer: bn, in, bn+se or iebn.", rich_help_panel=BASIC)
    ] = "iebn",
    compare: Annotated[
        str | None,
        typer.Option(
            help="Several normalizers, bn,in,bn+se,iebn say: trains one after the other on the same batches, "
            "and draws their losses side by side into runs/<style>-compare.png.",
            rich_help_panel=BASIC,
        ),
    ] = None,
    content: Annotated[
        str | None,
        typer.Option(
            help="Photos to practise on: a folder (searched below too), or a data set to download: "
            "imagenette, food101, caltech101, pets. Without it, the few photos that ship with "
            "the project: enough to try, too few for a model that shall paint any photo; 2,000 are good.",
            rich_help_panel=BASIC,
        ),
    ] = None,
    style_weight: Annotated[
        float | None,
        typer.Option(
            help="Freedom: 4 stays near the photo, 10 is balanced, 15 lets the photo dissolve.",
            rich_help_panel=LOSS,
        ),
    ] = None,
    content_weight: Annotated[
        float | None, typer.Option(help="Faithfulness to the photo's shapes.", rich_help_panel=LOSS)
    ] = None,
    palette_weight: Annotated[
        float | None, typer.Option(help="How closely the style's colours are kept.", rich_help_panel=LOSS)
    ] = None,
    tv_weight: Annotated[
        float | None, typer.Option(help="Smoothness; 0 leaves every grain.", rich_help_panel=LOSS)
    ] = None,
    locality: Annotated[
        float | None,
        typer.Option(
            help="How much each crop must have the whole style by itself, 0 to 1: less gives larger areas of "
            "one kind, more an even pattern.",
            rich_help_panel=LOSS,
        ),
    ] = None,
    style_size: Annotated[
        int | None,
        typer.Option(
            help="Shorter side in pixels at which the style picture is seen. Choose it so that strokes are "
            "8 to 20 px: larger for larger strokes.",
            rich_help_panel=LOSS,
        ),
    ] = None,
    grain: Annotated[
        float | None,
        typer.Option(help="Noise in the input that lets flat regions be painted.", rich_help_panel=LOSS),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Steps on the perceptual losses.", rich_help_panel=SCHEDULE)
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time to train for in place of a number of steps: 90s, 3m, 1h30m. The learning rate falls "
            "to 0 just in time.",
            rich_help_panel=SCHEDULE,
        ),
    ] = None,
    warmup_iterations: Annotated[
        int | None,
        typer.Option(
            help="Steps before them that teach the plain photo; 300, or as many as --iterations if fewer.",
            rich_help_panel=SCHEDULE,
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the training crops in pixels.", rich_help_panel=SCHEDULE)
    ] = None,
    early_size: Annotated[
        int | None,
        typer.Option(
            help="Side of the crops in the first half; smaller ones save time. 0: the same.",
            rich_help_panel=SCHEDULE,
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Photos a step.", rich_help_panel=SCHEDULE)] = None,
    width: Annotated[
        int | None,
        typer.Option(
            help="Channels of the first layer: 16 is fast, 32 is Johnson's.", rich_help_panel=SCHEDULE
        ),
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.", rich_help_panel=SCHEDULE)] = None,
    init: Annotated[
        str,
        typer.Option(
            help="Where to begin: base (the shipped network of this norm that reproduces the photo), none "
            "(random weights, and a warm-up), a model file, or auto: base where there is one of this width.",
            rich_help_panel=SCHEDULE,
        ),
    ] = "auto",
    seed: Annotated[
        int | None,
        typer.Option(help="Decides initial weights, data order and crops.", rich_help_panel=SCHEDULE),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder; runs/<style>-<norm> if not given.", rich_help_panel=MACHINE),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the run folder.", rich_help_panel=MACHINE)
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Begin again where a run folder exists.", rich_help_panel=MACHINE),
    ] = False,
    sample_every: Annotated[
        int,
        typer.Option(
            min=1, help="Iterations between sample pictures, without --budget.", rich_help_panel=MACHINE
        ),
    ] = 150,
    sample: Annotated[
        Path, typer.Option(help="The photo painted for them.", rich_help_panel=MACHINE)
    ] = EXAMPLES / "astronaut.jpg",
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", rich_help_panel=MACHINE)
    ] = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32, bf16, or auto: bf16 where the processor is built for it.", rich_help_panel=MACHINE
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write curves, samples and gates for TensorBoard into the run folder, too.",
            rich_help_panel=MACHINE,
        ),
    ] = False,
    sync_bn: Annotated[
        bool,
        typer.Option(
            help="Under torchrun: batch norms look at the whole batch, as in one process.",
            rich_help_panel=MACHINE,
        ),
    ] = True,
    vgg: Annotated[
        str,
        typer.Option(
            help="Loss network: shipped (float16, in the repository) or torchvision (downloads).",
            rich_help_panel=MACHINE,
        ),
    ] = "shipped",
) -> None:
    """Train a network to paint photos in the style of a picture.

    The run folder gets model.safetensors (paint with it: python stylize.py photo.jpg --model FILE), sample
    pictures, metrics.jsonl and a drawing of the losses. Ctrl-C saves and stops; --resume goes on. Several
    processes, on as many GPUs or cores, share each batch: torchrun --nproc-per-node=4 train_style.py …
    """
    arguments, began = locals(), time.perf_counter()
    options = {f.name: value for f in fields(TrainConfig) if (value := arguments.get(f.name)) is not None}
    picture, name = _style_picture(style)
    options = {**recipes().get(name, {}), **options, "style": name}
    if budget is not None:
        if iterations is not None:
            raise SettingError("Give --iterations or --budget, not both.")
        options.pop("iterations", None)
        options["budget"] = parse_duration(budget)
    if vgg not in ("shipped", "torchvision"):
        raise SettingError(f"vgg must be shipped or torchvision, not {vgg!r}.")
    if compare and out:
        raise SettingError("--compare trains into runs/<style>-<norm>; leave out --out.")
    target = pick_device(own_device(device))
    photos = open_content(content)
    folders = {
        one: RunFolder(out or Path("runs") / f"{name}-{norm_slug(one)}")
        for one in (map(canonical_norm, compare.split(",")) if compare else [canonical_norm(norm)])
    }
    begin = {one: _beginning(init, one, options.get("width", TrainConfig.width)) for one in folders}
    if warmup_iterations is None:  # what begins at a network that paints the photo is warm already
        wanted = options.get("iterations", TrainConfig.iterations)
        warm = all(word for word, _ in begin.values())
        options["warmup_iterations"] = 0 if warm else min(wanted, TrainConfig.warmup_iterations)
    configs = {one: TrainConfig(**{**options, "norm": one, "init": begin[one][0]}) for one in folders}
    with joined(target, sync_bn) as ranks, _StopSignals(ranks.first) as stop:
        if ranks.first:
            _check_folders(folders.values(), resume, overwrite, bool(compare))
            if content is None:
                say(
                    f"Practising on the {len(photos.training)} photos that ship with the project. "
                    "For a model that paints any photo well, give a folder with --content.",
                    "yellow",
                )
        loss_network = Vgg16Features(cast(VggSource, vgg))
        for one, folder in folders.items():
            config = configs[one]
            trainer = Trainer(config, decode(picture).rgb, loss_network, target, begin[one][1], ranks)
            going_on = resume and folder.state.exists()
            with ProgressLine(console if ranks.first else Console(quiet=True), f"{name} {one}") as line:
                training = Run(
                    trainer, photos, folder, decode(sample).rgb, sample_every, line.update, stop.requested,
                    began=began,
                )  # fmt: skip
                if going_on:
                    where = f"iteration {training.resume()}"
                    if config.budget:
                        where += f", after {duration(training.seconds)} of {duration(config.budget)}"
                    else:
                        where += f" of {config.total_iterations}"
                    line.console.print(f"Resuming {folder.path} at {where}.", soft_wrap=True, markup=False)
                elif ranks.first:
                    folder.create()
                if tensorboard and ranks.first:
                    training.board = Board(folder.path, trainer.iteration)
                try:
                    outcome = training.run()
                finally:
                    if training.board:
                        training.board.close()
            if ranks.first:
                _report(outcome, folder)
            if not outcome.finished:
                raise typer.Exit(128 + stop.received)
            began = time.perf_counter()  # of the next norm
        if compare and ranks.first:
            drawing = Path("runs") / f"{name}-compare.png"
            if draw_comparison(folders, drawing):
                say(f"Their losses side by side: {drawing}")


def _check_folders(folders: Iterable[RunFolder], resume: bool, overwrite: bool, several: bool) -> None:
    """Say at once what cannot be begun or resumed; several runs are resumed as far as they exist."""
    for folder in folders:
        if folder.exists() and not (resume or overwrite):
            raise RunFolderError(
                f"{folder.path} holds a run already: --resume continues it, --overwrite begins again."
            )
        if resume and (folder.state.exists() or not several):
            folder.load_state()


def _beginning(init: str, norm: str, width: int) -> tuple[str, TransformerNet | None]:
    """What `--init` means: the config's word for it, and the network if it comes from a file."""
    if init == "auto":
        init = "base" if has_base(norm, width, {}) else "none"
    if init == "none":
        return "", None
    if init == "base":
        if not has_base(norm, width, {}):
            raise SettingError(f"There is no base network of width {width}; leave out --init base.")
        return "base", None
    return Path(init).name, load_model(init)[0]


def _style_picture(style: str) -> tuple[Path, str]:
    """The picture that --style names, and the name of the style."""
    path = Path(style)
    if path.suffix or len(path.parts) > 1:
        if not path.is_file():
            raise UnknownStyleError(f"There is no style picture {style}.")
        return path, path.stem.lower()
    try:
        found = find_style(style)
    except UnknownStyleError as error:
        names = ", ".join(s.name for s in styles())
        raise UnknownStyleError(
            f"There is no style {style!r}; choose one of {names}, or give the path of a picture."
        ) from error
    return found.picture, found.name


def _report(outcome: Outcome, folder: RunFolder) -> None:
    if outcome.broken:
        say(f"{len(outcome.broken)} content photos could not be read and were skipped:", "yellow")
        for path, reason in outcome.broken.items():
            say(f"  {path}: {reason}", "yellow")
    if not outcome.finished:
        say(f"Stopped and saved at iteration {outcome.iteration}; the same command with --resume goes on.")
        return
    draw_curve(folder)
    console.print(losses_table(outcome.validation))
    say(f"Trained in {outcome.seconds / 60:.1f} minutes. The model is {folder.model}; paint with it:")
    say(f"  python stylize.py photo.jpg --model {folder.model}")


class _StopSignals:
    """Turns Ctrl-C and SIGTERM into a request that the run looks at after each iteration.

    A second signal acts as it would have without us.
    """

    def __init__(self, aloud: bool) -> None:
        self.received, self.aloud = 0, aloud
        self._before: dict[int, Any] = {}

    def requested(self) -> bool:
        return self.received != 0

    def __enter__(self) -> _StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if self.aloud:
            say("Saving …")
        self.__exit__()


if __name__ == "__main__":
    keep_freed_memory()
    run(train)
