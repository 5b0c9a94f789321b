"""Animated pictures stay animations, with their times, plays and transparency; repeats are painted once."""

from zlib import crc32

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.conftest import make_picture
from tests.inference.networks import random_network
from transformer_net.checkpoint import ModelInfo
from transformer_net.errors import ImageSizeError, UnreadableImageError, UnreadableVideoError
from transformer_net.imaging.decode import DEFAULT_LIMITS
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.video import animation
from transformer_net.inference.video.animation import find_animation, paint_animation, suffix_of
from transformer_net.inference.video.pipeline import VideoOptions

TIMES = [100, 40, 250, 60, 120]
SHOWN = [0, 1, 2, 1, 0]  # which picture each frame is
UNPAINTED = VideoOptions(style_options=StyleOptions(strength=0))  # all but the network
OPTIONS = {
    "gif": {"loop": 2},
    "webp": {"loop": 3, "lossless": True},
    "apng": {"loop": 3},
    "avif": {"quality": 95},
}


@pytest.fixture
def stylizer():
    return Stylizer(random_network("in"), ModelInfo("in", 4, grain=0.05))


def make_animation(path, kind, mode="RGB", **more):
    """Five frames of three pictures; played three times, where the kind can say so."""
    pictures = [make_picture(48, 32, seed=number) for number in range(3)]
    if mode == "RGBA":
        for number, picture in enumerate(pictures):
            picture.putalpha(Image.new("L", picture.size, 255))
            if number == 0:
                continue  # the first one is opaque
            picture.paste((0, 0, 0, 0), (8 * number, 4, 8 * number + 12, 20))
    frames = [pictures[number].copy() for number in SHOWN]
    kinds = {"apng": "PNG"}
    frames[0].save(
        path,
        kinds.get(kind, kind.upper()),
        save_all=True,
        append_images=frames[1:],
        **{"duration": TIMES, **OPTIONS[kind], **more},
    )
    return [pictures[number] for number in SHOWN]


def seen(path):
    """Pictures, times and plays, as Pillow reads them."""
    with Image.open(path) as image:
        frames, times = [], []
        for frame in ImageSequence.Iterator(image):
            frames.append(frame.convert("RGBA"))
            times.append(round(frame.info.get("duration", 0)))
        return frames, times, image.info.get("loop")


def paint(source, target, stylizer, kind, options=UNPAINTED, **more):
    found = find_animation(source, DEFAULT_LIMITS)
    return paint_animation(found, target, stylizer, kind, DEFAULT_LIMITS, options, **more)


@pytest.mark.parametrize("kind", ["gif", "webp", "apng", "avif"])
def test_an_animation_keeps_its_kind(tmp_path, stylizer, kind):
    source, target = tmp_path / f"a{suffix_of(kind)}", tmp_path / f"b{suffix_of(kind)}"
    pictures, told = make_animation(source, kind), []
    assert find_animation(source, DEFAULT_LIMITS).kind == kind
    assert paint(source, target, stylizer, kind, on_frame=told.append) == 3
    assert told == [1, 2, 3, 4, 5]
    frames, times, loop = seen(target)
    assert (times, loop) == (TIMES, seen(source)[2])
    for frame, picture in zip(frames, pictures, strict=True):
        assert np.abs(np.asarray(frame.convert("RGB"), int) - np.asarray(picture)).mean() < 6
    assert {path.name for path in tmp_path.iterdir()} == {source.name, target.name}


def test_frames_are_painted_as_photos_are(tmp_path, stylizer):
    pictures = make_animation(tmp_path / "a.png", "apng")
    assert paint(tmp_path / "a.png", tmp_path / "b.png", stylizer, "apng", VideoOptions(max_side=40)) == 3
    for frame, picture in zip(seen(tmp_path / "b.png")[0], pictures, strict=True):
        assert np.array_equal(frame.convert("RGB"), stylizer.paint(picture, max_side=40))


