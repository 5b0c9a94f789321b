"""Table 2: constant noise in the batch-normalized step, x̂·N_a + N_b, in training and in use.

    python -m experiments.noise --data DIR --content DIR

Some runs collapse under it: the paper's intervals are as wide as they are because of those. So they are
counted.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.harness import classification, stylization
from experiments.harness.drawing import COLOURS, dots, markdown, sheet
from experiments.harness.experiment import main
from experiments.harness.intervals import (
    NOT_RUN,
    SEEDS,
    UNFINISHED,
    Claim,
    Estimate,
    change,
    difference,
    judged,
    per_seed,
)
from experiments.harness.runner import Store, Trial
from experiments.harness.stylization import TOLD

TITLE = "Noise attack (Table 2)"
COMMAND = "python -m experiments.noise"
NORMS = ("bn", "bn+se", "iebn")
NOISES = ((0.8, 0.8), (0.5, 0.2), (0.8, 0.5), (0.8, 0.2), (0.5, 0.5))
"""(N_a, N_b) beside none. On CIFAR-100 the first is judged."""

Make = Callable[..., Trial]
Noise = tuple[float, float] | None


def attacked(make: Make, norm: str, seed: int, noise: Noise, **more: Any) -> Trial:
    """The training of a network under `noise`."""
    if noise is None:
        return make(norm, seed, **more)
    return make(norm, seed, variant=f"noise-{noise[0]}-{noise[1]}", options={"noise": list(noise)}, **more)


def named(noise: Noise) -> str:
    """As a figure calls it."""
    return f"N_a {noise[0]}, N_b {noise[1]}" if noise else "no noise"


def trials(quick: bool = False) -> list[Trial]:
    """Both tasks without noise, then with."""
    chosen = NOISES[:1] if quick else NOISES
    seeds = SEEDS[:1] if quick else SEEDS
    return [
        attacked(make, norm, seed, noise, quick=quick, stage=_stage(make, norm, noise))
        for noise in (None, *chosen)
        for make in (classification.trial, stylization.trial)
        for seed in seeds
        for norm in NORMS
    ]


def _stage(make: Make, norm: str, noise: Noise) -> int:
    if make is stylization.trial or noise is None:
        return 2
    return 5 if noise == NOISES[0] and norm != "bn+se" else 6


def accuracies(store: Store, norm: str, noise: Noise) -> dict[int, float]:
    """Test accuracy in percent of runs trained to the end, by seed."""
    return per_seed(store, lambda s: attacked(classification.trial, norm, s, noise), classification.accuracy)


def losses(store: Store, norm: str, noise: Noise) -> dict[int, float]:
    """Total loss of the style network in evaluation mode, by seed; infinite if it diverged."""
    return per_seed(store, lambda s: attacked(stylization.trial, norm, s, noise), final_loss)


def final_loss(metrics: Any) -> float:
    """Total loss of a style network at the end; infinite if its training diverged."""
    return float("inf") if metrics["diverged"] else stylization.total(metrics["final"])


def damage(
    store: Store, norm: str, of: Callable[[Store, str, Noise], dict[int, float]], noises: Sequence[Noise]
) -> dict[Any, float]:
    """Relative change in percent that noise brings, by seed: the mean over `noises`."""
    clean = of(store, norm, None)
    changes = [change(of(store, norm, noise), clean) for noise in noises]
    return {s: statistics.fmean(c[s] for c in changes) for s in clean if all(s in c for c in changes)}


def table(store: Store) -> str:
    """Accuracy, collapsed runs and loss by noise."""
    rows = []
    for noise in (None, *NOISES):
        for norm in NORMS:
            trial = partial(attacked, classification.trial, norm, noise=noise)
            fallen = per_seed(store, trial, classification.collapsed)
            loss = Estimate.of(losses(store, norm, noise))
            if fallen or loss.count:
                collapsed = f"{sum(fallen.values()):.0f} of {len(fallen)}" if fallen else ""
                accuracy = classification.show(store, trial)
                rows.append([str(noise or "none"), f"`{norm}`", accuracy, collapsed, loss.show()])
    columns = ["(N_a, N_b)", "norm", "ResNet-20: accuracy, %", "collapsed", "mosaic: total loss, eval mode"]
    return markdown(columns, rows) + classification.MARK


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Both tasks by noise, and what the style networks paint."""
    tasks = {"CIFAR-100: test accuracy, %": accuracies, "mosaic: total loss, evaluation mode": losses}
    groups = {
        task: {
            named(noise): {norm: Estimate.of(of(store, norm, noise)) for norm in NORMS}
            for noise in (None, *NOISES)
        }
        for task, of in tasks.items()
    }
    caption = "Constant noise x̂·N_a + N_b in every norm: mean of the seeds and its 95 % interval"
    drawn = [(path, caption) for path in dots(groups, folder / "noise.png", COLOURS)]
    panels = []
    for noise in (None, *NOISES[:2]):
        for norm in NORMS:
            file = store.pictures / f"{attacked(stylization.trial, norm, 0, noise).label}.jpg"
            if file.is_file():
                panels.append((f"{norm}, {named(noise)}", Image.open(file)))
    if panels:
        drawn.append((sheet(panels, 3, folder / "noise-pictures.jpg"), "Painted under noise, seed 0"))
    return drawn


def claims(store: Store) -> list[Claim]:
    """Noise harms BN, and IEBN and SE less."""
    found = []
    tasks = (
        ("CIFAR-100, ResNet-20", accuracies, NOISES[:1], -1, "of its accuracy", UNFINISHED),
        ("mosaic, total loss in evaluation mode", losses, NOISES, 1, "of its loss", NOT_RUN),
    )
    curves_are_flat = stylization.are_finished(store, trials())
    for task, of, noises, sign, unit, absent in tasks:
        bn = {seed: sign * value for seed, value in damage(store, "bn", of, noises).items()}
        rows = [("Constant noise harms BN", bn, unit)]
        for norm, name in (("iebn", "IEBN"), ("bn+se", "SE")):
            other = {seed: sign * value for seed, value in damage(store, norm, of, noises).items()}
            rows.append(
                (f"{name} withstands the noise better than BN", difference(bn, other), f"{unit} less harm")
            )
        for text, values, what in rows:
            harm = Estimate.of(values)
            ran = f"{task}; (N_a, N_b) = {', '.join(map(str, noises))}"
            figure = harm.show(1, f" % {what}", signed=True)
            finished = of is accuracies or curves_are_flat
            found.append(
                Claim(
                    "Table 2", text, ran, harm, COMMAND, figure, absent=absent, least=TOLD, finished=finished
                )
            )
    return judged(found)


if __name__ == "__main__":
    main(sys.modules[__name__])
