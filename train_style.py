"""Train a network to paint in the style of a picture: python train_style.py --norm iebn --style mosaic"""

from __future__ import annotations

from transformer_net import interrupts

# isort: split

import shlex
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from styles.blend import gallery_mean, is_picture, known_style, open_style_picture
from styles.catalog import find_style, recipes, styles
from transformer_net.checkpoint import load_model
from transformer_net.commandline import console, run, say, some_path, with_fields
from transformer_net.devices import pick_device, use_threads
from transformer_net.errors import SettingError, UnknownStyleError, about
from transformer_net.imaging.decode import decode
from transformer_net.imaging.mark_scale import check_style_picture, marks_seen_best
from transformer_net.memory import keep_freed_memory
from transformer_net.network import TransformerNet
from transformer_net.norms import canonical_norm, norm_slug
from transformer_net.training.config import TrainConfig, length
from transformer_net.training.content import EXAMPLES, open_content
from transformer_net.training.execution.distributed import own_device, process_group
from transformer_net.training.execution.signals import StopSignals
from transformer_net.training.execution.tensorboard import TensorBoardWriter, require_tensorboard
from transformer_net.training.losses.vgg import Vgg16Features, VggSource
from transformer_net.training.pretrained import WIDTH
from transformer_net.training.report import ProgressLine, draw_comparison, draw_curve, duration, say_outcome
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder, check_folders
from transformer_net.training.trainer import Trainer

interrupts.as_before()

BASIC, LOSS, SCHEDULE, MACHINE = "What to train", "Taste", "Length and quality", "Machine and files"

NORM = "iebn"
"""The normalizer without --norm and --compare."""


def _option(panel: str, help: str, usual: str = "") -> Any:
    """An option; `usual` names the field of TrainConfig whose default stands where it is not given."""
    return typer.Option(
        help=help,
        rich_help_panel=panel,
        show_default=f"{getattr(TrainConfig, usual):g}" if usual else True,
    )


