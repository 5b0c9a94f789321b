"""A whole training run: steps, records, samples and saves, from the first iteration or from a saved one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from transformer_net.cores import available_cores
from transformer_net.devices import describe_machine
from transformer_net.errors import DivergedError, RunFolderError
from transformer_net.imaging.arrays import extended, fit, from_array, to_array
from transformer_net.network import MIN_SIDE
from transformer_net.training.content import ContentBatches, ContentPhotos
from transformer_net.training.execution.cadence import Cadence, StepTime, Window
from transformer_net.training.execution.tensorboard import TensorBoardWriter
from transformer_net.training.run_folder import RunFolder, SavedState, writing
from transformer_net.training.schedule import Phase
from transformer_net.training.trainer import Trainer

VALIDATION_SIDE = 256
"""Side in pixels of the squares that validation losses are taken on."""

_RECORD_EVERY = 10
_SAVE_EVERY = 100
_SAMPLE_SIDE = 384

_LOADERS = 8
"""Threads that prepare batches for a GPU, which takes a step in the time of a few JPEG files."""

# With a budget: how often within it, and seconds in between at most.
_SAVES, _SAVE_SECONDS = 20, 60.0
_EVALUATIONS, _EVALUATION_SECONDS = 8, 600.0


@dataclass(frozen=True)
class TrainingProgress:
    """Where a run is.

    Attributes:
        iteration: Steps done, warm-up included.
        total: Steps in all; with a budget of time, as many as it seems to be enough for.
        phase: What is being minimized.
        losses: Means over the last few steps: `identity` in the warm-up; then `total`, `content`,
            `style_relu1_2` … `style_relu4_3`, `palette` and `tv`, before their weights.
        images_per_second: Over the last few steps, of all ranks together.
        seconds_left: Estimate at the present speed; with a budget, what is left of it.
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
        finished: False when it was stopped before its end.
        iteration: Steps done.
        seconds: Wall-clock seconds over all sittings.
        validation: Mean losses on the validation photos in evaluation mode; empty when stopped early, and
            on ranks other than 0.
        broken: Content files that could not be read, with the reason.
    """

    finished: bool
    iteration: int
    seconds: float
    validation: dict[str, float]
    broken: dict[str, str]


class Run:
    """Drives a `Trainer` and keeps its folder.

    Where several processes share the batches, each has a run, and rank 0 writes, validates and reports.

    Args:
        trainer: Fresh; `resume` brings it to a saved position.
        photos: What to train on and validate on.
        folder: Where everything is written.
        sample: The photo that is painted regularly.
        sample_every: Iterations between samples and validations; a budget spreads them over its time.
        on_progress: Called every few iterations.
        should_stop: Asked after every iteration; True saves and returns.
        loader_threads: Threads that prepare batches; one beside the threads that compute, on a GPU as many
            as it may need, if not given.
        tensorboard_writer: Shows the run in TensorBoard.
        clock: Seconds of whatever clock the budget is measured by.
        began: When this sitting began by that clock, if that was before `run` is called: the seconds it took
            to get here count.
    """

    def __init__(
        self,
        trainer: Trainer,
        photos: ContentPhotos,
        folder: RunFolder,
        sample: Image.Image,
        sample_every: int = 150,
        on_progress: Callable[[TrainingProgress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        loader_threads: int | None = None,
        tensorboard_writer: TensorBoardWriter | None = None,
        clock: Callable[[], float] = time.perf_counter,
        began: float | None = None,
    ) -> None:
        self.trainer, self.photos, self.folder = trainer, photos, folder
        small = extended(fit(sample, _SAMPLE_SIDE), MIN_SIDE)
        self.sample = torch.from_numpy(to_array(small))[None]
        self.on_progress, self.should_stop = on_progress, should_stop
        on_gpu = trainer.device.type == "cuda"
        self.loader_threads = loader_threads or (min(_LOADERS, available_cores()) if on_gpu else 1)
        self.tensorboard_writer = tensorboard_writer
        self.clock, self.began = clock, began
        self.seconds = 0.0
        self._zero: float | None = None  # when all of the run would have begun, had it been one sitting
        self._finished = False
        budget = trainer.config.budget
        self._evaluations = Cadence(sample_every, budget, _EVALUATIONS, _EVALUATION_SECONDS)
        self._saves = Cadence(_SAVE_EVERY, budget, _SAVES, _SAVE_SECONDS)
        self._step_time = StepTime()

    def resume(self) -> int:
        """Continue from the folder's saved state; returns its iteration.

        Raises:
            RunFolderError: Nothing to resume, or it was another run: other settings, photos or style picture.
        """
        saved = self.folder.load_state()
        ours, theirs = self.trainer.config.to_dict(), saved.config.to_dict()
        if differing := sorted(name for name in ours if ours[name] != theirs[name]):
            name = differing[0]
            raise RunFolderError(
                f"The run in {self.folder.path} was started with {name.replace('_', '-')} {theirs[name]!r}, "
                f"not {ours[name]!r}; resume with the same settings, or choose another --out."
            )
        for name, fingerprint in self._inputs().items():
            # States written before it was noted do not name the loss network.
            if saved.inputs.get(name, "shipped" if name == "vgg" else "") != fingerprint:
                what, option = {
                    "content": ("other content photos", "--content"),
                    "style": self.trainer.style_option,
                    "vgg": ("another loss network", "--vgg"),
                }[name]
                raise RunFolderError(
                    f"The run in {self.folder.path} was started with {what}; give the same {option}."
                )
        try:
            self.trainer.load_state(saved.tensors, saved.iteration, saved.lowest)
            self.trainer.schedule.load_state(saved.schedule)
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise RunFolderError(
                f"{self.folder.state} does not fit this network; --overwrite starts again."
            ) from error
        self.seconds = self._evaluations.last = self._saves.last = saved.seconds
        # What the last evaluation and save will take is kept free of a budget.
        self._evaluations.cost, self._saves.cost = saved.costs
        self._finished = saved.finished
        if self.trainer.ranks.first:
            self.folder.rewind(saved.iteration)
        return saved.iteration

    def run(self) -> Outcome:
        """Train to the end, or until `should_stop`.

        Raises:
            DivergedError: The loss diverged; the last saved state, from before, stays in the folder.
            ContentError: No content photo can be read.
            RunFolderError: The folder cannot be written.
        """
        trainer, config, schedule = self.trainer, self.trainer.config, self.trainer.schedule
        if self._finished:
            return self._outcome(True, self._validated() if trainer.ranks.first else {})
        self._zero = (self.clock() if self.began is None else self.began) - self.seconds
        if trainer.iteration == 0 and trainer.ranks.first:
            self._save({})  # from here on, there is something to resume
            if config.budget:
                self._evaluate()  # to know what the last one will take
        self._tick(stop=False)
        batches = ContentBatches(
            self.photos, config.batch_size, config.crop_scale, config.seed, trainer.ranks
        )
        last = None if config.budget else config.total_iterations
        window = Window(config.batch_size, self.clock)
        mark = self.clock()
        for batch in batches.iterate(
            trainer.iteration, schedule.crop_size, trainer.prepare, last, self.loader_threads
        ):
            phase, rate = trainer.phase, trainer.learning_rate()
            window.add(trainer.step(batch))
            self._step_time.took(self.clock() - mark)
            stopping = self._tick(self.should_stop())
            done, over = trainer.iteration, schedule.is_over(trainer.iteration)
            if stopping or over or done % _RECORD_EVERY == 0 or trainer.phase != phase:
                self._record(phase, rate, window)
            if over:
                break
            if trainer.ranks.first:
                spare = schedule.leaves_time(self._evaluations.cost + self._saves.cost)
                with window.paused():
                    if spare and self._evaluations.is_due(done, self.seconds):
                        self._evaluate()
                    if stopping or (spare and self._saves.is_due(done, self.seconds)):
                        self._save({})
            if stopping:
                return self._outcome(False, {})
            mark = self.clock()
        # The end is saved once, together with its validation losses.
        validation = self._evaluate() if trainer.ranks.first else {}
        self.seconds = self._spent()
        if trainer.ranks.first:
            self._save(validation, finished=True)
        return self._outcome(True, validation)

    def _spent(self) -> float:
        """Seconds over all sittings, now."""
        return self.seconds if self._zero is None else self.clock() - self._zero

    def _tick(self, stop: bool) -> bool:
        """Tell the schedule how the run stands. All ranks go by rank 0's clock.

        Returns:
            Whether to stop, because any of the ranks wants to.
        """
        own = [self._spent(), self._step_time.seconds, self._evaluations.cost + self._saves.cost]
        if not self.trainer.ranks.first:
            own = [0.0] * len(own)
        self.seconds, step, reserve, stopping = self.trainer.ranks.greatest([*own, float(stop)])
        self.trainer.schedule.tick(self.trainer.iteration, self.seconds, step, reserve)
        return stopping > 0

    def _record(self, phase: Phase, rate: float, window: Window) -> None:
        """Check and record the steps in `window`."""
        trainer, done = self.trainer, self.trainer.iteration
        losses, speed = window.close(trainer.ranks)
        trainer.check(losses)
        if not trainer.ranks.first:
            return
        record = {"iteration": done, "phase": phase, **losses, "images_per_second": speed}
        self.folder.append({**record, "learning_rate": rate, "seconds": round(self.seconds, 2)})
        if self.tensorboard_writer:
            self.tensorboard_writer.training(
                done, {**losses, "images_per_second": speed, "learning_rate": rate}
            )
        left = trainer.schedule.seconds_left(done, trainer.config.batch_size / speed)
        self.on_progress(TrainingProgress(done, trainer.schedule.total(done), phase, losses, speed, left))

    def _evaluate(self) -> dict[str, float]:
        """Paint the sample, validate and record."""
        with self._evaluations.measured(self._spent):
            self._finite_state()
            done = self.trainer.iteration
            painting = from_array(self.trainer.paint(self.sample)[0].numpy())
            self.folder.save_sample(done, painting)
            validation = self._validated()
            self.folder.append({"iteration": done, "phase": "validation", **validation})
            if self.tensorboard_writer:
                self.tensorboard_writer.evaluation(
                    done, validation, painting, self.trainer.gates(self.sample)
                )
        return validation

    def _validated(self) -> dict[str, float]:
        return self.trainer.validate(self.photos.validation_tensors(VALIDATION_SIDE))

    def _finite_state(self) -> dict[str, Tensor]:
        """The trainer's state; raises `DivergedError` where a number in it is not finite."""
        tensors = self.trainer.state_tensors()
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise DivergedError(
                    f"The state's {name} was not finite at iteration {self.trainer.iteration}; the last good "
                    f"state is kept in {self.folder.path}. {self.trainer.cure}"
                )
        return tensors

    def _save(self, validation: dict[str, float], finished: bool = False) -> None:
        with self._saves.measured(self._spent):
            trainer, tensors = self.trainer, self._finite_state()
            with writing(self.folder.path):
                trainer.save(self.folder.model, self._card(validation))
            self.folder.save_state(
                SavedState(
                    trainer.config,
                    trainer.iteration,
                    self.seconds,
                    trainer.lowest,
                    self._inputs(),
                    tensors,
                    trainer.schedule.state(),
                    finished,
                    (self._evaluations.cost, self._saves.cost),
                )
            )

    def _card(self, validation: dict[str, float]) -> dict[str, Any]:
        """How the network was trained, for its model file."""
        trainer = self.trainer
        return {
            "config": trainer.config.to_dict(),
            "iterations_done": trainer.iteration,
            "processes": trainer.ranks.count,
            "sync_bn": trainer.ranks.sync_bn,
            "content": {"name": self.photos.name, "photos": len(self.photos.training)},
            "style_picture_sha256": trainer.style_sha256,
            "vgg": trainer.vgg_source,
            "base_sha256": trainer.config.base_sha256,
            "validation": validation,
            "seconds": round(self.seconds, 1),
            "machine": describe_machine(trainer.device),
            "precision": "bf16" if trainer.bf16 else "fp32",
            "torch": torch.__version__,
        }

    def _inputs(self) -> dict[str, str]:
        """Fingerprints of the run's inputs, beside its settings."""
        names = "\n".join(path.name for path in self.photos.training)
        return {
            "content": hashlib.sha256(names.encode()).hexdigest(),
            "style": self.trainer.style_sha256,
            "vgg": self.trainer.vgg_source,
        }

    def _outcome(self, finished: bool, validation: dict[str, float]) -> Outcome:
        broken = {str(path): reason for path, reason in self.photos.broken.items()}
        return Outcome(finished, self.trainer.iteration, self.seconds, validation, broken)