@pytest.mark.parametrize("kind", ["gif", "webp", "apng", "avif"])
def test_transparency_is_kept(tmp_path, stylizer, kind):
    make_animation(tmp_path / "a.webp", "webp", "RGBA")
    paint(tmp_path / "a.webp", target := tmp_path / f"b{suffix_of(kind)}", stylizer, kind)
    for frame, picture in zip(seen(target)[0], seen(tmp_path / "a.webp")[0], strict=True):
        assert np.abs(np.asarray(frame.getchannel("A"), int) - np.asarray(picture.getchannel("A"))).max() <= 3


@pytest.mark.parametrize(
    ("kind", "loop", "plays"),
    [("gif", 0, 0), ("gif", None, 1), ("gif", 4, 5), ("webp", 4, 4), ("apng", 0, 0)],
)
def test_how_often_it_is_played_survives_another_kind(tmp_path, stylizer, kind, loop, plays):
    source = tmp_path / f"a{suffix_of(kind)}"
    make_animation(source, kind, loop=loop)
    assert find_animation(source, DEFAULT_LIMITS).plays == plays
    for other in ("gif", "webp", "apng"):
        paint(source, target := tmp_path / f"b{suffix_of(other)}", stylizer, other)
        assert find_animation(target, DEFAULT_LIMITS).plays == plays


@pytest.mark.parametrize(
    ("times", "kind", "written"),
    [
        ([33] * 10, "gif", [30, 40, 30, 30, 40, 30, 30, 30, 40, 30]),
        ([16] * 10 + [140], "gif", [20] * 10 + [100]),  # nothing is shown faster, and the end is in time
        ([0, 10, 100, 5], "gif", [0, 10, 100, 0]),  # for a tenth of a second, all four, as before
        ([33] * 3, "webp", [33] * 3),
        ([0, 10, 16, 11], "webp", [0, 10, 16, 11]),
        ([16] * 3, "mp4", [16] * 3),
        ([5, 16, 16], "mp4", [100, 16, 16]),
    ],
)
def test_times_that_a_kind_cannot_hold_add_up(tmp_path, stylizer, times, kind, written):
    frames = [make_picture(20, 16, seed=number) for number in range(len(times))]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=times)
    paint(tmp_path / "a.webp", target := tmp_path / f"b.{kind}", stylizer, kind)
    if kind != "mp4":
        assert seen(target)[1] == written
        return
    with av.open(str(target)) as file:
        begins = [round(frame.pts * frame.time_base * 1000) for frame in file.decode(video=0)]
        assert [*begins, file.duration // 1000] == [sum(written[:number]) for number in range(len(times) + 1)]


def test_parts_of_a_millisecond_add_up(tmp_path, stylizer):
    """An APNG with sixty frames a second."""
    make_animation(tmp_path / "a.png", "apng", duration=[16] * 5)
    data = (tmp_path / "a.png").read_bytes()
    chunks = data.split(b"fcTL")
    for number, chunk in enumerate(chunks[1:], 1):
        control = chunk[:20] + (1).to_bytes(2, "big") + (60).to_bytes(2, "big") + chunk[24:26]
        chunks[number] = control + crc32(b"fcTL" + control).to_bytes(4, "big") + chunk[30:]
    (tmp_path / "a.png").write_bytes(b"fcTL".join(chunks))
    for kind, written in (("apng", [17, 16, 17, 17, 16]), ("gif", [20, 20, 20, 20, 20])):
        paint(tmp_path / "a.png", target := tmp_path / f"b{suffix_of(kind)}", stylizer, kind)
        assert seen(target)[1] == written


def test_an_animation_becomes_a_video(tmp_path, stylizer):
    pictures = make_animation(tmp_path / "a.webp", "webp")
    paint(tmp_path / "a.webp", tmp_path / "b.mp4", stylizer, "mp4")
    with av.open(str(tmp_path / "b.mp4")) as file:
        frames = list(file.decode(video=0))
        assert [frame.pts * frame.time_base * 1000 for frame in frames] == [0, 100, 140, 390, 450]
        assert file.duration == sum(TIMES) * 1000
    for frame, picture in zip(frames, pictures, strict=True):
        shown = frame.to_ndarray(format="rgb24", interpolation="BICUBIC").astype(int)
        assert np.abs(shown - np.asarray(picture)).mean() < 6


def test_steady_paints_repeats_anew(tmp_path, stylizer):
    make_animation(tmp_path / "a.png", "apng")
    assert paint(tmp_path / "a.png", tmp_path / "b.png", stylizer, "apng", VideoOptions(steady=True)) == 5


def test_a_picture_for_programs_that_know_no_animations_is_no_frame(tmp_path, stylizer):
    frames = [make_picture(48, 32, seed=number) for number in range(3)]
    frames[0].save(
        tmp_path / "a.png", save_all=True, default_image=True, append_images=frames[1:], duration=50
    )
    assert paint(tmp_path / "a.png", tmp_path / "b.png", stylizer, "apng") == 2
    painted, times, _ = seen(tmp_path / "b.png")
    assert times == [50, 50]
    assert np.abs(np.asarray(painted[0].convert("RGB"), int) - np.asarray(frames[1])).mean() < 6


def test_what_is_no_animation(tmp_path, stylizer, monkeypatch):
    make_picture(40, 30).save(tmp_path / "still.gif")
    (tmp_path / "text.gif").write_text("GIF89a, or so it says")
    assert find_animation(tmp_path / "still.gif", DEFAULT_LIMITS) is None
    assert find_animation(tmp_path / "text.gif", DEFAULT_LIMITS) is None
    make_animation(tmp_path / "cut.png", "apng")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-900])
    with pytest.raises(UnreadableImageError, match="The PNG picture is damaged"):
        paint(tmp_path / "cut.png", tmp_path / "out.png", stylizer, "apng")
    assert not (tmp_path / "out.png").exists()
    make_animation(tmp_path / "long.gif", "gif")
    monkeypatch.setattr(animation, "_MOST_PIXELS", 5 * 48 * 32 - 1)
    with pytest.raises(ImageSizeError, match="--format mp4"):
        paint(tmp_path / "long.gif", tmp_path / "out.gif", stylizer, "gif")
    paint(tmp_path / "long.gif", tmp_path / "out.mp4", stylizer, "mp4")


