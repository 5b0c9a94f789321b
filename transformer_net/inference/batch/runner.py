"""Many photos and videos on their way to files: each painted, written, and written down, or left out as done.

What fails is reported at the end; the others continue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import console, say
from transformer_net.errors import DamagedVideoError, SettingError, StylizerError
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import Limits, decode
from transformer_net.imaging.encode import check_side, encode
from transformer_net.imaging.metadata import kept
from transformer_net.inference.batch.inputs import InputFile, painting_path
from transformer_net.inference.ledger import Ledger, made_of
from transformer_net.inference.masked_stylizer import MaskedStylizer
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.sheet import side_by_side
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling.tiles import ProgressCallback
from transformer_net.inference.video.animation import Animation, paint_animation
from transformer_net.inference.video.animation import suffix_of as animation_suffix
from transformer_net.inference.video.pipeline import VideoOptions, paint_video
from transformer_net.inference.video.reader import KINDS as VIDEO_KINDS
from transformer_net.inference.video.reader import probe
from transformer_net.norms import NORM_TITLES, norm_slug

AnyStylizer = Stylizer | MaskedStylizer

_PANEL = 640
"""Longer side of a picture in a sheet."""


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """What is to be done with each photo or video.

    Attributes:
        stylizers: Each paints it once; where there are several, a photo gets a sheet of its paintings, too.
        out: Folder of the paintings.
        kind: What they are written as, as `encode` names it.
        max_side: As in `Stylizer.paint_photo`, like `options`, `memory` and `exact`.
        limits: What photos are accepted.
        ledger: Records what each painting was made of; None: nothing is recorded.
        skip: Whether cached paintings are skipped.
        keep_exif: Whether camera, time and author are copied into the paintings.
        keep_gps: Whether the place is, too.
    """

    stylizers: Sequence[AnyStylizer]
    out: Path
    kind: str
    max_side: int | None
    options: StyleOptions
    memory: int
    exact: bool
    ledger: Ledger | None
    skip: bool
    keep_exif: bool
    keep_gps: bool
    limits: Limits

    def outputs(self, file: InputFile) -> list[Path]:
        """The files to write: a painting for each stylizer, then the sheet if there are several."""
        suffix = {"jpeg": ".jpg"}.get(self.kind, f".{self.kind}")
        paths = [self.painting(file, stylizer, suffix) for stylizer in self.stylizers]
        if len(paths) > 1:
            paths.append(painting_path(self.out, file.stem, self.stylizers[0].info.style, suffix))
        return paths

    def painting(self, file: InputFile, stylizer: AnyStylizer, suffix: str) -> Path:
        """Where the painting by one of the stylizers is written."""
        info = stylizer.info
        return painting_path(self.out, file.stem, info.style, f"-{norm_slug(info.norm)}{suffix}")

    def made_of(self, file: InputFile) -> str:
        """What the files of a photo depend on; empty where nobody asks, or there is no photo."""
        if self.ledger is None or not file.photo.is_file():
            return ""
        metadata = (self.keep_exif, self.keep_gps)
        settings = [
            self.kind,
            self.max_side,
            self.options.chosen(),
            self.memory,
            self.exact,
            self.models,
            metadata,
        ]
        return made_of(file.photo, repr(settings))

    def is_done(self, file: InputFile, of: str) -> bool:
        """Whether it is skipped: all its files are cached, made of exactly this."""
        return all(self.knows(path, of) for path in self.outputs(file))

    def knows(self, path: Path, of: str) -> bool:
        """Whether a file need not be made again."""
        return self.skip and self.ledger is not None and self.ledger.is_done(path, of)

    @cached_property
    def models(self) -> list[str]:
        """What the paintings of each depend on beside photo and options."""
        return [stylizer.fingerprint(self.options) for stylizer in self.stylizers]


def check_outputs(
    stills: Iterable[InputFile],
    animations: Mapping[InputFile, Animation],
    clips: Iterable[InputFile],
    kind: str | None,
    batch: BatchPlan,
    given: Iterable[Path],
) -> None:
    """Check before anything is painted that no painting would take the place of something else.

    That is a file that was given, or the painting of another photo that is still there.

    Args:
        stills: The photos.
        animations: As in `paint_animations`, and so is `kind`.
        clips: The videos.
        kind: What animations are written as.
        batch: What is to be done with them all.
        given: The files that must stay as they are.

    Raises:
        SettingError: One would.
    """
    kept = {_identity(path) for path in given} - {None}
    outputs = {file: batch.outputs(file) for file in stills}
    suffixes = {file: [animation_suffix(kind or found.kind)] for file, found in animations.items()}
    suffixes |= {file: list(VIDEO_KINDS) for file in clips}  # which of them, only the whole video tells
    for file, some in suffixes.items():
        outputs[file] = [batch.painting(file, one, suffix) for one in batch.stylizers for suffix in some]
    for file, paths in outputs.items():
        for path in paths:
            if _identity(path) in kept:
                raise SettingError(
                    f"{path} is one of the given files, and the painting of {file.photo} would replace it: "
                    "choose another folder with -o."
                )
            if batch.ledger and (other := batch.ledger.other_photo(path, file.photo)):
                raise SettingError(
                    f"{path} is the painting of {other}, and that of {file.photo} would overwrite it: "
                    "choose another folder with -o."
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """The same for one file by whatever name: through links, and where upper and lower case are one."""
    try:
        stat = path.stat()
    except OSError:  # there is none, or it may not be seen
        return None
    return stat.st_dev, stat.st_ino


def paint_photos(found: list[InputFile], batch: BatchPlan, jobs: int) -> dict[InputFile, StylizerError]:
    """Paint every photo, several at a time; gives those that failed, with the reason."""
    failed: dict[InputFile, StylizerError] = {}
    skipped = 0
    # One paints, the others read and write: a painting takes all cores, and all of the memory allowed.
    painting_lock = threading.Lock()
    with _progress() as bar, ThreadPoolExecutor(jobs) as pool:
        photos = bar.add_task("photos", total=len(found), visible=len(found) > 1)
        running = {pool.submit(_paint, file, batch, bar, painting_lock): file for file in found}
        try:
            for future in as_completed(running):
                try:
                    skipped += not future.result()
                except StylizerError as error:
                    failed[running[future]] = _bare(error)
                bar.advance(photos)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what is being painted is finished
            raise
    _sum_up(found, skipped, failed)
    return failed


def _bare(error: StylizerError) -> StylizerError:
    """An error without where it came from, which would keep that photo's pixels in memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def _sum_up(found: list[InputFile], skipped: int, failed: dict[InputFile, StylizerError]) -> None:
    if skipped:
        say(f"{skipped} of {len(found)} already painted")
    if failed and len(found) > 1:
        say(f"{len(failed)} of {len(found)} could not be painted")


