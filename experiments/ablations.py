"""Tables 4 to 6 and Figure 4: what IEBN is made of, one part exchanged at a time, on both tasks.

python -m experiments.ablations --data DIR --content DIR
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from experiments.harness import classification, stylization
from experiments.harness.drawing import dots, markdown
from experiments.harness.experiment import main
from experiments.harness.intervals import (
    NOT_RUN,
    SEEDS,
    Claim,
    Estimate,
    Verdict,
    difference,
    judge,
    per_seed,
    reason,
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
    "operator": ("Table 4", "The linear operator is better than identity and a full layer"),
    "acts on": ("Table 5", "δ is better on the scale than on the shift or on both"),
    "activation": ("Table 6", "Sigmoid is better than tanh, ReLU and softmax"),
    "init": ("Figure 4", "Starting at (0, −1) is better than at any other of the 3 x 3 grid"),
}

Make = Callable[..., Trial]
TASKS: tuple[tuple[str, Make, Callable[[Any], float], int, str], ...] = (
    ("CIFAR-100", classification.trial, classification.accuracy, 1, " points"),
    ("mosaic", stylization.trial, final_loss, -1, " of loss"),
)
"""Name, maker of trials, metric, 1 if more is better, unit."""


def variant(make: Make, part: str, name: str, seed: int, **more: Any) -> Trial:
    """An IEBN with one part exchanged."""
    if name == USUAL:
        return make("iebn", seed, **more)
    label = f"{part.replace(' ', '-')}-{name.replace(' ', '').strip('()').replace(',', '_')}"
    return make("iebn", seed, variant=label, options=VARIANTS[part][name], **more)


def trials(quick: bool = False) -> list[Trial]:
    """The usual IEBN and every variant on both tasks; the grid of starts and further seeds come later."""
    seeds = SEEDS[:1] if quick else SEEDS
    usual = [make("iebn", seed, quick=quick) for seed in seeds for _, make, *_ in TASKS]
    return usual + [
        variant(make, part, name, seed, quick=quick, stage=1 if seed == 0 and part != "init" else 2)
        for seed in seeds
        for part, names in VARIANTS.items()
        for name in (list(names)[:1] if quick else names)
        for _, make, *_ in TASKS
    ]


def values(
    store: Store, make: Make, metric: Callable[[Any], float], part: str, name: str
) -> dict[int, float]:
    """The metric of one variant, by seed."""
    return per_seed(store, lambda seed: variant(make, part, name, seed), metric)


def table(store: Store) -> str:
    """Every variant on both tasks."""
    rows = []
    usual = [Estimate.of(values(store, make, metric, "", USUAL)).show() for _, make, metric, *_ in TASKS]
    rows.append(["", "linear, scale, sigmoid, (0, −1)", *usual])
    for part, names in VARIANTS.items():
        for name in names:
            cells = [Estimate.of(values(store, make, metric, part, name)) for _, make, metric, *_ in TASKS]
            if any(cell.count for cell in cells):
                rows.append([part, name.replace("-", "−"), *(cell.show() for cell in cells)])
    return markdown(["part", "", "CIFAR-100: accuracy, %", "mosaic: total loss, eval mode"], rows)


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
    """The paper's choice is better than each alternative."""
    found = []
    for part, (source, text) in PAPER.items():
        for task, make, metric, sign, unit in TASKS:
            usual = values(store, make, metric, part, USUAL)
            gains = {
                name: Estimate.of(
                    {
                        s: sign * d
                        for s, d in difference(usual, values(store, make, metric, part, name)).items()
                    }
                )
                for name in VARIANTS[part]
            }
            known = {name: gain for name, gain in gains.items() if gain.count}
            figure = "; ".join(f"{name}: {gain.show(2, unit, signed=True)}" for name, gain in known.items())
            found.append(
                Claim(
                    source,
                    text,
                    f"{task}, IEBN with its {part} exchanged",
                    figure or "not run",
                    verdict := all_of([judge(gain) for gain in gains.values()]),
                    _reason(gains) if verdict == "not decidable" else "",
                    COMMAND,
                )
            )
    return found


def _reason(gains: dict[str, Estimate]) -> str:
    if not any(gain.count for gain in gains.values()):
        return NOT_RUN
    reasons: dict[str, list[str]] = {}
    for name, gain in gains.items():
        if why := reason(gain):
            reasons.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items())


def all_of(verdicts: list[Verdict]) -> Verdict:
    """Reproduced if each of them is; not reproduced if one is not."""
    if "not reproduced" in verdicts:
        return "not reproduced"
    return "not decidable" if "not decidable" in verdicts else "reproduced"


if __name__ == "__main__":
    main(sys.modules[__name__])
