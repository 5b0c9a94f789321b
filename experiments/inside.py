"""Why: what the gates do, how near they come to instance norm's scale, and what batch statistics cost.

    python -m experiments.inside --content DIR

Measured on the shipped models, on photos as they are. In evaluation mode every norm multiplies a channel by
some a, which depends on the photo (`as_affine` in transformer_net/norms.py). The paper's Eqs. 6 to 8 compare
IN's a = γ/σ(x) with BN's γ/σ_B and IEBN's γ·δ(x)/σ_B. What comes out has a deviation of |a|·σ(x): the same
for each photo after IN, as different as the photos' σ(x) after BN. `recovered` is the share of that variance
(of logarithms, over photos) which is gone: 1 is IN, 0 is BN, and below 0 the gate makes photos differ more.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, split

from experiments.harness.drawing import COLOURS, markdown, new_figure, save
from experiments.harness.experiment import main
from experiments.harness.intervals import Claim, Estimate, difference, judged
from experiments.harness.runner import Inputs, Metrics, Store, Trial, rounded
from experiments.harness.stylization import TOLD
from styles.catalog import find_style, shipped
from styles.gallery.quality import gallery_loss
from transformer_net.checkpoint import load_model
from transformer_net.norms import NORMS, BatchNorm, InstanceNorm, moments, norm_slug
from transformer_net.training.content import ContentPhotos
from transformer_net.training.trainer import add_grain

TITLE = "Inside the norms (Eqs. 6 to 8)"
COMMAND = "python -m experiments.inside"
SETTING = {"photos": 48, "side": 256, "gap_photos": 16, "gap_side": 160, "batches": [1, 2, 4, 8, 16]}
QUICK = {"photos": 4, "side": 64, "gap_photos": 2, "gap_side": 64, "batches": [1, 2]}
GATED = ("bn+se", "iebn")


def trials(quick: bool = False) -> list[Trial]:
    """Every shipped model; a retrained one is measured again."""
    return [
        trial(style.name, norm, quick)
        for style in (shipped()[:1] if quick else shipped())
        for norm in style.norms
        if not quick or norm in ("bn", "iebn")
    ]


def trial(style: str, norm: str, quick: bool = False) -> Trial:
    """The measurement of one model."""
    model = find_style(style).model(norm)
    config = SETTING | (QUICK if quick else {})
    config |= {"style": style, "norm": norm, "model_sha256": hashlib.sha256(model.read_bytes()).hexdigest()}
    return Trial("inside", f"{style}-{norm_slug(norm)}", config, inspect, minutes=0.4)


def inspect(config: Mapping[str, Any], inputs: Inputs) -> Metrics:
    """Gates and scales by layer, and the losses in training mode by size of batch."""
    style = find_style(config["style"])
    network, info = load_model(style.model(config["norm"]))
    photos = squares(inputs.photos, config["photos"], config["side"])
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
    norms = {n: m for n, m in network.named_modules() if isinstance(m, BatchNorm | InstanceNorm)}
    hooks = [
        module.register_forward_pre_hook(
            lambda _, arguments, name=name: seen.setdefault(name, []).append(moments(arguments[0]))
        )
        for name, module in norms.items()
    ]
    with torch.inference_mode():
        for photo in photos:
            network(add_grain(photo, info.grain))
        for hook in hooks:
            hook.remove()
        layers = [
            layer(norms[name], *(torch.cat(parts) for parts in zip(*found, strict=True)))
            for name, found in seen.items()
        ]
    few = torch.cat(squares(inputs.photos, config["gap_photos"], config["gap_side"]))
    loss = gallery_loss(style)
    gap: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        # The grain of each photo is that of the photo alone: in a batch, training gives each its own.
        grained = torch.cat([add_grain(photo, info.grain) for photo in split(few, 1)])
        for size in (0, *config["batches"]):
            network.train(size > 0)
            paintings = torch.cat([network(batch).clamp(0, 1) for batch in split(grained, size or 1)])
            if not size:
                reference = paintings
            found = [
                loss(painting, photo).as_dict()
                for painting, photo in zip(split(paintings, 1), split(few, 1), strict=True)
            ]
            means = {n: sum(f[n] for f in found) / len(found) for n in found[0]}
            gap[str(size) if size else "eval"] = {
                "content": means["content"],
                "style": sum(v for n, v in means.items() if n.startswith("style_")) / 4,
                "moved": (paintings - reference).abs().mean().item(),
            }
    metrics: Metrics = rounded({"layers": layers, "gap": gap})
    return metrics


def squares(photos: ContentPhotos, count: int, side: int) -> list[Tensor]:
    """`count` photos from all over the set, (1, 3, side, side) each."""
    files = sorted([*photos.validation, *photos.training])
    chosen = files[:: max(1, len(files) // count)][:count]
    return list(ContentPhotos(photos.name, [], chosen).validation_tensors(side))


def layer(norm: BatchNorm | InstanceNorm, mean: Tensor, variance: Tensor) -> dict[str, Any]:
    """What one norm does to photos whose channels have `mean` and `variance`, (photos, C) each."""
    scale = norm.as_affine(mean, variance)[0].double().abs().clamp(min=1e-12)
    sigma = (variance.double() + norm.eps).sqrt()
    spread, left = sigma.log().var(0), (scale * sigma).log().var(0)
    both = torch.stack([scale.log(), -sigma.log()]) - torch.stack([scale.log(), -sigma.log()]).mean(1, True)
    norms = both.norm(dim=1)
    follows = (both[0] * both[1]).sum(0) / (norms[0] * norms[1])
    found: dict[str, Any] = {
        "channels": mean.shape[1],
        "recovered": quartiles(1 - left / spread),
        "pooled": (1 - left.sum() / spread.sum()).item(),
        "correlation": quartiles(follows[norms[0] > 1e-6]),
    }
    if isinstance(norm, BatchNorm) and type(norm) is not BatchNorm:
        gate = scale / BatchNorm.as_affine(norm, mean, variance)[0].double().abs().clamp(min=1e-12)
        found["gate"] = gate.flatten().quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]).double()).tolist()
        found["gate_by_photo"] = gate.std(0).mean().item()
        found["gate_by_channel"] = gate.mean(0).std().item()
    return found


def quartiles(values: Tensor) -> list[float]:
    """25, 50 and 75 %; empty for none."""
    return values.quantile(torch.tensor([0.25, 0.5, 0.75]).double()).tolist() if len(values) else []


def measured(store: Store, norm: str) -> dict[str, Metrics]:
    """What has been measured of a norm, by style."""
    found = {style.name: store.metrics(trial(style.name, norm)) for style in shipped() if norm in style.norms}
    return {name: metrics for name, metrics in found.items() if metrics is not None}


def recovered(store: Store, norm: str) -> dict[str, float]:
    """Share of the variance of scale that is gone, by style: mean of the layers, channels pooled."""
    return {
        style: 100 * sum(one["pooled"] for one in metrics["layers"]) / len(metrics["layers"])
        for style, metrics in measured(store, norm).items()
    }


def correlation(store: Store, norm: str) -> dict[str, float]:
    """Correlation of log |a| with −log σ(x) over photos, by style: mean of the layers' median channels."""
    found = {}
    for style, metrics in measured(store, norm).items():
        medians = [one["correlation"][1] for one in metrics["layers"] if one["correlation"]]
        if medians:
            found[style] = sum(medians) / len(medians)
    return found


