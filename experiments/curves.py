"""Figures 3 and 5: content and style loss while the style network learns, with each normalizer.

    python -m experiments.curves --content DIR

Ten seeds in each of three styles decide: how many it takes follows from the spread of three seeds' shorter
runs. The gallery's models, one seed in each of six styles (`styles/*/curves.json`), are judged beside them.
The paper shows training losses; evaluation mode on held-out photos stands beside.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from experiments.harness import stylization
from experiments.harness.drawing import COLOURS, markdown, new_figure, plain_numbers, save
from experiments.harness.experiment import main
from experiments.harness.intervals import (
    MOST_SEEDS,
    POWER,
    SEEDS,
    Claim,
    Estimate,
    change,
    difference,
    judged,
    per_seed,
    seeds_needed,
)
from experiments.harness.runner import Store, Trial
from experiments.harness.stylization import TOLD
from styles.catalog import shipped
from styles.gallery.quality import SIDES, QualityFigures
from transformer_net.norms import NORMS

TITLE = "Training curves (Figures 3 and 5)"
COMMAND = "python -m experiments.curves"
MAIN_STYLE, MORE_STYLES = "mosaic", ("wave", "starry")
STYLES = (MAIN_STYLE, *MORE_STYLES)
LONG_SEEDS = tuple(range(10))
OTHERS = {"iebn": "IEBN", "bn+se": "SE", "in": "IN"}
FAMILY = 12
"""Claims about one set of runs: three normalizers, two losses, two modes."""
TERMS = ("content", "style")
MODES = {"training": "training", "final": "evaluation"}
"""Key of a run's metrics → what mode it was taken in."""


def trials(quick: bool = False) -> list[Trial]:
    """Short runs of mosaic with three seeds; then ten seeds of three styles, all norms of a seed together."""
    short = [
        stylization.trial(norm, seed, quick=quick)
        for seed in (SEEDS[:1] if quick else SEEDS)
        for norm in NORMS
    ]
    long = [
        stylization.trial(norm, seed, style=style, long=True, quick=quick)
        for seed in (LONG_SEEDS[:1] if quick else LONG_SEEDS)
        for style in (STYLES[:1] if quick else STYLES)
        for norm in (("bn", "iebn") if quick else NORMS)
    ]
    more = [stylization.trial(norm, style=style, stage=2) for style in MORE_STYLES for norm in NORMS]
    return short + long + (more if not quick else [])


def losses(store: Store, norm: str, mode: str, term: str) -> dict[int, float]:
    """Loss at the end of training on the mosaic, by seed; infinite if it diverged."""
    return per_seed(
        store,
        lambda s: stylization.trial(norm, s),
        lambda m: math.inf if m["diverged"] else m[mode][term],
    )


def below_bn(store: Store, norm: str, mode: str, term: str, side: int = 256) -> dict[int, float]:
    """By how many percent a long run's loss is below BN's, by seed: the mean of the three styles."""

    def held_out(metrics: Any) -> float | None:
        if metrics["diverged"]:
            return math.inf
        modes = metrics["held_out"].get(str(side))  # quick runs have smaller sides
        return modes[mode][term] if modes else None

    gains = []
    for style in STYLES:
        ours, bn = (
            per_seed(store, partial(stylization.trial, n, style=style, long=True), held_out, LONG_SEEDS)
            for n in (norm, "bn")
        )
        gains.append(relative(ours, bn))
    return {
        seed: statistics.fmean(gain[seed] for gain in gains)
        for seed in LONG_SEEDS
        if all(seed in gain for gain in gains)
    }


