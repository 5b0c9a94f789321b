"""Batch noise where it is worst, which no paper has: a style predictor's batch holds many styles.

    python -m experiments.any_style --content DIR --styles DIR

Each predictor paints the same photos in the same styles three times: in evaluation mode, and by the
statistics of batches of one style and of as many styles as photos. The styles are held-out pictures of the
folder, and drawn ones that no training has seen.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.harness.drawing import COLOURS, dots, markdown
from experiments.harness.experiment import main
from experiments.harness.intervals import Claim, Estimate, change, difference, judged
from experiments.harness.runner import Inputs, Metrics, Store, Trial, rounded
from experiments.harness.stylization import TOLD
from styles.gallery.painted import painted
from transformer_net.errors import SettingError
from transformer_net.norms import NORMS, norm_slug, running_statistics_kept
from transformer_net.prediction.predictor import StylePredictor, load_predictor
from transformer_net.prediction.style_picture import predicted_norms, predictor_file
from transformer_net.training.losses.perceptual import CONTENT_TAP, gram_matrix
from transformer_net.training.prediction.config import PredictorConfig
from transformer_net.training.prediction.styles import StyleCrops, StyleTargets
from transformer_net.training.prediction.trainer import distance
from transformer_net.training.trainer import add_grain

TITLE = "Any picture as a style (not in the paper)"
COMMAND = "python -m experiments.any_style"
MODES = {"evaluation": "evaluation mode", "one": "one style a batch", "many": "many styles a batch"}
SETTING: dict[str, Any] = {"photos": 8, "side": 256, "crop": 256, "batch_size": PredictorConfig.batch_size}
QUICK: dict[str, Any] = {"photos": 1, "side": 64, "crop": 64, "batch_size": 1}
OTHERS = {"iebn": "IEBN", "bn+se": "SE", "in": "IN"}


def trials(quick: bool = False) -> list[Trial]:
    """Every predictor there is; one that was trained again is measured again. Quick ones are untrained."""
    if quick:
        return [trial(norm, quick) for norm in ("bn", "iebn")]
    return [trial(norm) for norm in predicted_norms()]


def trial(norm: str, quick: bool = False) -> Trial:
    """The measurement of one predictor."""
    predictor = "" if quick else hashlib.sha256(predictor_file(norm).read_bytes()).hexdigest()
    config = SETTING | (QUICK if quick else {}) | {"norm": norm, "predictor_sha256": predictor}
    return Trial("any_style", norm_slug(norm), config, measure, minutes=0 if quick else 4)


def measure(config: Mapping[str, Any], inputs: Inputs) -> Metrics:
    """Losses of all photos in all styles, by mode and style."""
    if config["predictor_sha256"]:
        predictor, description = load_predictor(predictor_file(config["norm"]))
        grain = description["grain"]
    else:
        predictor, grain = untrained(config["norm"]), 0.0
    settings = PredictorConfig(style="", norm=config["norm"], crop=config["crop"])
    sets = [StyleCrops(of, painted, inputs.vgg, inputs.device, settings) for of in (inputs.styles, None)]
    targets = [one for each in sets for one in each.validation()]
    found: dict[str, Any] = {
        mode: compare(predictor.to(inputs.device), mode, config, inputs, sets[0], targets, grain)
        for mode in MODES
    }
    return rounded({"styles": len(targets), **found})  # type: ignore[no-any-return]


def untrained(norm: str) -> StylePredictor:
    """A small predictor of random weights, which paints each style in its own way, if in no sensible one."""
    torch.manual_seed(0)
    predictor = StylePredictor(norm, width=4, hidden=8)
    torch.nn.init.normal_(predictor.predictor[-1].weight, std=0.1)  # type: ignore[arg-type]
    return predictor


@torch.no_grad()
def compare(
    predictor: StylePredictor,
    mode: str,
    config: Mapping[str, Any],
    inputs: Inputs,
    crops: StyleCrops,
    targets: list[StyleTargets],
    grain: float,
) -> dict[str, list[float]]:
    """Mean over the photos of the losses of each style, and how many of a style's paintings are nearest to
    it.

    In every mode each photo meets each style once; in batches of many styles, the photos of a batch have
    different ones, which move on by one from batch to batch.
    """
    photos = list(inputs.photos.validation_tensors(config["side"]))[: config["photos"]]
    size = config["batch_size"]
    if len(photos) < config["photos"] or len(targets) < size:
        raise SettingError(
            f"This takes {config['photos']} held-out photos and {size} styles, and there are {len(photos)} "
            f"and {len(targets)}: a tenth of a folder is held out, so --content and --styles need more."
        )
    losses: list[list[tuple[float, float, bool]]] = [[] for _ in targets]
    predictor.train(mode != "evaluation")
    with running_statistics_kept(predictor):
        for first in range(0, len(photos) - size + 1, size):
            batch = torch.cat(photos[first : first + size]).to(inputs.device)
            grainy = torch.cat([add_grain(photo, grain) for photo in torch.split(batch.cpu(), 1)])
            wanted = crops.vgg(batch, taps=CONTENT_TAP + 1)[CONTENT_TAP]
            for step in range(len(targets)):
                styles = [(step + i) % len(targets) if mode == "many" else step for i in range(size)]
                descriptor = torch.cat([targets[style].descriptor for style in styles])
                paintings = predictor(grainy.to(inputs.device), descriptor).float().clamp(0, 1)
                features = crops.vgg(paintings)
                content = (features[CONTENT_TAP] - wanted).square().mean((1, 2, 3))
                grams = [gram_matrix(activation) for activation in features]
                away = torch.stack([style_loss(grams, target) for target in targets], 1)  # (B, styles)
                for i, style in enumerate(styles):
                    nearest = int(away[i].argmin()) == style
                    losses[style].append((away[i, style].item(), content[i].item(), nearest))
    names = ("style", "content", "right")
    means = [[statistics.fmean(column) for column in zip(*of, strict=True)] for of in losses]
    return {name: [mean[i] for mean in means] for i, name in enumerate(names)}


def style_loss(grams: list[Tensor], target: StyleTargets) -> Tensor:
    """What the predictors minimize, by painting (B,): the mean over the layers of log(1 + distance)."""
    pairs = zip(grams, target.grams, strict=True)
    return torch.stack([distance(gram, wanted).log1p() for gram, wanted in pairs]).mean(0)


def values(store: Store, norm: str, mode: str, name: str) -> dict[int, float]:
    """By style; empty where the predictor has not been measured."""
    metrics = store.metrics(trial(norm)) if norm in predicted_norms() else None
    return dict(enumerate(metrics[mode][name])) if metrics else {}


def lost(store: Store, norm: str, before: str, after: str) -> dict[int, float]:
    """By how many percent the style loss is higher in one mode than in another, by style."""
    return change(values(store, norm, after, "style"), values(store, norm, before, "style"))


def table(store: Store) -> str:
    """Losses and right styles by norm and mode."""
    rows = []
    for norm in NORMS:
        for mode, name in MODES.items():
            style, content, right = (
                Estimate.of(values(store, norm, mode, of)) for of in ("style", "content", "right")
            )
            if style.count:
                more = Estimate.of(lost(store, norm, "evaluation", mode))
                gap = more.show(1, " %", signed=True) if mode != "evaluation" else ""
                shown = [style.show(3), gap, content.show(2), f"{100 * right.mean:.0f} %"]
                rows.append([f"`{norm}`", name, *shown])
    columns = ["norm", "statistics", "style loss", "to evaluation mode", "content loss", "right style"]
    return markdown(columns, rows)


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Style loss by mode."""
    groups = {
        name: {norm: Estimate.of(values(store, norm, mode, "style")) for norm in NORMS}
        for mode, name in MODES.items()
    }
    caption = "The style predictors: mean of the held-out styles and its 95 % interval"
    return [(path, caption) for path in dots({"style loss": groups}, folder / "any-style.png", COLOURS)]


def claims(store: Store) -> list[Claim]:
    """Who paints the style, and who depends least on the rest of the batch."""
    found = []
    for norm, name in OTHERS.items():
        ours, bn = (values(store, n, "evaluation", "style") for n in (norm, "bn"))
        lower = {style: -percent for style, percent in change(ours, bn).items()}
        rows = [(f"{name} is nearer to the styles than BN, in evaluation mode", lower, "% lower style loss")]
        for before, after, what in (
            ("evaluation", "many", "from evaluation mode to batches of many styles"),
            ("one", "many", "from batches of one style to many"),
        ):
            less = difference(lost(store, "bn", before, after), lost(store, norm, before, after))
            rows.append((f"{name} loses less style than BN {what}", less, "% of the style loss less"))
        for text, by_style, unit in rows:
            gain = Estimate.of(by_style)
            ran = "the style predictors, held-out styles, one training each"
            figure = gain.show(1, f" {unit}", signed=True)
            found.append(Claim("new", text, ran, gain, COMMAND, figure, least=TOLD, pairs="held-out styles"))
    return judged(found)


if __name__ == "__main__":
    main(sys.modules[__name__])
