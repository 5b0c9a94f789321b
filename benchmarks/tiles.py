"""Pictures of any size: seconds a megapixel, peak memory, what samples are worth, whether there are seams.

    python -m benchmarks.tiles                                   4, 16 and 100 megapixels, every norm
    python -m benchmarks.tiles --megapixels 4,16 --norm bn,iebn  a first look

Every measurement has a process of its own, for peak memory never falls again. The pictures are an example
photo, enlarged, with noise in place of the detail that it lacks at that size.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import torch
import typer
from PIL import Image

from benchmarks.tables import print_table, tell
from styles.catalog import find_style
from stylize import LIMITS
from transformer_net.commandline import run
from transformer_net.devices import describe_machine
from transformer_net.imaging.decode import decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling.tiles import DEFAULT_MEMORY, Cut, Tiling, fits_whole, parse_memory
from transformer_net.network import MARGIN
from transformer_net.norms import NORMS, canonical_norm

ROOT = Path(__file__).parents[1]

NEEDS = {0: "nothing", 1: "a mean", 2: "mean and variance"}
"""What a norm needs of the whole picture, for its `MOMENTS`."""

_NOISE = 8.0  # standard deviation in levels of 255
_NEAR = 8  # pixels from a border of tiles that count as being at it

Pixels = npt.NDArray[np.float32]


def enlarged(photo: Path, megapixels: float, target: Path) -> None:
    """A JPEG of that many megapixels, in the photo's proportions."""
    random = np.random.default_rng(0)
    with Image.open(photo) as small:
        factor = math.sqrt(megapixels * 1e6 / (small.width * small.height))
        width, height = round(small.width * factor), round(small.height * factor)
        large = small.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    for top in range(0, height, 256):
        rows = np.asarray(large.crop((0, top, width, min(height, top + 256)))).astype(np.float32)
        rows += _NOISE * random.standard_normal(rows.shape, np.float32)
        large.paste(Image.fromarray(np.clip(rows, 0, 255).astype(np.uint8)), (0, top))
    large.save(target, quality=92)


def measure(style: str, norm: str, photo: Path, _: int) -> dict[str, float]:
    """From a file's bytes to a painting's, as stylize.py does it: seconds and the process's peak bytes."""
    stylizer = Stylizer.from_style(style, norm)
    start, spent = time.perf_counter(), time.process_time()
    decoded = decode(photo, LIMITS)
    size = decoded.size
    encode(stylizer.paint_photo(decoded, max_memory=DEFAULT_MEMORY, overwrite=True), "jpeg")
    return {
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - spent,
        "peak": peak(),
        "whole": fits_whole(stylizer.network, size, DEFAULT_MEMORY),
    }


def peak() -> int:
    """Bytes of memory that this process had at most."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: what getrusage gives is at least what the process that started this one had
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def compare(style: str, norm: str, photo: Path, memory: int) -> dict[str, float]:
    """Tiles against the whole: PSNR of samples' statistics, and where tiles by exact statistics differ."""
    stylizer = Stylizer.from_style(style, norm)
    decoded = decode(photo, LIMITS)

    def painted(memory: int, exact: bool = False) -> tuple[Pixels, float]:
        start = time.perf_counter()
        painting = stylizer.paint_photo(decoded, max_memory=memory, exact=exact)
        return np.asarray(painting).astype(np.float32), time.perf_counter() - start

    whole, _ = painted(2**60)
    sampled, seconds = painted(memory)
    exact, exact_seconds = painted(memory, exact=True)
    tiling = Tiling(stylizer.network, decoded.rgb, 0, memory)
    at_border = near(tiling.rows, whole.shape[0])[:, None] | near(tiling.columns, whole.shape[1])
    difference = np.abs(exact - whole).max(axis=2)
    return {
        "psnr": psnr(sampled, whole),
        "border": float(difference[at_border].max(initial=0)),
        "elsewhere": float(difference[~at_border].max(initial=0)),
        "tiles": len(tiling.rows) * len(tiling.columns),
        "longer": exact_seconds / seconds,
    }


