"""What every experiment is, and its command."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
import typer

from experiments.harness.intervals import Claim
from experiments.harness.runner import RESULTS, Inputs, Store, Trial, run_trials
from transformer_net.commandline import run, say
from transformer_net.training.content import EXAMPLES


class Experiment(Protocol):
    """A module of this package that measures one table or figure."""

    TITLE: str
    __name__: str

    def trials(self, quick: bool = False) -> list[Trial]:
        """Its runs, most telling first; `quick` ones are as small as still go through every line."""

    def table(self, store: Store) -> str:
        """What is known so far, in Markdown."""

    def figures(self, store: Store, folder: Path) -> list[tuple[Path, str]]:
        """Draw what is known so far into `folder`; files and captions."""

    def claims(self, store: Store) -> list[Claim]:
        """What the paper says, and what is known about it so far."""


def plan(experiments: Sequence[Experiment], quick: bool = False) -> list[Trial]:
    """All runs of `experiments`, each once: those of the first stage before those of the second."""
    trials: dict[str, Trial] = {}
    for experiment in experiments:
        for trial in experiment.trials(quick):
            known = trials.get(trial.name)
            if known is None or trial.stage < known.stage:
                trials[trial.name] = trial
    return sorted(trials.values(), key=lambda trial: trial.stage)


def measure(
    experiments: Sequence[Experiment],
    store: Store,
    inputs: Inputs,
    quick: bool = False,
    minutes: float | None = None,
) -> None:
    """Run what is missing of `experiments`, then tell what is known."""
    run_trials(plan(experiments, quick), store, inputs, minutes)
    for experiment in experiments:
        say(f"\n{experiment.TITLE}\n\n{experiment.table(store)}")
        for claim in experiment.claims(store):
            say(f"{claim.verdict}: {claim.text} ({claim.ran}): {claim.figure}")


def main(*experiments: Any) -> None:
    """The command line of one experiment, or of several."""

    def command(
        data: Annotated[
            Path, typer.Option(help="Folder of CIFAR-100 and MNIST; they are downloaded there if missing.")
        ] = Path("data"),
        content: Annotated[
            str | None, typer.Option(help="Photos, as for train_style.py; --quick takes the shipped ones.")
        ] = None,
        results: Annotated[Path, typer.Option(help="Where the results are kept.")] = RESULTS,
        quick: Annotated[
            bool, typer.Option("--quick", help="Tiny runs in a folder of their own: does everything work?")
        ] = False,
        minutes: Annotated[float | None, typer.Option(help="Begin no run after so many minutes.")] = None,
        threads: Annotated[int, typer.Option(help="Threads to compute with; 0 for PyTorch's choice.")] = 0,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    ) -> None:
        """Compute the runs that are missing, and print table and verdicts."""
        if threads:
            torch.set_num_threads(threads)
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(Path(scratch) if quick and results.resolve() == RESULTS.resolve() else results)
            photos = content or (str(EXAMPLES) if quick else None)
            measure(experiments, store, Inputs(data, photos, device, store.pictures), quick, minutes)

    run(command)
