"""The folder of one training run: what it writes, and how a stopped run is resumed.

    runs/<style>-<norm>/
        model.safetensors   the network so far, ready to paint with
        state.safetensors   network, optimizer and position in float32, to resume from
        metrics.jsonl       one JSON object a line: training losses, and validation losses
        samples/            a fixed photo, painted regularly
        losses.png          the curves, at the end
        events.out.…        what TensorBoard reads, where it was asked for

Every file is replaced atomically or appended to, so the folder is whole at any moment.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from transformer_net.checkpoint import write_atomically
from transformer_net.errors import RunFolderError, SettingError
from transformer_net.imaging.encode import encode
from transformer_net.training.config import TrainConfig

STATE_VERSION = 1


@dataclass(frozen=True)
class SavedState:
    """What `state.safetensors` holds.

    Attributes:
        config: The run's settings.
        iteration: Steps done.
        seconds: Wall-clock seconds spent so far, over all sittings.
        lowest: Lowest mean loss so far, for the divergence check.
        inputs: Fingerprints of the `content` photos and the `style` picture, and where `vgg` came from.
        tensors: As `Trainer.state_tensors` gave them.
        schedule: As `Schedule.state` gave it.
        finished: Whether this is the end of the run, validated.
        costs: Seconds that the last evaluation and the last save took.
    """

    config: TrainConfig
    iteration: int
    seconds: float
    lowest: float
    inputs: dict[str, str]
    tensors: dict[str, Tensor]
    schedule: dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    costs: tuple[float, float] = (0.0, 0.0)


class RunFolder:
    """Reads and writes the files of one run below `path`, which is made on the first write.

    Args:
        path: The folder.
        config_type: Class of the run's settings.
    """

    def __init__(self, path: Path, config_type: type[TrainConfig] = TrainConfig) -> None:
        self.path, self.config_type = path, config_type
        self.model = path / "model.safetensors"
        self.state = path / "state.safetensors"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.curve = path / "losses.png"

    def exists(self) -> bool:
        """Whether a run has been saved here."""
        return self.state.exists() or self.model.exists()

    def would_lose(self) -> bool:
        """Whether something is here that would be lost if a run began, be it a run's or somebody's own."""
        written = (file for file in (self.metrics, self.curve) if file.exists())
        return self.exists() or any(file.stat().st_size for file in written)

    def create(self) -> None:
        """Make the folder and delete what an earlier run left in it, and nothing where there was none."""
        with writing(self.path):
            self.samples.mkdir(parents=True, exist_ok=True)
            left: list[Path] = []
            if self.exists():
                left += [self.state, self.model, self.curve, *self.path.glob("events.out.tfevents.*")]
                left += [file for file in self.samples.glob("*.jpg") if file.stem.isdecimal()]
            for file in (self.metrics, *left):
                file.unlink(missing_ok=True)
            self.metrics.touch()

    def save_state(self, state: SavedState) -> None:
        """Replace `state.safetensors`."""
        description = {
            "version": STATE_VERSION,
            "config": state.config.to_dict(),
            "iteration": state.iteration,
            "seconds": state.seconds,
            "lowest": state.lowest,
            "inputs": state.inputs,
            "schedule": state.schedule,
            "finished": state.finished,
            "costs": state.costs,
        }
        with writing(self.path):
            write_atomically(self.state, save(state.tensors, {"state": json.dumps(description)}))

    def load_state(self) -> SavedState:
        """The saved state.

        Raises:
            RunFolderError: There is none, or it is damaged or of another version.
        """
        if not self.state.exists():
            raise RunFolderError(f"There is nothing to resume in {self.path}: it holds no state.safetensors.")
        try:
            with safe_open(self.state, "pt") as file:
                description = json.loads(file.metadata()["state"])
                if description["version"] != STATE_VERSION:
                    raise RunFolderError(
                        f"{self.state} is of version {description['version']!r}, not {STATE_VERSION}."
                    )
                config, iteration = (
                    self.config_type.from_dict(description["config"]),
                    int(description["iteration"]),
                )
                return SavedState(
                    config=config,
                    iteration=iteration,
                    seconds=float(description["seconds"]),
                    lowest=float(description["lowest"]),
                    inputs=dict(description["inputs"]),
                    tensors={name: file.get_tensor(name) for name in file.keys()},  # noqa: SIM118 (no mapping)
                    schedule=dict(description.get("schedule", {})),
                    # States written before there were budgets do not say so.
                    finished=bool(description.get("finished", iteration == config.total_iterations)),
                    costs=tuple(map(float, description.get("costs", (0, 0)))),  # type: ignore[arg-type]
                )
        except OSError as error:
            raise RunFolderError(f"{self.state} cannot be read: {error.strerror}.") from error
        except SettingError as error:
            raise RunFolderError(
                f"The run in {self.path} is of another command, or of another version of this one: {error}"
            ) from error
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{self.state} is damaged and cannot be resumed; --overwrite starts again."
            ) from error

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one line to `metrics.jsonl`."""
        with writing(self.path), self.metrics.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All lines of `metrics.jsonl`; a half-written last one is left out."""
        records = []
        with contextlib.suppress(FileNotFoundError):
            for line in self.metrics.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    records.append(json.loads(line))
        return records

    def rewind(self, iteration: int) -> None:
        """Drop the metrics after `iteration`: a crash may have left lines newer than the state."""
        kept = [json.dumps(r) for r in self.records() if r["iteration"] <= iteration]
        with writing(self.path):
            write_atomically(self.metrics, "".join(line + "\n" for line in kept).encode())

    def save_sample(self, iteration: int, image: Image.Image) -> None:
        """Write the fixed photo as it is painted at `iteration`."""
        with writing(self.path):
            write_atomically(self.samples / f"{iteration:06d}.jpg", encode(image, "jpeg"))


def check_folders(folders: Iterable[RunFolder], resume: bool, overwrite: bool, several: bool) -> None:
    """Refuse at once what cannot be started or resumed; of several runs, those that exist are resumed.

    Raises:
        SettingError: A run cannot be both resumed and overwritten.
        RunFolderError: There is a run that would be lost, or none to resume.
    """
    if resume and overwrite:
        raise SettingError("Give --resume or --overwrite, not both.")
    for folder in folders:
        if folder.would_lose() and not overwrite and not (resume and (folder.state.exists() or not several)):
            ways = "--resume continues it, " * folder.state.exists() + "--overwrite starts again"
            raise RunFolderError(f"{folder.path} holds a run already: {ways}.")
        if resume and (folder.state.exists() or not several):
            folder.load_state()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failed write into one sentence.

    Raises:
        RunFolderError: With the operating system's reason.
    """
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"The run folder {path} cannot be written: {error.strerror or error}."
        ) from error