def test_what_a_kind_cannot_hold_is_said_before_it_is_painted(tmp_path, stylizer):
    frames = [Image.new("RGB", (16_400, 16), (40 * number, 0, 0)) for number in range(2)]
    frames[0].save(tmp_path / "wide.png", save_all=True, append_images=frames[1:], duration=50)
    with pytest.raises(ImageSizeError, match="at most 16,383 pixels on a side; apng"):
        paint(tmp_path / "wide.png", tmp_path / "out.webp", stylizer, "webp")
    narrow = VideoOptions(max_side=400, style_options=StyleOptions(strength=0))
    paint(tmp_path / "wide.png", tmp_path / "out.webp", stylizer, "webp", narrow)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.webp", "wide.png"]


def test_an_encoder_that_fails_is_one_sentence(tmp_path, stylizer, monkeypatch):
    make_animation(tmp_path / "a.png", "apng")

    def fails(*given, **more):
        raise av.FFmpegError(1, "encoder")

    monkeypatch.setattr(animation, "join", fails)
    with pytest.raises(UnreadableVideoError, match="No video can be made of the animation"):
        paint(tmp_path / "a.png", tmp_path / "b.mp4", stylizer, "mp4")

    def refused(*given, **more):
        raise RuntimeError("partition0 overflow")

    monkeypatch.setattr(Image.Image, "save", refused)
    with pytest.raises(ImageSizeError, match="cannot be written as webp: partition0 overflow"):
        paint(tmp_path / "a.png", tmp_path / "b.webp", stylizer, "webp")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_the_longest_name_that_file_systems_allow(tmp_path, stylizer, kind):
    make_animation(tmp_path / "a.png", "apng")
    target = tmp_path / f"{'n' * 251}.{kind}"
    paint(tmp_path / "a.png", target, stylizer, kind)
    assert target.is_file()
    assert len(list(tmp_path.iterdir())) == 2
