"""Figures and docs/results.md from the stored results; computes nothing.

python -m experiments.figures
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from experiments import ablations, accuracy, curves, inside, machines, mixed, noise, pictures
from experiments.harness import classification, stylization
from experiments.harness.drawing import markdown
from experiments.harness.experiment import Experiment, plan
from experiments.harness.intervals import NOT_RUN, Claim
from experiments.harness.runner import RESULTS, ROOT, Store
from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import run, say

EXPERIMENTS: tuple[Experiment, ...] = (
    inside, pictures, curves, noise, accuracy, mixed, ablations, machines,
)  # fmt: skip
"""Most telling first."""

DOCUMENT = ROOT / "docs" / "results.md"

_INTRODUCTION = """\
# What the four normalizers do, measured

<!-- Written by `make figures` from experiments/results/; do not edit. -->

Claims of "Instance Enhancement Batch Normalization: an Adaptive Regulator of Batch Noise" (Liang, Huang,
Liang and Yang, [arXiv 1908.04008](https://arxiv.org/abs/1908.04008)), tried at the scale of two processor
cores and a few minutes of a GPU. A verdict is computed from the runs, not written: with the 95 % interval of
the mean over the seeds (or over the gallery's styles), a claim is **reproduced** if the whole interval is on
its side, **not reproduced** if the whole interval is on the other side, and **not decidable** at this scale
otherwise; one run decides nothing. Intervals are not corrected for the number of claims: of {count} rows, a
few may be on the wrong side by chance.

{summary}
"""

_SETTING = """\
## What was run

- **Style network** ("mosaic" below): {style[iterations]} iterations at {style[size]} px, batches of
  {style[batch_size]}, width {style[width]}, after {style[warmup_iterations]} iterations that reproduce the
  photo; random initial weights, a seed each, and the same seeds and photos for all norms. The losses are
  content (relu2_2) and style (relative Gram distance, mean of four layers) alone; total loss is
  content + {weight:g} · style. Evaluation mode, unless training is named: on 8 held-out photos, at 256 px.
  Optimizer: Muon and Adam, as everywhere here. The paper trains Johnson's network (width 32, 256 px, Adam).
- **CIFAR-100**: 100 training and 20 test images a class; ResNet-20 (width {resnet[width]}),
  {resnet[epochs]} epochs, batches of {resnet[batch_size]}, SGD with Nesterov momentum, one cycle to a
  learning rate of {resnet[lr]:g}, weight decay {resnet[weight_decay]:g} on matrices, last epoch's accuracy.
  The paper has 500 training images a class, ResNet-164 and 164 epochs: only differences are compared.
- **The gallery**: the shipped models, all of seed 0, trained as docs/training.md says. An interval over its
  six styles says nothing about other seeds. Evaluation mode is on the same 8 photos for all styles, at
  256 px, and, where it says so, on the four example photos at 512 or 1024 px (docs/gallery.md), where some
  differences are others. The training loss of a style has a locality of 0.3 (docs/training.md), in evaluation
  it is the plain distance: compare norms within a mode, not modes.
- All normalizers had the same budget, and none was tuned.
- Runs of the style network were computed on a processor or on a GPU, also where one is compared with the
  other; the last table but one says what that changes.

Differences are taken run by run, between runs of the same seed and so of the same data in the same order (for
the gallery: between models of the same style); the interval is that of their mean. **Harm** is what an attack
changes for the worse, relative to the same normalizer without it, and the claim that one withstands better is
about the difference of the harms. The noise x̂·N_a + N_b is an affine map, in training and in use: γ and β
could undo it. In ablations, positive figures speak for the paper's choice. ReLU begins at relu(−1) = 0,
without a gradient, and so its networks never learn: its rows tell of that start, not of ReLU. SE stands after
every norm here, with a bottleneck of at least 4 units.
"""


def document(store: Store, drawn: dict[str, list[tuple[Path, str]]], place: Path = DOCUMENT) -> str:
    """docs/results.md."""
    verdicts = [claim for experiment in EXPERIMENTS for claim in experiment.claims(store)]
    run_so_far = [claim for claim in verdicts if claim.reason != NOT_RUN]
    weight = 4 * stylization.SETTING["style_weight"]
    parts = [
        _INTRODUCTION.format(count=len(run_so_far), summary=summary(run_so_far)),
        "## Verdicts\n",
        verdict_table(verdicts),
        _SETTING.format(style=stylization.SETTING, resnet=classification.SETTING, weight=weight),
    ]
    for experiment in EXPERIMENTS:
        parts.append(f"## {experiment.TITLE}\n\n`python -m {_name(experiment)}`\n")
        for path, caption in drawn[_name(experiment)]:
            parts.append(f"![{caption}]({os.path.relpath(path, place.parent)})\n\n*{caption}*\n")
        if text := experiment.table(store):
            parts.append(text)
    parts.append(minutes(store))
    return "\n".join(parts)


def summary(claims: Sequence[Claim]) -> str:
    """What was reproduced and what was not, in a list."""
    lines = []
    for verdict in ("reproduced", "not reproduced", "not decidable"):
        found = [claim for claim in claims if claim.verdict == verdict]
        lines.append(f"- **{verdict.capitalize()}: {len(found)}**")
        if verdict != "not decidable":
            lines += [f"  - {claim.text} ({claim.ran}): {claim.figure}" for claim in found]
    return "\n".join(lines)


def verdict_table(claims: Sequence[Claim]) -> str:
    """A row a claim; those without a single run are named below."""
    missing = list(dict.fromkeys(claim.source for claim in claims if claim.reason == NOT_RUN))
    table = markdown(
        ["paper", "claim", "what we ran", "our figure", "verdict", "command"],
        [
            [
                claim.source,
                claim.text,
                claim.ran,
                claim.figure,
                f"**{claim.verdict}**" + (f": {claim.reason}" if claim.reason else ""),
                f"`{claim.command}`",
            ]
            for claim in claims
            if claim.reason != NOT_RUN
        ],
    )
    return table + (f"\nNot run yet, wholly or in part: {', '.join(missing)}.\n" if missing else "")


def minutes(store: Store) -> str:
    """What the runs cost; a run that several experiments share is booked to the first."""
    booked: set[str] = set()
    rows = []
    for experiment in EXPERIMENTS:
        ours = [trial for trial in plan([experiment]) if trial.name not in booked]
        booked |= {trial.name for trial in ours}
        for stage in (1, 2):
            trials = [trial for trial in ours if trial.stage == stage]
            spent = [record["cpu_seconds"] / 60 for trial in trials if (record := store.record(trial))]
            if trials:
                mean = f"{sum(spent) / len(spent):.1f}" if spent else ""
                title = f"{experiment.TITLE}{', later' * (stage == 2)}"
                rows.append([title, str(len(trials)), str(len(spent)), mean, f"{sum(spent):.0f}"])
    machines = Counter(record["machine"] for trial in plan(EXPERIMENTS) if (record := store.record(trial)))
    note = (
        f"\nMinutes of processor time, as each run measured them ({', '.join(sorted(machines))}).\n"
        if machines
        else ""
    )
    return (
        "## Runs\n\n`python -m experiments --data DIR --content DIR` goes on with what is missing; what is\n"
        "marked as later comes at the end. Several processes may work at once.\n\n"
        + markdown(["experiment", "runs", "done", "minutes each", "minutes in all"], rows)
        + note
    )


def _name(experiment: Experiment) -> str:
    return experiment.__name__


def draw(store: Store, place: Path = DOCUMENT) -> None:
    """Draw all figures into the results' folder and write the document."""
    folder = store.root / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {_name(experiment): experiment.figures(store, folder) for experiment in EXPERIMENTS}
    write_atomically(place, document(store, drawn, place).encode())
    say(f"Drawn: {sum(map(len, drawn.values()))} figures in {folder}, and {place}")


def figures(results: Annotated[Path, typer.Option(help="Where the results are kept.")] = RESULTS) -> None:
    """Draw the figures and write docs/results.md."""
    draw(Store(results))


if __name__ == "__main__":
    run(figures)
