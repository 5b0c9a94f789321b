"""The same short runs once more: what another machine, or nothing but rounding, changes.

    python -m experiments.machines --content DIR --device cuda

Some runs were computed on a processor, some on a GPU. Here are twelve that were computed on both, from the
same seeds and batches. On one and the same processor nothing would differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.curves import TERMS
from experiments.harness import stylization
from experiments.harness.drawing import markdown
from experiments.harness.experiment import main
from experiments.harness.intervals import SEEDS, Claim, Estimate
from experiments.harness.runner import Store, Trial
from transformer_net.norms import NORMS

TITLE = "The same runs on another machine"
KIND = "machines"


def trials(quick: bool = False) -> list[Trial]:
    """The mosaic with each normalizer and seed, as in the training curves."""
    return [
        _again(stylization.trial(norm, seed, quick=quick))
        for seed in (SEEDS[:1] if quick else SEEDS)
        for norm in NORMS
    ]


def _again(first: Trial) -> Trial:
    return Trial(KIND, first.label, {**first.config, "again": True}, first.work, stage=6)


def changes(store: Store, norm: str, term: str) -> dict[str, float]:
    """By how many percent the second run's loss is above the first's in evaluation mode, by run."""
    found: dict[str, float] = {}
    for seed in SEEDS:
        first = stylization.trial(norm, seed)
        one, other = store.metrics(first), store.metrics(_again(first))
        if one and other and not (one["diverged"] or other["diverged"]):
            found[first.label] = 100 * (other["final"][term] / one["final"][term] - 1)
    return found


def table(store: Store) -> str:
    """The change of each normalizer's losses, and of all."""
    found = {norm: {term: changes(store, norm, term) for term in TERMS} for norm in NORMS}
    every = {term: {k: v for by_term in found.values() for k, v in by_term[term].items()} for term in TERMS}
    rows = [
        [name, *(Estimate.of(by_term[term]).show(1, " %", signed=True) for term in TERMS)]
        for name, by_term in [*((f"`{norm}`", by_term) for norm, by_term in found.items()), ("all", every)]
        if by_term[TERMS[0]]
    ]
    return markdown(["from processor to GPU", "content", "style"], rows) if rows else ""


def figures(store: Store, folder: Path) -> list[tuple[Path, str]]:
    """None: the table says it."""
    return []


def claims(store: Store) -> list[Claim]:
    """None: the paper says nothing of it."""
    return []


if __name__ == "__main__":
    main(sys.modules[__name__])
