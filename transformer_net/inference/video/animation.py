"""Animated pictures, GIF, APNG, WebP and AVIF: painted frame by frame, written as they came or as a video."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from transformer_net.errors import ImageSizeError, SettingError, StylizerError, UnreadableVideoError
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import Limits, Photo, frames_of, opened, photo_of
from transformer_net.imaging.encode import check_side
from transformer_net.imaging.formats import ANIMATED, format_of
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.video.ffmpeg import pyav
from transformer_net.inference.video.pipeline import VideoOptions, hidden_beside
from transformer_net.inference.video.reader import Clip, Frame
from transformer_net.inference.video.temporal_consistency import TemporalSmoother
from transformer_net.inference.video.writer import join, write_segment

KINDS: Final = ("gif", "webp", "apng", "avif", "mp4")
"""What animations are written as."""

_KINDS_READ: Final = {"GIF": "gif", "WEBP": "webp", "PNG": "apng", "AVIF": "avif"}

_MOST_PIXELS: Final = 1_000_000_000
"""Of all frames together: but for mp4, they are in memory until the last one is painted."""

_SHORTEST, _USUAL = 11, 100  # milliseconds: browsers show frames with less than the first for the second

_GIF_UNIT, _GIF_SHORTEST = 10, 20  # milliseconds


@dataclass(frozen=True)
class Animation:
    """What an animated picture's header says.

    Attributes:
        path: Its file.
        kind: One of `KINDS`.
        size: Width and height.
        numbers: Of its frames, see `frames_of`.
        plays: How often it is played; 0 for without end.
    """

    path: Path
    kind: str
    size: tuple[int, int]
    numbers: range
    plays: int

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.numbers)

    @property
    def suffix(self) -> str:
        """What a file of its kind is called."""
        return suffix_of(self.kind)


def suffix_of(kind: str) -> str:
    """What files of one of `KINDS` are called: an APNG is a PNG, which stands still in old programs."""
    return ".png" if kind == "apng" else f".{kind}"


def find_animation(path: Path, limits: Limits) -> Animation | None:
    """The animation in a file; None where it is a still picture, no picture, damaged, or no regular file."""
    try:
        if not path.is_file():  # opening a pipe or a device could wait forever
            return None
        if format_of(path) not in ANIMATED:  # opening some other formats decodes them
            return None
        with opened(path, limits) as (name, image):
            frames = frames_of(name, image)
            if len(frames) < 2:
                return None
            return Animation(path, _KINDS_READ[name], image.size, frames, _plays(name, image))
    except (StylizerError, OSError):
        return None


def _plays(name: str, image: Image.Image) -> int:
    if name == "AVIF":  # its reader does not tell
        return 0
    loop = image.info.get("loop")
    if loop is None:
        return 1
    return int(loop) + (name == "GIF" and loop > 0)  # GIF counts repetitions


def read_animation(animation: Animation, limits: Limits) -> Iterator[tuple[Photo, float]]:
    """Each frame as a whole picture, and for how many milliseconds it is shown.

    Raises:
        UnreadableImageError: A frame is damaged.
    """
    with opened(animation.path, limits) as (name, image):
        for number in animation.numbers:
            photo = photo_of(image, limits, name, number)
            yield photo, float(image.info.get("duration") or 0)


def paint_animation(
    animation: Animation,
    target: Path,
    stylizer: Stylizer,
    kind: str,
    limits: Limits,
    options: VideoOptions,
    on_frame: Callable[[int], None] = lambda done: None,
) -> int:
    """Paint an animation, with the same times and as many plays; frames that repeat are painted once.

    Args:
        animation: What `find_animation` found.
        target: The file to write; its suffix should be that of `kind`.
        stylizer: What paints.
        kind: One of `KINDS`. Mp4 has no transparency, and is played once.
        limits: Of a frame's size.
        options: As for videos.
        on_frame: Called with the number of frames that are done.

    Returns:
        How many frames had to be painted.

    Raises:
        UnreadableImageError: A frame is damaged.
        ImageSizeError: All frames together have too many pixels to be held in memory, or one has too many for
            files of that kind.
        UnreadableVideoError: No video can be made of it.
        SettingError: As in `paint_video`.
    """
    width, height = animation.size
    if kind != "mp4" and width * height * animation.frames > _MOST_PIXELS:
        raise ImageSizeError(
            f"The animation has {animation.frames} frames of {width} x {height} pixels; at most "
            f"{_MOST_PIXELS:,} pixels in all are accepted. As a video, it can be longer: --format mp4."
        )
    if kind != "mp4":
        longest = max(width, height)
        check_side(min(longest, options.max_side or longest), kind, instead="apng")
    painter = _Painter(stylizer, options)
    frames = ((painter(photo), time) for photo, time in read_animation(animation, limits))
    timed = _in_whole_times(frames, *((_GIF_UNIT, _GIF_SHORTEST) if kind == "gif" else (1, _SHORTEST)))

    def told() -> Iterator[tuple[Image.Image, int]]:
        for done, frame in enumerate(timed, 1):
            yield frame
            on_frame(done)

    unfinished = hidden_beside(target, "unfinished")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "mp4":
            _write_video(animation, told(), unfinished)
        else:
            _write_pictures(kind, animation.plays, list(told()), unfinished)
        unfinished.replace(target)
    except OSError as error:
        raise SettingError(f"{target} cannot be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return painter.painted


def _in_whole_times(
    frames: Iterable[tuple[Image.Image, float]], unit: int, shortest: int
) -> Iterator[tuple[Image.Image, int]]:
    """The same frames, with times in multiples of `unit` milliseconds that take as long in all.

    What is rounded at one frame is made up for at the next ones. Times of less than `_SHORTEST` stay so: they
    stand for the usual one, whatever they are.
    """
    due = 0.0  # how long the next frame has to last for the one after it to begin when it should
    for picture, time in frames:
        if time < _SHORTEST:
            yield picture, int(time // unit) * unit
            continue
        due += time
        whole = max(shortest, unit * round(due / unit))
        due -= whole
        yield picture, whole


class _Painter:
    """Paints the frames of an animation, each one once.

    Attributes:
        painted: How many were.
    """

    _REMEMBERED = 64

    def __init__(self, stylizer: Stylizer, options: VideoOptions) -> None:
        self._options, self._known, self.painted = options, dict[bytes, Image.Image](), 0
        self._paint = partial(
            stylizer.paint_photo,
            options=options.style_options,
            max_memory=options.max_memory,
            exact=options.exact,
        )
        self._smoother = TemporalSmoother() if options.steady else None

    def __call__(self, photo: Photo) -> Image.Image:
        rgb = fit(photo.rgb, self._options.max_side)
        key = hashlib.sha256(rgb.tobytes())
        key.update(b"" if photo.alpha is None else photo.alpha.tobytes())
        digest = key.digest()
        if digest not in self._known:
            painting = self._paint(Photo(rgb))
            self.painted += 1
            if self._smoother is not None:
                self._known.clear()  # its painting depends on the one before: only a pause repeats it
                painting = Image.fromarray(self._smoother(np.asarray(rgb), np.asarray(painting)))
            elif len(self._known) == self._REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[digest] = photo.with_alpha(painting)
        return self._known[digest]


def _write_pictures(kind: str, plays: int, frames: Sequence[tuple[Image.Image, int]], path: Path) -> None:
    pictures = [picture for picture, _ in frames]
    if has_holes := any(picture.mode == "RGBA" for picture in pictures):
        pictures = [picture.convert("RGBA") for picture in pictures]
    how: dict[str, Any] = {"duration": [time for _, time in frames]}
    if kind == "gif":
        pictures = [_with_palette(picture) for picture in pictures]
        # Each frame is a whole picture: with holes, it takes the place of the one before.
        how |= {"disposal": 2 if has_holes else 0, "optimize": False}
        how |= {} if plays == 1 else {"loop": max(0, plays - 1)}
    elif kind == "apng":
        how |= {"loop": plays, "compress_level": 3, "blend": 0}
    elif kind == "webp":
        how |= {"loop": plays, "quality": 92, "method": 4}
    else:
        how |= {"quality": 90, "speed": 8}
    format = {"apng": "PNG"}.get(kind, kind.upper())
    try:
        pictures[0].save(path, format, save_all=True, append_images=pictures[1:], **how)
    except RuntimeError as error:  # an encoder's: of one animation, it must not be the end of a folder's
        raise ImageSizeError(f"The animation cannot be written as {kind}: {error}.") from error


def _with_palette(picture: Image.Image) -> Image.Image:
    """As GIF has it: 256 colours, one of them for what is mostly transparent."""
    if picture.mode != "RGBA":
        return picture.quantize(256)
    few = picture.convert("RGB").quantize(255)
    hidden = picture.getchannel("A").point(lambda opacity: 255 * (opacity < 128))
    few.paste(255, hidden)
    few.info["transparency"] = 255
    return few


def _write_video(animation: Animation, frames: Iterator[tuple[Image.Image, int]], path: Path) -> None:
    now, last, mean = 0, _USUAL, Fraction(1000, _USUAL)

    def timed() -> Iterator[Frame]:
        nonlocal now, last
        for picture, time in frames:
            last = time if time >= _SHORTEST else _USUAL
            yield Frame(np.asarray(picture.convert("RGB")), now, last)
            now += last

    unit = Fraction(1, 1000)
    clip = Clip(animation.path, 0, animation.frames, last, unit, mean, animation.size, only_pictures=True)
    segment = path.with_suffix(".nut")
    try:
        write_segment(segment, timed(), clip)
        join(replace(clip, last=last), [segment], path)
    except pyav().FFmpegError as error:
        raise UnreadableVideoError(f"No video can be made of the animation: {error}.") from error
    finally:
        segment.unlink(missing_ok=True)
