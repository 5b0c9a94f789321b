"""Video files, read through PyAV, which brings ffmpeg.

What is kept of a video: the number of its frames, the time of each, its orientation, its pixels' shape and
opacity, its chapters, and its sound, packet by packet. What is not: subtitles, and whatever else the file
says of place and camera.

Frames are painted upright, so that strokes lie as in a photo, and are turned back before they are written,
with the same note on how to turn them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, Final

from transformer_net.errors import UnreadableVideoError
from transformer_net.imaging.decode import DEFAULT_LIMITS
from transformer_net.imaging.tone_mapping import DEFAULT_PEAK
from transformer_net.inference.video.colours import FramePixels, has_alpha, is_hdr, peak_light, rgb
from transformer_net.inference.video.deinterlacing import deinterlaced
from transformer_net.inference.video.ffmpeg import damaged, opened, pyav
from transformer_net.inference.video.joints import Joint, Mover, PacketTimes, Positions, find_joints
from transformer_net.inference.video.orientation import Matrix, display_matrix, upright

SUFFIXES: Final = frozenset(
    {
        *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".flv", ".ogv"),
        *(".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob"),
    }
)
"""What videos are called: a file is taken for one by its name."""

KINDS: Final = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm", ".mov": "mov"}
"""Suffix of a painted video → ffmpeg's name for that kind of file."""

_OPAQUE, _WEB, _FILM = (".mp4", ".mkv"), (".webm", ".mov"), (".mov",)
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # ffmpeg's own leave the opacity out

_PROBED = 8  # pictures that are read to see of what kind they are: the first one may be unlike the others
_STREAMS = ("mpegts", "mpeg")
_TS_PACKETS, _TS_SYNC = {188: 0, 192: 4}, b"\x47"  # bytes of a packet, and where in it the sync byte is

