"""Painted frames become a video file: segments of pictures, then all of them with the sound.

Painted pictures are H.264, or with opacity VP9 (.webm) or ProRes 4444 (.mov): BT.709 in video range, which
they say.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from transformer_net.inference.video.colours import BT709, FULL_RANGE, VIDEO_RANGE, FramePixels
from transformer_net.inference.video.ffmpeg import address, opened, pyav
from transformer_net.inference.video.joints import Mover
from transformer_net.inference.video.orientation import turned_back
from transformer_net.inference.video.reader import KINDS, Clip, Frame, sounds

_SEGMENT_FORMATS = {".webm": "matroska", ".mov": "mov"}  # where nut has no room for opacity, or for ProRes
_TOLD_OF_SOUND = ("language", "title", "handler_name")
_AAC, _LAYOUTS = 192_000, {1: "mono", 6: "5.1", 8: "7.1"}  # bits a second; by the number of channels
_BITS_PER_PIXEL = 0.25  # for encoders of H.264 that cannot be told a quality


def write_segment(path: Path, frames: Iterable[Frame], clip: Clip) -> int:
    """Write frames of `clip`, painted, as a segment for `join`; gives their number."""
    av = pyav()
    kind, options = "nut", {}  # keeps every time as it is; mp4 would begin each segment at 0
    if clip.keeps_alpha:
        kind = _SEGMENT_FORMATS[clip.suffix]
        options = {"movie_timescale": str(clip.time_base.denominator)} if kind == "mov" else {}
    with av.open(address(path), "w", format=kind, options=options) as container:
        stream, number = None, 0
        for number, frame in enumerate(frames, 1):  # noqa: B007
            pixels = _even(turned_back(frame.pixels, clip.matrix))
            picture = av.VideoFrame.from_ndarray(pixels, format="rgba" if clip.keeps_alpha else "rgb24")
            picture = picture.reformat(
                format=_pixel_format(clip),
                src_color_range=FULL_RANGE,
                dst_color_range=VIDEO_RANGE,
                dst_colorspace=BT709,
                interpolation="BICUBIC",
            )
            picture.pts, picture.duration, picture.time_base = frame.time, frame.duration, clip.time_base
            if stream is None:
                stream = _encoder(container, clip, picture.width, picture.height)
            container.mux(stream.encode(picture))
        if stream is not None:
            container.mux(stream.encode(None))
    return number


def join(clip: Clip, segments: Sequence[Path], target: Path) -> None:
    """Write `target` with the pictures of `segments`, one after the other, and the sound of `clip`.

    Nothing is encoded again, but sound that no kind of file of ours can hold.

    Args:
        clip: Where the sound comes from.
        segments: Made by `write_segment`, in order.
        target: Written as `Clip.suffix` says, whatever it is called.

    Raises:
        UnreadableVideoError: The sound is damaged.
    """
    av = pyav()
    with ExitStack() as files:
        # faststart puts the index to the front: the web can play it while it loads.
        kind = KINDS[clip.suffix]
        options = {"movflags": "+faststart"} if kind == "mp4" else {}
        joined = files.enter_context(av.open(address(target), "w", format=kind, options=options))
        first = files.enter_context(av.open(address(segments[0])))
        pictures = joined.add_stream_from_template(first.streams.video[0], opaque=True)
        pictures.time_base = clip.time_base
        if clip.keeps_alpha and kind == "webm":
            pictures.metadata["alpha_mode"] = "1"
        if clip.matrix:
            pictures.set_display_matrix(clip.matrix)
        heard = {}
        if not clip.only_pictures:
            source = files.enter_context(av.open(address(clip.path), metadata_errors="replace"))
            heard = {sound.index: _stream_for(sound, joined, clip) for sound in sounds(source)}
            joined.set_chapters([_from_start(chapter, clip) for chapter in source.chapters()])
        both = heapq.merge(
            _picture_packets(segments, pictures, clip),
            _sound_packets(clip, heard),
            key=lambda packet: packet.dts * packet.time_base,
        )
        for packet in both:
            joined.mux(packet)


def _stream_for(sound: Any, container: Any, clip: Clip) -> Any:
    """A stream for what is heard in another one, with its language and title; the default one stays it."""
    if clip.copies_sound:
        stream = container.add_stream_from_template(sound)
    else:
        layout = _LAYOUTS.get(sound.layout.nb_channels, "stereo")  # the file may tell no more than a number
        stream = container.add_stream("aac", rate=sound.rate, layout=layout, bit_rate=_AAC)
    stream.metadata.update({key: sound.metadata[key] for key in _TOLD_OF_SOUND if key in sound.metadata})
    stream.disposition = sound.disposition
    return stream


def _from_start(chapter: Any, clip: Clip) -> Any:
    """A chapter, with times that are counted as those of the frames are."""
    offset = round(clip.start / chapter["time_base"])
    return {**chapter, "start": chapter["start"] - offset, "end": chapter["end"] - offset}


def _picture_packets(segments: Sequence[Path], stream: Any, clip: Clip) -> Iterator[Any]:
    """The packets of all segments; the last one is given the duration that segments do not keep."""
    held = None
    for segment in segments:
        with pyav().open(address(segment)) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    if held is not None:
                        yield held
                    packet.dts = packet.pts  # no picture refers to a later one
                    packet.stream, held = stream, packet
    if held is not None:
        held.duration = round(clip.last * clip.time_base / held.time_base)
        yield held


def _sound_packets(clip: Clip, streams: dict[int, Any]) -> Iterator[Any]:
    if not streams:
        return
    encoders = {index: _SoundEncoder(stream, clip.start) for index, stream in streams.items()}
    move = Mover(clip.joints)
    with opened(clip.path) as source:
        for packet in source.demux([source.streams[index] for index in streams]):
            move(packet)
            if not clip.copies_sound:
                yield from encoders[packet.stream.index](packet)
            elif packet.size and packet.pts is not None:
                offset = round(clip.start / packet.time_base)
                dts = packet.pts if packet.dts is None else packet.dts
                packet.pts, packet.dts = packet.pts - offset, dts - offset
                packet.stream = streams[packet.stream_index]
                yield packet


class _SoundEncoder:
    """Encodes packets of sound again, for one stream."""

    def __init__(self, stream: Any, start: Fraction) -> None:
        self._stream, self._start, self._end = stream, start, Fraction(0)

    def __call__(self, packet: Any) -> Iterator[Any]:
        try:
            blocks = packet.decode()
        except pyav().FFmpegError:
            return  # a moment of silence
        for block in blocks:
            begins = self._end if block.pts is None else block.pts * block.time_base - self._start
            block.pts = round(begins / block.time_base)
            self._end = begins + Fraction(block.samples, block.sample_rate)
            yield from self._stream.encode(block)
        if not packet.size:  # the end
            yield from self._stream.encode(None)


def _even(pixels: FramePixels) -> FramePixels:
    """Repeats the last row or column of an odd side: colours of two neighbours are stored as one."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return pixels


