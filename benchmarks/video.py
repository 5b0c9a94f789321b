"""How fast videos are painted, beside a loop over frames with pytorch/examples' network; how they flicker.

    python -m benchmarks.video                                             ten seconds of 720p
    python -m benchmarks.video --size 320x180 --seconds 1 --only flicker   no more than the flicker, and soon

The clip is made here: a slow walk over a photo of the project's, with a zoom, the noise of a sensor, an
exposure that wavers, and a tone. So the true motion of each pixel is known, and flicker is measured along it
as well as along the estimated flow, which `--steady` uses, too. Both are the mean difference between a
painting and the one before, carried along, in levels of 255, where the pixel is to be seen in both; `photo`
is that of the clip itself. Detail is the mean of the Laplacian, relative to the painting without `--steady`.

Paintings are measured as they come back from the encoded file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from PIL import Image
from rich.table import Table

from benchmarks.peers import PEER, peer
from transformer_net.checkpoint import ModelInfo
from transformer_net.commandline import console, run, say
from transformer_net.devices import describe_machine, pick_device
from transformer_net.errors import SettingError
from transformer_net.imaging.arrays import fit, from_array, to_array
from transformer_net.imaging.decode import decode
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.quantization import calibrate
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.video import temporal_consistency
from transformer_net.inference.video.ffmpeg import pyav
from transformer_net.inference.video.pipeline import VideoOptions, paint_video
from transformer_net.inference.video.reader import Frame, probe, read_frames
from transformer_net.inference.video.temporal_consistency import Flow, FramePixels, Share
from transformer_net.inference.video.writer import write_segment
from transformer_net.network import TransformerNet

ROOT = Path(__file__).parents[1]

_SLOWEST = 240  # frames for the whole way, in a clip with fewer frames, too


@dataclass(frozen=True)
class Walk:
    """What a camera sees that walks over a photo: frames, and the true motion between them."""

    width: int
    height: int
    frames: int

    def frame(self, photo: Image.Image, number: int) -> FramePixels:
        x, y, zoom = self._view(photo, number)
        box = (x, y, x + self.width * zoom, y + self.height * zoom)
        sharp = photo.resize((self.width, self.height), Image.Resampling.LANCZOS, box=box)
        noise = np.random.default_rng(number).normal(0, 2, (self.height, self.width, 3))
        seen = np.asarray(sharp) * (1 + 0.03 * np.sin(number)) + noise
        return np.rint(np.clip(seen, 0, 255)).astype(np.uint8)

    def back(self, photo: Image.Image, number: int) -> tuple[Flow, Share]:
        """Where the pixels of a frame were in the one before, and 1 for those that were there."""
        x, y, zoom = self._view(photo, number)
        last_x, last_y, last_zoom = self._view(photo, number - 1)
        rows, columns = np.indices((self.height, self.width)) + 0.5  # centres of pixels
        right = (x + columns * zoom - last_x) / last_zoom - columns
        down = (y + rows * zoom - last_y) / last_zoom - rows
        motion = np.stack([right, down], axis=-1).astype(np.float32)
        ends = (right + columns, down + rows)
        inside = [(end >= 0.5) & (end <= side - 0.5) for end, side in zip(ends, self._size, strict=True)]
        return motion, (inside[0] & inside[1]).astype(np.float32)

    @property
    def _size(self) -> tuple[int, int]:
        return self.width, self.height

    def _view(self, photo: Image.Image, number: int) -> tuple[float, float, float]:
        """Left, top, and pixels of the photo for one of the frame: within the photo throughout."""
        part = number / max(self.frames, _SLOWEST)
        zoom = min(photo.width / self.width, photo.height / self.height) * (0.8 - 0.2 * part)
        room = photo.width - zoom * self.width, photo.height - zoom * self.height
        return room[0] * (0.1 + 0.6 * part), room[1] * (0.2 + 0.5 * part), zoom


def make_clip(
    path: Path,
    walk: Walk,
    photo: Image.Image,
    *,
    rate: int = 24,
    varying: bool = False,
    rotation: int = 0,
    sound: str | None = "aac",
) -> None:
    """Write the clip that `walk` gives, with a tone of 440 Hz.

    Args:
        path: Its suffix decides what kind of file.
        walk: What is to be seen.
        photo: What it is seen of.
        rate: Frames a second.
        varying: Whether every third frame lasts twice as long.
        rotation: Degrees counter-clockwise by which players turn it.
        sound: The codec of the sound; None for a silent clip.
    """
    av = pyav()
    with av.open(str(path), "w") as file:
        stream = file.add_stream("h264", rate=rate, options={"crf": "12", "preset": "ultrafast"})
        even = walk.width % 2 == walk.height % 2 == 0
        stream.width, stream.height, stream.pix_fmt = (
            walk.width,
            walk.height,
            "yuv420p" if even else "yuv444p",
        )
        context, tick = stream.codec_context, Fraction(1, 2 * rate)
        context.time_base, context.colorspace, context.color_range = tick, 1, 1
        if rotation:
            stream.set_display_rotation(rotation)
        audio = file.add_stream(sound, rate=48000, layout="mono") if sound else None
        now = 0
        for number in range(walk.frames):
            picture = av.VideoFrame.from_ndarray(walk.frame(photo, number), format="rgb24").reformat(
                format=stream.pix_fmt, dst_colorspace=1, dst_color_range=1
            )
            picture.pts, picture.time_base, picture.duration = now, tick, 2
            now += 4 if varying and number % 3 == 0 else 2
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
        if audio is not None:
            for samples in _tone(int(48000 * now * tick)):
                file.mux(audio.encode(samples))
            file.mux(audio.encode(None))


def _tone(length: int) -> Iterator[Any]:
    wave = (0.3 * np.sin(2 * np.pi * 440 / 48000 * np.arange(length))).astype(np.float32)[None]
    for start in range(0, length, 1024):
        block = pyav().AudioFrame.from_ndarray(wave[:, start : start + 1024], "fltp", "mono")
        block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
        yield block


def true_flicker(paintings: list[FramePixels], walk: Walk, photo: Image.Image) -> float:
    """Along the true motion."""
    return _mean(
        temporal_consistency.flicker(paintings[n - 1], paintings[n], *walk.back(photo, n))
        for n in range(1, len(paintings))
    )


def estimated_flicker(paintings: list[FramePixels], photos: list[FramePixels]) -> float:
    """Along the optical flow of the clip."""

    def pairs() -> Iterator[float]:
        for n in range(1, len(photos)):
            back, forth = (
                temporal_consistency.flow(photos[n], photos[n - 1]),
                temporal_consistency.flow(photos[n - 1], photos[n]),
            )
            yield temporal_consistency.flicker(
                paintings[n - 1], paintings[n], back, temporal_consistency.trust(back, forth)
            )

    return _mean(pairs())


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def detail(pictures: list[FramePixels]) -> float:
    """Mean size of the Laplacian, in levels of 255."""
    cv2 = temporal_consistency.opencv()
    return _mean(float(np.abs(cv2.Laplacian(p.astype(np.float32), cv2.CV_32F)).mean()) for p in pictures)


def frames_of(path: Path) -> list[FramePixels]:
    return [frame.pixels for frame in read_frames(probe(path))]


def peer_loop(source: Path, target: Path, device: torch.device) -> float:
    """Frames a second of a loop with the published network: read, paint and write, one after the other."""
    network = peer().to(device)
    clip = probe(source)

    @torch.inference_mode()
    def painted() -> Iterator[Frame]:
        for frame in read_frames(clip):
            batch = torch.from_numpy(to_array(Image.fromarray(frame.pixels)))[None].to(device)
            painting = from_array(network(batch * 255)[0].cpu().numpy() / 255)
            height, width = frame.pixels.shape[:2]  # the network rounds sides up to a multiple of 4
            yield Frame(np.asarray(painting)[:height, :width], frame.time, frame.duration)

    begun = time.perf_counter()
    number = write_segment(target, painted(), clip)
    return number / (time.perf_counter() - begun)


def our_loop(source: Path, target: Path, stylizer: Stylizer, options: VideoOptions) -> float:
    """Frames a second of `paint_video`, the joining included."""
    clip = probe(source)
    begun = time.perf_counter()
    paint_video(clip, target, stylizer, options)
    return clip.frames / (time.perf_counter() - begun)


def bench(
    size: Annotated[str, typer.Option(help="Of the clip.")] = "1280x720",
    seconds: Annotated[float, typer.Option(help="Length of the clip, at 24 frames a second.")] = 10.0,
    style: Annotated[str, typer.Option(help="A style of the catalogue.")] = "wave",
    norm: Annotated[str, typer.Option(help="Normalizers, with commas.")] = "bn,in,bn+se,iebn",
    photo: Annotated[Path, typer.Option(help="What the clip shows.")] = ROOT / "examples" / "coffee.jpg",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, torch, openvino, onnxruntime.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32; int8 or bf16 on a CPU; fp16 on a GPU.")] = "fp32",
    only: Annotated[
        Literal["race", "flicker"] | None, typer.Option(help="Half of it: race or flicker.")
    ] = None,
) -> None:
    """Measure frames a second and flicker of painted videos."""
    try:
        width, height = (int(side) for side in size.split("x"))
    except ValueError:
        raise SettingError(f"The size must be one such as 1280x720, not {size!r}.") from None
    where = pick_device(device)
    say(describe_machine(where))
    picture = decode(photo).rgb
    walk = Walk(width, height, max(2, round(24 * seconds)))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "clip.mp4"), Path(folder, "painted.mp4")
        make_clip(source, walk, picture)
        stylizers = {
            n: Stylizer.from_style(style, n, where, engine, precision)
            for n in norm.replace(" ", "").split(",")
        }
        if only != "flicker":
            _race(
                source, target, stylizers | {"iebn, random weights": _wide(picture, where, engine, precision)}
            )
        if only != "race":
            _flicker(source, target, stylizers, walk, picture)


def _wide(photo: Image.Image, device: torch.device, engine: str, precision: str) -> Stylizer:
    """A network of the peer's width: only its speed counts."""
    network = TransformerNet("iebn", 32).eval()
    ranges = calibrate(network, [to_array(fit(photo, 512))]) if precision == "int8" else None
    made = make_engine(network, device, engine, precision, ranges=ranges)
    return Stylizer(network, ModelInfo("iebn", 32), device, engine=made)