Timing = tuple[int, int]
"""When a frame is shown, and for how long, in `Clip.time_base`."""


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
        size: Width and height of a stored picture; some recordings change it midway.
        start: When it begins, in seconds; broadcasts begin at the time of day. Times are counted from here.
        matrix: How to turn its frames for display; None where they are upright.
        is_interlaced: Whether its frames are two fields each, at two times.
        is_hdr: Whether it is PQ or HLG.
        peak: Its brightest light in cd/m², where it is HDR.
        aspect: Width of a pixel relative to its height.
        is_cut: Whether it ends amid a packet, as recordings do that were cut off.
        bad_sound: Number of damaged packets of sound.
        has_alpha: Whether its pictures have opacity.
        suffix: Of the file to write: `.mp4`, or `.mkv` where mp4 cannot hold the sound; `.webm` or `.mov`
            where opacity is kept.
        copies_sound: Whether it is written as it is: neither holds Windows Media's, which becomes AAC.
        joints: Where its times begin anew.
        only_pictures: Whether there is nothing else to keep, and the file may be one that ffmpeg cannot read.
    """

    path: Path
    stream: int
    frames: int
    last: int
    time_base: Fraction
    rate: Fraction
    size: tuple[int, int]
    start: Fraction = Fraction(0)
    matrix: Matrix | None = None
    is_interlaced: bool = False
    is_hdr: bool = False
    peak: float = DEFAULT_PEAK
    aspect: Fraction = Fraction(1)
    is_cut: bool = False
    bad_sound: int = 0
    has_alpha: bool = False
    suffix: str = ".mp4"
    copies_sound: bool = True
    joints: tuple[Joint, ...] = ()
    only_pictures: bool = False

    @property
    def keeps_alpha(self) -> bool:
        """Whether the opacity of its pictures is written."""
        return self.has_alpha and self.suffix not in _OPAQUE

    @property
    def changes(self) -> list[str]:
        """What is done to it beside painting, in a few words each."""
        all_of_them = {
            "deinterlaced": self.is_interlaced,
            "HDR to SDR": self.is_hdr,
            "transparency laid over white": self.has_alpha and not self.keeps_alpha,
            "sound to AAC": not self.copies_sound,
        }
        return [change for change, is_made in all_of_them.items() if is_made]


@dataclass
class BadFrames:
    """How many frames of a video were damaged, of those read so far."""

    number: int = 0


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
    """Read all packets of a video, but only its first pictures.

    Raises:
        UnreadableVideoError: It is not a video, or is damaged or truncated.
        ImageSizeError: Its pictures are too large or too small.
        SettingError: PyAV is not installed.
    """
    with opened(path) as container:
        stream = _pictures(container, path)
        DEFAULT_LIMITS.check((stream.width, stream.height))
        begins = list(islice(_decoded(container, stream, bad := BadFrames()), _PROBED))
        if not begins and bad.number:
            raise damaged(path)
        if not begins:
            raise UnreadableVideoError(f"The video {path.name!r} has no pictures.")
        first, packets = begins[0], _count(path)
        alpha, heard = _are_transparent(begins), sounds(container)
        suffix = alpha and _kind_for(heard, _WEB if path.suffix.lower() == ".webm" else _FILM)
        suffix = suffix or _kind_for(heard, _OPAQUE)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return Clip(
            path=path,
            stream=stream.index,
            frames=packets.pictures,
            last=packets.last or _usual(rate, stream.time_base),
            time_base=stream.time_base,
            rate=rate,
            # A little sound before 0 is the encoder's run-up, which players skip.
            start=Fraction(max(0, container.start_time or 0), 1_000_000),
            size=(first.width, first.height),
            matrix=display_matrix(first),
            is_interlaced=any(picture.interlaced_frame for picture in begins),
            is_hdr=is_hdr(first),
            peak=peak_light(first),
            aspect=stream.sample_aspect_ratio or Fraction(1),
            is_cut=packets.is_cut,
            bad_sound=packets.bad_sound,
            has_alpha=alpha,
            suffix=suffix or _OPAQUE[0],
            copies_sound=suffix is not None,
            joints=packets.joints,
        )


def read_frames(clip: Clip, skip: int = 0, bad: BadFrames | None = None) -> Iterator[Frame]:
    """The frames of a video from frame `skip` on, in the order in which they are shown.

    The skipped ones are decoded, too: seeking lands where the file's index says, which is not always true,
    and decoding takes a hundredth of the time of painting.

    Args:
        clip: What `probe` found.
        skip: How many to leave out.
        bad: Counts the damaged ones, those that are left out included. They are given as they could be read;
            of some, nothing can be, and the one before is shown for as long.

    Raises:
        UnreadableVideoError: No frame can be read, or the file cannot any more.
    """
    bad = bad or BadFrames()
    with opened(clip.path) as container:
        stream = container.streams[clip.stream]
        stream.thread_type = "AUTO"
        pictures = _timed(_decoded(container, stream, bad, clip.joints), clip)
        if clip.is_interlaced:
            pictures = deinterlaced(pictures)
        for picture, (time, duration) in islice(pictures, skip, None):
            yield Frame(upright(rgb(picture, clip.size, clip.peak), clip.matrix), time, duration)


def _decoded(container: Any, stream: Any, bad: BadFrames, joints: Sequence[Joint] = ()) -> Iterator[Any]:
    decoder = stream.codec_context
    tags = {name.lower(): value for name, value in stream.metadata.items()}  # copied ones are in capitals
    if tags.get("alpha_mode") == "1" and decoder.name in _ALPHA_DECODERS:
        decoder = pyav().CodecContext.create(_ALPHA_DECODERS[decoder.name], "r")
        decoder.extradata = stream.codec_context.extradata
    move = Mover(joints)
    for packet in container.demux(stream):
        move(packet)
        try:
            pictures = decoder.decode(packet if packet.size else None)
        except pyav().FFmpegError:
            bad.number += 1
            continue
        for picture in pictures:
            bad.number += picture.is_corrupt
            yield picture


def _timed(pictures: Iterator[Any], clip: Clip) -> Iterator[tuple[Any, Timing]]:
    """Each picture with its time, after that of the one before, and its duration."""
    offset, usual = round(clip.start / clip.time_base), _usual(clip.rate, clip.time_base)
    last: int | None = None
    for picture in pictures:
        time = picture.pts - offset if picture.pts is not None else (last or -usual) + usual
        last = time if last is None else max(time, last + 1)
        yield picture, (last, picture.duration or 0)


def _usual(rate: Fraction, time_base: Fraction) -> int:
    """For how long a frame is shown where the file does not say, in `time_base`."""
    return max(1, round(1 / (rate * time_base)))


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


@dataclass
class _Packets:
    """What the packets of a file say.

    Attributes:
        pictures: How many hold a picture.
        last: For how long the last picture is shown; 0 where no one knows.
        is_cut: As in `Clip`.
        bad_sound: As in `Clip`.
        joints: As in `Clip`.
    """

    pictures: int = 0
    last: int = 0
    is_cut: bool = False
    bad_sound: int = 0
    joints: tuple[Joint, ...] = ()


def _count(path: Path) -> _Packets:
    """Read all packets of a file.

    ffmpeg reads a truncated file as if it ended there; hours of painting later, half of it would be missing
    without an error. So all packets are counted beforehand. Broadcasts and cameras' recordings are meant to
    be read from anywhere to anywhere: of those, what is damaged is counted.

    Raises:
        UnreadableVideoError: The file is truncated.
    """
    with opened(path) as container:
        stream = _pictures(container, path)
        is_stream, found = container.format.name in _STREAMS, _Packets()
        latest, end, last_is_bad = None, Fraction(0), {}
        times: list[PacketTimes] = []
        position = Positions()
        # A subtitle may outlast the pictures, and counts in the file's duration.
        for packet in container.demux(stream, *sounds(container), *container.streams.subtitles):
            if packet.is_corrupt and not is_stream:
                raise damaged(path)
            if not packet.size:
                continue
            last_is_bad[packet.stream_index] = packet.is_corrupt
            if packet.stream_index == stream.index:
                found.pictures += 1
                if packet.pts is not None and (latest is None or packet.pts > latest):
                    latest, found.last = packet.pts, packet.duration or 0
            elif packet.is_corrupt:
                found.bad_sound += 1
            at = position(packet)
            if packet.pts is None:
                continue
            ends, unit = (packet.pts + (packet.duration or 0)) * packet.time_base, float(packet.time_base)
            end = max(end, ends)
            if is_stream and packet.stream.type != "subtitle":
                dts = packet.pts if packet.dts is None else packet.dts
                due = dts * unit, packet.pts * unit, float(ends)
                times.append(PacketTimes(at, packet.stream_index, *due))
        begins, takes = (Fraction(x or 0, 1_000_000) for x in (container.start_time, container.duration))
        # Headers are not exact; the index of an mp4 is.
        short = end - begins < takes * Fraction(9, 10) - Fraction(1, 10)
        if found.pictures < len(stream.index_entries) or short:
            raise damaged(path)
        if latest is not None and not found.last:
            found.last = max(0, round((begins + takes) / stream.time_base) - latest)
    found.joints = find_joints(times)
    length = transport_packet(path)
    found.is_cut = is_stream and any(last_is_bad.values())
    found.is_cut |= length is not None and path.stat().st_size % length > 0
    return found


def transport_packet(path: Path) -> int | None:
    """Bytes of a packet of an MPEG transport stream; None where a file is none, as one of TypeScript (`.ts`).

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(2 * max(_TS_PACKETS))
    for length, at in _TS_PACKETS.items():
        if head[at : at + 1] == head[at + length : at + length + 1] == _TS_SYNC:
            return length
    return None


def _kind_for(streams: Sequence[Any], suffixes: Sequence[str]) -> str | None:
    """The first of these suffixes whose kind of file holds all these streams of sound; None for none."""
    for suffix in suffixes:
        try:
            with pyav().open(io.BytesIO(), "w", format=KINDS[suffix]) as trial:
                for stream in streams:
                    trial.add_stream_from_template(stream)
                if streams:
                    trial.start_encoding()  # writes the header: TrueHD, for one, is refused no earlier
        except (ValueError, pyav().FFmpegError):
            continue
        return suffix
    return None


def _are_transparent(pictures: Sequence[Any]) -> bool:
    """Whether pictures have opacity. That of RGB often says nothing: some of it has to be less than full."""
    with_alpha = [picture for picture in pictures if has_alpha(picture)]
    return any(
        not picture.format.is_rgb or picture.to_ndarray(format="rgba")[..., 3].min() < 255
        for picture in with_alpha
    )
