"""A new style from the page: one training at a time, beside the painting and never in its way.

A training is the command train_style.py in a process of its own (`process.py`). Its run folder is all that is
known of it: nothing of it can hold the interpreter or the memory of the server. What it leaves, also where it
was stopped early, goes into the folder of own styles, and the server paints with it at once.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image

from app.errors import OUR_FAULT, ShuttingDownError, TrainingBusyError, TrainingOffError
from app.painting.service import Studio
from app.training.process import STOPPED, Trainee
from app.training.status import TRIAL, Lesson, Pace, Status, latest_sample, pace_of, seconds_left, steps_done
from styles import catalog
from styles.catalog import Style, own_folder, style_name
from styles.gallery.train import put
from transformer_net.checkpoint import write_atomically
from transformer_net.errors import SettingError, StylizerError
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.norms import canonical_norm, norm_slug
from transformer_net.training.config import TrainConfig
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import picture_sha256

logger = logging.getLogger("app")

RUNS: Final = ".runs"
"""Folder beside the own styles with the run folders, so that `train_style.py --resume` can go on with one."""

_TRIAL_LASTS: Final = 600.0
"""Seconds for which a measurement is believed: other work comes and goes on the machine."""

_GLANCE: Final = 0.5
"""Seconds between two looks at the run folder."""


class Apprentice:
    """Trains styles, one at a time, and gives them to the studio. Safe to use from several threads.

    Args:
        studio: Whose settings and limits apply, and who paints with what was learned.
        options: Options of train_style.py beside those that a visitor chooses, by name.

    Attributes:
        status: Of the training; None before the first.
    """

    def __init__(self, studio: Studio, **options: object) -> None:
        self._studio, self._options = studio, options
        self.status: Status | None = None
        self._lock = threading.Lock()
        self._measuring = threading.Lock()
        self._paces: dict[str, tuple[float, Pace]] = {}
        self._trial: Trainee | None = None
        self._trainee: Trainee | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def allowed(self) -> bool:
        """Whether this server trains."""
        return self._studio.settings.allow_training

    @property
    def has_content(self) -> bool:
        """Whether it practises on photos of the operator's, and not on the few shipped ones."""
        return self._studio.settings.content is not None

    def open_picture(self, data: bytes) -> Image.Image:
        """The pixels of a style picture, within the limits of photos, no larger than a training sees them.

        Raises:
            UnsupportedImageError, UnreadableImageError, ImageSizeError: As for photos.
        """
        picture = decode(data, self._studio.limits).rgb
        seen = max(picture.size) * min(1.0, TrainConfig.style_size / min(picture.size))
        return fit(picture, round(seen))

    def measure(self, picture: Image.Image, norm: str) -> Pace | None:
        """How long a training takes: a few steps of the very network are made. None if one runs already.

        Blocks for as long as that takes. A result is used again for ten minutes, also for other pictures.

        Raises:
            TrainingOffError: This server does not train.
            StylizerError: The picture or the photos will not do.
        """
        self._check_allowed()
        norm = canonical_norm(norm)
        with self._measuring:
            if norm in self._paces and time.monotonic() - self._paces[norm][0] < _TRIAL_LASTS:
                return self._paces[norm][1]
            with tempfile.TemporaryDirectory() as folder:
                pace = self._try(picture, Lesson("trial", norm, TRIAL), Path(folder))
            if pace:
                self._paces[norm] = time.monotonic(), pace
            return pace

    def start(self, picture: Image.Image, name: str, norm: str, iterations: int) -> Status:
        """Begin a training and return at once; `status` tells the rest.

        Args:
            picture: As `open_picture` gave it.
            name: What the style shall be called; made into a name for commands and addresses. That of an own
                style whose picture this is adds the normalizer to it.
            norm: Normalizer, in any accepted spelling.
            iterations: Steps.

        Raises:
            TrainingOffError: This server does not train.
            TrainingBusyError: A style is being trained.
            ShuttingDownError: The server ends.
            UnknownNormError, SettingError: The settings will not do, or the name is taken.
        """
        self._check_allowed()
        lesson = Lesson(style_name(name), canonical_norm(norm), iterations)
        TrainConfig(lesson.style, norm=lesson.norm, iterations=iterations)  # tells what is out of range
        with self._lock:
            if self._closed:
                raise ShuttingDownError
            if self.status and self.status.running:
                raise TrainingBusyError(
                    f"The style {self.status.lesson.style!r} is being trained; one at a time."
                )
            _check_name(lesson.style, picture)
            if self._trial:
                self._trial.stop()
            runs = own_folder() / RUNS
            folder = RunFolder(runs / f"{lesson.style}-{norm_slug(lesson.norm)}")
            source = runs / f"{lesson.style}.png"  # the command calls a style as its picture is called
            try:
                write_atomically(source, encode(picture))
                folder.create()
                self._trainee = self._begin(lesson, source, folder, lesson.sample_every)
            except OSError as error:
                raise SettingError(f"No style can be kept here: {error.strerror or error}.") from error
            left = self._paces[lesson.norm][1].seconds(iterations) if lesson.norm in self._paces else None
            self.status = Status(lesson, seconds_left=left)
            self._thread = threading.Thread(
                target=self._attend, args=(lesson, source, folder, self._trainee), daemon=True
            )
            self._thread.start()
            return self.status

    def stop(self) -> None:
        """Have the training save and end; what it learned so far is kept. Returns at once."""
        with self._lock:
            if self.status and self.status.running and self._trainee:
                self._trainee.stop()
                self.status = replace(self.status, state="stopping", seconds_left=None)

    def close(self, seconds: float = 5.0) -> None:
        """`stop`, and wait until what was learned is kept, `seconds` at most; no other training begins."""
        with self._lock:
            self._closed = True
            if self._trial:
                self._trial.stop()
        self.stop()
        if self._thread:
            self._thread.join(seconds)
            if self._thread.is_alive() and self._trainee:
                self._trainee.kill()

    def _check_allowed(self) -> None:
        if not self.allowed:
            raise TrainingOffError

    def _begin(self, lesson: Lesson, picture: Path, folder: RunFolder, sample_every: int) -> Trainee:
        options: dict[str, object] = {
            "style": picture,
            "norm": lesson.norm,
            "iterations": lesson.iterations,
            "sample-every": sample_every,
            "out": folder.path,
            "overwrite": None,
        }
        if self._studio.settings.content:
            options["content"] = self._studio.settings.content.resolve()
        return Trainee({**options, **self._options}, self._studio.settings.threads)

    def _try(self, picture: Image.Image, lesson: Lesson, place: Path) -> Pace | None:
        """Make a few steps and take the times; None where a training runs, or begins meanwhile."""
        with self._lock:
            if self._closed or (self.status and self.status.running):
                return None
            source, folder = place / f"{lesson.style}.png", RunFolder(place / "run")
            write_atomically(source, encode(picture))
            begun = time.monotonic()
            trial = self._trial = self._begin(lesson, source, folder, TRIAL // 2)
        code = trial.wait()
        seconds = time.monotonic() - begun
        with self._lock:
            self._trial = None
            overtaken = self._closed or bool(self.status and self.status.running)
        if code == 0:
            return pace_of(folder, seconds)
        if overtaken:
            return None
        raise SettingError(_why(trial, code or 0, folder))

    def _attend(self, lesson: Lesson, picture: Path, folder: RunFolder, trainee: Trainee) -> None:
        """Follow a training to its end. Runs in a thread of its own."""
        marks: list[tuple[int, float]] = []
        try:
            while (code := trainee.wait(_GLANCE)) is None:
                self._glance(lesson, folder, marks)
            sample, records = latest_sample(folder), folder.records()
            failed = code not in (0, *STOPPED)
            kept = not failed and folder.model.is_file()
            if kept:
                self._keep(lesson, picture, folder)
            with self._lock:
                self.status = Status(
                    lesson,
                    "failed" if failed else "stopped" if code else "finished",
                    steps_done(records),
                    records=records,
                    sample=sample,
                    kept=kept,
                    sentence=_why(trainee, code, folder) if failed else "",
                )
        except Exception as error:  # whatever it is, the next training must be able to begin
            expected = isinstance(error, StylizerError) and error.status < 500
            if not expected:
                logger.exception("the training of %s", lesson)
            with self._lock:
                sentence = _public(str(error), folder) if expected else OUR_FAULT
                self.status = Status(lesson, "failed", sentence=sentence)

    def _glance(self, lesson: Lesson, folder: RunFolder, marks: list[tuple[int, float]]) -> None:
        """Take over what the run folder shows. `marks` are the steps done by the time they were seen."""
        records, sample, now = folder.records(), latest_sample(folder), time.monotonic()
        done = steps_done(records)
        if done and (not marks or marks[-1][0] < done):
            marks.append((done, now))
        with self._lock:
            status = self.status
            if status is None or status.state == "stopping" or not done:
                return
            left = seconds_left(lesson, records, marks, now)
            self.status = replace(
                status,
                state="training",
                iteration=done,
                seconds_left=status.seconds_left if left is None else left,
                records=records,
                sample=sample,
            )

    def _keep(self, lesson: Lesson, picture: Path, folder: RunFolder) -> None:
        """Put what was learned into the catalogue and the studio."""
        style = Style(lesson.style, own_folder() / lesson.style)
        try:
            put(style, lesson.norm, folder)
            write_atomically(style.picture, picture.read_bytes())  # last: it makes the folder a style
        except OSError as error:
            raise SettingError(f"The style cannot be kept: {error.strerror or error}.") from error
        self._studio.registry.adopt(style, lesson.norm)


def _check_name(name: str, picture: Image.Image) -> None:
    """Raises `SettingError` unless a style may be called that: nobody's name, or of this very picture."""
    if not name:
        raise SettingError("Give the style a name with a letter or a digit in it.")
    taken = {style.name: style for style in catalog.styles()}.get(name)
    if taken is None:
        return
    if taken.folder.parent == catalog.ROOT:
        raise SettingError(f"The style {name!r} comes with the project; choose another name.")
    if picture_sha256(decode(taken.picture).rgb) != picture_sha256(picture):
        raise SettingError(f"There is a style {name!r} of another picture; choose another name.")


def _why(trainee: Trainee, code: int, folder: RunFolder) -> str:
    """What to tell of a training that failed."""
    sentence = trainee.complaint()
    if code == 2 and sentence:
        return _public(sentence, folder)
    logger.error("A training ended with exit code %s: %s", code, sentence or "it said nothing")
    return f"The training ended by itself (exit code {code}); the server's log has what it said last."


def _public(sentence: str, folder: RunFolder) -> str:
    """A sentence without the folders of this machine."""
    return sentence.replace(f"{folder.path.parent}/", "")
