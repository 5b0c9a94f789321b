"""Videos: what is kept of them, what an interruption costs, and how much they flicker."""

import re
import sys
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import av
import numpy as np
import pytest

from benchmarks.video import Walk, make_clip, true_flicker
from tests.conftest import make_picture
from tests.imaging.test_tone_mapping import TO_BT2020, hlg, linear, pq, signal_of, srgb
from tests.inference.networks import random_network
from transformer_net.checkpoint import ModelInfo
from transformer_net.errors import SettingError, UnreadableVideoError
from transformer_net.imaging.decode import decode
from transformer_net.imaging.tone_mapping import BT2020, HLG, PQ, WHITE
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.video import pipeline, reader
from transformer_net.inference.video.colours import peak_light
from transformer_net.inference.video.orientation import turned_back
from transformer_net.inference.video.pipeline import VideoOptions, ahead, paint_video
from transformer_net.inference.video.reader import probe, read_frames
from transformer_net.inference.video.temporal_consistency import TemporalSmoother, flow, trust

ROOT = Path(__file__).parents[3]
FRAMES = 20
WALK = Walk(64, 48, FRAMES)
UNPAINTED = VideoOptions(style_options=StyleOptions(strength=0))  # all but the network


@pytest.fixture(scope="module")
def photo():
    return make_picture(200, 150)


@pytest.fixture
def stylizer():
    return Stylizer(random_network("in"), ModelInfo("in", 4, grain=0.05))


@pytest.fixture
def clip(tmp_path, photo):
    make_clip(tmp_path / "clip.mp4", WALK, photo)
    return tmp_path / "clip.mp4"


