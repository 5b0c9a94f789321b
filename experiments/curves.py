"""Figures 3 and 5: content and style loss while the style network learns, with each normalizer.

    python -m experiments.curves --content DIR

Ten seeds in each of three styles decide: how many it takes follows from the spread of three seeds' shorter
runs. The gallery's models, one seed in each of six styles (`styles/*/curves.json`), are judged beside them.
The paper shows training losses; evaluation mode on held-out photos stands beside, and how far the two are
apart, which is what batch noise does (section 3).
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from experiments.harness import stylization
from experiments.harness.drawing import COLOURS, markdown, new_figure, plain_numbers, save
from experiments.harness.experiment import main
from experiments.harness.intervals import (
    POWER,
    SEEDS,
    Claim,
    Estimate,
    change,
    difference,
    judged,
    per_seed,
    shown_seeds,
)
from experiments.harness.runner import Store, Trial
from experiments.harness.stylization import TOLD
from styles.catalog import shipped
from styles.gallery.quality import SIDES, QualityFigures
from transformer_net.norms import NORMS

TITLE = "Training curves (Figures 3 and 5)"
COMMAND = "python -m experiments.curves"
STYLES = ("mosaic", "wave", "starry")
LONG_SEEDS = tuple(range(10))
OTHERS = {"iebn": "IEBN", "bn+se": "SE", "in": "IN"}
TERMS = ("content", "style")
MODES = ("training", "evaluation")
LONG = "three styles, ten seeds"
FAMILY = 32
"""Claims about the longer runs: three normalizers, two losses, two modes and two sides, and eight others."""

SHORT = {"training": "training", "evaluation": "final"}
"""Mode → key of a short run's metrics."""

Losses = Mapping[str, Mapping[str, float]]
"""Of a run: mode → term → value."""


def trials(quick: bool = False) -> list[Trial]:
    """Short runs of mosaic with three seeds; then ten seeds of three styles, all norms of a seed together."""
    short = [
        stylization.trial(norm, seed, quick=quick)
        for seed in (SEEDS[:1] if quick else SEEDS)
        for norm in NORMS
    ]
    return short + [
        stylization.trial(norm, seed, style=style, long=True, quick=quick)
        for seed in (LONG_SEEDS[:1] if quick else LONG_SEEDS)
        for style in (STYLES[:1] if quick else STYLES)
        for norm in (("bn", "iebn") if quick else NORMS)
    ]


def short_losses(store: Store, norm: str, mode: str, term: str) -> dict[int, float]:
    """Loss at the end of a short training on the mosaic, by seed; infinite if it diverged."""
    return per_seed(
        store,
        lambda s: stylization.trial(norm, s),
        lambda m: math.inf if m["diverged"] else m[SHORT[mode]][term],
    )


def long_runs(
    store: Store, norm: str, side: int, value: Callable[[Losses], float]
) -> dict[str, dict[int, float]]:
    """`value` of the longer runs' losses on squares of `side` px, by style and seed; infinite if diverged."""

    def of(metrics: Any) -> float | None:
        if metrics["diverged"]:
            return math.inf
        found = metrics["held_out"].get(str(side))  # quick runs have smaller sides
        return value(found) if found else None

    return {
        style: per_seed(store, partial(stylization.trial, norm, style=style, long=True), of, LONG_SEEDS)
        for style in STYLES
    }