def near(cuts: list[Cut], length: int) -> npt.NDArray[np.bool_]:
    """Which rows or columns of a picture lie at a border of two tiles."""
    found = np.zeros(length, np.bool_)
    for cut in cuts[1:]:
        border = cut.start - MARGIN
        found[max(0, border - _NEAR) : border + _NEAR] = True
    return found


def psnr(one: Pixels, other: Pixels) -> float:
    """In decibels."""
    error = float(np.square(one - other).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


_TASKS = {task.__name__: task for task in (measure, compare)}


def in_fresh_process(task: str, style: str, norm: str, photo: Path, memory: int) -> dict[str, float]:
    """`measure` or `compare` in a process of its own."""
    arguments = json.dumps([task, style, norm, str(photo), memory])
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tiles", "--one", arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def tiles(
    megapixels: Annotated[str, typer.Option(help="Sizes, with commas.")] = "4,16,100",
    norm: Annotated[str, typer.Option(help="Normalizers, with commas; or all.")] = "all",
    style: Annotated[str, typer.Option(help="A style of the catalogue.")] = "mosaic",
    photo: Annotated[Path, typer.Option(help="The photo to enlarge.")] = ROOT / "examples" / "coffee.jpg",
    compared: Annotated[float, typer.Option(help="Megapixels to compare with the whole; 0: none.")] = 4,
    tile_memory: Annotated[str, typer.Option(help="Memory for the tiles that are compared.")] = "300M",
    one: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Seconds a megapixel and peak memory, whole and in tiles; tiles against the whole."""
    if one:
        task, style, norm, path, memory = json.loads(one)
        sys.stdout.write(json.dumps(_TASKS[task](style, norm, Path(path), memory)))
        return
    names = list(NORMS) if norm == "all" else [canonical_norm(name) for name in norm.split(",")]
    memory = parse_memory(tile_memory)
    find_style(style)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "photo.jpg"
        enlarged(photo, 0.004, picture)
        bare = in_fresh_process("measure", style, names[0], picture, 0)["peak"]
        rows = [
            row
            for size in map(float, megapixels.split(","))
            for row in measured(style, names, photo, size, picture)
        ]
        print_table(
            f"{describe_machine(torch.device('cpu'))}; the style {style}; JPEG to JPEG, model loaded. The "
            f"peak includes {bare / 2**30:.2f} GiB for Python, its libraries and the model.",
            ["norm", "megapixels", "painted", "s/MP", "processor s/MP", "peak GiB"],
            rows,
            left=3,
        )
        if compared:
            enlarged(photo, compared, picture)
            rows = []
            for name in names:
                found = in_fresh_process("compare", style, name, picture, memory)
                tell(f"{name} at {compared:g} MP, tiles against the whole")
                rows.append(
                    [
                        name,
                        NEEDS[NORMS[name].MOMENTS],
                        f"{found['psnr']:.1f}",
                        f"{found['longer']:.1f}",
                        f"{found['border']:.0f}",
                        f"{found['elsewhere']:.0f}",
                    ]
                )
            print_table(
                f"{compared:g} megapixels in {found['tiles']:.0f} tiles, compared with the picture painted "
                "whole. The last two columns: the largest difference with `--exact`, in levels of 255, "
                f"within {_NEAR} px of a tile's edge and elsewhere.",
                [
                    "norm",
                    "needs of the picture",
                    "PSNR of samples, dB",
                    "times as long with `--exact`",
                    "at tiles' edges",
                    "elsewhere",
                ],
                rows,
                left=2,
            )


def measured(style: str, names: list[str], photo: Path, size: float, picture: Path) -> list[list[str]]:
    """Rows of the first table, for pictures of `size` megapixels."""
    enlarged(photo, size, picture)
    rows = []
    for name in names:
        found = in_fresh_process("measure", style, name, picture, 0)
        tell(f"{name} at {size:g} MP: {found['seconds']:.1f} s")
        each = (found[key] / size for key in ("seconds", "processor"))
        how = "whole" if found["whole"] else "in tiles"
        rows.append([name, f"{size:g}", how, *(f"{e:.2f}" for e in each), f"{found['peak'] / 2**30:.2f}"])
    return rows


if __name__ == "__main__":
    run(tiles)
