"""The first task: the style network itself, trained as short as still tells the normalizers apart.

The losses are the paper's: content and style alone, each image by itself. What the gallery adds to them
(palette, grain, locality) is left out. Runs begin at random weights, a seed each, so that ablations, which
have no base network to begin at, are comparable.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.harness.foreign_samples import add_foreign_samples, flat_samples
from experiments.harness.intervals import Estimate
from experiments.harness.runner import Inputs, Metrics, Store, Trial, rounded
from styles.catalog import find_style
from styles.gallery.quality import example_photos
from styles.gallery.train import curves_of
from transformer_net.checkpoint import write_atomically
from transformer_net.errors import DivergedError
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.norms import norm_slug, running_statistics_kept
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import EXAMPLES
from transformer_net.training.report import STYLE_LOSSES
from transformer_net.training.run import Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import Trainer, add_grain

SETTING: dict[str, Any] = {
    "width": 16,
    "iterations": 300,
    "warmup_iterations": 150,
    "batch_size": 4,
    "size": 96,
    "early_size": 0,
    "warmup_size": 96,
    "crop_scale": 0.2,
    "lr": 4e-3,
    "content_weight": 1.0,
    "style_weight": 10.0,
    "palette_weight": 0.0,
    "tv_weight": 0.0,
    "locality": 1.0,
    "style_size": 768,
    "grain": 0.0,
    "init": "",
}
QUICK: dict[str, Any] = {
    "width": 4,
    "iterations": 6,
    "warmup_iterations": 2,
    "batch_size": 2,
    "size": 32,
    "warmup_size": 32,
    "style_size": 64,
}
LONG: dict[str, Any] = {"iterations": 450}
"""What the comparison of the normalizers has more of than ablations and attacks."""

SIDES = (256, 512)
"""Sides in pixels of the squares that long runs are measured on: of held-out photos, and of the examples."""

TOLD = 3.0
"""Percent of a loss that the runs are to be able to tell, and so by which none may still be falling."""

MINUTES = {False: 3.3, True: 2.9}
"""Of a run, short and long, as measured on one thread of an AMD EPYC beside other load: good for plans
only."""

VALIDATE_EVERY = 75
PICTURE_SIDE = 256


def stylize(config: Mapping[str, Any], inputs: Inputs) -> Metrics:
    """Train one network: its losses over the iterations and, of seed 0, the astronaut as it paints him.

    Losses are the training's, averaged over ten steps, and in evaluation mode on held-out photos.
    """
    settings = TrainConfig.from_dict(config["train"])
    picture = decode(find_style(settings.style).picture).rgb
    trainer = Trainer(settings, picture, inputs.vgg, inputs.device)
    if count := config["strangers"]:
        add_foreign_samples(trainer.network, count, flat_samples(count))
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder(Path(scratch))
        folder.create()
        sample = decode(EXAMPLES / "astronaut.jpg").rgb
        try:
            Run(trainer, inputs.photos, folder, sample, sample_every=VALIDATE_EVERY).run()
        except DivergedError as error:
            return {"diverged": str(error), "curves": rounded(curves_of(folder.records()))}
        if settings.seed == 0 and not config.get("again"):  # on another machine: not these results' pictures
            painting = decode(folder.samples / f"{settings.total_iterations:06}.jpg").rgb
            file = inputs.pictures / f"{config['label']}.jpg"
            write_atomically(file, encode(fit(painting, PICTURE_SIDE), "jpeg"))
        curves = curves_of(folder.records())
    measured = {}
    if config.get("sides"):
        measured["held_out"] = {str(side): held_out(trainer, inputs, side) for side in config["sides"]}
    return measured | {
        "diverged": "",
        "final": curves["validation"][-1],
        "training": _mean_of_last(curves["training"]),
        "style_picture_sha256": trainer.style_sha256,
        "photos": len(inputs.photos.training),
        "curves": curves,
    }


def held_out(trainer: Trainer, inputs: Inputs, side: int) -> Metrics:
    """Content and style losses on squares of `side` px in evaluation mode, and by the statistics of batches.

    Batches are as large as in training. Up to 256 px they are of held-out photos, above of the example
    photos, which have as many pixels.
    """
    photos = (
        list(inputs.photos.validation_tensors(side)) if side <= 256 else list(example_photos(side).values())
    )
    network, grain, size = trainer.network, trainer.config.grain, trainer.config.batch_size
    found: Metrics = {}
    with torch.inference_mode(), running_statistics_kept(network):
        for mode in ("evaluation", "training"):
            network.train(mode == "training")
            losses = []
            for batch in (photos[first : first + size] for first in range(0, len(photos), size)):
                grainy = torch.cat([add_grain(photo, grain) for photo in batch])
                paintings = network(grainy.to(inputs.device)).float().clamp(0, 1)
                losses += [
                    trainer.loss(painting[None], photo.to(inputs.device)).as_dict()
                    for painting, photo in zip(paintings, batch, strict=True)
                ]
            found[mode] = {
                "content": statistics.fmean(one["content"] for one in losses),
                "style": statistics.fmean(one[name] for one in losses for name in STYLE_LOSSES),
            }
    network.train()
    return rounded(found)  # type: ignore[no-any-return]


def fell(validation: Sequence[Mapping[str, float]]) -> float:
    """By how many percent the total loss in evaluation mode fell within the last fifth of a training."""
    steps, totals = [point["iteration"] for point in validation], [total(point) for point in validation]
    return float(100 * (1 - totals[-1] / np.interp(0.8 * steps[-1], steps, totals)))


def are_finished(store: Store, trials: Iterable[Trial]) -> bool:
    """Whether the style networks of `trials`, as far as they are run, show what they come to.

    The total loss of each network fell by surely less than `TOLD` percent in the last fifth of the
    iterations: the upper end of the interval of its seeds' mean. As in comparisons, a seed counts with the
    mean of its styles. What diverged fell nowhere.
    """
    return all(estimate.mean + estimate.half < TOLD for estimate in falls(store, trials).values())


def falls(store: Store, trials: Iterable[Trial]) -> dict[str, Estimate]:
    """By how much the total loss fell, as `fell` tells, over the seeds of each network."""
    styles: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        if trial.kind == "stylize" and (run := store.metrics(trial)) and not run["diverged"]:
            train = trial.config["train"]
            network = trial.label.removeprefix(f"{train['style']}-").removesuffix(f"-seed{train['seed']}")
            styles[network][train["seed"]].append(fell(run["curves"]["validation"]))
    return {
        network: Estimate.of({seed: statistics.fmean(values) for seed, values in seeds.items()})
        for network, seeds in styles.items()
    }


def _mean_of_last(points: list[dict[str, float]]) -> dict[str, float]:
    """Over the last tenth of the training."""
    last = points[-max(1, len(points) // 10) :]
    names = ("content", "style", *STYLE_LOSSES)
    means: dict[str, float] = rounded({name: sum(p[name] for p in last) / len(last) for name in names})
    return means


def total(losses: Mapping[str, float]) -> float:
    """What was minimized: content and the sum of the four style terms, weighted."""
    style = 4 * SETTING["style_weight"] * losses["style"]
    return float(SETTING["content_weight"] * losses["content"] + style)


def trial(
    norm: str,
    seed: int = 0,
    *,
    style: str = "mosaic",
    variant: str = "",
    options: Mapping[str, Any] | None = None,
    foreign_samples: int = 0,
    long: bool = False,
    quick: bool = False,
    stage: int = 1,
) -> Trial:
    """The training of one network; `variant` names what is not usual about it."""
    train = SETTING | (LONG if long else {}) | (QUICK if quick else {})
    train |= {"style": style, "norm": norm, "norm_options": dict(options or {}), "seed": seed}
    label = "-".join(filter(None, [style, norm_slug(norm), "long" * long, variant, f"seed{seed}"]))
    config = {"train": train, "strangers": foreign_samples, "label": label}
    if long:
        config["sides"] = [64] if quick else list(SIDES)
    return Trial("stylize", label, config, stylize, stage, 0 if quick else MINUTES[long])
