"""What every experiment is, and its command."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
import typer

from experiments.harness.drawing import markdown
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
    """All runs of `experiments`, each once, stage by stage."""
    trials: dict[str, Trial] = {}
    for experiment in experiments:
        for trial in experiment.trials(quick):
            known = trials.get(trial.name)
            if known is None or trial.stage < known.stage:
                trials[trial.name] = trial
    return sorted(trials.values(), key=lambda trial: trial.stage)


def timetable(experiments: Sequence[Experiment], store: Store, quick: bool = False, jobs: int = 1) -> str:
    """The plan in Markdown: runs by stage and experiment, in order, and hours until each of them is done."""
    owner = {trial.name: one.TITLE for one in reversed(experiments) for trial in one.trials(quick)}
    rows: dict[tuple[int, str], list[Trial]] = {}
    for trial in plan(experiments, quick):
        rows.setdefault((trial.stage, owner[trial.name]), []).append(trial)
    lines, until = [], 0.0
    for (stage, title), trials in rows.items():
        left = [trial for trial in trials if not store.is_done(trial)]
        until += sum(trial.minutes for trial in left) / 60 / jobs
        each = [trial.minutes for trial in left] or [store.record(t)["cpu_seconds"] / 60 for t in trials]
        hours = f"{until:.1f}" if left else ""
        lines.append(
            [
                str(stage),
                title,
                str(len(trials)),
                str(len(trials) - len(left)),
                f"{sum(each) / len(each):.1f}",
                hours,
            ]
        )
    return markdown(["stage", "experiment", "runs", "done", "minutes each", "done after hours"], lines)


def side_by_side(jobs: int) -> int:
    """This very command in `jobs` processes of one thread each; they share the plan by its locks.

    Returns:
        The first exit status that is not 0.
    """
    module = sys.modules["__main__"].__spec__
    assert module is not None
    command = [sys.executable, "-m", module.name, *sys.argv[1:], "--jobs", "1", "--threads", "1"]
    children = [subprocess.Popen(command) for _ in range(jobs)]
    try:
        return next((status for child in children if (status := child.wait())), 0)
    finally:
        for child in children:
            child.terminate()


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
        styles: Annotated[
            Path | None, typer.Option(help="Folder of style pictures, for the style predictors.")
        ] = None,
        results: Annotated[Path, typer.Option(help="Where the results are kept.")] = RESULTS,
        quick: Annotated[
            bool, typer.Option("--quick", help="Tiny runs in a folder of their own: does everything work?")
        ] = False,
        minutes: Annotated[float | None, typer.Option(help="Begin no run after so many minutes.")] = None,
        jobs: Annotated[int, typer.Option(min=1, help="Processes side by side, of one thread each.")] = 1,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Print the plan with its hours, and run nothing.")
        ] = False,
        threads: Annotated[int, typer.Option(help="Threads to compute with; 0 for PyTorch's choice.")] = 0,
        device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    ) -> None:
        """Compute the runs that are missing, and print table and verdicts."""
        if threads:
            torch.set_num_threads(threads)
        if dry_run:
            say(timetable(experiments, Store(results), quick, jobs))
            return
        if jobs > 1:
            raise typer.Exit(side_by_side(jobs))
        with tempfile.TemporaryDirectory() as scratch:
            store = Store(Path(scratch) if quick and results.resolve() == RESULTS.resolve() else results)
            photos = content or (str(EXAMPLES) if quick else None)
            pictures = styles or (EXAMPLES if quick else None)
            inputs = Inputs(data, photos, device, store.pictures, pictures)
            measure(experiments, store, inputs, quick, minutes)

    run(command)