@dataclass(frozen=True)
class Options:
    """The options of the command; None stands for what the style's recipe or `TrainConfig` says."""

    style: Annotated[str, _option(BASIC, "A style of the catalogue, or a path to any picture.")] = "mosaic"
    norm: Annotated[
        str | None,
        typer.Option(help="Normalizer: bn, in, bn+se or iebn.", rich_help_panel=BASIC, show_default=NORM),
    ] = None
    compare: Annotated[
        str | None,
        _option(
            BASIC,
            "Several normalizers, bn,in,bn+se,iebn say: trains one after the other on the same batches, "
            "and draws their losses side by side into runs/<style>-compare.png.",
        ),
    ] = None
    content: Annotated[
        str | None,
        _option(
            BASIC,
            "Photos to train on: a folder (with its subfolders), or a data set to download: "
            "imagenette, food101, caltech101, pets. Without it, the few photos that ship with "
            "the project: enough to try, too few for a model that paints any photo well; 2,000 are good.",
        ),
    ] = None
    style_weight: Annotated[
        float | None,
        _option(
            LOSS,
            "Weight of the style: 4 stays near the photo, 10 is balanced, 15 lets the photo dissolve.",
            "style_weight",
        ),
    ] = None
    content_weight: Annotated[
        float | None, _option(LOSS, "Weight of the photo's shapes.", "content_weight")
    ] = None
    palette_weight: Annotated[
        float | None, _option(LOSS, "Weight of the style's colours.", "palette_weight")
    ] = None
    tv_weight: Annotated[float | None, _option(LOSS, "Smoothness; 0 leaves every grain.", "tv_weight")] = None
    locality: Annotated[
        float | None,
        _option(
            LOSS,
            "How much each crop must have the whole style by itself, 0 to 1: less gives larger areas of "
            "one kind, more an even pattern.",
            "locality",
        ),
    ] = None
    style_size: Annotated[
        str | None,
        typer.Option(
            help="Shorter side in pixels at which the style picture is seen: strokes should be 8 to 20 px. "
            "Larger for larger strokes. auto finds it from the picture, and enlarges none.",
            show_default="auto",
            rich_help_panel=LOSS,
        ),
    ] = None
    grain: Annotated[
        float | None, _option(LOSS, "Noise in the input that lets flat regions be painted.", "grain")
    ] = None
    shift: Annotated[
        int | None,
        _option(
            LOSS,
            "The losses see the painting from another place at each step, less than so many pixels off: it "
            "lessens the lattice of 4 px in calm areas. 0 is off.",
            "shift",
        ),
    ] = None
    consistency: Annotated[
        float | None,
        _option(
            LOSS,
            "How much a photo that has moved by a few pixels shall give the moved painting: 20 makes videos "
            "flicker less, and costs some of the finest strokes.",
            "consistency",
        ),
    ] = None
    lattice: Annotated[
        float | None,
        _option(
            LOSS,
            "How little of a pattern of 4 px, the network's own grid, paintings may have, in the second "
            "half of the steps: 10 in long trainings, in which such a pattern grows.",
            "lattice",
        ),
    ] = None
    upsampling: Annotated[
        str | None,
        typer.Option(
            help="How the network enlarges: bilinear, or nearest, as models of former versions do.",
            show_default=TrainConfig.upsampling,
            rich_help_panel=SCHEDULE,
        ),
    ] = None
    iterations: Annotated[int | None, _option(SCHEDULE, "Steps on the perceptual losses.", "iterations")] = (
        None
    )
    budget: Annotated[
        str | None,
        _option(
            SCHEDULE,
            "Time to train for in place of a number of steps: 90s, 3m, 1h30m. The learning rate falls "
            "to 0 just in time.",
        ),
    ] = None
    warmup_iterations: Annotated[
        int | None,
        _option(
            SCHEDULE,
            "Warm-up steps that teach the network to reproduce the photo: none if --init already does; "
            "else 300, or --iterations if fewer.",
        ),
    ] = None
    size: Annotated[int | None, _option(SCHEDULE, "Side of the training crops in pixels.", "size")] = None
    early_size: Annotated[
        int | None,
        _option(
            SCHEDULE,
            "Side of the crops in the first half, where smaller ones save time, 112 say: of use where --init "
            "is none or base. 0: as later.",
            "early_size",
        ),
    ] = None
    batch_size: Annotated[int | None, _option(SCHEDULE, "Photos a step.", "batch_size")] = None
    width: Annotated[
        int | None,
        _option(SCHEDULE, "Channels of the first layer: 16 is fast, 32 is Johnson's.", "width"),
    ] = None
    lr: Annotated[float | None, _option(SCHEDULE, "Peak learning rate.", "lr")] = None
    init: Annotated[
        str,
        _option(
            SCHEDULE,
            "Where to begin: predicted (what the style predictor makes of the picture), gallery (the mean of "
            "the gallery's models of this norm), base (the shipped network of this norm that reproduces the "
            "photo), none (random weights, and a warm-up), a model file, or auto: none for a width other "
            "than 16, gallery for its own styles, predicted for other pictures.",
        ),
    ] = "auto"
    seed: Annotated[
        int | None, _option(SCHEDULE, "Decides initial weights, data order and crops.", "seed")
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; runs/<style>-<norm> if not given.", rich_help_panel=MACHINE, parser=some_path
        ),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in the run folder.", rich_help_panel=MACHINE)
    ] = False
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace a run that exists.", rich_help_panel=MACHINE),
    ] = False
    sample_every: Annotated[
        int,
        typer.Option(
            min=1, help="Iterations between sample pictures, without --budget.", rich_help_panel=MACHINE
        ),
    ] = 150
    sample: Annotated[
        Path,
        typer.Option(
            help="The photo for the sample pictures.", show_default="the astronaut", rich_help_panel=MACHINE
        ),
    ] = EXAMPLES / "astronaut.jpg"
    device: Annotated[str, _option(MACHINE, "auto, cpu, cuda, cuda:1, mps.")] = "auto"
    precision: Annotated[
        str | None,
        typer.Option(
            help="fp32, bf16, or auto: bf16 if the processor supports it.",
            show_default=TrainConfig.precision,
            rich_help_panel=MACHINE,
        ),
    ] = None
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write curves, samples and gates for TensorBoard into the run folder, too.",
            rich_help_panel=MACHINE,
        ),
    ] = False
    sync_bn: Annotated[
        bool, _option(MACHINE, "Under torchrun: batch norms use the whole batch, as in one process.")
    ] = True
    vgg: Annotated[
        str,
        _option(MACHINE, "Loss network: shipped (float16, in the repository) or torchvision (downloads)."),
    ] = "shipped"

    def settings(self) -> dict[str, Any]:
        """Those that are given and are settings of `TrainConfig`, by name."""
        names = (field.name for field in fields(TrainConfig))
        return {name: value for name in names if (value := getattr(self, name, None)) is not None}


