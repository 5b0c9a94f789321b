"""What a GPU paints: correctness, throughput, latency, videos, memory; for docs/performance.md.

    python -m benchmarks.gpu                        on the GPU of this machine, in less than eight minutes
    python -m benchmarks.gpu --device cpu --small   a trial of the script itself, without a GPU

The server is another process, with its own models; clients are threads of this one.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.serve import Server, form, photo
from benchmarks.tables import print_table, tell
from benchmarks.video import Walk, make_clip, our_loop
from transformer_net.commandline import run
from transformer_net.cores import available_cores
from transformer_net.devices import describe_machine, pick_device, release_memory
from transformer_net.errors import SettingError
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.engines.factory import least_psnr, make_engine
from transformer_net.inference.engines.torch_engine import HALF, TorchEngine
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling.tiles import grained
from transformer_net.inference.video.pipeline import VideoOptions
from transformer_net.norms import NORMS

ROOT = Path(__file__).parents[2]


def each(work: Callable[[], object], seconds: float) -> float:
    """Seconds that a call takes: the median of those that fit into a time, at least three, after two more."""
    taken: list[float] = []
    for _ in range(2):
        work()
    while len(taken) < 3 or sum(taken) < seconds:
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def correctness(device: torch.device, precisions: list[str]) -> None:
    """PSNR against the CPU in fp32, by PyTorch, on the example photos; the least of them."""
    photos = [decode(path, max_side=512).rgb for path in sorted((ROOT / "examples").glob("*.jpg"))]
    rows = []
    for norm in NORMS:
        stylizer = Stylizer.from_style("wave", norm, device, "torch")
        there = [grained(rgb, stylizer.info.grain) for rgb in photos]
        here = Stylizer.from_style("wave", norm, "cpu", "torch").engine
        engines = [make_engine(stylizer.network, device, "torch", precision) for precision in precisions]
        rows.append([norm, *(f"{least_psnr(engine, here, there):.1f}" for engine in engines)])
    print_table("Paintings against a CPU's in fp32, least PSNR in dB:", ["norm", *precisions], rows)


def throughput(device: torch.device, precisions: list[str], side: int, seconds: float) -> dict[str, float]:
    """Paintings a second by batch; gives the best of each precision."""
    stylizer = Stylizer.from_style("mosaic", "iebn", device, "torch")
    pixels = grained(decode(photo(side)).rgb, stylizer.info.grain)
    rows, best = [], {}
    for precision in precisions:
        engine = TorchEngine(stylizer.network, device, precision)
        rates = {
            count: count / each(lambda e=engine, n=count: e.paint_batch([pixels] * n), seconds)  # type: ignore[misc]
            for count in (1, 2, 4, 8)
        }
        best[precision] = max(rates.values())
        rows.append([precision, *(f"{rate:.1f}" for rate in rates.values())])
    title = f"Engine, mosaic IEBN, width {stylizer.info.width}, {side} x {side} px, paintings a second:"
    print_table(title, ["precision", "alone", "2 together", "4", "8"], rows)
    return best


def four_norms(device: torch.device, precision: str, side: int, seconds: float) -> None:
    """One photo by all four normalizers, one after the other, beside one of them."""
    stylizers = [Stylizer.from_style("mosaic", norm, device, "torch", precision) for norm in NORMS]
    picture = decode(photo(side))
    one = each(lambda: stylizers[-1].paint_photo(picture), seconds)
    four = each(lambda: [stylizer.paint_photo(picture) for stylizer in stylizers], seconds)
    print(f"Four normalizers of one photo, {precision}: {four / one:.2f} times one ({1000 * one:.1f} ms).\n")


def served(device: torch.device, precision: str, engine: float, side: int, count: int) -> None:
    """JPEG to JPEG by the server, beside the lesser of the engine and of what decodes and encodes."""
    cores, clients = available_cores(), 8  # more of one address are refused
    data = photo(side)
    painting = decode(data).rgb
    codecs = cores / each(lambda: encode((decode(data), painting)[1], "jpeg"), 0.5)
    body = form(data, style="mosaic", norm="iebn", format="jpeg", precision=precision)
    server = Server(cores, False, device=device, engine="torch")
    try:
        server.load(body, 2 * clients, clients)
        rate, _ = server.load(body, count, clients)
        _, waits = server.load(body, count, clients, interval=2 * clients / rate)
        resident = server.resident()
    finally:
        server.stop()
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    print_table(
        f"Served, {precision}, {side} x {side} px, {clients} clients:",
        ["paintings a second", "of the lesser of engine and codecs", "p50 ms at half the load", "p99", "MB"],
        [
            [
                f"{rate:.1f}",
                f"{rate / min(engine, codecs):.2f}",
                f"{1000 * cuts[49]:.0f}",
                f"{1000 * cuts[98]:.0f}",
                f"{resident:.0f}",
            ]
        ],
        left=0,
    )


def video(device: torch.device, precision: str, size: tuple[int, int], seconds: float) -> None:
    """A video from file to file, beside its own length."""
    walk = Walk(*size, max(2, round(24 * seconds)))
    stylizer = Stylizer.from_style("wave", "iebn", device, "torch", precision)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "clip.mp4"), Path(folder, "painted.mp4")
        make_clip(source, walk, decode(ROOT / "examples" / "coffee.jpg").rgb)
        rate = our_loop(source, target, stylizer, VideoOptions())
    title = f"Video, {size[0]} x {size[1]} px, {precision}"
    print(f"{title}: {rate:.1f} frames a second, {rate / 24:.2f} times as fast as it plays.\n")


def memory(device: torch.device, precision: str) -> None:
    """The most that a painting takes of a CUDA GPU, by its side."""
    stylizer = Stylizer.from_style("mosaic", "iebn", device, "torch", precision)
    rows = []
    for side in (512, 1280, 2560):
        release_memory(device)
        torch.cuda.reset_peak_memory_stats(device)
        stylizer.engine(np.zeros((3, side, side), np.float32))
        taken = torch.cuda.max_memory_allocated(device)
        rows.append([side, f"{taken / 1e6:.0f}", f"{taken / side**2:.0f}"])
    print_table(f"GPU memory of one painting, {precision}:", ["side", "MB", "bytes a pixel"], rows)


def bench(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    small: Annotated[bool, typer.Option("--small", help="Little of everything: a trial.")] = False,
) -> None:
    """Measure what the GPU paints."""
    where = pick_device(device)
    if where.type == "cpu" and device == "auto":
        print("Not measured on a GPU.")
        return
    if where.type == "cpu" and not small:
        raise SettingError("On a CPU, there is only a trial of this script: add --small.")
    precisions = ["fp32", *(["fp16"] if where.type in HALF else [])]
    side, seconds = (96, 0.1) if small else (512, 3.0)
    print(f"{describe_machine(where)}, {available_cores()} cores, PyTorch {torch.__version__}.\n")
    tell("correctness")
    if not small:
        correctness(where, precisions)
    tell("engine")
    best = throughput(where, precisions, side, seconds)
    for precision in precisions:
        tell(f"{precision}: four norms, server, video")
        four_norms(where, precision, side, seconds)
        served(where, precision, best[precision], side, 16 if small else 1500)
        video(where, precision, (96, 64) if small else (1280, 720), 0.5 if small else 10.0)
        if where.type == "cuda":
            memory(where, precision)


if __name__ == "__main__":
    run(bench)
