"""Pictures of any size: seconds a megapixel, peak memory, and how good a thumbnail's statistics are.

    python benchmarks/tiles.py                                   4, 16 and 100 megapixels, every norm
    python benchmarks/tiles.py --megapixels 4 --norm iebn --max-memory 500M
    python benchmarks/tiles.py --exact                           with exact statistics, several times as long

The pictures are an example photo, enlarged. Each is decoded, painted in tiles and encoded as JPEG in a
process of its own, whose peak resident memory is shown; beside it, that of a process that has done the same
with a tiny picture: what Python, torch and the model take. PSNR is that of painting by the thumbnail's
statistics against painting by the whole picture's; an enlarged photo has little detail for its size, as one
out of focus has.
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
import torch
import typer
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.tables import print_table, tell  # noqa: E402
from styles.catalog import find_style  # noqa: E402
from stylize import LIMITS  # noqa: E402
from transformer_net.commandline import run  # noqa: E402
from transformer_net.devices import describe_machine  # noqa: E402
from transformer_net.images import decode, encode  # noqa: E402
from transformer_net.inference.stylizer import Stylizer  # noqa: E402
from transformer_net.inference.tiles import parse_memory  # noqa: E402
from transformer_net.norms import NORMS, canonical_norm  # noqa: E402

_UNIT = 2**30


def enlarged(photo: Path, megapixels: float, target: Path) -> None:
    """A JPEG of that many megapixels, in the photo's proportions."""
    with Image.open(photo) as small:
        factor = math.sqrt(megapixels * 1e6 / (small.width * small.height))
        size = (round(small.width * factor), round(small.height * factor))
        small.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(target, quality=92)


def measure(style: str, norm: str, photo: Path, memory: int, exact: bool) -> dict[str, float]:
    """Paint one picture, and say how long that took and what the process needed; peak memory in bytes."""
    stylizer = Stylizer.from_style(style, norm)
    decoded = decode(photo, LIMITS)
    start = time.perf_counter()
    painting = stylizer.paint_photo(decoded, max_memory=memory, exact=exact, overwrite=True)
    seconds = time.perf_counter() - start
    encode(painting, "jpeg")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"seconds": seconds, "peak": float(peak)}


def in_fresh_process(style: str, norm: str, photo: Path, memory: int, exact: bool) -> dict[str, float]:
    """`measure` in a process of its own: peak memory never falls again."""
    arguments = json.dumps([style, norm, str(photo), memory, exact])
    done = subprocess.run(
        [sys.executable, __file__, "--one", arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def psnr(style: str, norm: str, photo: Path, memory: int) -> float:
    """Of painting by a thumbnail's statistics against painting by exact ones, in decibels."""
    stylizer = Stylizer.from_style(style, norm)
    decoded = decode(photo, LIMITS)
    fast, exact = (
        np.asarray(stylizer.paint_photo(decoded, max_memory=memory, exact=exact)).astype(np.float32)
        for exact in (False, True)
    )
    error = float(np.square(fast - exact).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def tiles(
    megapixels: Annotated[str, typer.Option(help="Sizes, with commas.")] = "4,16,100",
    norm: Annotated[str, typer.Option(help="Normalizers, with commas; or all.")] = "all",
    style: Annotated[str, typer.Option(help="A style of the catalogue.")] = "mosaic",
    photo: Annotated[Path, typer.Option(help="The photo to enlarge.")] = ROOT / "examples" / "coffee.jpg",
    max_memory: Annotated[str, typer.Option(help="As in stylize.py.")] = "1G",
    exact: Annotated[bool, typer.Option("--exact", help="Time painting by exact statistics.")] = False,
    psnr_megapixels: Annotated[float, typer.Option(help="Size for the PSNR; 0 leaves it out.")] = 4,
    one: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Seconds a megapixel and peak memory of painting in tiles; PSNR of a thumbnail's statistics."""
    if one:
        style, norm, path, memory, exact = json.loads(one)
        sys.stdout.write(json.dumps(measure(style, norm, Path(path), memory, exact)))
        return
    memory = parse_memory(max_memory)
    names = list(NORMS) if norm == "all" else [canonical_norm(name) for name in norm.split(",")]
    find_style(style)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "photo.jpg"
        enlarged(photo, 0.004, picture)
        bare = {name: in_fresh_process(style, name, picture, memory, exact) for name in names}
        for size in map(float, megapixels.split(",")):
            enlarged(photo, size, picture)
            for name in names:
                found = in_fresh_process(style, name, picture, memory, exact)
                seconds, peak = found["seconds"], found["peak"] / _UNIT
                without = bare[name]["peak"] / _UNIT
                rows.append([name, f"{size:g}", f"{seconds / size:.2f}", f"{peak:.2f}", f"{without:.2f}"])
                tell(f"{name} at {size:g} MP: {seconds:.1f} s")
        statistics = "exact statistics" if exact else "a thumbnail's statistics"
        print_table(
            f"{describe_machine(torch.device('cpu'))}; the style {style}, painted by {statistics}, "
            f"--max-memory {max_memory}:",
            ["norm", "megapixels", "s/MP", "peak GiB", "of it without a picture"],
            rows,
        )
        if psnr_megapixels:
            enlarged(photo, psnr_megapixels, picture)
            found_psnr = []
            for name in names:
                tell(f"{name} at {psnr_megapixels:g} MP, thumbnail against exact")
                found_psnr.append([name, f"{psnr(style, name, picture, memory):.1f}"])
            print_table(
                f"By a thumbnail's statistics against by exact ones, {psnr_megapixels:g} megapixels:",
                ["norm", "PSNR, dB"],
                found_psnr,
            )


if __name__ == "__main__":
    run(tiles)