@with_fields("given", Options)
def train(given: Options) -> None:
    """Train a network to paint photos in the style of a picture.

    The run folder gets model.safetensors (paint with it: python stylize.py
    photo.jpg --model FILE), sample pictures, metrics.jsonl and a drawing of
    the losses. Ctrl-C saves and stops; --resume continues.

    A style of the catalogue has settings of its own in place of some of the
    defaults below: styles/recipes.toml.

    Several processes, on as many GPUs or cores, share each batch: torchrun
    --nproc-per-node=4 train_style.py …
    """
    began = time.perf_counter()
    picture, name, recipe = _style_picture(given.style)
    options = {**recipe, **given.settings(), "style": name}
    options["style_size"] = _style_size(str(options.get("style_size", "auto")), picture)
    options |= length(given.iterations, given.budget)
    _check(given)
    target = pick_device(own_device(given.device))
    norms = [given.norm or NORM] if given.compare is None else given.compare.split(",")
    folders = {
        one: RunFolder(given.out or Path("runs") / f"{name}-{norm_slug(one)}")
        for one in map(canonical_norm, norms)
    }
    check_folders(folders.values(), given.resume, given.overwrite, bool(given.compare))
    photos = open_content(given.content)
    if given.content and not Path(given.content).is_dir():
        began = time.perf_counter()  # a budget is not for a download
    where = _where_to_begin(given.init, options.get("width", TrainConfig.width), bool(recipe))
    begin = {one: _beginning(where, one, name if recipe else "", picture) for one in folders}
    if given.warmup_iterations is None:  # what begins at a network that paints the photo is warm already
        wanted = options.get("iterations", TrainConfig.iterations)
        warm = all(word for word, _ in begin.values())
        options["warmup_iterations"] = 0 if warm else min(wanted, TrainConfig.warmup_iterations)
    configs = {one: TrainConfig(**{**options, "norm": one, "init": begin[one][0]}) for one in folders}
    with (
        process_group(target, given.sync_bn) as ranks,
        StopSignals(lambda: say("Saving …") if ranks.first else None) as stop,
    ):
        if ranks.first and given.content is None:
            say(
                f"Training on the {len(photos.training)} photos that ship with the project. "
                "For a model that paints any photo well, give a folder with --content.",
                "yellow",
            )
        if ranks.first:
            say(
                f"The style picture is seen with a shorter side of {options['style_size']} px (--style-size)."
            )
        loss_network = Vgg16Features(cast(VggSource, given.vgg))
        with about(f"Sample photo {given.sample}"):
            shown = decode(given.sample).rgb
        for one, folder in folders.items():
            if given.compare:
                began = time.perf_counter()  # a budget is each norm's own, and what all need is nobody's
            config = configs[one]
            with about(f"Style picture {picture}"):
                style_picture = decode(picture).rgb
                check_style_picture(style_picture)
            trainer = Trainer(config, style_picture, loss_network, target, begin[one][1], ranks)
            del style_picture  # it may be large
            going_on = given.resume and folder.state.exists()
            with ProgressLine(console if ranks.first else Console(quiet=True), f"{name} {one}") as line:
                progress, every = line.update, given.sample_every
                training = Run(trainer, photos, folder, shown, every, progress, stop.requested, began=began)
                if going_on:
                    where = f"iteration {training.resume()}"
                    if config.budget:
                        where += f", after {duration(training.seconds)} of {duration(config.budget)}"
                    else:
                        where += f" of {config.total_iterations}"
                    line.console.print(f"Resuming {folder.path} at {where}.", soft_wrap=True, markup=False)
                elif ranks.first:
                    folder.create()
                if given.tensorboard and ranks.first:
                    training.tensorboard_writer = TensorBoardWriter(folder.path, trainer.iteration)
                try:
                    outcome = training.run()
                finally:
                    if training.tensorboard_writer:
                        training.tensorboard_writer.close()
            if ranks.first:
                say_outcome(outcome)
            if not outcome.finished:
                raise typer.Exit(128 + stop.received)
            if ranks.first:
                draw_curve(folder)
                say(f"Trained in {duration(outcome.seconds)}. The model is {folder.model}; paint with it:")
                say(f"  python stylize.py photo.jpg --model {shlex.quote(str(folder.model))}")
        if given.compare and ranks.first:
            drawing = Path("runs") / f"{name}-compare.png"
            if draw_comparison(folders, drawing):
                say(f"Their losses side by side: {drawing}")