def told(path):
    """What a player sees of a video: the times of its pictures, how to turn them, how long it takes."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        pictures = list(file.decode(stream))
        times = [picture.pts * stream.time_base for picture in pictures]
        return times, pictures[0].rotation, Fraction(file.duration, 1_000_000)


def sound(path):
    with av.open(str(path)) as file:
        return [
            [(packet.pts * packet.time_base, bytes(packet)) for packet in file.demux(stream) if packet.size]
            for stream in file.streams.audio[:1]
        ]


def noise(length, rate):
    wave = np.random.default_rng(0).normal(0, 0.1, (1, length)).astype(np.float32)
    samples = av.AudioFrame.from_ndarray(wave, "fltp", "mono")
    samples.sample_rate, samples.pts, samples.time_base = rate, 0, Fraction(1, rate)
    return samples


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", {}),
        ("varying.mp4", {"varying": True}),
        ("turned.mp4", {"rotation": 90}),
        ("silent.mov", {"sound": None, "rotation": 180}),
        ("bytes.mkv", {"sound": "pcm_u8"}),  # which mp4 cannot hold
    ],
)
def test_what_is_kept(tmp_path, photo, stylizer, monkeypatch, name, options):
    monkeypatch.setattr(pipeline, "SEGMENT", 7)
    source = tmp_path / name
    make_clip(source, WALK, photo, **options)
    found = probe(source)
    target = tmp_path / f"painted{found.suffix}"
    assert found.suffix == (".mkv" if name == "bytes.mkv" else ".mp4")
    told_frames = []
    paint_video(found, target, stylizer, UNPAINTED, told_frames.append)
    (*shown, takes), (*should, would_take) = told(target), told(source)
    assert shown == should
    assert abs(takes - would_take) <= (Fraction(1, 1000) if found.suffix == ".mkv" else 0)
    assert sound(target) == sound(source)
    assert told_frames == list(range(FRAMES + 1))
    assert {path.name for path in tmp_path.iterdir()} == {name, target.name}
    for before, after in zip(read_frames(found), read_frames(probe(target)), strict=True):
        assert np.abs(before.pixels.astype(float) - after.pixels).mean() < 5


@pytest.mark.parametrize(
    ("name", "codec"),
    [("slides.mkv", "h264"), ("slides.webm", "libvpx"), ("slides.avi", "mjpeg"), ("slides.mov", "h264")],
)
def test_the_last_frame_keeps_its_time(tmp_path, stylizer, name, codec):
    """A slideshow, one picture a second: its last one is a quarter of it."""
    source = tmp_path / name
    with av.open(str(source), "w") as file:
        stream = file.add_stream(codec, rate=1)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(4):
            picture = av.VideoFrame.from_image(make_picture(64, 48, seed=number)).reformat(
                format=stream.pix_fmt
            )
            picture.pts, picture.time_base = number, Fraction(1)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    paint_video(probe(source), tmp_path / "out.mp4", stylizer, UNPAINTED)
    *_, takes = told(tmp_path / "out.mp4")
    assert takes == 4
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.streams.video[0].average_rate == 1


@pytest.mark.parametrize("name", ["take:1.mp4", "12:30.mp4", "http:x.mp4", "50 % \\'a' #?.mp4"])
def test_any_name_is_a_file(clip, tmp_path, stylizer, monkeypatch, name):
    """What stands before a colon is no protocol; without a folder before it, ffmpeg takes it for one."""
    monkeypatch.chdir(tmp_path)
    source = clip.rename(name)
    paint_video(probe(source), Path(f"out-{name}"), stylizer, UNPAINTED)
    assert len(told(tmp_path / f"out-{name}")[0]) == FRAMES


def test_chapters_and_languages_are_kept(tmp_path, photo, stylizer):
    make_clip(tmp_path / "bare.mkv", WALK, photo)
    chapters = [
        {
            "id": n,
            "start": 400 * n,
            "end": 400 * (n + 1),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": t},
        }
        for n, t in enumerate(("Arrival", "Départ"))
    ]
    with av.open(str(tmp_path / "bare.mkv")) as bare, av.open(str(tmp_path / "told.mp4"), "w") as told_file:
        pictures = told_file.add_stream_from_template(bare.streams.video[0])
        sounds = [told_file.add_stream_from_template(bare.streams.audio[0]) for _ in range(2)]
        for sound, language in zip(sounds, ("eng", "fra"), strict=True):
            sound.metadata["language"] = language
            sound.disposition = int(language == "fra")
        told_file.set_chapters(chapters)
        for packet in bare.demux(video=0, audio=0):
            if packet.size:
                data, times = bytes(packet), (packet.pts, packet.dts, packet.duration, packet.time_base)
                for stream in [pictures] if packet.stream.type == "video" else sounds:
                    copy = av.Packet(data)
                    copy.pts, copy.dts, copy.duration, copy.time_base = times
                    copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                    told_file.mux(copy)
    found = probe(tmp_path / "told.mp4")
    paint_video(found, tmp_path / "out.mp4", stylizer, UNPAINTED)
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert [(s.language, s.disposition & 1) for s in file.streams.audio] == [("eng", 0), ("fra", 1)]
        kept = [
            (c["metadata"]["title"], c["start"] * c["time_base"], c["end"] * c["time_base"])
            for c in file.chapters()
        ]
    assert kept == [("Arrival", 0, Fraction(2, 5)), ("Départ", Fraction(2, 5), Fraction(4, 5))]


def test_tags_in_an_old_encoding_are_no_obstacle(tmp_path, photo, stylizer):
    make_clip(tmp_path / "old.avi", WALK, photo)
    data = (tmp_path / "old.avi").read_bytes()
    (tmp_path / "old.avi").write_bytes(data.replace(b"Lavf", b"L\xe9vf"))
    paint_video(probe(tmp_path / "old.avi"), tmp_path / "out.mp4", stylizer, UNPAINTED)
    assert len(told(tmp_path / "out.mp4")[0]) == FRAMES


def test_a_second_run_on_one_video_is_told(clip, tmp_path, stylizer):
    target = tmp_path / "out.mp4"

    def another(done):
        with pytest.raises(SettingError, match=r"out\.mp4 is being painted by another run\."):
            paint_video(probe(clip), target, stylizer, UNPAINTED)

    paint_video(probe(clip), target, stylizer, UNPAINTED, another)
    paint_video(probe(clip), target, stylizer, UNPAINTED)
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "out.mp4"}


def write_clip(path, codec, heard, frames):
    """A clip of 25 frames a second, of a picture that stands still, with noise."""
    side = (176, 144)  # one that H.263 has
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = *side, "yuv420p", 2_000_000
        audio = file.add_stream(heard, rate=44100, layout="mono", bit_rate=128_000)
        for number in range(frames):
            picture = av.VideoFrame.from_image(make_picture(*side, seed=1)).reformat(format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
        file.mux(audio.encode(noise(44100 * frames // 25, 44100)))
        file.mux(audio.encode(None))


@pytest.mark.parametrize(
    ("name", "codec", "heard"),
    [("clip.ts", "h264", "aac"), ("clip.mts", "h264", "ac3"), ("clip.mpg", "mpeg2video", "mp2")],
)
def test_recordings_that_were_joined_byte_by_byte(tmp_path, stylizer, name, codec, heard):
    """As with `cat`: the times begin anew at each joint, and sound and pictures stay together."""
    part, source = tmp_path / f"part-{name}", tmp_path / name
    write_clip(part, codec, heard, 25)
    source.write_bytes(3 * part.read_bytes())
    found = probe(source)
    assert (found.frames, len(found.joints), probe(part).joints) == (75, 2, ())
    target = tmp_path / f"out{found.suffix}"
    assert paint_video(found, target, stylizer, UNPAINTED) == ""
    times, _, takes = told(target)
    heard_at = [float(time) for time, _ in sound(target)[0]]
    assert len(times) == 75
    assert len(heard_at) == 3 * len(sound(part)[0])
    assert all(0.03 < after - before < 0.2 for before, after in pairwise(map(float, times)))
    assert all(0 < after - before < 0.2 for before, after in pairwise(heard_at))
    assert float(takes) == pytest.approx(3, abs=0.4)


@pytest.mark.parametrize(
    ("name", "codec", "heard"),
    [
        ("clip.ts", "h264", "aac"),
        ("clip.m2ts", "h264", "ac3"),
        ("clip.mpg", "mpeg2video", "mp2"),
        ("clip.3gp", "h263", "aac"),
        ("clip.flv", "flv", "mp3"),
        ("clip.wmv", "wmv2", "wmav2"),
    ],
)
def test_other_kinds_of_files(tmp_path, stylizer, name, codec, heard):
    source = tmp_path / name
    write_clip(source, codec, heard, 10)
    found = probe(source)
    target = tmp_path / f"out{found.suffix}"
    assert paint_video(found, target, stylizer, UNPAINTED) == ""
    (*shown, takes), (should, *_) = told(target), told(source)
    assert shown[0] == pytest.approx([float(time - found.start) for time in should], abs=0.002)
    assert len(should) == 10
    assert float(takes) == pytest.approx(0.4, abs=0.1)
    before, after = next(read_frames(found)).pixels, next(read_frames(probe(target))).pixels
    assert np.abs(before.astype(float) - after).mean() < 4
    if name == "clip.wmv":
        assert "sound to AAC" in found.changes
        with av.open(str(target)) as file:
            seconds = sum(block.samples for block in file.decode(audio=0)) / 44100
        assert seconds == pytest.approx(0.4, abs=0.1)
        return
    # In a transport stream, a header stands before each packet of AAC.
    assert all(
        (whole.endswith(data), len(whole) - len(data) in (0, 7)) == (True, True)
        for (_, whole), (_, data) in zip(sound(source)[0], sound(target)[0], strict=True)
    )


def test_odd_sides_get_one_more_pixel(tmp_path, photo, stylizer):
    make_clip(tmp_path / "odd.mp4", Walk(65, 49, 3), photo, sound=None)
    paint_video(probe(tmp_path / "odd.mp4"), tmp_path / "out.mp4", stylizer, UNPAINTED)
    before, after = (next(read_frames(probe(tmp_path / name))).pixels for name in ("odd.mp4", "out.mp4"))
    assert (before.shape, after.shape) == ((49, 65, 3), (50, 66, 3))
    assert np.abs(before.astype(float) - after[:49, :65]).mean() < 5


def test_frames_are_painted_as_photos_are(clip, tmp_path, stylizer, monkeypatch):
    """The pixels that reach the encoder are those of `Stylizer.paint`."""
    written = []

    def keep(path, frames, clip):
        written.extend(frame.pixels for frame in islice(frames, 4))
        raise OSError("the disk is full")

    monkeypatch.setattr(pipeline, "write_segment", keep)
    with pytest.raises(SettingError, match=r"out\.mp4 cannot be written: the disk is full"):
        paint_video(probe(clip), tmp_path / "out.mp4", stylizer, VideoOptions(max_side=40))
    for frame, painting in zip(islice(read_frames(probe(clip)), 4), written, strict=True):
        assert np.array_equal(painting, np.asarray(stylizer.paint(frame.pixels, max_side=40)))
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize(("space", "span"), [(1, 1), (5, 1), (5, 2)])
def test_colours_do_not_shift(tmp_path, stylizer, space, span):
    """Whatever the video's coding of colours, the painted one is BT.709 in video range and looks the same."""
    colours = np.array([[200, 40, 30], [30, 160, 60], [40, 60, 190], [230, 220, 210]], np.uint8)
    pixels = np.repeat(np.repeat(colours[None], 32, axis=0), 16, axis=1)
    source, target = tmp_path / "flat.mp4", tmp_path / "out.mp4"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("h264", rate=10, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = space, span
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        file.mux(
            stream.encode(picture.reformat(format="yuv420p", dst_colorspace=space, dst_color_range=span))
        )
        file.mux(stream.encode(None))
    paint_video(probe(source), target, stylizer, UNPAINTED)
    with av.open(str(target)) as file:
        picture = next(file.decode(video=0))
        tags = picture.colorspace, picture.color_range, picture.color_primaries, picture.color_trc
        assert tags == (1, 1, 1, 1)
    for path in (source, target):
        seen = next(read_frames(probe(path))).pixels[16, 8::16].astype(int)
        assert np.abs(seen - colours).max() <= 4


@pytest.mark.parametrize(("transfer", "encoded"), [(PQ, pq), (HLG, hlg), (14, srgb)])
def test_hdr_and_wide_gamuts_become_srgb(tmp_path, stylizer, transfer, encoded):
    """A 10-bit clip in BT.2020 as phones make it, of a picture that is darker than white: HDR is halved."""
    seen = np.asarray(make_picture(64, 48)) // 5 * 3
    light = linear(seen) @ TO_BT2020.T
    signal = encoded(light * (1 if encoded is srgb else 2 * WHITE))
    source = tmp_path / "hdr.mov"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("libx265", rate=10, options={"crf": "6", "x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = BT2020, transfer, 9
        context.color_range = 1
        picture = av.VideoFrame.from_ndarray(signal_of(signal), format="rgb48le").reformat(
            format="yuv420p10le", dst_colorspace=9, dst_color_range=1, interpolation="BICUBIC"
        )
        picture.color_primaries, picture.color_trc = BT2020, transfer
        for number in range(3):
            picture.pts, picture.time_base = number, Fraction(1, 10)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    paint_video(probe(source), tmp_path / "out.mp4", stylizer, UNPAINTED)
    with av.open(str(tmp_path / "out.mp4")) as file:
        painted = next(file.decode(video=0))
    assert (painted.colorspace, painted.color_primaries, painted.color_trc) == (1, 1, 1)
    assert painted.format.name == "yuv420p"
    shown = painted.to_ndarray(format="rgb24", interpolation="BICUBIC").astype(int)
    assert np.abs(shown - seen).mean() < 4


def make_transparent_clip(path, codec, layout, frames=12):
    """A square hole that wanders over a picture, and a band that is half transparent."""
    shown = []
    with av.open(str(path), "w") as file:
        options = {"profile": "4444"} if codec == "prores_ks" else {"crf": "10", "auto-alt-ref": "0"}
        stream = file.add_stream(codec, rate=24, options={} if codec in ("qtrle", "ffv1") else options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, layout
        for number in range(frames):
            pixels = np.asarray(make_picture(64, 48).convert("RGBA")).copy()
            pixels[8:24, 4 + 2 * number : 20 + 2 * number, 3] = 0
            pixels[32:40, :, 3] = 128
            shown.append(pixels)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(
                format=layout, dst_colorspace=1, dst_color_range=1
            )
            picture.pts, picture.time_base = number, Fraction(1, 24)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    return shown


@pytest.mark.parametrize(
    ("name", "codec", "layout", "suffix"),
    [
        ("logo.webm", "libvpx-vp9", "yuva420p", ".webm"),
        ("logo.mov", "prores_ks", "yuva444p10le", ".mov"),
        ("logo.mov", "qtrle", "argb", ".mov"),
        ("logo.mkv", "ffv1", "bgra", ".mov"),
    ],
)
def test_transparency_is_kept(tmp_path, stylizer, monkeypatch, name, codec, layout, suffix):
    monkeypatch.setattr(pipeline, "SEGMENT", 5)
    shown = make_transparent_clip(tmp_path / name, codec, layout)
    found = probe(tmp_path / name)
    target = tmp_path / f"out{found.suffix}"
    paint_video(found, target, stylizer, UNPAINTED)
    assert (found.suffix, found.changes) == (suffix, [])
    (*seen, takes), (*should, _) = told(target), told(tmp_path / name)
    assert seen == should
    assert float(takes) == pytest.approx(0.5, abs=0.002)
    painted = [frame.pixels.astype(int) for frame in read_frames(probe(target))]
    for before, after in zip(shown, painted, strict=True):
        assert np.abs(after[..., 3] - before[..., 3]).mean() < 3
        opaque = before[..., 3] == 255
        assert np.abs(after - before)[opaque].mean() < 8
        assert after[before[..., 3] == 0][:, :3].mean() > 220  # over white: what was hidden stays so


def test_transparency_that_cannot_be_kept_is_told(tmp_path, stylizer, monkeypatch):
    make_transparent_clip(tmp_path / "logo.mov", "qtrle", "argb", 3)
    monkeypatch.setattr(reader, "_FILM", ())  # as if mov could not hold the sound
    found = probe(tmp_path / "logo.mov")
    assert (found.suffix, found.changes) == (".mp4", ["transparency laid over white"])
    paint_video(found, tmp_path / "out.mp4", stylizer, UNPAINTED)
    seen = next(read_frames(probe(tmp_path / "out.mp4"))).pixels
    assert seen[12:20, 8:16].min() > 240


def test_rgb_with_an_opacity_that_says_nothing_is_opaque(tmp_path):
    with av.open(str(tmp_path / "screen.mov"), "w") as file:
        stream = file.add_stream("qtrle", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "argb"
        file.mux(stream.encode(av.VideoFrame.from_image(make_picture(64, 48)).reformat(format="argb")))
        file.mux(stream.encode(None))
    assert probe(tmp_path / "screen.mov").suffix == ".mp4"


@pytest.mark.parametrize(
    ("side_data", "peak"),
    [
        ({}, 1000),
        ({"CONTENT_LIGHT_LEVEL": np.array([650, 200], np.uint32)}, 650),
        ({"MASTERING_DISPLAY_METADATA": np.array([0] * 16 + [1, 10_000, 4000, 1, 1, 1], np.int32)}, 4000),
        ({"MASTERING_DISPLAY_METADATA": np.array([0] * 22, np.int32)}, 1000),
    ],
)
def test_the_brightest_light_that_an_hdr_clip_tells(side_data, peak):
    assert peak_light(SimpleNamespace(side_data=side_data)) == peak


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_all_eight_orientations(tmp_path, turn, mirrored):
    stored = np.asarray(make_picture(64, 48, seed=3))
    with av.open(str(tmp_path / "clip.mp4"), "w") as file:
        stream = file.add_stream("h264", rate=10, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.set_display_rotation(turn, hflip=mirrored)
        file.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        file.mux(stream.encode(None))
    found = probe(tmp_path / "clip.mp4")
    upright = next(read_frames(found)).pixels
    shown = np.rot90(stored, turn // 90)  # counter-clockwise, as FFmpeg documents the angle
    shown = shown[:, ::-1] if mirrored else shown
    assert np.abs(upright.astype(float) - shown).mean() < 4
    assert np.abs(turned_back(upright, found.matrix).astype(float) - stored).mean() < 4


@pytest.mark.slow
@pytest.mark.parametrize("steady", [False, True])
def test_an_interrupted_video_goes_on(clip, tmp_path, stylizer, monkeypatch, steady):
    monkeypatch.setattr(pipeline, "SEGMENT", 6)
    found, options = probe(clip), VideoOptions(steady=steady)
    paint_video(found, tmp_path / "whole.mp4", stylizer, options)

    def interrupt(done):
        if done == 15:  # two segments are complete, and half of the third one
            raise KeyboardInterrupt

    target = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        paint_video(found, target, stylizer, options, interrupt)
    assert not target.exists()
    done = []
    paint_video(found, target, stylizer, options, done.append)
    assert done == list(range(12, FRAMES + 1))
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "whole.mp4", "out.mp4"}

    # Segments of other settings are of no use.
    with pytest.raises(KeyboardInterrupt):
        paint_video(found, target, stylizer, VideoOptions(style_options=StyleOptions(0.5)), interrupt)
    begun = []
    paint_video(found, target, stylizer, options, begun.append)
    assert begun[0] == 0
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("kind", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("share", [0.8, 0.4])
def test_a_video_that_was_cut_short(tmp_path, photo, kind, share):
    make_clip(tmp_path / f"whole.{kind}", WALK, photo)
    data = (tmp_path / f"whole.{kind}").read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(len(data) * share)])
    assert probe(tmp_path / f"whole.{kind}").frames == FRAMES
    with pytest.raises(UnreadableVideoError, match="The video 'cut' is damaged, truncated, or of a kind"):
        probe(tmp_path / "cut")


def overwrite(path, number):
    """Noise in the place of a picture's packet, but for its first bytes, which tell what it is."""
    with av.open(str(path)) as file:
        packet = [packet for packet in file.demux(video=0) if packet.size][number]
    data = bytearray(path.read_bytes())
    at = slice(packet.pos + 16, packet.pos + packet.size)
    data[at] = np.random.default_rng(0).bytes(packet.size - 16)
    path.write_bytes(data)


def test_damaged_frames_are_counted_and_told(clip, tmp_path, stylizer):
    whole = paint_video(probe(clip), tmp_path / "whole.mp4", stylizer, UNPAINTED)
    overwrite(clip, 5)
    damage = paint_video(probe(clip), tmp_path / "out.mp4", stylizer, UNPAINTED)
    assert whole == ""
    assert re.fullmatch(
        r"The video 'clip\.mp4' is painted as far as it can be read\. "
        r"Damaged: [12] of its frames, and perhaps those after them\.",
        damage,
    )
    assert told(tmp_path / "out.mp4") == told(tmp_path / "whole.mp4")


def test_frames_of_which_nothing_can_be_read_are_counted_too(tmp_path, stylizer):
    source = tmp_path / "screen.mov"
    with av.open(str(source), "w") as file:
        stream = file.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for number in range(5):
            picture = av.VideoFrame.from_image(make_picture(64, 48, seed=number))
            picture.pts, picture.time_base = number, Fraction(1, 10)
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    overwrite(source, 2)
    damage = paint_video(probe(source), tmp_path / "out.mp4", stylizer, UNPAINTED)
    assert "Damaged: 1 of its frames" in damage
    times, _, takes = told(tmp_path / "out.mp4")
    assert times == [0, Fraction(1, 10), Fraction(3, 10), Fraction(4, 10)]
    assert takes == Fraction(1, 2)


@pytest.mark.parametrize("whole_packets", [False, True])
def test_a_transport_stream_that_was_cut_off(tmp_path, photo, stylizer, whole_packets):
    source = tmp_path / "tape.mts"
    make_clip(source, WALK, photo)
    assert not probe(source).is_cut
    length = int(source.stat().st_size * 0.6) // 188 * 188 + (0 if whole_packets else 75)
    source.write_bytes(source.read_bytes()[:length])
    damage = paint_video(probe(source), tmp_path / "out.mp4", stylizer, UNPAINTED)
    assert ("1 of its frames" if whole_packets else "its end, which was cut off") in damage
    assert 5 < len(told(tmp_path / "out.mp4")[0]) < FRAMES


def test_interlaced_videos_are_deinterlaced(tmp_path, stylizer):
    """As old cameras made them: rows of two times in a frame. A bar that moves shows it."""
    source, graph = tmp_path / "tape.mpg", av.filter.Graph()
    nodes = graph.add_buffer(width=96, height=64, format="yuv420p", time_base=Fraction(1, 25))
    graph.link_nodes(nodes, graph.add("setfield", "tff"), graph.add("buffersink")).configure()

    def field(number):
        pixels = np.full((64, 96, 3), 60, np.uint8)
        pixels[:, 4 + 2 * number : 16 + 2 * number] = 220
        return pixels

    with av.open(str(source), "w") as file:
        stream = file.add_stream("mpeg2video", rate=25, options={"flags": "+ilme+ildct", "qscale": "2"})
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 96, 64, "yuv420p", 4_000_000
        for number in range(12):
            pixels = field(2 * number)
            pixels[1::2] = field(2 * number + 1)[1::2]
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            graph.push(picture)
            file.mux(stream.encode(graph.pull()))
        file.mux(stream.encode(None))
    found = probe(source)
    assert found.changes == ["deinterlaced"]
    paint_video(found, tmp_path / "out.mp4", stylizer, UNPAINTED)
    (*shown, _), (*should, _) = told(tmp_path / "out.mp4"), told(source)
    assert shown == [[time - should[0][0] for time in should[0]], should[1]]

    def combs(path, start):
        rows = [p.to_ndarray(format="gray").astype(int) for p in av.open(str(path)).decode(video=0)][start:]
        return np.mean([np.abs(2 * frame[1:-1] - frame[:-2] - frame[2:]).mean() for frame in rows])

    assert combs(tmp_path / "out.mp4", 1) < 0.3 * combs(source, 1)  # the first one has none before it
    whole = [frame.pixels[32].astype(int) for frame in read_frames(found)]
    assert all(np.abs(seen - field(2 * at)[32]).mean() < 8 for at, seen in enumerate(whole[1:-1], 1))


_NO_STYLES = (
    b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\nFormat: Name\r\nStyle: Default\r\n\r\n"
    b"[Events]\r\nFormat: Layer, Start, End, Style, Text\r\n"
)


def test_a_subtitle_may_outlast_the_pictures(tmp_path, photo):
    make_clip(tmp_path / "bare.mkv", WALK, photo, sound=None)
    with av.open(str(tmp_path / "bare.mkv")) as bare, av.open(str(tmp_path / "told.mkv"), "w") as told:
        pictures, words = told.add_stream_from_template(bare.streams.video[0]), told.add_stream("subrip")
        words.codec_context.subtitle_header = _NO_STYLES
        told.start_encoding()
        word = av.Packet(b"hello")
        word.stream, word.time_base, word.pts, word.dts, word.duration = words, Fraction(1, 1000), 0, 0, 5000
        told.mux(word)
        for packet in bare.demux(video=0):
            if packet.size:
                packet.stream = pictures
                told.mux(packet)
    with av.open(str(tmp_path / "told.mkv")) as file:
        assert file.duration == 5_000_000  # of pictures, there is less than a second
    assert probe(tmp_path / "told.mkv").frames == FRAMES


def test_pictures_that_change_their_size_midway_keep_the_first(tmp_path, stylizer, monkeypatch):
    """As screens that are shared do. A segment of another size could not be joined."""
    monkeypatch.setattr(pipeline, "SEGMENT", 5)
    source, tick = tmp_path / "screen.webm", Fraction(1, 24)

    def grey(side, number):
        pixels = np.full((side * 3 // 4, side, 3), 20 * number, np.uint8)
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
        picture.pts, picture.time_base = number, tick
        return picture

    with av.open(str(source), "w") as file:
        stream = file.add_stream("libvpx", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        larger = av.CodecContext.create("libvpx", "w")
        larger.width, larger.height, larger.pix_fmt, larger.time_base = 128, 96, "yuv420p", tick
        for number in range(5):
            file.mux(stream.encode(grey(64, number)))
        file.mux(stream.encode(None))
        late = [packet for number in range(5, 10) for packet in larger.encode(grey(128, number))]
        for packet in (*late, *larger.encode(None)):
            packet.stream = stream
            file.mux(packet)
    found = probe(source)
    paint_video(found, tmp_path / f"out{found.suffix}", stylizer, UNPAINTED)
    painted = list(read_frames(probe(tmp_path / f"out{found.suffix}")))
    assert {frame.pixels.shape for frame in painted} == {(48, 64, 3)}
    for number, frame in enumerate(painted):
        assert np.abs(frame.pixels.astype(float) - 20 * number).mean() < 5


def test_sound_that_no_program_reads_is_left_out():
    """As phones write it beside one that all do."""
    heard, unknown = SimpleNamespace(codec_context=object()), SimpleNamespace(codec_context=None)
    container = SimpleNamespace(streams=SimpleNamespace(audio=[unknown, heard]))
    assert reader.sounds(container) == [heard]


def test_a_kind_of_file_may_refuse_a_sound_with_its_header(clip, monkeypatch):
    """As mp4 refuses TrueHD."""
    real = av.open

    def opened(file, mode="r", format=None, **options):
        container = real(file, mode, format=format, **options)
        if format != "mp4":
            return container
        refusal = av.error.ExperimentalError(1, "experimental")
        return mock.MagicMock(
            **{"__enter__.return_value.start_encoding.side_effect": refusal, "__exit__.return_value": False}
        )

    monkeypatch.setattr(av, "open", opened)
    assert probe(clip).suffix == ".mkv"


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("This is no video.\n" * 100)
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4"):
        with pytest.raises(UnreadableVideoError, match=f"'{name}' is damaged"):
            probe(tmp_path / name)
    with pytest.raises(UnreadableVideoError, match=r"There is no file 'none\.mp4'"):
        probe(tmp_path / "none.mp4")


def test_missing_libraries_are_one_sentence(clip, tmp_path, stylizer, monkeypatch):
    found = probe(clip)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(SettingError, match="pip install opencv-python-headless"):
        paint_video(found, tmp_path / "out.mp4", stylizer, VideoOptions(steady=True))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SettingError, match="Videos need PyAV, which is not installed: pip install av"):
        probe(clip)


def test_steady_lowers_flicker_along_the_true_motion(tmp_path):
    photo, walk = decode(ROOT / "examples" / "coffee.jpg").rgb, Walk(96, 72, 8)
    stylizer = Stylizer.from_style("wave", "iebn", engine="torch")
    make_clip(tmp_path / "clip.mp4", walk, photo, sound=None)
    found, flicker = probe(tmp_path / "clip.mp4"), {}
    for steady in (False, True):
        paint_video(found, tmp_path / "out.mp4", stylizer, VideoOptions(steady=steady))
        paintings = [frame.pixels for frame in read_frames(probe(tmp_path / "out.mp4"))]
        flicker[steady] = true_flicker(paintings, walk, photo)
    assert flicker[True] < 0.8 * flicker[False]


def test_nothing_is_carried_over_a_cut():
    first = np.asarray(make_picture(64, 48)) // 3
    second = 255 - first
    smoother = TemporalSmoother()
    assert np.array_equal(smoother(first, first), first)
    assert np.array_equal(smoother(second, second), second)
    assert np.array_equal(smoother(first[:32], first[:32]), first[:32])  # another size: nothing to carry


def test_trust_ends_where_the_picture_came_in():
    photo = np.asarray(make_picture(96, 72, seed=4))
    left, right = photo[:, :80], photo[:, 8:88]
    seen = trust(flow(right, left), flow(left, right))
    assert seen[:, -5:].mean() < 0.2  # came in from the right
    assert seen[:, 16:56].mean() > 0.8


def test_ahead_is_bounded_and_raises_what_was_raised():
    made = []

    def items():
        for number in range(10):
            made.append(number)
            if number == 6:
                raise ValueError("six")
            yield number

    coming = ahead(items(), 2)
    assert next(coming) == 0
    coming.close()
    assert len(made) <= 4  # the one that was asked for, two ahead, one in the making
    made.clear()
    with pytest.raises(ValueError, match="six"):
        list(ahead(items(), 2))
    assert list(ahead(iter("abc"))) == ["a", "b", "c"]
