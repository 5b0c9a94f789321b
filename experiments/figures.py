"""Figures and docs/results.md from the stored results; computes nothing.

python -m experiments.figures
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from experiments import (
    ablations,
    accuracy,
    any_style,
    curves,
    inside,
    machines,
    mixed,
    noise,
    pictures,
)
from experiments.harness import classification, stylization
from experiments.harness.drawing import COLOURS, Groups, dots, markdown
from experiments.harness.experiment import Experiment, plan, timetable
from experiments.harness.intervals import NOT_RUN, UNFINISHED, Claim, Estimate, Verdict, difference
from experiments.harness.paper import CAPTIONS
from experiments.harness.runner import RESULTS, ROOT, Store
from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import run, say

EXPERIMENTS: tuple[Experiment, ...] = (
    curves, inside, any_style, pictures, accuracy, ablations, noise, mixed, machines,
)  # fmt: skip
"""Most telling first."""

DOCUMENT = ROOT / "docs" / "results.md"

_INTRODUCTION = """\
# What the four normalizers do, measured

<!-- Written by `make figures` from experiments/results/; do not edit. -->

These are claims of "Instance Enhancement Batch Normalization: an Adaptive Regulator of Batch Noise" (Liang,
Huang, Liang and Yang, [arXiv 1908.04008](https://arxiv.org/abs/1908.04008)), tried on this project's own
style networks and, in small, on CIFAR-100. Nobody writes a verdict here: each is computed from the runs.

{summary}

**How sure.** A claim **holds**, or **does not hold**, where a paired t-test says so with less than 5 % risk
of any such verdict being wrong in its family, the claims about the same runs (Holm's correction). There is
**no difference** where the interval, corrected for the family as well (Bonferroni), lies within ±{told:g} %.
Otherwise a claim is **not decidable**, which is no evidence for either side; the table then says how many
seeds or styles would find a difference of {told:g} % four times in five. Where these are more than were
trained, they are more than the twelve hours of two cores that all of this was to take. Only trainings that
came to their end are judged. For accuracy: the learning rate is at its lowest over the last fifth of the
epochs, and less than a point is gained there. For losses: each network's total loss falls by less than
{told:g} % over the last fifth, by the upper end of the interval of its seeds' mean. Intervals are 95 %
intervals of one mean. The figure shows all of it against batch norm.
"""

_SETTING = """\
## What was run

- **Style network** ("short runs" below, and all ablations and attacks): {style[iterations]} iterations at
  {style[size]} px, batches of {style[batch_size]}, width {style[width]}, after {style[warmup_iterations]}
  iterations that reproduce the photo; random initial weights, a seed each, and the same seeds and photos for
  all norms. The losses are content (relu2_2) and style (relative Gram distance, mean of four layers) alone;
  total loss is content + {weight:g} · style. Evaluation mode, unless training is named: on 8 held-out photos,
  at 256 px. Optimizer: Muon and Adam, as everywhere here. The paper trains Johnson's network (width 32, 256
  px, Adam).
- **The longer runs** ("three styles, ten seeds"): the same with {long[iterations]} iterations, in mosaic,
  wave and starry. The short runs said how many seeds these take. Each seed counts once, with the mean of its
  three styles. They are measured in evaluation mode and by the statistics of batches of {style[batch_size]}
  ("training mode"): on the held-out photos at 256 px, on the example photos at 512.
- **CIFAR-100**: 100 training and 20 test images a class; ResNet-20 (width {resnet[width]}),
  {resnet[epochs]} epochs, batches of {resnet[batch_size]}, random crops of the image with a rim of 4 black
  pixels, mirrored every second time, SGD with momentum {resnet[momentum]:g}, a learning rate of
  {resnet[lr]:g} that falls to a tenth after {drops}, weight decay {resnet[weight_decay]:g} on all parameters,
  last epoch's accuracy. It is the recipe of the paper's authors, shortened from 164 epochs; they have 500
  training images a class and ResNet-164: only differences are compared. Runs marked with † had 10 epochs of
  another recipe. A run with an accuracy of at most {chance:g} % has collapsed. It counts, as in the paper.
- **Table 3**: MNIST alone, not FashionMNIST. The foreign images take part in the statistics of their batch
  and not in the loss. The drop is that from the usual run, whose batches are {resnet[batch_size]} images.
- **FC**, in Table 4, is a linear layer, a ReLU and a linear layer, as in squeeze-and-excitation, and as wide.
- **The gallery**: the shipped models, all of seed 0, trained as docs/training.md says. An interval over its
  six styles says nothing about other seeds. Evaluation mode is on the same 8 photos for all styles, at
  256 px, and, where it says so, on the four example photos at 512 or 1024 px (docs/gallery.md), where some
  differences are others. The training loss of a style has a locality of 0.3 (docs/training.md), in evaluation
  it is the plain distance: compare norms within a mode, not modes.
- **The style predictors**: one training for each normalizer; an interval over their styles says nothing about
  other trainings.
- All normalizers had the same budget, and none was tuned.
- Short runs of the style network were computed on a processor or on a GPU, also where one is compared with
  the other; the last table but one says what that changes.

Differences are taken run by run, between runs of the same seed and so of the same data in the same order (for
the gallery: between models of the same style); the interval is that of their mean. **Harm** is what an attack
changes for the worse, relative to the same normalizer without it, and the claim that one withstands better is
about the difference of the harms. The noise x̂·N_a + N_b is an affine map, in training and in use: γ and β
could undo it. In ablations, positive figures speak for the paper's choice. ReLU begins at relu(−1) = 0,
without a gradient, and so its networks never learn: in the paper they stay at an accuracy of 1 %, too. SE
stands after every norm here, with a bottleneck of at least 4 units.
"""


def document(store: Store, drawn: dict[str, list[tuple[Path, str]]], place: Path = DOCUMENT) -> str:
    """docs/results.md."""
    verdicts = [claim for experiment in EXPERIMENTS for claim in experiment.claims(store)]
    resnet = classification.SETTING
    drops = " and ".join(str(round(part * resnet["epochs"])) for part in resnet["drops"])
    setting = _SETTING.format(
        style=stylization.SETTING,
        long=stylization.SETTING | stylization.LONG,
        resnet=resnet,
        drops=f"{drops} epochs",
        chance=classification.CHANCE,
        weight=4 * stylization.SETTING["style_weight"],
    )
    labels = "".join(f"- {label}: {caption}.\n" for label, caption in CAPTIONS.items())
    parts = [
        _INTRODUCTION.format(summary=summary(verdicts), told=stylization.TOLD),
        *_shown(drawn["glance"], place),
        "## Verdicts\n",
        verdict_table(verdicts),
        f"The paper's numbers, and what is there:\n\n{labels}",
        setting,
    ]
    for experiment in EXPERIMENTS:
        parts.append(f"## {experiment.TITLE}\n\n`python -m {_name(experiment)}`\n")
        parts += _shown(drawn[_name(experiment)], place)
        if text := experiment.table(store):
            parts.append(text)
    parts.append(minutes(store))
    return "\n".join(parts)


def _shown(drawn: list[tuple[Path, str]], place: Path) -> list[str]:
    return [
        f"![{caption}]({os.path.relpath(path, place.parent)})\n\n*{caption}*\n" for path, caption in drawn
    ]


def summary(claims: Sequence[Claim]) -> str:
    """What holds and what does not, a line a claim, and where nobody can tell yet."""
    counts = Counter(claim.verdict for claim in claims)
    lines = [
        f"**In short**: of {len(claims)} claims {counts['holds']} hold and {counts['does not hold']} do not; "
        f"in {counts['no difference']} there is no difference of {stylization.TOLD:g} %; "
        f"{counts['not decidable']} cannot be told from the runs so far.\n"
    ]
    for text in dict.fromkeys(claim.text for claim in claims if claim.verdict != "not decidable"):
        lines.append(_decided(text, [claim for claim in claims if claim.text == text]))
    undecided = [claim for claim in claims if claim.verdict == "not decidable"]
    reasons = Counter(
        claim.absent
        if not claim.estimate.count
        else "with too few runs for a difference of their size"
        if claim.finished
        else UNFINISHED
        for claim in undecided
    )
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    decided = {claim.source for claim in claims if claim.verdict != "not decidable"}
    nothing = ", ".join(dict.fromkeys(claim.source for claim in undecided if claim.source not in decided))
    lines.append(f"\n**What nobody can tell yet**: {why or 'nothing'}.")
    if nothing:
        lines.append(f"There is no verdict at all on: {nothing.replace('new', 'what is not in the paper')}.")
    return "\n".join(lines)


def _decided(text: str, claims: Sequence[Claim]) -> str:
    """A claim and its verdicts: the figure of each, or the lowest and the highest where there are several."""
    parts = []
    for verdict in get_args(Verdict):
        alike = sorted((c for c in claims if c.verdict == verdict), key=lambda claim: claim.estimate.mean)
        if not alike:
            continue
        ends = dict.fromkeys(re.split("[:;]", claim.figure)[0] for claim in (alike[0], alike[-1]))
        figures = " to ".join(ends)
        if verdict == "not decidable":
            parts.append(f"{verdict} in {len(alike)}")
        elif len(alike) == 1:
            parts.append(f"**{verdict}**, {figures}, {alike[0].ran}")
        else:
            parts.append(f"**{verdict}** in {len(alike)} comparisons, {figures}")
    return f"- {text}: {'; '.join(parts)}."


def glance(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """Everything against batch norm: losses of the style network, and accuracy."""
    panels: dict[str, Groups] = {**curves.against_bn(store)}
    bn = accuracy.accuracies(store, "bn")
    panels["CIFAR-100: points above BN"] = {
        "ResNet-20": {
            norm: Estimate.of(difference(accuracy.accuracies(store, norm), bn)) for norm in curves.OTHERS
        }
    }
    caption = "By how much each normalizer is better than batch norm: to the right of 0; 95 % intervals"
    return [(path, caption) for path in dots(panels, folder / "glance.png", COLOURS, line=0.0)]


def verdict_table(claims: Sequence[Claim]) -> str:
    """A row a claim; those without a single run are named below."""
    missing = Counter(f"{claim.source} ({claim.ran})" for claim in claims if claim.reason == NOT_RUN)
    table = markdown(
        ["paper", "claim", "what we ran", "our figure", "p", "verdict", "command"],
        [
            [
                claim.source,
                claim.text,
                claim.ran,
                claim.figure if claim.estimate.count or claim.counted else "",
                "" if claim.p is None else f"{claim.p:.3f}" if claim.p >= 0.001 else "< 0.001",
                f"**{claim.verdict}**" + (f": {claim.reason}" if claim.reason else ""),
                f"`{claim.command}`",
            ]
            for claim in claims
            if claim.reason != NOT_RUN
        ],
    )
    table += "\nThe p-values are corrected for the number of claims in the family.\n"
    return table + (f"\nNot run yet: {'; '.join(missing)}.\n" if missing else "")


def minutes(store: Store) -> str:
    """The plan and what it has cost so far."""
    machines = Counter(record["machine"] for trial in plan(EXPERIMENTS) if (record := store.record(trial)))
    note = f"\nRuns so far are from: {', '.join(sorted(machines))}.\n" if machines else ""
    return (
        "## Runs\n\n`python -m experiments --data DIR --content DIR --styles DIR --jobs 2 --minutes 700`\n"
        "goes on with what is missing, in this order: twelve hours of two cores. What does not fit into\n"
        "them is left for who has more: the same command, again. Minutes are of processor time: as\n"
        "measured, or, where nothing is done, as expected from short measurements beside other load; so\n"
        f"are the hours of two processes.\n\n{timetable(EXPERIMENTS, store, jobs=2)}{note}"
    )


def _name(experiment: Experiment) -> str:
    return experiment.__name__


def draw(store: Store, place: Path = DOCUMENT) -> None:
    """Draw all figures into the results' folder and write the document."""
    folder = store.root / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {_name(experiment): experiment.figures(store, folder) for experiment in EXPERIMENTS}
    drawn["glance"] = glance(store, folder)
    write_atomically(place, document(store, drawn, place).encode())
    say(f"Drawn: {sum(map(len, drawn.values()))} figures in {folder}, and {place}")


def figures(results: Annotated[Path, typer.Option(help="Where the results are kept.")] = RESULTS) -> None:
    """Draw the figures and write docs/results.md."""
    draw(Store(results))


if __name__ == "__main__":
    run(figures)