def gallery(norm: str, mode: str, term: str) -> dict[str, float]:
    """The same of the shipped models, by style: the last validation, or the last tenth of training."""
    found = {}
    for style, curves in _gallery_curves(norm).items():
        points = curves["validation" if mode == "final" else "training"]
        last = points[-1:] if mode == "final" else points[-max(1, len(points) // 10) :]
        found[style] = statistics.fmean(point[term] for point in last)
    return found


def _gallery_curves(norm: str) -> dict[str, dict[str, list[dict[str, float]]]]:
    files = {style.name: style.folder / "curves.json" for style in shipped()}
    found = {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}
    return {name: curves[norm] for name, curves in found.items() if norm in curves}  # others come later


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
    columns = ["mode", "norm", "content", "style", "gallery: content below `bn`", "gallery: style below `bn`"]
    return f"{markdown(columns, rows)}\n{_power(store)}"


def _power(store: Store) -> str:
    """How many seeds a small difference takes."""
    rows = []
    for mode, mode_name in MODES.items():
        for term in TERMS:
            bn = losses(store, "bn", mode, term)
            for norm in OTHERS:
                short = Estimate.of(relative(losses(store, norm, mode, term), bn))
                long = Estimate.of(below_bn(store, norm, mode_name, term))
                if math.isfinite(short.deviation):
                    rows.append([mode_name, term, f"`{norm}`", *_seeds(short), *_seeds(long)])
    flat = Estimate.of(
        {
            trial.label: stylization.fell(metrics["curves"]["validation"])
            for trial in trials()
            if "-long-" in trial.label and (metrics := store.metrics(trial)) and not metrics["diverged"]
        }
    )
    columns = ["mode", "loss", "norm beside `bn`", "deviation", "seeds", f"seeds, {FAMILY} claims"]
    columns += [f"three styles: {name}" for name in columns[-3:]]
    minutes = len(NORMS) * len(STYLES) * stylization.MINUTES[True]
    fell = f"\nIn the last fifth of the longer runs the total loss fell by {flat.show(1, ' %')}.\n"
    return (
        f"**Power.** Pairs of runs that find a difference of {TOLD:g} % with a probability of {POWER:.0%}:\n"
        "by the standard deviation of the short runs' differences in percent, for one claim alone and for\n"
        f"one of {FAMILY}; and the same of the {len(LONG_SEEDS)} longer runs in three styles, as far as\n"
        f"they are run; a seed of these takes {minutes:.0f} minutes of one core. A deviation of three\n"
        "seeds is itself known to a factor of two or three only.\n\n"
        f"{markdown(columns, rows)}{fell if flat.count else ''}"
    )


def _seeds(estimate: Estimate) -> list[str]:
    if not math.isfinite(estimate.deviation):
        return ["", "", ""]
    needed = (seeds_needed(estimate.deviation, TOLD, tests) for tests in (1, FAMILY))
    return [f"{estimate.deviation:.1f} %", *(str(n) if n < MOST_SEEDS else f"{n} or more" for n in needed)]


def against_bn(store: Store) -> dict[str, dict[str, dict[str, Estimate]]]:
    """By how many percent losses are below BN's: of the runs by seed that are done, and of the gallery."""
    long = {
        f"{term}, {mode}": {norm: Estimate.of(below_bn(store, norm, mode, term)) for norm in OTHERS}
        for mode, term in product(MODES.values(), TERMS)
    }
    short, shipped_models = (
        {
            f"{term}, {name}": {
                norm: Estimate.of(relative(of(norm, mode, term), of("bn", mode, term))) for norm in OTHERS
            }
            for (mode, name), term in product(MODES.items(), TERMS)
        }
        for of in (partial(losses, store), gallery)
    )
    seeds = max(estimate.count for group in long.values() for estimate in group.values())
    ours = (
        {f"three styles, {seeds} seeds: % below BN": long}
        if seeds
        else {"mosaic, runs too short for verdicts: % below BN": short}
    )
    return {**ours, "the gallery, six styles: % below BN": shipped_models}


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Mean and range of the seeds in training; dots in evaluation mode."""
    drawn = []
    for style in STYLES:
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
    for (mode, mode_name), term, (norm, name) in product(MODES.items(), TERMS, OTHERS.items()):
        sets = {
            f"three styles, longer runs, held-out photos at {side} px": below_bn(
                store, norm, mode_name, term, side
            )
            for side in stylization.SIDES
        }
        sets["mosaic, short runs"] = relative(
            losses(store, norm, mode, term), losses(store, "bn", mode, term)
        )
        long = "the gallery's styles, one seed each"
        sets[long] = relative(gallery(norm, mode, term), gallery("bn", mode, term))
        if mode == "final":
            for side, tables in examples.items():
                sets[f"{long}, example photos at {side} px"] = relative(
                    on_examples(tables, norm, term), on_examples(tables, "bn", term)
                )
        for ran, gains in sets.items():
            gain = Estimate.of(gains)
            text = f"{name} has a lower {term} loss than BN"
            figure = gain.show(1, " % lower", signed=True)
            by_seed = math.isfinite(gain.deviation) and not ran.startswith(long)
            hint = f"{TOLD:g} % would take {_seeds(gain)[2]} seeds" if by_seed else ""
            if ran.startswith(long):
                curves = [*_gallery_curves("bn").values(), *_gallery_curves(norm).values()]
                finished = all(stylization.fell(curve["validation"]) < TOLD for curve in curves)
            else:
                finished = _are_finished(store, "bn", norm, long=ran.startswith("three"))
            found.append(
                Claim(
                    "Figures 3, 5",
                    text,
                    f"{ran}, {mode_name} mode",
                    gain,
                    COMMAND,
                    figure,
                    family=ran,
                    hint=hint,
                    finished=finished,
                )
            )
    return judged(found + [_nearness(store, mode, mode_name) for mode, mode_name in MODES.items()])


def _are_finished(store: Store, *norms: str, long: bool = False) -> bool:
    styles, seeds = (STYLES, LONG_SEEDS) if long else (STYLES[:1], SEEDS)
    runs = product(norms, seeds, styles)
    return stylization.are_finished(
        store, (stylization.trial(norm, seed, style=style, long=long) for norm, seed, style in runs)
    )


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
    return Claim(
        "Figure 5",
        "IEBN is nearer to IN than to BN in total loss",
        f"mosaic, short runs, {mode_name} mode",
        nearer,
        COMMAND,
        f"{nearer.show(2, signed=True)}: BN − IEBN {gaps[0]}, IEBN − IN {gaps[1]}",
        finished=_are_finished(store, "bn", "iebn", "in"),
    )


if __name__ == "__main__":
    main(sys.modules[__name__])
