"""A whole training run: steps, records, samples and saves, from the first iteration or from a saved one."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from transformer_net.checkpoint import save_model
from transformer_net.devices import describe_machine
from transformer_net.errors import DivergedError, RunFolderError
from transformer_net.images import fit, from_array, to_array
from transformer_net.training.content import ContentBatches, ContentPhotos
from transformer_net.training.runfolder import RunFolder, SavedState, writing
from transformer_net.training.trainer import Phase, Trainer

VALIDATION_SIDE = 256
"""Side in pixels of the squares that validation losses are taken on."""

_RECORD_EVERY = 10
_SAVE_EVERY = 100
_SAMPLE_SIDE = 384


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        iteration: Steps done, warm-up included.
        total: Steps in all.
        phase: What is being minimized.
        losses: Means over the last few steps: `identity` in the warm-up; then `total`, `content`,
            `style_relu1_2` … `style_relu4_3`, `palette` and `tv`, before their weights.
        images_per_second: Over the last few steps.
        seconds_left: Estimate at the present speed.
    """

    iteration: int
    total: int
    phase: Phase
    losses: dict[str, float]
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        finished: False when it was stopped before its last iteration.
        iteration: Steps done.
        seconds: Wall-clock seconds over all sittings.
        validation: Mean losses on the validation photos in evaluation mode; empty when stopped early.
        broken: Content files that could not be read, with the reason.
    """

    finished: bool
    iteration: int
    seconds: float
    validation: dict[str, float]
    broken: dict[str, str]


class Run:
    """Drives a `Trainer` and keeps its folder.

    Args:
        trainer: Fresh; `resume` brings it to a saved position.
        photos: What to train on and validate on.
        folder: Where everything is written.
        sample: The photo that is painted every so often.
        sample_every: Iterations between samples and validations.
        on_progress: Called every few iterations.
        should_stop: Asked after every iteration; True saves and returns.
    """

    def __init__(
        self,
        trainer: Trainer,
        photos: ContentPhotos,
        folder: RunFolder,
        sample: Image.Image,
        sample_every: int = 150,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        loader_threads: int = 1,
    ) -> None:
        self.trainer, self.photos, self.folder = trainer, photos, folder
        self.sample = torch.from_numpy(to_array(fit(sample, _SAMPLE_SIDE)))[None]
        self.sample_every = sample_every
        self.on_progress, self.should_stop = on_progress, should_stop
        self.loader_threads = loader_threads
        self.seconds = 0.0

    def resume(self) -> int:
        """Go to where the folder's saved state is; returns its iteration.

        Raises:
            RunFolderError: Nothing to resume, or it was another run: other settings, photos or style picture.
        """
        saved = self.folder.load_state()
        ours, theirs = self.trainer.config.to_dict(), saved.config.to_dict()
        if differing := sorted(name for name in ours if ours[name] != theirs[name]):
            name = differing[0]
            raise RunFolderError(
                f"The run in {self.folder.path} was begun with {name.replace('_', '-')} {theirs[name]!r}, "
                f"not {ours[name]!r}; resume with the same settings, or choose another --out."
            )
        for name, fingerprint in self._inputs().items():
            if saved.inputs.get(name) != fingerprint:
                what = {"content": "other content photos", "style": "another style picture"}[name]
                raise RunFolderError(
                    f"The run in {self.folder.path} was begun with {what}; give the same --{name}."
                )
        try:
            self.trainer.load_state(saved.tensors, saved.iteration, saved.lowest)
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunFolderError(
                f"{self.folder.state} does not fit this network; start again without --resume."
            ) from error
        self.seconds = saved.seconds
        self.folder.rewind(saved.iteration)
        return saved.iteration

    def run(self) -> Outcome:
        """Train to the end, or until `should_stop`.

        Raises:
            DivergedError: The loss left; the last saved state, from before, stays in the folder.
            ContentError: No content photo can be read.
            RunFolderError: The folder cannot be written.
        """
        trainer, config = self.trainer, self.trainer.config
        if trainer.iteration == config.total_iterations:  # a finished run, resumed
            return self._outcome(True, _losses_of(self.folder.records()[-1]))
        start, before = time.perf_counter(), self.seconds
        batches = ContentBatches(self.photos, config.batch_size, config.crop_scale, config.seed)
        window = _Window(config.batch_size)
        for photo in batches.iterate(
            trainer.iteration, config.crop_size, config.total_iterations, self.loader_threads
        ):
            phase = trainer.phase
            window.add(trainer.step(photo))
            self.seconds = before + time.perf_counter() - start
            done = trainer.iteration
            stopping = self.should_stop()
            if (
                stopping
                or done % _RECORD_EVERY == 0
                or done in (config.warmup_iterations, config.total_iterations)
            ):
                losses, speed = window.close()
                trainer.check(losses)
                self.folder.append({"iteration": done, "phase": phase, **losses, "images_per_second": speed})
                left = (config.total_iterations - done) * config.batch_size / speed
                self.on_progress(Progress(done, config.total_iterations, phase, losses, speed, left))
            with window.paused():
                if done % self.sample_every == 0 and done < config.total_iterations:
                    self._look()
                # The last iteration is saved below, once, with its validation losses.
                if done < config.total_iterations and (stopping or done % _SAVE_EVERY == 0):
                    self._save({})
            if done < config.total_iterations and stopping:
                return self._outcome(False, {})
        validation = self._look()
        self.seconds = before + time.perf_counter() - start
        self._save(validation)
        return self._outcome(True, validation)

    def _look(self) -> dict[str, float]:
        """Paint the sample, validate and record."""
        self._finite_state()
        done = self.trainer.iteration
        painting = from_array(self.trainer.paint(self.sample)[0].numpy())
        self.folder.save_sample(done, painting)
        validation = self.trainer.validate(self.photos.validation_tensors(VALIDATION_SIDE))
        self.folder.append({"iteration": done, "phase": "validation", **validation})
        return validation

    def _finite_state(self) -> dict[str, Tensor]:
        """The trainer's state; raises `DivergedError` where a number in it is none any more."""
        tensors = self.trainer.state_tensors()
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise DivergedError(
                    f"The state's {name} was not finite at iteration {self.trainer.iteration}; the last good "
                    f"state is kept in {self.folder.path}. Lower --lr (now {self.trainer.config.lr:g})."
                )
        return tensors

    def _save(self, validation: dict[str, float]) -> None:
        trainer, tensors = self.trainer, self._finite_state()
        with writing(self.folder.path):
            save_model(
                self.folder.model,
                trainer.network,
                trainer.config.style,
                trainer.config.grain,
                self._card(validation),
            )
        self.folder.save_state(
            SavedState(
                trainer.config,
                trainer.iteration,
                self.seconds,
                trainer.lowest,
                self._inputs(),
                tensors,
            )
        )

    def _card(self, validation: dict[str, float]) -> dict[str, Any]:
        """How the network was trained, for its model file."""
        trainer = self.trainer
        return {
            "config": trainer.config.to_dict(),
            "iterations_done": trainer.iteration,
            "content": {"name": self.photos.name, "photos": len(self.photos.training)},
            "style_picture_sha256": trainer.style_sha256,
            "base_sha256": trainer.config.base_sha256,
            "validation": validation,
            "seconds": round(self.seconds, 1),
            "machine": describe_machine(trainer.device),
            "precision": "bf16" if trainer.bf16 else "fp32",
            "torch": torch.__version__,
        }

    def _inputs(self) -> dict[str, str]:
        """Fingerprints of what the run is fed with, beside its settings."""
        names = "\n".join(path.name for path in self.photos.training)
        return {"content": hashlib.sha256(names.encode()).hexdigest(), "style": self.trainer.style_sha256}

    def _outcome(self, finished: bool, validation: dict[str, float]) -> Outcome:
        broken = {str(path): reason for path, reason in self.photos.broken.items()}
        return Outcome(finished, self.trainer.iteration, self.seconds, validation, broken)


class _Window:
    """Means of the losses, and the speed, over the steps since it was last closed."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.began = time.perf_counter()

    def add(self, losses: dict[str, Tensor]) -> None:
        self.sums = {
            name: self.sums[name] + value if name in self.sums else value for name, value in losses.items()
        }
        self.steps += 1

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time spent inside out of the speed: it goes into something else than training."""
        start = time.perf_counter()
        yield
        self.began += time.perf_counter() - start

    def close(self) -> tuple[dict[str, float], float]:
        """Mean losses and images a second; begins the next window."""
        losses = {name: (value / self.steps).item() for name, value in self.sums.items()}
        speed = self.steps * self.batch_size / (time.perf_counter() - self.began)
        self.sums, self.steps, self.began = {}, 0, time.perf_counter()
        return losses, speed


def _losses_of(record: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in record.items() if name not in ("iteration", "phase")}