def _pixel_format(clip: Clip) -> str:
    return {".webm": "yuva420p", ".mov": "yuva444p10le"}[clip.suffix] if clip.keeps_alpha else "yuv420p"


def _encoder(container: Any, clip: Clip, width: int, height: int) -> Any:
    """One of high quality, without frames that refer to later ones, so that segments can be joined."""
    name = {".webm": "libvpx-vp9", ".mov": "prores_ks"}[clip.suffix] if clip.keeps_alpha else "h264"
    stream = container.add_stream(name, rate=clip.rate)  # of H.264, x264, where this ffmpeg has it
    stream.width, stream.height, stream.pix_fmt = width, height, _pixel_format(clip)
    context = stream.codec_context
    context.time_base, context.max_b_frames = clip.time_base, 0
    context.sample_aspect_ratio = clip.aspect
    context.color_range, context.colorspace = VIDEO_RANGE, BT709
    context.color_primaries = context.color_trc = BT709
    if context.codec.name == "libx264":
        # Of paintings of 720p, x264's own choice, medium, takes 97 ms a frame; faster takes 41, for 2 % less
        # space and 0.2 dB less. veryfast loses 1.6 dB.
        stream.options = {"crf": "18", "preset": "faster"}
    elif name == "libvpx-vp9":
        # Its alternate frames are not shown, and refer to later ones.
        stream.options = {"crf": "18", "b": "0", "auto-alt-ref": "0", "cpu-used": "4", "row-mt": "1"}
    elif name == "prores_ks":
        stream.options = {"profile": "4444"}
    else:
        stream.bit_rate = int(width * height * clip.rate * _BITS_PER_PIXEL)
    return stream