def paint_on_cluster(
    found: list[InputFile],
    batch: BatchPlan,
    load: Callable[[], Sequence[AnyStylizer]],
    cluster: str,
    address: str | None,
    on_gpus: bool = False,
) -> dict[InputFile, StylizerError]:
    """As `paint_photos`, by the workers of a cluster. This process alone keeps the ledger.

    Args:
        found: The photos.
        batch: What is to be done with them.
        load: Makes the batch's stylizers, in each worker; it is pickled.
        cluster: `ray`.
        address: See `paint_on_ray`.
        on_gpus: See `paint_on_ray`.
    """
    from transformer_net.inference.batch.ray_workers import paint_on_ray

    if cluster.strip().lower() != "ray":
        raise SettingError(f"There is no cluster engine {cluster!r}: ray.")
    of = {file: batch.made_of(file) for file in found}  # before painting: a photo may change meanwhile
    todo = [file for file in found if not batch.is_done(file, of[file])]
    plan = replace(batch, stylizers=[], out=batch.out.absolute(), ledger=None)
    failed: dict[InputFile, StylizerError] = {}
    with _progress() as bar:
        photos = bar.add_task("photos", total=len(todo))
        make = partial(_make_paint_function, load, plan)
        for file, error in paint_on_ray(todo, make, address, on_gpus):
            if error is not None:
                failed[file] = error
            else:
                for path in batch.outputs(file):
                    if batch.ledger:
                        batch.ledger.add(path, of[file], file.photo)
                    say(str(path))
            bar.advance(photos)
    _sum_up(found, len(found) - len(todo), failed)
    return failed


def _make_paint_function(
    load: Callable[[], Sequence[AnyStylizer]], plan: BatchPlan
) -> Callable[[InputFile], bool]:
    """In a worker: what paints a photo, once the models are loaded."""
    batch, bar, painting_lock = replace(plan, stylizers=load()), ProgressBar(disable=True), threading.Lock()
    return lambda file: _paint(file, batch, bar, painting_lock)


def _paint(file: InputFile, batch: BatchPlan, bar: ProgressBar, painting_lock: threading.Lock) -> bool:
    """Paint one photo with every normalizer, holding the lock each time; False if all are cached."""
    outputs, of = batch.outputs(file), batch.made_of(file)
    if batch.is_done(file, of):
        return False
    photo = decode(file.photo, batch.limits, batch.max_side)
    longest = max(photo.size)  # checked now, not after minutes of painting
    check_side(min(longest, batch.max_side or longest), batch.kind)
    several = len(batch.stylizers) > 1
    panels = []
    if several:  # a copy: the last painting may take the place of the photo's pixels
        panels.append(("photo", fit(photo.with_alpha(fit(photo.rgb, batch.max_side)), _PANEL).copy()))
    for stylizer, path in zip(batch.stylizers, outputs, strict=False):
        title = NORM_TITLES[stylizer.info.norm]
        with painting_lock, _tile_progress(bar, f"{file.photo.name} {title}") as tell:
            start = time.perf_counter()
            painting = stylizer.paint_photo(
                photo,
                batch.max_side,
                batch.options,
                max_memory=batch.memory,
                exact=batch.exact,
                overwrite=stylizer is batch.stylizers[-1],
                on_progress=tell,
            )
            seconds = time.perf_counter() - start
        exif = kept(photo.exif, batch.keep_gps) if batch.keep_exif else None
        _write(batch, file, path, painting, of, f"{seconds:.1f} s", exif)
        if several:
            panels.append((title, fit(painting, _PANEL)))
    if several:
        sheet = side_by_side(panels, panel_side=_PANEL)
        _write(batch, file, outputs[-1], sheet, of, "side by side")
    return True


