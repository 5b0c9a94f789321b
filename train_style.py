"""Train a network to paint in the style of a picture: python train_style.py --norm iebn --style mosaic"""

from __future__ import annotations

import signal
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, cast

import typer

from styles.catalog import find_style, recipes, styles
from transformer_net.base import has_base
from transformer_net.checkpoint import load_model
from transformer_net.commandline import console, run, say
from transformer_net.devices import pick_device
from transformer_net.errors import RunFolderError, SettingError, UnknownStyleError
from transformer_net.images import decode
from transformer_net.network import TransformerNet
from transformer_net.norms import norm_slug
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import EXAMPLES, open_content
from transformer_net.training.report import ProgressLine, draw_curve, losses_table
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
        int, typer.Option(min=1, help="Iterations between sample pictures.", rich_help_panel=MACHINE)
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
    pictures, metrics.jsonl and a drawing of the losses. Ctrl-C saves and stops; --resume goes on.
    """
    arguments = locals()
    options = {f.name: value for f in fields(TrainConfig) if (value := arguments.get(f.name)) is not None}
    picture, name = _style_picture(style)
    options = {**recipes().get(name, {}), **options, "style": name, "norm": norm}
    options["init"], network = _beginning(init, norm, options.get("width", TrainConfig.width))
    if warmup_iterations is None:  # what begins at a network that paints the photo is warm already
        wanted = options.get("iterations", TrainConfig.iterations)
        options["warmup_iterations"] = 0 if options["init"] else min(wanted, TrainConfig.warmup_iterations)
    config = TrainConfig(**options)
    folder = RunFolder(out or Path("runs") / f"{name}-{norm_slug(norm)}")
    if folder.exists() and not (resume or overwrite):
        raise RunFolderError(
            f"{folder.path} holds a run already: --resume continues it, --overwrite begins again."
        )
    if resume:
        folder.load_state()  # says so at once where there is nothing to resume
    if vgg not in ("shipped", "torchvision"):
        raise SettingError(f"vgg must be shipped or torchvision, not {vgg!r}.")
    target = pick_device(device)
    photos = open_content(content)
    if content is None:
        say(
            f"Practising on the {len(photos.training)} photos that ship with the project. "
            "For a model that paints any photo well, give a folder with --content.",
            "yellow",
        )

    trainer = Trainer(config, decode(picture).rgb, Vgg16Features(cast(VggSource, vgg)), target, network)
    with ProgressLine(console, f"{name} {config.norm}") as line, _StopSignals() as stop:
        training = Run(trainer, photos, folder, decode(sample).rgb, sample_every, line.update, stop.requested)
        if resume:
            say(f"Resuming {folder.path} at iteration {training.resume()} of {config.total_iterations}.")
        else:
            folder.create()
        outcome = training.run()
    _report(outcome, folder, stop)


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


def _report(outcome: Outcome, folder: RunFolder, stop: _StopSignals) -> None:
    if outcome.broken:
        say(f"{len(outcome.broken)} content photos could not be read and were skipped:", "yellow")
        for path, reason in outcome.broken.items():
            say(f"  {path}: {reason}", "yellow")
    if not outcome.finished:
        say(f"Stopped and saved at iteration {outcome.iteration}; the same command with --resume goes on.")
        raise typer.Exit(128 + stop.received)
    draw_curve(folder)
    console.print(losses_table(outcome.validation))
    say(f"Trained in {outcome.seconds / 60:.1f} minutes. The model is {folder.model}; paint with it:")
    say(f"  python stylize.py photo.jpg --model {folder.model}")


class _StopSignals:
    """Turns Ctrl-C and SIGTERM into a request that the run looks at after each iteration.

    A second signal acts as it would have without us.
    """

    def __init__(self) -> None:
        self.received = 0
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
        say("Saving …")
        self.__exit__()


if __name__ == "__main__":
    run(train)
