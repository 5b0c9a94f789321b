"""Train a style predictor, which gives any picture's style at once: python train_predictor.py"""

from __future__ import annotations

from transformer_net import interrupts

# isort: split

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from styles.gallery.painted import painted, require_painters
from transformer_net.commandline import console, run, say, some_path
from transformer_net.devices import pick_device, use_threads
from transformer_net.errors import SettingError
from transformer_net.imaging.decode import decode
from transformer_net.memory import keep_freed_memory
from transformer_net.network import with_upsampling
from transformer_net.norms import canonical_norm, norm_slug
from transformer_net.prediction.predictor import StylePredictor, load_predictor
from transformer_net.prediction.style_picture import predictor_file
from transformer_net.training.config import length
from transformer_net.training.content import EXAMPLES, ContentPhotos, open_content
from transformer_net.training.execution.distributed import own_device, process_group
from transformer_net.training.execution.signals import StopSignals
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.prediction.config import PredictorConfig
from transformer_net.training.prediction.styles import StyleCrops
from transformer_net.training.prediction.trainer import PredictorTrainer
from transformer_net.training.pretrained import load_base
from transformer_net.training.report import ProgressLine, duration, say_outcome
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder, check_folders

interrupts.as_before()


def train(
    norm: Annotated[str, typer.Option(help="Normalizer: bn, in, bn+se or iebn.")] = "iebn",
    styles: Annotated[
        Path | None,
        typer.Option(
            help="Folder of style pictures, hundreds if you can. One crop in ten is of a picture that the "
            "gallery's painters draw, with a new seed each time; without a folder, all are.",
            show_default=False,
            parser=some_path,
        ),
    ] = None,
    content: Annotated[
        str | None,
        typer.Option(
            help="Folder of photos, or a data set: imagenette, food101, caltech101, pets. Default: the "
            "shipped photos."
        ),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Steps.", show_default=str(PredictorConfig.iterations))
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time to train for in place of a number of steps: 3m, 1h30m.")
    ] = None,
    batch_size: Annotated[
        int, typer.Option(help="Photos a step, each with a style of its own.")
    ] = PredictorConfig.batch_size,
    hidden: Annotated[
        int | None,
        typer.Option(help="Units of the predictor's inner layers.", show_default=str(PredictorConfig.hidden)),
    ] = None,
    init: Annotated[
        Literal["base", "shipped"],
        typer.Option(
            help="Where to begin: the network that reproduces the photo, or the predictor that ships."
        ),
    ] = "base",
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; default: runs/predictor-<norm>.", show_default=False, parser=some_path
        ),
    ] = None,
    sample_every: Annotated[int, typer.Option(min=1, help="Steps between samples and validations.")] = 500,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run in the folder stopped.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete a run that is there.")] = False,
) -> None:
    """Train the network that predicts a style picture's norms, and the convolutions that all styles share.

    Some of the pictures are held out: samples show a photo in four of them, and the losses on them tell how
    well the predictor does with new pictures. `closed` is the share of a photo's style distance that is gone.

    Ctrl-C saves and stops; --resume continues. Several processes, on as many GPUs or cores, share each batch:
    torchrun --nproc-per-node=4 train_predictor.py …
    """
    began = time.perf_counter()
    if hidden is not None and init == "shipped":
        raise SettingError("The predictor that ships has its units already: leave out --hidden or --init.")
    config = PredictorConfig(
        style="predictor",
        norm=canonical_norm(norm),
        batch_size=batch_size,
        hidden=PredictorConfig.hidden if hidden is None else hidden,
        init=init,
        seed=seed,
        **length(iterations, budget),
    )
    require_painters()  # or one would hear that they cannot draw when the old run is gone
    target = pick_device(own_device(device))
    folder = RunFolder(out or Path("runs") / f"predictor-{norm_slug(config.norm)}", PredictorConfig)
    check_folders([folder], resume, overwrite, several=False)
    photos = open_content(content)
    if content and not Path(content).is_dir():
        began = time.perf_counter()  # a budget is not for a download
    pictures = ContentPhotos.from_folder(styles) if styles else None
    network, before = _beginning(config)
    config = replace(config, hidden=network.hidden, upsampling=network.upsampling)
    with (
        process_group(target) as ranks,
        StopSignals(lambda: say("Saving …") if ranks.first else None) as stop,
        ProgressLine(console if ranks.first else Console(quiet=True), f"predictor {config.norm}") as line,
    ):
        vgg = Vgg16Features()
        crops = StyleCrops(pictures, partial(painted, seed=config.seed), vgg, target, config)
        trainer = PredictorTrainer(config, crops, vgg, target, network, ranks, before)
        sample = decode(EXAMPLES / "astronaut.jpg").rgb
        training = Run(
            trainer, photos, folder, sample, sample_every, line.update, stop.requested, began=began
        )
        if resume:
            line.console.print(f"Resuming {folder.path} at iteration {training.resume()}.", markup=False)
        else:
            if ranks.first:
                folder.create()
            if init == "base":
                trainer.standardize()
        outcome = training.run()
    if not ranks.first:
        return
    say_outcome(outcome)
    if not outcome.finished:
        raise typer.Exit(128 + stop.received)
    say(f"Trained in {duration(outcome.seconds)}. The predictor is {folder.model}.")


def _beginning(config: PredictorConfig) -> tuple[StylePredictor, dict[str, Any] | None]:
    """The predictor to train, and the card of its training so far, where there was one."""
    if config.init == "shipped":
        predictor, description = load_predictor(predictor_file(config.norm))
        return predictor, description["training"]
    base = with_upsampling(load_base(config.norm), config.upsampling)
    return StylePredictor.around(base, config.hidden, config.seed), None


def main() -> None:
    """The command: from arguments to an exit code."""
    keep_freed_memory()
    use_threads()  # PyTorch does not know of a container's quota
    run(train)


if __name__ == "__main__":
    main()
