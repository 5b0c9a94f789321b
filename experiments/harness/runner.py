"""Trials, and what came out of them: one JSON file a trial, computed once.

A trial is everything that decides its outcome, in plain JSON values. A stored result counts as long as it was
computed from the same values; other values under the same name replace it. Several processes may work on one
plan: each takes a trial by locking it, and the lock goes when its process does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import say
from transformer_net.devices import describe_machine, pick_device
from transformer_net.errors import SettingError
from transformer_net.training.content import ContentPhotos, open_content
from transformer_net.training.losses.vgg import Vgg16Features

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parents[1] / "results"

Metrics = dict[str, Any]


@dataclass
class Inputs:
    """What trials are fed with.

    Attributes:
        data: Folder of `cifar100_10k2k.npz` and `mnist_12k.npz`, or where torchvision shall put its own.
        content: Photos, as for train_style.py; None where no trial needs any.
        device_name: auto, cpu, cuda or mps.
        pictures: Folder for the paintings that a trial leaves.
        style_pictures: Folder of style pictures for the style predictors; None where no trial needs any.
    """

    data: Path
    content: str | None
    device_name: str
    pictures: Path
    style_pictures: Path | None = None

    @cached_property
    def photos(self) -> ContentPhotos:
        """The content photos.

        Raises:
            SettingError: None are named. The few shipped ones would give other results under the same names.
        """
        if self.content is None:
            raise SettingError("These runs are to be computed: say on which photos, --content.")
        return open_content(self.content)

    @cached_property
    def styles(self) -> ContentPhotos:
        """The style pictures.

        Raises:
            SettingError: None are named.
        """
        if self.style_pictures is None:
            raise SettingError("These runs are to be computed: say with which style pictures, --styles.")
        return ContentPhotos.from_folder(self.style_pictures)

    @cached_property
    def vgg(self) -> Vgg16Features:
        """The loss network, read once."""
        return Vgg16Features()

    @cached_property
    def device(self) -> torch.device:
        """Where to compute."""
        return pick_device(self.device_name)


@dataclass(frozen=True)
class Trial:
    """One run.

    Attributes:
        kind: Folder of its result.
        label: Name of its result; the same settings but for the size of the run have the same label.
        config: Everything that decides the outcome; plain JSON values.
        work: Computes the metrics; they must be plain JSON values too.
        stage: 1 for what tells most; what has a larger number comes later.
        minutes: Of processor time, as it will take about; 0 where nobody has measured.
    """

    kind: str
    label: str
    config: Mapping[str, Any]
    work: Callable[[Mapping[str, Any], Inputs], Metrics] = field(compare=False)
    stage: int = 1
    minutes: float = field(default=0.0, compare=False)

    @property
    def name(self) -> str:
        """Path of the result below `runs/`, without suffix."""
        return f"{self.kind}/{self.label}"


class Store:
    """The results below a folder: `runs/<kind>/<label>.json`, `pictures/` and the figures."""

    def __init__(self, root: Path = RESULTS) -> None:
        self.root = root
        self.pictures = root / "pictures"

    def path(self, trial: Trial) -> Path:
        """Where the result of `trial` lies, or will lie."""
        return self.root / "runs" / f"{trial.name}.json"

    def record(self, trial: Trial) -> dict[str, Any]:
        """The stored file of `trial`, whatever settings it was computed from; empty where there is none."""
        path = self.path(trial)
        return json.loads(path.read_text()) if path.is_file() else {}

    def metrics(self, trial: Trial) -> Metrics | None:
        """What came out of `trial`, for figures and verdicts."""
        return self.record(trial).get("metrics")

    def is_done(self, trial: Trial) -> bool:
        """Whether `trial` has a result that was computed from these very settings."""
        return bool(self.record(trial).get("config") == json.loads(json.dumps(trial.config)))

    def is_outdated(self, trial: Trial) -> bool:
        """Whether `trial` has a result that was computed from other settings."""
        return bool(self.record(trial)) and not self.is_done(trial)

    def keep(self, trial: Trial, metrics: Metrics, seconds: float, cpu_seconds: float, machine: str) -> None:
        """Write the result of `trial`."""
        record = {
            "config": trial.config,
            "metrics": metrics,
            "seconds": round(seconds, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "machine": machine,
            "torch": torch.__version__,
        }
        write_atomically(self.path(trial), (json.dumps(record, indent=1) + "\n").encode())

    @contextlib.contextmanager
    def claimed(self, trial: Trial) -> Iterator[bool]:
        """Whether `trial` is ours while inside: no other process is at it."""
        lock = self.root / ".locks" / f"{trial.kind}-{trial.label}"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def run_trials(trials: Iterable[Trial], store: Store, inputs: Inputs, minutes: float | None = None) -> int:
    """Compute what is missing, in order; returns how many trials that were.

    Args:
        minutes: Begin no trial after this many minutes.
    """
    began, computed = time.monotonic(), 0
    for trial in trials:
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            say(f"{minutes:g} minutes are over; the same command goes on.")
            break
        with store.claimed(trial) as ours:
            if not ours or store.is_done(trial):
                continue
            wall, cpu = time.perf_counter(), time.process_time()
            metrics = trial.work(trial.config, inputs)
            seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
            store.keep(trial, metrics, seconds, cpu_seconds, describe_machine(inputs.device))
            computed += 1
            say(f"{trial.name}: {seconds / 60:.1f} min, {cpu_seconds / 60:.1f} of them computing")
    return computed


def rounded(values: Any) -> Any:
    """Nested numbers with five digits, so that results can be read and compared."""
    if isinstance(values, dict):
        return {name: rounded(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [rounded(value) for value in values]
    return float(f"{values:.5g}") if isinstance(values, float) else values