def gaps(store: Store, norm: str, batch: int, name: str) -> dict[str, float]:
    """Percent that a loss in training mode, in batches of `batch`, is above evaluation mode, by style."""
    return {
        style: 100 * (metrics["gap"][str(batch)][name] / metrics["gap"]["eval"][name] - 1)
        for style, metrics in measured(store, norm).items()
        if str(batch) in metrics["gap"]
    }


def outdated(store: Store) -> int:
    """Models that have changed since they were measured, or have not been."""
    return sum(not store.is_done(one) for one in trials())


def table(store: Store) -> str:
    """Scale by norm, and how many models it is known of."""
    rows = []
    for norm in NORMS:
        if known := measured(store, norm):
            by_photo = [one.get("gate_by_photo") for m in known.values() for one in m["layers"]]
            gate = [value for value in by_photo if value is not None]
            follows = Estimate.of(correlation(store, norm))
            rows.append(
                [
                    f"`{norm}`",
                    Estimate.of(recovered(store, norm)).show(1, " %"),
                    follows.show(2) if follows.count else "",  # bn's scale is the same for every photo
                    f"{sum(gate) / len(gate):.4f}" if gate else "",
                    *(Estimate.of(gaps(store, norm, b, "style")).show(1, signed=True) for b in (1, 4, 16)),
                ]
            )
    columns = ["norm", "recovered of 1/σ(x)", "correlation", "deviation of the gate over photos"]
    columns += [f"style loss, training against evaluation mode, batch of {b}, %" for b in (1, 4, 16)]
    late = outdated(store)
    note = (
        f"\n{late} of {len(trials())} models are not measured, or have been trained again since.\n"
        if late
        else ""
    )
    return markdown(columns, rows) + note


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Gates by layer, recovered scale by layer, and the gap by size of batch."""
    known = {norm: measured(store, norm) for norm in NORMS}
    if not any(known.values()):
        return []
    figure = new_figure(12, 3.8)
    gate_axes, scale_axes, gap_axes = figure.subplots(1, 3)
    for norm, runs in known.items():
        if not runs:
            continue
        colour, layers = COLOURS[norm], [m["layers"] for m in runs.values()]
        places = range(1, len(layers[0]) + 1)
        scale_axes.plot(
            places,
            _mean([[one["pooled"] for one in run] for run in layers]),
            "o-",
            ms=3,
            color=colour,
            label=norm,
        )
        if norm in GATED:
            low, middle, high = (
                _mean([[one["gate"][i] for one in run] for run in layers]) for i in (0, 2, 4)
            )
            gate_axes.plot(places, middle, "o-", ms=3, color=colour, label=norm)
            gate_axes.fill_between(places, low, high, color=colour, alpha=0.15, lw=0)
        sizes = [size for size in next(iter(runs.values()))["gap"] if size != "eval"]
        moved = _mean([[m["gap"][size]["moved"] for size in sizes] for m in runs.values()])
        gap_axes.plot(range(len(sizes)), moved, "o-", ms=3, color=colour, label=norm)
        gap_axes.set_xticks(range(len(sizes)), sizes)
    for axes, title, label in (
        (gate_axes, "gate δ: median, 5 to 95 % of photos and channels", "norm, from input to output"),
        (scale_axes, "share of 1/σ(x) recovered: IN 1, BN 0", "norm, from input to output"),
        (gap_axes, "mean |painting in training − in evaluation mode|", "photos in a batch"),
    ):
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(label)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8)
    return [
        (
            save(figure, folder / "inside.png"),
            "Means over the styles; the gap is the mean absolute difference, 0 to 1",
        )
    ]


def _mean(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]


def claims(store: Store) -> list[Claim]:
    """Gates recover the scale of an instance, and depend less on the batch."""
    found = []
    models = "the models shipped before" if any(map(store.is_outdated, trials())) else "the shipped models"
    for norm, name in (("iebn", "IEBN"), ("bn+se", "SE")):
        share, follows = Estimate.of(recovered(store, norm)), Estimate.of(correlation(store, norm))
        moved = {
            n: {s: m["gap"]["4"]["moved"] for s, m in measured(store, n).items() if "4" in m["gap"]}
            for n in ("bn", norm)
        }
        less = Estimate.of(
            {s: 100 * d / moved["bn"][s] for s, d in difference(moved["bn"], moved[norm]).items()}
        )
        found += [
            Claim(
                "Eqs. 6 to 8",
                f"{name}'s gate brings the scale nearer to IN's",
                f"{models}, evaluation mode, all norms of a network",
                share,
                COMMAND,
                f"{share.show(1, ' %', signed=True)} of the variance of 1/σ(x) over photos; "
                f"correlation {follows.show(2)}",
            ),
            Claim(
                "section 3",
                f"{name} is less exposed to batch noise than BN",
                f"{models}: paintings with the statistics of batches of 4 against evaluation mode",
                less,
                COMMAND,
                less.show(1, " % less change", signed=True),
                least=TOLD,
                pairs="styles with four models each",
            ),
        ]
    return judged(found)


if __name__ == "__main__":
    main(sys.modules[__name__])
