"""Tables 4 to 6 and Figure 4: what IEBN is made of, one part exchanged at a time, on both tasks.

python -m experiments.ablations --data DIR --content DIR
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from experiments.harness import classification, stylization
from experiments.harness.drawing import dots, markdown
from experiments.harness.experiment import main
from experiments.harness.intervals import (
    NOT_RUN,
    SEEDS,
    UNFINISHED,
    Claim,
    Estimate,
    difference,
    judged,
    per_seed,
)
from experiments.harness.runner import Store, Trial
from experiments.noise import final_loss

TITLE = "Ablations (Tables 4 to 6, Figure 4)"
COMMAND = "python -m experiments.ablations"

USUAL = "usual"
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "operator": {name: {"operator": name} for name in ("identity", "fc")},
    "acts on": {name: {"acts_on": name} for name in ("shift", "both")},
    "activation": {name: {"activation": name} for name in ("tanh", "relu", "softmax")},
    "init": {
        f"({slope}, {offset})": {"init": [slope, offset]}
        for slope, offset in product((-1, 0, 1), repeat=2)
        if (slope, offset) != (0, -1)
    },
}
"""What is exchanged, by table; the usual is linear, scale, sigmoid, (0, −1)."""

PAPER = {
    "operator": ("Table 4", "The linear operator is better than"),
    "acts on": ("Table 5", "δ is better on the scale than on"),
    "activation": ("Figure 4", "Sigmoid is better than"),
    "init": ("Table 6", "Starting at (0, −1) is better than at"),
}

STAGES = {"operator": 3, "acts on": 3, "activation": 6, "init": 6}
FIRST = {"tanh": 5, "relu": 2, "(0, 0)": 5}
"""Stages of what comes before the rest of its part. ReLU cannot learn, which takes an epoch to see."""

Make = Callable[..., Trial]
Metric = Callable[[Any], float | None]
TASKS: tuple[tuple[str, Make, Metric, int, str], ...] = (
    ("CIFAR-100", classification.trial, classification.accuracy, 1, " points"),
    ("mosaic", stylization.trial, final_loss, -1, " of loss"),
)
"""Name, maker of trials, metric, 1 if more is better, unit."""


def variant(make: Make, part: str, name: str, seed: int, **more: Any) -> Trial:
    """An IEBN with one part exchanged."""
    if name == USUAL:
        return make("iebn", seed, **more)
    label = f"{part.replace(' ', '-')}-{name.replace(' ', '').strip('()').replace(',', '_')}"
    trial = make("iebn", seed, variant=label, options=VARIANTS[part][name], **more)
    return replace(trial, minutes=1.0) if name == "relu" and make is classification.trial else trial


def trials(quick: bool = False) -> list[Trial]:
    """The usual IEBN and every variant on both tasks; most activations and the grid of starts come later."""
    seeds = SEEDS[:1] if quick else SEEDS
    usual = [make("iebn", seed, quick=quick, stage=2) for seed in seeds for _, make, *_ in TASKS]
    return usual + [
        variant(make, part, name, seed, quick=quick, stage=FIRST.get(name, STAGES[part]))
        for seed in seeds
        for part, names in VARIANTS.items()
        for name in (list(names)[:1] if quick else names)
        for _, make, *_ in TASKS
    ]


def values(store: Store, make: Make, metric: Metric, part: str, name: str) -> dict[int, float]:
    """The metric of one variant, by seed."""
    return per_seed(store, lambda seed: variant(make, part, name, seed), metric)


def table(store: Store) -> str:
    """Every variant on both tasks."""
    rows = []
    everything = {"": [USUAL], **{part: list(names) for part, names in VARIANTS.items()}}
    for part, names in everything.items():
        for name in names:
            accuracy = classification.show(store, lambda s: variant(classification.trial, part, name, s))  # noqa: B023
            loss = Estimate.of(values(store, stylization.trial, final_loss, part, name))
            if accuracy or loss.count:
                label = name.replace("-", "−") if part else "linear, scale, sigmoid, (0, −1)"
                rows.append([part, label, accuracy, loss.show()])
    columns = ["part", "", "CIFAR-100: accuracy, %", "mosaic: total loss, eval mode"]
    return markdown(columns, rows) + classification.MARK


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Every variant on both tasks, the usual one on top."""
    panels = {}
    for task, make, metric, *_ in TASKS:
        groups = {"usual": {"iebn": Estimate.of(values(store, make, metric, "", USUAL))}}
        for part, names in VARIANTS.items():
            for name in names:
                groups[f"{part} {name}"] = {"iebn": Estimate.of(values(store, make, metric, part, name))}
        unit = "test accuracy, %" if task == "CIFAR-100" else "total loss, evaluation mode"
        panels[f"{task}: {unit}"] = groups
    caption = "IEBN with one part exchanged; with the 95 % interval where there are several seeds"
    return [(path, caption) for path in dots(panels, folder / "ablations.png", least=2)]


def claims(store: Store) -> list[Claim]:
    """The paper's choice is better than each alternative; a claim each."""
    found = []
    for part, (source, text) in PAPER.items():
        for task, make, metric, sign, unit in TASKS:
            usual = values(store, make, metric, part, USUAL)
            for name in VARIANTS[part]:
                runs = [variant(make, part, one, seed) for one in (USUAL, name) for seed in SEEDS]
                worse = difference(usual, values(store, make, metric, part, name))
                gain = Estimate.of({seed: sign * points for seed, points in worse.items()})
                found.append(
                    Claim(
                        source,
                        f"{text} {name.replace('-', '−')}",
                        f"{task}, IEBN with its {part} exchanged",
                        gain,
                        COMMAND,
                        gain.show(2, unit, signed=True),
                        absent=UNFINISHED if make is classification.trial else NOT_RUN,
                        finished=stylization.are_finished(store, runs),
                    )
                )
    return judged(found)


if __name__ == "__main__":
    main(sys.modules[__name__])
