"""A video becomes a painted video: decoded, painted and encoded at the same time, in segments.

A segment is complete when it has its name, in a hidden folder beside the painted video. After any
interruption, the next run continues after the last complete segment and makes the same video. At the very
end, the segments are joined with the sound under the video's own name.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from transformer_net.errors import SettingError, UnreadableVideoError
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import Photo
from transformer_net.imaging.pixel_layouts import separate
from transformer_net.inference.ledger import Ledger, made_of
from transformer_net.inference.options.style_options import DEFAULT_OPTIONS, StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling.tiles import DEFAULT_MEMORY
from transformer_net.inference.video.colours import FramePixels
from transformer_net.inference.video.ffmpeg import damaged, pyav
from transformer_net.inference.video.reader import BadFrames, Clip, Frame, read_frames
from transformer_net.inference.video.temporal_consistency import TemporalSmoother
from transformer_net.inference.video.writer import join, write_segment

SEGMENT = 120
"""Frames of a segment: what an interruption can cost, and how often the video can be entered at least."""

_LONG_NAME = 240  # bytes; names have at most 255, and hidden ones are a little longer

_AHEAD = 3  # frames that are decoded, and painted, before they are asked for

T = TypeVar("T")


@dataclass(frozen=True)
class VideoOptions:
    """How a video is to be painted.

    Attributes:
        max_side: Shrink the frames first so that their longer side has at most this many pixels.
        style_options: How strong the painting is, and whose colours it has.
        steady: Whether to lower flicker; see `temporal_consistency`.
        max_memory: As in `Stylizer.paint_photo`, for a frame.
        exact: As in `Stylizer.paint_photo`.
    """

    max_side: int | None = None
    style_options: StyleOptions = DEFAULT_OPTIONS
    steady: bool = False
    max_memory: int = DEFAULT_MEMORY
    exact: bool = False

    def made_of(self, path: Path, stylizer: Stylizer) -> str:
        """What a painted video depends on."""
        options = self.style_options
        settings = (self.max_side, options.chosen(), self.steady, self.max_memory, self.exact)
        return made_of(path, repr([SEGMENT, *settings, stylizer.fingerprint(options)]))


AS_IT_COMES = VideoOptions()


def paint_video(
    clip: Clip,
    target: Path,
    stylizer: Stylizer,
    options: VideoOptions = AS_IT_COMES,
    on_frame: Callable[[int], None] = lambda done: None,
) -> str:
    """Paint a video, frame by frame, from where an earlier run stopped.

    Args:
        clip: What `probe` found.
        target: The file to write; its suffix should be `clip.suffix`.
        stylizer: What paints.
        options: How.
        on_frame: Called with the number of frames that are done, those of earlier runs included.

    Returns:
        A sentence on what of the video was damaged and is in the painting as it could be read; empty where
        nothing was.

    Raises:
        UnreadableVideoError: No frame can be read, or the sound cannot be copied.
        SettingError: A file cannot be written, OpenCV is missing, or memory does not suffice for a frame.
    """
    try:
        return _paint_video(clip, target, stylizer, options, on_frame)
    except OSError as error:
        raise SettingError(f"{target} cannot be written: {error.strerror or error}.") from error
    except pyav().FFmpegError as error:  # one video must not be the end of a folder's
        raise UnreadableVideoError(f"{target} cannot be made of this video: {error}.") from error


def _paint_video(
    clip: Clip, target: Path, stylizer: Stylizer, options: VideoOptions, on_frame: Callable[[int], None]
) -> str:
    with _Segments(target, options.made_of(clip.path, stylizer), options.steady) as segments:
        bad_frames = _paint_rest(segments, clip, stylizer, options, on_frame)
        if not segments.files:
            raise damaged(clip.path)
        segments.join(clip, target)
    return _damage(clip, bad_frames)


def _paint_rest(
    segments: _Segments,
    clip: Clip,
    stylizer: Stylizer,
    options: VideoOptions,
    on_frame: Callable[[int], None],
) -> int:
    """Paint what no segment has yet; gives the number of damaged frames in all of the video."""
    smoother = TemporalSmoother(segments.last_frame()) if options.steady else None
    skipped = len(segments.files) * SEGMENT
    on_frame(skipped)
    photos = ahead(read_frames(clip, skipped, bad := BadFrames()))
    painted = (_paint(photo, stylizer, options, smoother, clip.keeps_alpha) for photo in photos)
    with closing(ahead(painted)) as paintings:

        def shown() -> Iterator[Frame]:
            for done, (photo, painting) in enumerate(paintings, skipped + 1):
                segments.at = photo, painting.pixels[..., :3]
                yield painting
                on_frame(done)

        frames = shown()
        while segments.add(islice(frames, SEGMENT), clip):
            pass
    return bad.number


def _damage(clip: Clip, bad_frames: int) -> str:
    """A sentence on what was damaged; empty where nothing was."""
    what = [f"{bad_frames} of its frames, and perhaps those after them"] * (bad_frames > 0)
    what += [f"{clip.bad_sound} packets of its sound"] * (clip.bad_sound > 0)
    what += ["its end, which was cut off"] * clip.is_cut
    if not what:
        return ""
    return f"The video {clip.path.name!r} is painted as far as it can be read. Damaged: {'; '.join(what)}."


def _paint(
    frame: Frame,
    stylizer: Stylizer,
    options: VideoOptions,
    smoother: TemporalSmoother | None,
    keep_alpha: bool,
) -> tuple[FramePixels, Frame]:
    """A frame's photo, laid over white, in the size in which it is painted, and the painted frame."""
    rgb, alpha = separate(Image.fromarray(frame.pixels))
    photo = fit(rgb, options.max_side)
    painting = stylizer.paint_photo(
        Photo(photo), options=options.style_options, max_memory=options.max_memory, exact=options.exact
    )
    before, pixels = np.asarray(photo), np.asarray(painting)
    if smoother is not None:
        pixels = smoother(before, pixels)
    if keep_alpha:
        pixels = np.asarray(Photo(rgb, alpha).with_alpha(Image.fromarray(pixels)).convert("RGBA"))
    return before, replace(frame, pixels=pixels)


