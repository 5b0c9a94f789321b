"""Video files, read through PyAV, which brings ffmpeg.

What is kept of a video: the number of its frames, the time of each, its orientation, its pixels' shape, and
its sound, packet by packet. What is not: subtitles, and whatever else the file says of place and camera.

Frames are painted upright, so that strokes lie as in a photo, and are turned back before they are written,
with the same note on how to turn them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np

from transformer_net.errors import UnreadableVideoError
from transformer_net.imaging.decode import DEFAULT_LIMITS
from transformer_net.inference.video.colours import FramePixels, peak_light, rgb
from transformer_net.optional import require

SUFFIXES: Final = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mts", ".mpg", ".mpeg"})
"""What videos are called: a file is taken for one by its name."""

Matrix = tuple[int, ...]
"""How to turn and mirror a frame for display: 9 numbers as in the file. The first, second, fourth and fifth
map its columns and rows, in units of 1/65536."""

KINDS: Final = {".mp4": "mp4", ".mkv": "matroska"}
"""Suffix of a painted video → ffmpeg's name for that kind of file."""


def pyav() -> Any:
    """PyAV.

    Raises:
        SettingError: It is not installed.
    """
    return require("av", "Videos need PyAV, which", "av")


@dataclass(frozen=True)
class Clip:
    """What is known of a video before its frames are read.

    Attributes:
        path: Its file.
        stream: Index of the stream of pictures.
        frames: How many there seem to be, for progress: some files hide frames.
        last: For how long the last one is shown, in `time_base`.
        time_base: Unit of all times, in seconds.
        rate: Frames a second, on average.
        start: When it begins, in seconds; broadcasts begin at the time of day. Times are counted from here.
        size: Width and height of a stored picture; some recordings change it midway.
        matrix: How to turn its frames for display; None where they are upright.
        peak: Its brightest light in cd/m², where it is HDR.
        aspect: Width of a pixel relative to its height.
        suffix: Of the file to write: `.mp4`, or `.mkv` where mp4 cannot hold the sound.
    """

    path: Path
    stream: int
    frames: int
    last: int
    time_base: Fraction
    rate: Fraction
    start: Fraction
    size: tuple[int, int]
    matrix: Matrix | None
    peak: float
    aspect: Fraction
    suffix: str


@dataclass(frozen=True)
class Frame:
    """One picture of a video.

    Attributes:
        pixels: Upright.
        time: When it is shown, in `Clip.time_base`.
        duration: For how long, in the same; 0 where the file does not say.
    """

    pixels: FramePixels
    time: int
    duration: int


def probe(path: Path) -> Clip:
    """Read all packets of a video, but only its first picture.

    Raises:
        UnreadableVideoError: It is not a video, or is damaged or truncated.
        ImageSizeError: Its pictures are too large or too small.
        SettingError: PyAV is not installed.
    """
    with opened(path) as container:
        stream = _pictures(container, path)
        DEFAULT_LIMITS.check((stream.width, stream.height))
        first = next(container.decode(stream), None)
        if first is None:
            raise UnreadableVideoError(f"The video {path.name!r} has no pictures.")
        count, last = _count(path)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return Clip(
            path,
            stream.index,
            count,
            last or _usual(rate, stream.time_base),
            stream.time_base,
            rate,
            # A little sound before 0 is the encoder's run-up, which players skip.
            Fraction(max(0, container.start_time or 0), 1_000_000),
            (first.width, first.height),
            _matrix(first),
            peak_light(first),
            stream.sample_aspect_ratio or Fraction(1),
            _suffix_for(sounds(container), path),
        )


def read_frames(clip: Clip, skip: int = 0) -> Iterator[Frame]:
    """The frames of a video from frame `skip` on, in the order in which they are shown.

    The skipped ones are decoded, too: seeking lands where the file's index says, which is not always true,
    and decoding takes a hundredth of the time of painting.

    Raises:
        UnreadableVideoError: The video is damaged.
    """
    with opened(clip.path) as container:
        stream = container.streams[clip.stream]
        stream.thread_type = "AUTO"
        offset = round(clip.start / clip.time_base)
        usual = _usual(clip.rate, clip.time_base)
        last: int | None = None
        for number, picture in enumerate(container.decode(stream)):
            time = picture.pts - offset if picture.pts is not None else (last or -usual) + usual
            last = time if last is None else max(time, last + 1)
            if number >= skip:
                pixels = _upright(rgb(picture, clip.size, clip.peak), clip.matrix)
                yield Frame(pixels, last, picture.duration or 0)