def paint_videos(
    clips: list[InputFile], batch: BatchPlan, options: VideoOptions
) -> dict[InputFile, StylizerError]:
    """Paint every video, one after the other; gives those that failed or are damaged, with the reason."""
    failed: dict[InputFile, StylizerError] = {}
    with _progress() as bar:
        for file in clips:
            try:
                for stylizer in batch.stylizers:
                    assert isinstance(stylizer, Stylizer)  # masks are for photos
                    if damage := _paint_video(file, stylizer, batch, options, bar):
                        failed[file] = DamagedVideoError(damage)
            except StylizerError as error:
                failed[file] = _bare(error)
    return failed


def _paint_video(
    file: InputFile, stylizer: Stylizer, batch: BatchPlan, options: VideoOptions, bar: ProgressBar
) -> str:
    """Paint one video with one normalizer, unless its painting is cached; gives what was damaged."""
    clip = probe(file.photo)
    norm = stylizer.info.norm
    path = batch.painting(file, stylizer, clip.suffix)
    of = options.made_of(clip.path, stylizer)
    if batch.ledger and batch.knows(path, of):
        say(f"{path}  already painted")
        return batch.ledger.remark(path)
    task = bar.add_task(f"{file.photo.name} {NORM_TITLES[norm]}", total=clip.frames)
    start = time.perf_counter()
    try:
        damage = paint_video(clip, path, stylizer, options, lambda done: bar.update(task, completed=done))
    finally:
        bar.remove_task(task)
    if batch.ledger:
        batch.ledger.add(path, of, file.photo, damage)
    remarks = [f"{time.perf_counter() - start:.1f} s", *clip.changes]
    say(f"{path}  {', '.join(remarks)}")
    return damage


def paint_animations(
    found: Mapping[InputFile, Animation], kind: str | None, batch: BatchPlan, options: VideoOptions
) -> dict[InputFile, StylizerError]:
    """Paint every animation, one after the other; gives those that failed, with the reason.

    Args:
        found: The files, and what is in them.
        kind: What they are written as, see `animation.KINDS`; None for what each of them is.
        batch: As for photos.
        options: As for videos.
    """
    failed: dict[InputFile, StylizerError] = {}
    with _progress() as bar:
        for file, animation in found.items():
            try:
                for stylizer in batch.stylizers:
                    assert isinstance(stylizer, Stylizer)  # masks are for photos
                    _paint_animation(file, animation, kind or animation.kind, stylizer, batch, options, bar)
            except StylizerError as error:
                failed[file] = _bare(error)
    return failed


def _paint_animation(
    file: InputFile,
    animation: Animation,
    kind: str,
    stylizer: Stylizer,
    batch: BatchPlan,
    options: VideoOptions,
    bar: ProgressBar,
) -> None:
    """Paint one animation with one normalizer, unless its painting is cached."""
    norm = stylizer.info.norm
    path = batch.painting(file, stylizer, animation_suffix(kind))
    of = options.made_of(file.photo, stylizer)
    if batch.knows(path, of):
        say(f"{path}  already painted")
        return
    start = time.perf_counter()
    task = bar.add_task(f"{file.photo.name} {NORM_TITLES[norm]}", total=animation.frames)
    try:
        painted = paint_animation(
            animation,
            path,
            stylizer,
            kind,
            batch.limits,
            options,
            lambda done: bar.update(task, completed=done),
        )
    finally:
        bar.remove_task(task)
    if batch.ledger:
        batch.ledger.add(path, of, file.photo)
    remarks = [f"{time.perf_counter() - start:.1f} s", f"{animation.frames} frames, {painted} of them unlike"]
    say(f"{path}  {', '.join(remarks)}")


def _write(
    batch: BatchPlan,
    file: InputFile,
    path: Path,
    picture: Image.Image,
    of: str,
    remark: str,
    exif: bytes | None = None,
) -> None:
    data = encode(picture, batch.kind, exif=exif)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror or error}.") from error
    if batch.ledger:
        batch.ledger.add(path, of, file.photo)
    say(f"{path}  {remark}")


def _progress() -> ProgressBar:
    """A bar for each task, on a terminal: how much of it is done, and the time left."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    hidden = not console.is_terminal
    return ProgressBar(*columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden)


@contextmanager
def _tile_progress(bar: ProgressBar, title: str) -> Iterator[ProgressCallback]:
    """Shows how much of a picture is painted, in percent, once it is known to be painted in tiles."""
    task = bar.add_task(title, total=100, visible=False)
    try:
        yield lambda share: bar.update(task, completed=round(100 * share), visible=True)
    finally:
        bar.remove_task(task)