def _check(given: Options) -> None:
    """Refuse options that exclude each other, or need what is not installed."""
    if given.vgg not in ("shipped", "torchvision"):
        raise SettingError(f"vgg must be shipped or torchvision, not {given.vgg!r}.")
    if given.compare is not None and given.out:
        raise SettingError("--compare trains into runs/<style>-<norm>; leave out --out.")
    if given.compare is not None and given.norm is not None:
        raise SettingError("Give --norm or --compare, not both.")
    if given.tensorboard:
        require_tensorboard()  # or one would hear that it is not installed when the old run is gone


def _where_to_begin(init: str, width: int, of_gallery: bool) -> str:
    """`--init` with auto decided, for a style of the gallery or another picture.

    Raises:
        SettingError: What it names has another width.
    """
    if not init:
        raise SettingError("--init is empty; leave it out for auto.")
    if init == "auto":
        beginning = "gallery" if of_gallery else "predicted"
        return beginning if width == WIDTH else "none"
    if init in ("base", "gallery", "predicted") and width != WIDTH:
        raise SettingError(f"--init {init} needs a width of {WIDTH}, not {width}; leave it out.")
    return init


def _beginning(init: str, norm: str, of_gallery: str, picture: Path) -> tuple[str, TransformerNet | None]:
    """The config's word for where to begin, and the network if it is neither a base nor random.

    A style `of_gallery` does not start from its own model.
    """
    if init == "predicted":
        return init, open_style_picture(picture).model(norm)[0]
    if init == "none":
        return "", None
    if init == "base":
        return "base", None
    if init == "gallery":
        return "gallery", gallery_mean(norm, without=of_gallery)
    network, _ = load_model(init)
    if network.norm != norm:  # the trainer says so, too, but of several norms too late
        raise SettingError(f"The network to start from is {network.norm}; {norm} is to be trained.")
    return Path(init).name, network


def _style_picture(style: str) -> tuple[Path, str, dict[str, Any]]:
    """The picture that --style names, the name of the style, and the catalogue's settings for it."""
    if is_picture(style):
        path = Path(known_style(style))
        return path, path.stem.lower(), {}
    try:
        found = find_style(style)
    except UnknownStyleError as error:
        names = ", ".join(s.name for s in styles())
        raise UnknownStyleError(
            f"There is no style {style!r}; choose one of {names}, or give the path of a picture."
        ) from error
    return found.picture, found.name, recipes().get(found.name, {})


def _style_size(written: str, picture: Path) -> int:
    """`--style-size` with auto decided."""
    if written != "auto":
        try:
            return int(written)
        except ValueError:
            raise SettingError(f"style-size is auto or a number of pixels, not {written!r}.") from None
    with about(f"Style picture {picture}"):
        rgb = decode(picture).rgb
        check_style_picture(rgb)
        return marks_seen_best(rgb)


def main() -> None:
    """The command: from arguments to an exit code."""
    keep_freed_memory()
    use_threads()  # PyTorch does not know of a container's quota
    run(train)


if __name__ == "__main__":
    main()
