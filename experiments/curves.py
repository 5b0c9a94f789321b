"""Figures 3 and 5: content and style loss while the style network learns, with each normalizer.

    python -m experiments.curves --content DIR

Our own short runs, three seeds each, and the gallery's long ones, one seed in each of six styles
(`styles/*/curves.json`). The paper shows training losses; evaluation mode on held-out photos stands beside.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

from experiments.harness import stylization
from experiments.harness.drawing import COLOURS, markdown, new_figure, plain_numbers, save
from experiments.harness.experiment import main
from experiments.harness.intervals import SEEDS, Claim, Estimate, change, difference, per_seed
from experiments.harness.runner import Store, Trial
from styles.catalog import shipped
from styles.gallery.quality import SIDES, QualityFigures
from transformer_net.norms import NORMS

TITLE = "Training curves (Figures 3 and 5)"
COMMAND = "python -m experiments.curves"
MAIN_STYLE, MORE_STYLES = "mosaic", ("wave", "starry")
TERMS = ("content", "style")
MODES = {"training": "training", "final": "evaluation"}
"""Key of a run's metrics → what mode it was taken in."""


def trials(quick: bool = False) -> list[Trial]:
    """Mosaic with each seed, then two more styles with one."""
    found = [
        stylization.trial(norm, seed, quick=quick)
        for seed in (SEEDS[:1] if quick else SEEDS)
        for norm in NORMS
    ]
    if not quick:
        found += [stylization.trial(norm, style=style, stage=2) for style in MORE_STYLES for norm in NORMS]
    return found


def losses(store: Store, norm: str, mode: str, term: str) -> dict[int, float]:
    """Loss at the end of training on the mosaic, by seed; infinite if it diverged."""
    return per_seed(
        store,
        lambda s: stylization.trial(norm, s),
        lambda m: math.inf if m["diverged"] else m[mode][term],
    )