class _Segments:
    """The segments of a video that are complete, in a hidden folder beside it. While open, no one else's.

    Args:
        target: The video to be.
        of: What it is made of; segments that were made of something else do not count.
        steady: Whether the next segment needs to know where this one ended.

    Attributes:
        files: The complete segments, in order.
        at: Photo and painting of the frame written last.

    Raises:
        SettingError: Another run is painting this video.
    """

    def __init__(self, target: Path, of: str, steady: bool) -> None:
        self._folder, self._of, self._steady = hidden_beside(target, "parts"), of, steady
        self._folder.mkdir(parents=True, exist_ok=True)
        self._ledger = Ledger(self._folder)
        self.files: list[Path] = []
        self.at: tuple[FramePixels, FramePixels] | None = None
        self._lock = FileLock(self._folder / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SettingError(f"{target} is being painted by another run.") from None
        while self._ledger.is_done(self._next, of) and (not steady or _ending(self._next).is_file()):
            self.files.append(self._next)

    def __enter__(self) -> _Segments:
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    @property
    def _next(self) -> Path:
        return self._folder / f"{len(self.files):06}.nut"

    def last_frame(self) -> tuple[FramePixels, FramePixels] | None:
        """Photo and painting of the last frame in the last complete segment; None where there is none."""
        if not self.files:
            return None
        with np.load(_ending(self.files[-1])) as arrays:
            return arrays["photo"], arrays["painting"]

    def add(self, frames: Iterator[Frame], clip: Clip) -> bool:
        """Write a segment; False, and no segment, where there is no frame left."""
        segment, unfinished = self._next, self._folder / "unfinished"
        if not write_segment(unfinished, frames, clip):
            unfinished.unlink(missing_ok=True)
            return False
        if self._steady and self.at is not None:
            photo, painting = self.at
            np.savez(_ending(segment), photo=photo, painting=painting)
        _finish(unfinished, segment)
        self._ledger.add(segment, self._of)  # now it counts, and with it where it ended
        self.files.append(segment)
        return True

    def join(self, clip: Clip, target: Path) -> None:
        """Make the video of the segments, and remove them."""
        unfinished = self._folder / "unfinished"
        join(clip, self.files, unfinished)
        _finish(unfinished, target)
        shutil.rmtree(self._folder)


def hidden_beside(target: Path, suffix: str) -> Path:
    """A hidden file or folder beside `target`, in use until that is complete.

    It bears the name of `target`, or a digest of it where that would be longer than file systems allow.
    """
    name = target.name
    if len(os.fsencode(name)) > _LONG_NAME:
        name = sha256(os.fsencode(name)).hexdigest()
    return target.with_name(f".{name}.{suffix}")


def _ending(segment: Path) -> Path:
    return segment.with_suffix(".npz")


def _finish(unfinished: Path, path: Path) -> None:
    """Give a file its name once all of it is on the disk."""
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def ahead(items: Iterator[T], number: int = _AHEAD) -> Generator[T]:
    """The same items, made by a thread of their own, up to `number` of them before they are asked for.

    What is raised in the making is raised here. Closing waits for the item that is being made.
    """
    end = object()
    waiting: deque[Future[T | object]] = deque()
    with ThreadPoolExecutor(1) as thread:
        try:
            while True:
                while len(waiting) <= number:
                    waiting.append(thread.submit(next, items, end))
                item = waiting.popleft().result()
                if item is end:
                    return
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()
