"""Table 3: batches mixed with another data set, in the batch statistics alone.

    python -m experiments.mixed --data DIR --content DIR

k · 120 MNIST digits beside 128 images of CIFAR-100; for the style network, four flat pictures beside four
photos.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.harness import classification, stylization
from experiments.harness.drawing import COLOURS, dots, markdown
from experiments.harness.experiment import main
from experiments.harness.intervals import SEEDS, Claim, Estimate, change, difference, per_seed
from experiments.harness.runner import Store, Trial
from experiments.noise import final_loss

TITLE = "Mixed data sets (Table 3)"
COMMAND = "python -m experiments.mixed"
NORMS = ("bn", "iebn")
DIGITS = 120
LEVELS = (0, 1, 2)
"""k. 2 is for later."""
FLAT = 4


def digits(norm: str, seed: int, k: int, **more: Any) -> Trial:
    """A ResNet-20 that sees k · 120 digits in each batch."""
    if not k:
        return classification.trial(norm, seed, **more)
    return classification.trial(norm, seed, variant=f"digits-{k}", foreign_samples=k * DIGITS, **more)


def flat(norm: str, seed: int, count: int, **more: Any) -> Trial:
    """A style network that sees `count` flat pictures in each batch."""
    if not count:
        return stylization.trial(norm, seed, **more)
    return stylization.trial(norm, seed, variant=f"flat-{count}", foreign_samples=count, **more)


def trials(quick: bool = False) -> list[Trial]:
    """Both tasks with and without foreign samples."""
    seeds = SEEDS[:1] if quick else SEEDS
    found = [
        digits(norm, seed, k, quick=quick, stage=1 if k < 2 else 2)
        for k in (LEVELS[:2] if quick else LEVELS)
        for seed in seeds
        for norm in NORMS
    ]
    return found + [flat(n, s, count, quick=quick) for count in (0, FLAT) for s in seeds for n in NORMS]


def accuracies(store: Store, norm: str, k: int) -> dict[int, float]:
    """Test accuracy in percent, by seed."""
    return per_seed(store, lambda s: digits(norm, s, k), classification.accuracy)


def losses(store: Store, norm: str, count: int) -> dict[int, float]:
    """Total loss of the style network in evaluation mode, by seed."""
    return per_seed(store, lambda s: flat(norm, s, count), final_loss)


Of = Callable[[Store, str, int], dict[int, float]]


def table(store: Store) -> str:
    """Accuracy by k, loss by number of flat pictures."""
    rows = []
    for of, task, levels in (
        (accuracies, "digits a batch", LEVELS),
        (losses, "flat pictures a batch", (0, FLAT)),
    ):
        for level in levels:
            cells = [Estimate.of(of(store, norm, level)) for norm in NORMS]
            if any(cell.count for cell in cells):
                count = level * DIGITS if of is accuracies else level
                rows.append([f"{count} {task}", *(cell.show() for cell in cells)])
    return markdown(["foreign samples (accuracy in %, total loss)", *(f"`{norm}`" for norm in NORMS)], rows)


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
    tasks: list[tuple[Of, int, int, str, str]] = [
        (accuracies, k, -1, f"CIFAR-100, ResNet-20, {k * DIGITS} digits a batch", "of its accuracy")
        for k in LEVELS[1:]
    ]
    tasks.append(
        (
            losses,
            FLAT,
            1,
            f"mosaic, {FLAT} flat pictures a batch, total loss in evaluation mode",
            "of its loss",
        )
    )
    for of, level, sign, ran, unit in tasks:
        harm: dict[str, dict[int, float]] = {}
        for norm in NORMS:
            changes = change(of(store, norm, level), of(store, norm, 0))
            harm[norm] = {seed: sign * percent for seed, percent in changes.items()}
        bn, saved = Estimate.of(harm["bn"]), Estimate.of(difference(harm["bn"], harm["iebn"]))
        found += [
            Claim.above(
                0,
                "Table 3",
                "Another data set in the batches harms BN",
                ran,
                bn,
                bn.show(1, f" % {unit}", signed=True),
                COMMAND,
            ),
            Claim.above(
                0,
                "Table 3",
                "IEBN withstands it better than BN",
                ran,
                saved,
                saved.show(1, f" % {unit} less harm", signed=True),
                COMMAND,
            ),
        ]
    return found


if __name__ == "__main__":
    main(sys.modules[__name__])