def mean_of_styles(styles: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """By seed, where all styles are known."""
    return {
        seed: statistics.fmean(values[seed] for values in styles.values())
        for seed in LONG_SEEDS
        if all(seed in values for values in styles.values())
    }


def losses(store: Store, norm: str, mode: str, term: str, side: int) -> dict[str, dict[int, float]]:
    """A loss of the longer runs."""
    return long_runs(store, norm, side, lambda found: found[mode][term])


def below_bn(store: Store, norm: str, mode: str, term: str, side: int) -> dict[int, float]:
    """By how many percent a longer run's loss is below BN's, by seed: the mean of the three styles."""
    ours, bn = (losses(store, n, mode, term, side) for n in (norm, "bn"))
    return mean_of_styles({style: relative(ours[style], bn[style]) for style in STYLES})


def batch_noise(store: Store, norm: str, side: int) -> dict[int, float]:
    """By how many percent the losses change from evaluation mode to the statistics of batches, by seed.

    Up or down, the mean of content and style and of the three styles.
    """

    def moved(found: Losses) -> float:
        evaluation = found["evaluation"]
        return statistics.fmean(abs(100 * (found["training"][term] / evaluation[term] - 1)) for term in TERMS)

    return mean_of_styles(long_runs(store, norm, side, moved))


def gallery(norm: str, mode: str, term: str) -> dict[str, float]:
    """A loss of the shipped models, by style: the last validation, or the last tenth of training."""
    found = {}
    for style, curves in _gallery_curves(norm).items():
        points = curves["validation" if mode == "evaluation" else "training"]
        last = points[-1:] if mode == "evaluation" else points[-max(1, len(points) // 10) :]
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
    """Losses of the longer runs, by how much the gallery's are below BN's, and how many seeds it takes."""
    rows = []
    for mode, norm in product(MODES, NORMS):
        ours = [
            Estimate.of(mean_of_styles(losses(store, norm, mode, term, side))).show(digits)
            for side in stylization.SIDES
            for term, digits in zip(TERMS, (2, 3), strict=True)
        ]
        shipped_models = [
            Estimate.of(relative(gallery(norm, mode, t), gallery("bn", mode, t))) for t in TERMS
        ]
        below = ["" if norm == "bn" else e.show(1, " %", signed=True) for e in shipped_models]
        rows.append([mode, f"`{norm}`", *ours, *below])
    columns = [
        *("mode", "norm"),
        *(f"{term}, {side} px" for side in stylization.SIDES for term in TERMS),
        *(f"gallery: {term} below `bn`" for term in TERMS),
    ]
    return f"{markdown(columns, rows)}\n{_noise_table(store)}\n{_power(store)}"


def _noise_table(store: Store) -> str:
    """What batch statistics do to a finished network."""
    rows = [
        [f"`{norm}`", *(Estimate.of(batch_noise(store, norm, s)).show(1, " %") for s in stylization.SIDES)]
        for norm in NORMS
    ]
    columns = ["norm", *(f"{side} px" for side in stylization.SIDES)]
    return (
        "**Batch noise.** By how much the losses of a finished network change, up or down, from\n"
        "evaluation mode to the statistics of batches; the mean of content and style. Batches are of\n"
        f"{stylization.SETTING['batch_size']} photos.\n\n{markdown(columns, rows)}"
    )


def _power(store: Store) -> str:
    """How many seeds a small difference takes."""
    rows = []
    for mode, term, norm in product(MODES, TERMS, OTHERS):
        bn = short_losses(store, "bn", mode, term)
        short = Estimate.of(relative(short_losses(store, norm, mode, term), bn))
        long = [Estimate.of(below_bn(store, norm, mode, term, side)) for side in stylization.SIDES]
        if math.isfinite(short.deviation):
            rows.append([mode, term, f"`{norm}`", *_seeds(short), *(c for e in long for c in _seeds(e)[::2])])
    columns = ["mode", "loss", "norm beside `bn`", "deviation", "seeds", f"seeds, {FAMILY} claims"]
    columns += [f"longer, {side} px: {name}" for side in stylization.SIDES for name in columns[-3::2]]
    flat = [
        f"`{norm}` {fall.show(1, ' %')}"
        for norm in NORMS
        for fall in stylization.falls(store, _long_trials(norm)).values()
    ]
    fell = (
        f"\nIn the last fifth of the longer runs the total loss fell by: {', '.join(flat)}.\n" if flat else ""
    )
    return (
        f"**Power.** Pairs of runs that find a difference of {TOLD:g} % with a probability of {POWER:.0%}:\n"
        "by the standard deviation of the short runs' differences in percent, for one claim alone and for\n"
        f"one of {FAMILY}; and by that of the longer runs in three styles, a seed of which takes\n"
        f"{_minutes_a_seed():.0f} minutes of one core. A deviation of three seeds is itself known to a\n"
        f"factor of two or three only.\n\n{markdown(columns, rows)}{fell}"
    )


def _minutes_a_seed() -> float:
    return len(NORMS) * len(STYLES) * stylization.MINUTES[True]


def _long_trials(*norms: str) -> list[Trial]:
    return [
        stylization.trial(norm, seed, style=style, long=True)
        for norm, seed, style in product(norms, LONG_SEEDS, STYLES)
    ]


def _seeds(estimate: Estimate) -> list[str]:
    if not math.isfinite(estimate.deviation):
        return ["", "", ""]
    needed = (shown_seeds(estimate.deviation, TOLD, tests) for tests in (1, FAMILY))
    return [f"{estimate.deviation:.1f} %", *needed]


def against_bn(store: Store) -> dict[str, dict[str, dict[str, Estimate]]]:
    """By how many percent losses are below BN's, of the longer runs and of the gallery, and batch noise."""
    long = {
        f"{term}, {mode}, {side} px": {
            norm: Estimate.of(below_bn(store, norm, mode, term, side)) for norm in OTHERS
        }
        for side, mode, term in product(stylization.SIDES, MODES, TERMS)
    }
    noise = {
        f"{side} px": {
            norm: Estimate.of(difference(batch_noise(store, "bn", side), batch_noise(store, norm, side)))
            for norm in OTHERS
        }
        for side in stylization.SIDES
    }
    shipped_models = {
        f"{term}, {mode}": {
            norm: Estimate.of(relative(gallery(norm, mode, term), gallery("bn", mode, term)))
            for norm in OTHERS
        }
        for mode, term in product(MODES, TERMS)
    }
    seeds = max(estimate.count for group in long.values() for estimate in group.values())
    return {
        f"three styles, {seeds} seeds: % below BN": long,
        "their batch noise: points below BN": noise,
        "the gallery, six styles: % below BN": shipped_models,
    }


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Mean and range of the seeds in training; dots in evaluation mode."""
    drawn = []
    for style in STYLES:
        runs = {
            norm: [
                m["curves"]
                for seed in LONG_SEEDS
                if (m := store.metrics(stylization.trial(norm, seed, style=style, long=True)))
                and not m["diverged"]
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
    """SE and IEBN are below BN and near IN, and depend less on the batch."""
    return judged([*_longer(store), *_batch_noise(store), *_nearness(store), *_gallery(store)])


def _longer(store: Store) -> list[Claim]:
    found = []
    for mode, term, (norm, name), side in product(MODES, TERMS, OTHERS.items(), stylization.SIDES):
        gain = Estimate.of(below_bn(store, norm, mode, term, side))
        found.append(
            Claim(
                "Figures 3, 5",
                f"{name} has a lower {term} loss than BN",
                _ran(side, mode),
                gain,
                COMMAND,
                gain.show(1, " %", signed=True),
                **_of_longer_runs(store, "bn", norm),
            )
        )
    return found


def _batch_noise(store: Store) -> list[Claim]:
    found = []
    for norm, side in product(("iebn", "bn+se"), stylization.SIDES):
        bn, ours = (batch_noise(store, n, side) for n in ("bn", norm))
        less = Estimate.of(difference(bn, ours))
        changed = (
            f"{Estimate.of(bn).show(1, ' %')} with BN, {Estimate.of(ours).show(1, ' %')} with {OTHERS[norm]}"
        )
        found.append(
            Claim(
                "section 3",
                f"{OTHERS[norm]}'s losses change less than BN's from evaluation mode to batch statistics",
                _ran(side),
                less,
                COMMAND,
                f"{less.show(1, ' points', signed=True)}: {changed}",
                **_of_longer_runs(store, "bn", norm),
            )
        )
    return found


def _nearness(store: Store) -> list[Claim]:
    found = []
    for side, mode in product(stylization.SIDES, MODES):
        bn, ours, best = (
            mean_of_styles(long_runs(store, norm, side, lambda modes: stylization.total(modes[mode])))  # noqa: B023
            for norm in ("bn", "iebn", "in")
        )
        gaps = [
            {seed: 100 * gap / bn[seed] for seed, gap in difference(a, b).items()}
            for a, b in ((bn, ours), (ours, best))
        ]
        nearer = Estimate.of({seed: abs(gaps[0][seed]) - abs(gaps[1][seed]) for seed in gaps[0]})
        to_bn, to_in = (Estimate.of(gap).show(1, " %", signed=True) for gap in gaps)
        share = nearer.show(1, " % of the loss", signed=True)
        found.append(
            Claim(
                "Figure 5",
                "IEBN is nearer to IN than to BN in total loss",
                _ran(side, mode),
                nearer,
                COMMAND,
                f"{share}: BN − IEBN {to_bn}, IEBN − IN {to_in}",
                **_of_longer_runs(store, "bn", "iebn", "in"),
            )
        )
    return found


def _ran(side: int, mode: str = "") -> str:
    """What the longer runs were measured on."""
    photos = "held-out photos" if side == min(stylization.SIDES) else "example photos"
    return f"{LONG}, {photos} at {side} px" + (f", {mode} mode" if mode else "")


def _of_longer_runs(store: Store, *norms: str) -> dict[str, Any]:
    """What all claims about the longer runs have in common."""
    return {
        "family": LONG,
        "least": TOLD,
        "pairs": f"seeds of {_minutes_a_seed():.0f} minutes of one core",
        "finished": stylization.are_finished(store, _long_trials(*norms)),
    }


def _gallery(store: Store) -> list[Claim]:
    # Once: a book reads the files of all models, to know whether it is still about them.
    examples: dict[int, Tables] = {
        side: {style.name: QualityFigures(style, side).table() for style in shipped()} for side in SIDES
    }
    found = []
    for mode, term, (norm, name) in product(MODES, TERMS, OTHERS.items()):
        ran = "the gallery's styles, one seed each"
        sets = {ran: relative(gallery(norm, mode, term), gallery("bn", mode, term))}
        if mode == "evaluation":
            for side, tables in examples.items():
                sets[f"{ran}, example photos at {side} px"] = relative(
                    on_examples(tables, norm, term), on_examples(tables, "bn", term)
                )
        curves = [*_gallery_curves("bn").values(), *_gallery_curves(norm).values()]
        finished = all(stylization.fell(curve["validation"]) < TOLD for curve in curves)
        for family, gains in sets.items():
            gain = Estimate.of(gains)
            found.append(
                Claim(
                    "Figures 3, 5",
                    f"{name} has a lower {term} loss than BN",
                    f"{family}, {mode} mode",
                    gain,
                    COMMAND,
                    gain.show(1, " %", signed=True),
                    family=family,
                    least=TOLD,
                    pairs="styles with four models each",
                    finished=finished,
                )
            )
    return found


if __name__ == "__main__":
    main(sys.modules[__name__])
