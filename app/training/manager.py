"""A new style from the page: one training at a time, at lower priority than painting.

A training is the command train_style.py in a process of its own (`process.py`). Its run folder is all that is
known of it: nothing of it can hold the interpreter or the memory of the server. What it leaves, also where it
was stopped early, goes into the folder of own styles, and the server paints with it at once.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from PIL import Image

from app.errors import OUR_FAULT, ShuttingDownError, TrainingBusyError, TrainingOffError
from app.painting.service import PaintingService
from app.training.process import STOPPED, TrainingProcess
from app.training.status import (
    TIMING_STEPS,
    TrainingRequest,
    TrainingStatus,
    TrainingTimes,
    latest_sample,
    seconds_left,
    steps_done,
    times_of,
)
from styles import catalog
from styles.catalog import Style, own_folder, style_name
from styles.gallery.train import put
from transformer_net.checkpoint import write_atomically
from transformer_net.errors import SettingError, StylizerError
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.imaging.mark_scale import ANALYSED, check_style_picture
from transformer_net.norms import NORMS, canonical_norm, norm_slug
from transformer_net.training.config import TrainConfig
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import picture_sha256

logger = logging.getLogger("app")

RUNS: Final = ".runs"
"""Folder beside the own styles with the run folders, so that `train_style.py --resume` can continue one."""

_TIMES_LAST: Final = 600.0
"""Seconds for which a measurement is used: other work on the machine changes."""

_POLL_SECONDS: Final = 0.5
"""Seconds between two reads of the run folder."""


class TrainingManager:
    """Trains styles, one at a time, and gives them to the painting service. Safe to use from several threads.

    Args:
        service: Whose settings and limits apply, and who paints with what was learned.
        options: Options of train_style.py beside those that a visitor chooses, by name.

    Attributes:
        status: Of the training; None before the first.
    """

    def __init__(self, service: PaintingService, **options: object) -> None:
        self._service, self._options = service, options
        self.status: TrainingStatus | None = None
        self._lock = threading.Lock()
        self._measuring = threading.Lock()
        self._times: dict[str, tuple[float, TrainingTimes]] = {}
        self._timing: TrainingProcess | None = None
        self._training: TrainingProcess | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def allowed(self) -> bool:
        """Whether this server trains."""
        return self._service.settings.trains

    @property
    def has_content(self) -> bool:
        """Whether it trains on the operator's photos, and not on the few shipped ones."""
        return self._service.settings.content is not None

    def open_picture(self, data: bytes) -> Image.Image:
        """The pixels of a style picture, within the limits of photos, no larger than a training sees them.

        Raises:
            UnsupportedImageError, UnreadableImageError, ImageSizeError: As for photos.
            ImageSizeError, StylePictureError: See `check_style_picture`.
        """
        picture = decode(data, self._service.limits).rgb
        check_style_picture(picture)
        return fit(picture, ANALYSED)

    def measure(self, picture: Image.Image, norm: str) -> TrainingTimes | None:
        """How long a training takes, measured by a few steps of the same network. None if one runs already.

        Blocks for as long as that takes. A result is used again for ten minutes, also for other pictures.

        Raises:
            TrainingOffError: This server does not train.
            StylizerError: The picture or the photos are not usable.
        """
        self._check_allowed()
        norm = canonical_norm(norm)
        with self._measuring:
            if norm in self._times and time.monotonic() - self._times[norm][0] < _TIMES_LAST:
                return self._times[norm][1]
            with tempfile.TemporaryDirectory() as folder:
                times = self._measure_times(
                    picture, TrainingRequest("trial", norm, TIMING_STEPS), Path(folder)
                )
            if times:
                self._times[norm] = time.monotonic(), times
            return times

    def start(
        self, picture: Image.Image, name: str, norm: str, iterations: int, photo: Image.Image | None = None
    ) -> TrainingStatus:
        """Begin a training and return at once; `status` tells the rest.

        Args:
            picture: As `open_picture` gave it.
            name: The name of the style; made into a name for commands and addresses. That of an own
                style whose picture this is adds a normalizer that it lacks: visitors have no names, and
                nobody may replace what another one trained.
            norm: Normalizer, in any accepted spelling.
            iterations: Steps.
            photo: Begin at the predicted model of the picture, and paint this one meanwhile. It is not kept.

        Raises:
            TrainingOffError: This server does not train.
            TrainingBusyError: A style is being trained.
            ShuttingDownError: The server ends.
            UnknownNormError, SettingError: The settings are not valid, or the name is taken.
        """
        self._check_allowed()
        style, runs = style_name(name), own_folder() / RUNS
        sample = runs / f"{style}.sample" if photo else None
        request = TrainingRequest(style, canonical_norm(norm), iterations, sample)
        TrainConfig(request.style, norm=request.norm, iterations=iterations)  # tells what is out of range
        with self._lock:
            if self._closed:
                raise ShuttingDownError
            if self.status and self.status.running:
                raise TrainingBusyError(
                    f"The style {self.status.request.style!r} is being trained; one at a time."
                )
            self._check_place(request, picture)
            if self._timing:
                self._timing.stop()
            folder = RunFolder(runs / f"{request.style}-{norm_slug(request.norm)}")
            source = runs / f"{request.style}.png"  # the command calls a style as its picture is called
            try:
                write_atomically(source, encode(picture))
                folder.create()
                if photo and sample:
                    write_atomically(sample, encode(photo))
                self._training = self._begin(request, source, folder, request.sample_every)
            except OSError as error:
                _discard(folder, source, *([sample] if sample else []))
                raise SettingError(f"No style can be stored here: {error.strerror or error}.") from error
            left = self._times[request.norm][1].seconds(iterations) if request.norm in self._times else None
            self.status = TrainingStatus(request, seconds_left=left)
            self._thread = threading.Thread(
                target=self._follow, args=(request, source, folder, self._training), daemon=True
            )
            self._thread.start()
            return self.status

    def name_for(self, picture: Image.Image, file: str) -> str:
        """The name of a style where none was given: that of the picture's file; `style`, `style-2` and so on
        where nothing of that can be kept, the first one that is free or this very picture's."""
        if name := style_name(Path(file).stem):
            return name
        names = itertools.chain(["style"], (f"style-{count}" for count in itertools.count(2)))
        return next(name for name in names if not (taken := _find(name)) or _is_of(taken, picture))

    def trained(self, picture: Image.Image, name: str) -> list[str]:
        """The normalizers for which an own style of that name and picture has a model already."""
        style = _find(style_name(name))
        if style is None or style.folder.parent == catalog.ROOT or not _is_of(style, picture):
            return []
        return style.norms

    def stop(self) -> None:
        """Tell the training to save and end; what it learned so far is kept. Returns at once."""
        with self._lock:
            if self.status and self.status.running and self._training:
                self._training.stop()
                self.status = replace(self.status, state="stopping", seconds_left=None)

    def close(self, seconds: float = 5.0) -> None:
        """`stop`, and wait until the model is saved, `seconds` at most; no other training starts."""
        with self._lock:
            self._closed = True
            if self._timing:
                self._timing.stop()
        self.stop()
        if self._thread:
            self._thread.join(seconds)
            if self._thread.is_alive() and self._training:
                self._training.kill()

    def _check_allowed(self) -> None:
        if not self.allowed:
            raise TrainingOffError

    def _check_place(self, request: TrainingRequest, picture: Image.Image) -> None:
        """Raises `SettingError` unless there is a place for the style: a free name, or one that this very
        picture has without such a model."""
        name, most = request.style, self._service.settings.max_own_styles
        if not name:
            raise SettingError("Give the style a name with a letter from a to z or a digit in it.")
        taken = _find(name)
        if taken is None:
            kept = {path.parent.name for path in own_folder().glob("*/style.png")}
            kept |= {path.stem for path in (own_folder() / RUNS).glob("*.png")}
            if len(kept - {name}) >= most:
                raise SettingError(f"This server keeps {most:,} styles of its visitors, and no more.")
        elif taken.folder.parent == catalog.ROOT:
            raise SettingError(f"The style {name!r} comes with the project; choose another name.")
        elif not _is_of(taken, picture):
            raise SettingError(f"The style {name!r} belongs to another picture; choose another name.")
        elif request.norm in taken.norms:
            raise SettingError(
                f"The style {name!r} has a model for {request.norm}, which is not replaced; choose another "
                "name or normalizer."
            )

    def _begin(
        self, request: TrainingRequest, picture: Path, folder: RunFolder, sample_every: int
    ) -> TrainingProcess:
        options: dict[str, object] = {
            "style": picture,
            "norm": request.norm,
            "iterations": request.iterations,
            "sample-every": sample_every,
            "out": folder.path,
            "overwrite": None,
        }
        if request.photo:
            options |= {"init": "predicted", "sample": request.photo}
        if self._service.settings.content:
            options["content"] = self._service.settings.content.resolve()
        return TrainingProcess({**options, **self._options}, self._service.settings.threads)

    def _measure_times(
        self, picture: Image.Image, request: TrainingRequest, place: Path
    ) -> TrainingTimes | None:
        """Make a few steps and take the times; None where a training runs, or begins meanwhile."""
        with self._lock:
            if self._closed or (self.status and self.status.running):
                return None
            source, folder = place / f"{request.style}.png", RunFolder(place / "run")
            write_atomically(source, encode(picture))
            begun = time.monotonic()
            timing = self._timing = self._begin(request, source, folder, TIMING_STEPS // 2)
        code = timing.wait()
        seconds = time.monotonic() - begun
        with self._lock:
            self._timing = None
            overtaken = self._closed or bool(self.status and self.status.running)
        if code == 0:
            return times_of(folder, seconds)
        if overtaken:
            return None
        raise SettingError(_why(timing, code or 0, folder))

    def _follow(
        self, request: TrainingRequest, picture: Path, folder: RunFolder, process: TrainingProcess
    ) -> None:
        """Follow a training to its end. Runs in a thread of its own."""
        observations: list[tuple[int, float]] = []
        try:
            while (code := process.wait(_POLL_SECONDS)) is None:
                self._poll(request, folder, observations)
            sample, records = latest_sample(folder), folder.records()
            failed = code not in (0, *STOPPED)
            kept = not failed and folder.model.is_file()
            if kept:
                self._store(request, picture, folder)
            elif not folder.exists():  # nothing that could be continued
                _discard(folder, picture)
            with self._lock:
                self.status = TrainingStatus(
                    request,
                    "failed" if failed else "stopped" if code else "finished",
                    steps_done(records),
                    records=records,
                    sample=sample,
                    kept=kept,
                    sentence=_why(process, code, folder) if failed else "",
                )
        except Exception as error:  # whatever it is, the next training must be able to begin
            expected = isinstance(error, StylizerError) and error.status < 500
            if not expected:
                logger.exception("the training of %s", request)
            with self._lock:
                sentence = _public(str(error), folder) if expected else OUR_FAULT
                self.status = TrainingStatus(request, "failed", sentence=sentence)
        finally:
            if request.photo:
                request.photo.unlink(missing_ok=True)

    def _poll(
        self, request: TrainingRequest, folder: RunFolder, observations: list[tuple[int, float]]
    ) -> None:
        """Take over what the run folder shows. `observations` are steps done, and when that was seen."""
        records, sample, now = folder.records(), latest_sample(folder), time.monotonic()
        done = steps_done(records)
        if done and (not observations or observations[-1][0] < done):
            observations.append((done, now))
        with self._lock:
            status = self.status
            if status is None or status.state == "stopping" or not done:
                return
            left = seconds_left(request, records, observations, now)
            self.status = replace(
                status,
                state="training",
                iteration=done,
                seconds_left=status.seconds_left if left is None else left,
                records=records,
                sample=sample,
            )

    def _store(self, request: TrainingRequest, picture: Path, folder: RunFolder) -> None:
        """Put what was learned into the catalogue and the registry."""
        style = Style(request.style, own_folder() / request.style)
        try:
            put(style, request.norm, folder)
            write_atomically(style.picture, picture.read_bytes())  # last: it makes the folder a style
        except OSError as error:
            raise SettingError(f"The style cannot be saved: {error.strerror or error}.") from error
        self._service.registry.adopt(style, request.norm)


def _find(name: str) -> Style | None:
    return next((style for style in catalog.styles() if style.name == name), None)


def _is_of(style: Style, picture: Image.Image) -> bool:
    """Whether it is this picture's."""
    return picture_sha256(decode(style.picture).rgb) == picture_sha256(picture)


def _discard(folder: RunFolder, picture: Path, *others: Path) -> None:
    """Delete a run without a result, and its style picture where no other run has it: each takes a place."""
    shutil.rmtree(folder.path, ignore_errors=True)
    used = any((picture.parent / f"{picture.stem}-{norm_slug(norm)}").is_dir() for norm in NORMS)
    for file in others if used else (picture, *others):
        with contextlib.suppress(OSError):
            file.unlink()


def _why(process: TrainingProcess, code: int, folder: RunFolder) -> str:
    """The message about a training that failed."""
    sentence = process.complaint()
    if code == 2 and sentence:
        return _public(sentence, folder)
    logger.error("A training ended with exit code %s: %s", code, sentence or "no message")
    return f"The training failed (exit code {code}); the server's log has its last message."


def _public(sentence: str, folder: RunFolder) -> str:
    """The sentence without the folders of this machine."""
    return sentence.replace(f"{folder.path.parent}/", "")