def _usual(rate: Fraction, time_base: Fraction) -> int:
    """For how long a frame is shown where the file does not say, in `time_base`."""
    return max(1, round(1 / (rate * time_base)))


def address(path: Path) -> str:
    """A path as ffmpeg takes it for a file: without this, what stands before a colon is a protocol."""
    return f"file:{path}"


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A video, opened for reading; ffmpeg's errors become one sentence."""
    av = pyav()
    if not path.is_file():
        raise UnreadableVideoError(f"There is no file {path.name!r}.")
    try:
        with av.open(address(path)) as container:
            yield container
    except av.FFmpegError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> UnreadableVideoError:
    return UnreadableVideoError(
        f"The video {path.name!r} is damaged, truncated, or of a kind that cannot be read."
    )


def _pictures(container: Any, path: Path) -> Any:
    """The stream of moving pictures; the cover of a song is not one."""
    cover = pyav().stream.Disposition.attached_pic
    found = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not found:
        raise UnreadableVideoError(f"The video {path.name!r} has no pictures.")
    return found[0]


def sounds(container: Any) -> list[Any]:
    """The streams of sound that can be read; phones add one in a format that few programs know."""
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


def _count(path: Path) -> tuple[int, int]:
    """The number of pictures in a file, and for how long the last one is shown, 0 where no one knows.

    ffmpeg reads a truncated file as if it ended there; hours of painting later, half of it would be missing
    without an error. So all packets are counted beforehand.
    """
    with opened(path) as container:
        stream = _pictures(container, path)
        count, latest, duration, end = 0, None, 0, Fraction(0)
        # A subtitle may outlast the pictures, and counts in the file's duration.
        for packet in container.demux(stream, *sounds(container), *container.streams.subtitles):
            if packet.is_corrupt:
                raise _damaged(path)
            if not packet.size:
                continue
            if packet.stream_index == stream.index:
                count += 1
                if packet.pts is not None and (latest is None or packet.pts > latest):
                    latest, duration = packet.pts, packet.duration or 0
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        begins, takes = (Fraction(x or 0, 1_000_000) for x in (container.start_time, container.duration))
        # Headers are not exact; the index of an mp4 is.
        if count < len(stream.index_entries) or end - begins < takes * Fraction(9, 10) - Fraction(1, 10):
            raise _damaged(path)
        if latest is not None and not duration:
            duration = max(0, round((begins + takes) / stream.time_base) - latest)
    return count, duration


def _suffix_for(streams: Sequence[Any], path: Path) -> str:
    """That of the first kind of file which holds all these streams of sound."""
    for suffix, kind in KINDS.items():
        try:
            with pyav().open(io.BytesIO(), "w", format=kind) as trial:
                for stream in streams:
                    trial.add_stream_from_template(stream)
                if streams:
                    trial.start_encoding()  # writes the header: TrueHD, for one, is refused no earlier
        except (ValueError, pyav().FFmpegError):
            continue
        return suffix
    raise UnreadableVideoError(f"The sound of the video {path.name!r} is of a kind that cannot be copied.")


def _matrix(picture: Any) -> Matrix | None:
    data = picture.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    return tuple(int(x) for x in np.frombuffer(bytes(data), np.int32))


def _axes(matrix: Matrix) -> tuple[bool, int, int]:
    """Whether columns and rows change places, then the direction of rows and that of columns, 1 or -1."""
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    if a == d == 0 and b and c:
        return True, (1 if b > 0 else -1), (1 if c > 0 else -1)
    if b == c == 0 and a and d:
        return False, (1 if d > 0 else -1), (1 if a > 0 else -1)
    return False, 1, 1  # askew: painted as it is stored


def _upright(pixels: FramePixels, matrix: Matrix | None) -> FramePixels:
    if matrix is None:
        return pixels
    swapped, rows, columns = _axes(matrix)
    return np.ascontiguousarray((pixels.swapaxes(0, 1) if swapped else pixels)[::rows, ::columns])


def turned_back(pixels: FramePixels, matrix: Matrix | None) -> FramePixels:
    if matrix is None:
        return pixels
    swapped, rows, columns = _axes(matrix)
    pixels = pixels[::rows, ::columns]
    return np.ascontiguousarray(pixels.swapaxes(0, 1) if swapped else pixels)