def _race(source: Path, target: Path, stylizers: dict[str, Stylizer]) -> None:
    table = Table(title="From file to file, reading and writing included")
    for title in ("network", "width"):
        table.add_column(title, no_wrap=True)
    for title in ("frames a second", "times the loop"):
        table.add_column(title, justify="right")
    theirs = peer_loop(source, target, next(iter(stylizers.values())).device)
    table.add_row(f"{PEER}, frame by frame", "32", f"{theirs:.2f}", "1")
    for name, stylizer in stylizers.items():
        for steadily in (False, True):
            ours = our_loop(source, target, stylizer, VideoOptions(steady=steadily))
            title = f"{name}, --steady" if steadily else name
            table.add_row(title, str(stylizer.info.width), f"{ours:.2f}", f"{ours / theirs:.2f}")
    console.print(table)


def _flicker(
    source: Path, target: Path, stylizers: dict[str, Stylizer], walk: Walk, picture: Image.Image
) -> None:
    table = Table(title=f"Flicker, {walk.width} x {walk.height} px, {walk.frames} frames")
    table.add_column("norm", no_wrap=True)
    for title in ("true motion", "estimated", "detail"):
        table.add_column(title, justify="right")
    photos = frames_of(source)
    table.add_row(
        "photo", f"{true_flicker(photos, walk, picture):.2f}", f"{estimated_flicker(photos, photos):.2f}", ""
    )
    for norm, stylizer in stylizers.items():
        whole = 0.0
        for steadily in (False, True):
            paint_video(probe(source), target, stylizer, VideoOptions(steady=steadily))
            paintings = frames_of(target)
            whole = whole or detail(paintings)
            table.add_row(
                f"{norm}, --steady" if steadily else norm,
                f"{true_flicker(paintings, walk, picture):.2f}",
                f"{estimated_flicker(paintings, photos):.2f}",
                f"{detail(paintings) / whole:.0%}",
            )
    console.print(table)


if __name__ == "__main__":
    run(bench)
