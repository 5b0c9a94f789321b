"""Table 3: batches mixed with another data set, in the batch statistics alone.

    python -m experiments.mixed --data DIR --content DIR

120 k MNIST digits beside 100 images of CIFAR-100, as in the paper, k = 2 and 3; without them batches are the
usual ones. For the style network, four flat pictures beside four photos.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from experiments.harness import classification, stylization
from experiments.harness.drawing import COLOURS, dots, markdown
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
from experiments.noise import final_loss

TITLE = "Mixed data sets (Table 3)"
COMMAND = "python -m experiments.mixed"
NORMS = ("bn", "iebn")
IMAGES, DIGITS = 100, 120
LEVELS = (0, 2, 3)
"""k."""
FLAT = 4


def digits(norm: str, seed: int, k: int, **more: Any) -> Trial:
    """A ResNet-20 that sees k · 120 digits in each batch."""
    if not k:
        return classification.trial(norm, seed, **more)
    more |= {"batch_size": IMAGES, "foreign_samples": k * DIGITS}
    return classification.trial(norm, seed, variant=f"digits-{k}", **more)


def flat(norm: str, seed: int, count: int, **more: Any) -> Trial:
    """A style network that sees `count` flat pictures in each batch."""
    if not count:
        return stylization.trial(norm, seed, **more)
    return stylization.trial(norm, seed, variant=f"flat-{count}", foreign_samples=count, **more)


def trials(quick: bool = False) -> list[Trial]:
    """Both tasks with and without foreign samples."""
    seeds = SEEDS[:1] if quick else SEEDS
    found = [
        digits(norm, seed, k, quick=quick, stage=6 if k else 2)
        for k in (LEVELS[:2] if quick else LEVELS)
        for seed in seeds
        for norm in NORMS
    ]
    return found + [
        flat(n, s, count, quick=quick, stage=2) for count in (0, FLAT) for s in seeds for n in NORMS
    ]


def accuracies(store: Store, norm: str, k: int) -> dict[int, float]:
    """Test accuracy in percent of runs trained to the end, by seed."""
    return per_seed(store, lambda s: digits(norm, s, k), classification.accuracy)


def losses(store: Store, norm: str, count: int) -> dict[int, float]:
    """Total loss of the style network in evaluation mode, by seed."""
    return per_seed(store, lambda s: flat(norm, s, count), final_loss)


Of = Callable[[Store, str, int], dict[int, float]]


def table(store: Store) -> str:
    """Accuracy by k, loss by number of flat pictures."""
    rows = []
    for k in LEVELS:
        shown = [classification.show(store, partial(digits, norm, k=k)) for norm in NORMS]
        rows.append([f"{k * DIGITS} digits a batch", *shown])
    for count in (0, FLAT):
        cells = [Estimate.of(losses(store, norm, count)).show() for norm in NORMS]
        rows.append([f"{count} flat pictures a batch", *cells])
    columns = ["foreign samples (accuracy in %, total loss)", *(f"`{norm}`" for norm in NORMS)]
    return markdown(columns, [row for row in rows if any(row[1:])]) + classification.MARK


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Both tasks by number of foreign samples."""
    tasks: dict[str, tuple[Of, tuple[int, ...], int, str]] = {
        "CIFAR-100: test accuracy, %": (accuracies, LEVELS, DIGITS, "digits"),
        "mosaic: total loss, evaluation mode": (losses, (0, FLAT), 1, "flat pictures"),
    }
    groups = {
        task: {
            f"{level * each} {foreign_samples}": {norm: Estimate.of(of(store, norm, level)) for norm in NORMS}
            for level in levels
        }
        for task, (of, levels, each, foreign_samples) in tasks.items()
    }
    caption = "Foreign samples in the statistics of each batch: mean of the seeds and its 95 % interval"
    return [(path, caption) for path in dots(groups, folder / "mixed.png", COLOURS, least=2)]


def claims(store: Store) -> list[Claim]:
    """Foreign samples harm BN, and IEBN less."""
    found = []
    tasks: list[tuple[Of, int, int, str, str, str]] = [
        (
            accuracies,
            k,
            -1,
            f"CIFAR-100, ResNet-20, {k * DIGITS} digits a batch",
            "of its accuracy",
            UNFINISHED if any(store.record(digits(norm, s, k)) for norm in NORMS for s in SEEDS) else NOT_RUN,
        )
        for k in LEVELS[1:]
    ]
    flat_pictures = f"mosaic, {FLAT} flat pictures a batch, total loss in evaluation mode"
    tasks.append((losses, FLAT, 1, flat_pictures, "of its loss", NOT_RUN))
    curves_are_flat = stylization.are_finished(store, trials())
    for of, level, sign, ran, unit, absent in tasks:
        bn, iebn = (
            {
                seed: sign * percent
                for seed, percent in change(of(store, norm, level), of(store, norm, 0)).items()
            }
            for norm in NORMS
        )
        for text, values, what in (
            ("Another data set in the batches harms BN", bn, unit),
            ("IEBN withstands it better than BN", difference(bn, iebn), f"{unit} less harm"),
        ):
            harm = Estimate.of(values)
            figure = harm.show(1, f" % {what}", signed=True)
            finished = of is accuracies or curves_are_flat
            found.append(
                Claim(
                    "Table 3", text, ran, harm, COMMAND, figure, absent=absent, least=TOLD, finished=finished
                )
            )
    return judged(found)


if __name__ == "__main__":
    main(sys.modules[__name__])