def gallery(norm: str, mode: str, term: str) -> dict[str, float]:
    """The same of the shipped models, by style: the last validation, or the last tenth of training."""
    found = {}
    for style in shipped():
        file = style.folder / "curves.json"
        curves = json.loads(file.read_text()).get(norm) if file.is_file() else None
        if not curves:  # not trained yet
            continue
        points = curves["validation" if mode == "final" else "training"]
        last = points[-1:] if mode == "final" else points[-max(1, len(points) // 10) :]
        found[style.name] = statistics.fmean(point[term] for point in last)
    return found


Tables = dict[str, dict[str, dict[str, float]]]
"""Losses of the shipped models on the example photos, by style and row, as benchmarks/quality.py measured."""


def on_examples(tables: Tables, norm: str, term: str) -> dict[str, float]:
    """The same on the example photos, in evaluation mode."""
    return {style: rows[norm][term] for style, rows in tables.items() if norm in rows}


def relative(ours: dict[Any, float], theirs: dict[Any, float]) -> dict[Any, float]:
    """By how many percent ours are below theirs, pair by pair."""
    return {key: -percent for key, percent in change(ours, theirs).items()}


def table(store: Store) -> str:
    """Losses at the end, ours and the gallery's."""
    rows = []
    for mode, mode_name in MODES.items():
        for norm in NORMS:
            ours = [Estimate.of(losses(store, norm, mode, term)) for term in TERMS]
            if ours[0].count:
                long = [Estimate.of(relative(gallery(norm, mode, t), gallery("bn", mode, t))) for t in TERMS]
                below = ["" if norm == "bn" else e.show(1, " %", signed=True) for e in long]
                rows.append([mode_name, f"`{norm}`", ours[0].show(2), ours[1].show(3), *below])
    return markdown(
        ["mode", "norm", "content", "style", "gallery: content below `bn`", "gallery: style below `bn`"], rows
    )


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Mean and range of the seeds in training; dots in evaluation mode."""
    drawn = []
    for style in (MAIN_STYLE, *MORE_STYLES):
        runs = {
            norm: [
                m["curves"]
                for seed in SEEDS
                if (m := store.metrics(stylization.trial(norm, seed, style=style))) and not m["diverged"]
            ]
            for norm in NORMS
        }
        if any(runs.values()):
            drawn.append(_draw(style, runs, folder / f"curves-{style}.png"))
    return drawn


def _draw(style: str, runs: dict[str, list[dict[str, Any]]], path: Path) -> tuple[Path, str]:
    figure = new_figure(10, 3.8)
    for axes, term in zip(figure.subplots(1, 2), TERMS, strict=True):
        for norm, curves in runs.items():
            for phase, look in (("training", "-"), ("validation", "o")):
                points = [[p[term] for p in curve[phase]] for curve in curves]
                if not points:
                    continue
                steps = [p["iteration"] for p in curves[0][phase]]
                across = list(zip(*points, strict=True))
                mean = [statistics.fmean(values) for values in across]
                label = norm if phase == "training" else None
                axes.plot(steps, mean, look, color=COLOURS[norm], lw=1.3, ms=4, label=label)
                if phase == "training":
                    low, high = [min(v) for v in across], [max(v) for v in across]
                    axes.fill_between(steps, low, high, color=COLOURS[norm], alpha=0.15, lw=0)
        axes.set_title(f"{style}: {term} loss")
        axes.set_xlabel("iteration, warm-up included")
        axes.set_yscale("log")
        plain_numbers(axes)
        axes.grid(alpha=0.25, which="both")
        axes.legend(frameon=False, fontsize=8, title="line: training, dots: evaluation", title_fontsize=8)
    count = max(len(curves) for curves in runs.values())
    seeds = f"{count} seed{'s' * (count > 1)}"
    return save(figure, path), f"{style}, {seeds}: training (mean and range) and, dots, evaluation mode"


def claims(store: Store) -> list[Claim]:
    """SE and IEBN are below BN and near IN; IN is lowest."""
    # Once: a book reads the files of all models, to know whether it is still about them.
    examples: dict[int, Tables] = {
        side: {style.name: QualityFigures(style, side).table() for style in shipped()} for side in SIDES
    }
    found = []
    for mode, mode_name in MODES.items():
        for term in TERMS:
            bn = losses(store, "bn", mode, term)
            for norm, name in (("iebn", "IEBN"), ("bn+se", "SE"), ("in", "IN")):
                long = f"the gallery's styles, one seed each, {mode_name} mode"
                gains = {
                    f"mosaic, short runs, {mode_name} mode": relative(losses(store, norm, mode, term), bn),
                    long: relative(gallery(norm, mode, term), gallery("bn", mode, term)),
                }
                if mode == "final":
                    for side, tables in examples.items():
                        gains[f"{long}, example photos at {side} px"] = relative(
                            on_examples(tables, norm, term), on_examples(tables, "bn", term)
                        )
                for ran, gain in gains.items():
                    estimate = Estimate.of(gain)
                    found.append(
                        Claim.above(
                            0,
                            "Figures 3, 5",
                            f"{name} has a lower {term} loss than BN",
                            ran,
                            estimate,
                            estimate.show(1, " % lower", signed=True),
                            COMMAND,
                        )
                    )
    return found + [_nearness(store, mode, mode_name) for mode, mode_name in MODES.items()]


def _nearness(store: Store, mode: str, mode_name: str) -> Claim:
    bn, ours, best = (
        {
            seed: stylization.total({"content": content, "style": style[seed]})
            for seed, content in found.items()
        }
        for norm in ("bn", "iebn", "in")
        for found, style in [(losses(store, norm, mode, "content"), losses(store, norm, mode, "style"))]
    )
    nearer = Estimate.of(
        {s: abs(bn[s] - ours[s]) - abs(ours[s] - best[s]) for s in ours if s in bn and s in best}
    )
    gaps = [Estimate.of(difference(a, b)).show(2, signed=True) for a, b in ((bn, ours), (ours, best))]
    return Claim.above(
        0,
        "Figure 5",
        "IEBN is nearer to IN than to BN in total loss",
        f"mosaic, short runs, {mode_name} mode",
        nearer,
        f"{nearer.show(2, signed=True)}: BN − IEBN {gaps[0]}, IEBN − IN {gaps[1]}",
        COMMAND,
    )


if __name__ == "__main__":
    main(sys.modules[__name__])
