"""Paint photos: python stylize.py photo.jpg --style mosaic --norm all -o out/

Or write a model for other programs: python stylize.py export --style mosaic --norm iebn --format onnx
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from styles.catalog import find_style
from transformer_net.checkpoint import read_info, write_atomically
from transformer_net.commandline import complain, console, run, say
from transformer_net.devices import pick_device
from transformer_net.errors import SettingError, StylizerError
from transformer_net.images import Limits, decode, encode, fit, output_format
from transformer_net.inference.sheet import side_by_side
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiles import DEFAULT_MEMORY, Progress, parse_memory
from transformer_net.norms import NORM_TITLES, canonical_norm, norm_slug

LIMITS = Limits(max_pixels=500_000_000)
"""More than the web takes: here the photo and the memory are the same person's. Decoded, that is 2 GB."""

_PANEL = 640


def stylize(
    photos: Annotated[list[Path], typer.Argument(help="Photos to paint.", show_default=False)],
    style: Annotated[str, typer.Option(help="A style of the catalogue.")] = "mosaic",
    norm: Annotated[
        str, typer.Option(help="Normalizer: bn, in, bn+se, iebn; several with commas; or all.")
    ] = "all",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the paintings.")] = Path("out"),
    model: Annotated[
        Path | None, typer.Option(help="Paint with this model file instead of the catalogue's.")
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(min=16, help="Shrink photos to this longer side first.")
    ] = None,
    format: Annotated[str, typer.Option(help="png, jpeg or webp.")] = "png",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, torch, openvino, onnxruntime.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, or fp16 on a GPU.")] = "fp32",
    max_memory: Annotated[
        str,
        typer.Option(
            help="Memory for painting, beside the photo's own: 800M, 1.5G. Larger photos: in tiles."
        ),
    ] = f"{DEFAULT_MEMORY // 1024**3}G",
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Tiles as if there were none; several times as long, except for bn."),
    ] = False,
) -> None:
    """Paint photos with one normalizer, or with several and a labelled side-by-side picture of them.

    Writes OUT/<photo>-<style>-<norm>.<format>, of the photo's size, and OUT/<photo>-<style>.<format> with the
    photo and its paintings side by side where there are several.

    `python stylize.py export --help` tells how to write a model for other programs.
    """
    stems = [path.stem for path in photos]
    if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise SettingError(f"Two photos are called {twice!r}: their paintings would overwrite each other.")
    extension = {"jpeg": "jpg"}.get(kind := output_format(format), kind)
    memory = parse_memory(max_memory)
    target = pick_device(device)
    stylizers = [Stylizer.from_file(path, target, engine, precision) for path in _models(style, norm, model)]
    failed = 0
    for path in photos:
        try:
            _paint(path, stylizers, out, kind, extension, max_side, memory, exact)
        except StylizerError as error:
            failed += 1
            complain(f"{path}: {error}")
    if failed:
        raise typer.Exit(2)


def _models(style: str, norm: str, model: Path | None) -> list[Path]:
    if model is not None:
        return [model]
    found = find_style(style)
    norms = found.norms if norm.strip().lower() == "all" else [canonical_norm(n) for n in norm.split(",")]
    if not norms:
        raise SettingError(
            f"The style {found.name!r} has no trained model yet: python train_style.py --style {found.name}"
        )
    return [found.model(n) for n in dict.fromkeys(norms)]


def _paint(
    path: Path,
    stylizers: list[Stylizer],
    out: Path,
    kind: str,
    extension: str,
    max_side: int | None,
    memory: int,
    exact: bool,
) -> None:
    photo = decode(path, LIMITS)
    # A copy: the last painting may take the place of the photo's pixels.
    panels = [("photo", fit(photo.with_alpha(fit(photo.rgb, max_side)), _PANEL).copy())]
    stem = f"{path.stem}-{stylizers[0].info.style}"
    for stylizer in stylizers:
        start = time.perf_counter()
        norm = stylizer.info.norm
        with _progress_line(f"{path.name} {NORM_TITLES[norm]}") as tell:
            painting = stylizer.paint_photo(
                photo,
                max_side,
                max_memory=memory,
                exact=exact,
                overwrite=stylizer is stylizers[-1],
                on_progress=tell,
            )
        seconds = time.perf_counter() - start
        _write(out / f"{stem}-{norm_slug(norm)}.{extension}", encode(painting, kind), f"{seconds:.1f} s")
        panels.append((NORM_TITLES[norm], fit(painting, _PANEL)))
    if len(stylizers) > 1:
        sheet = side_by_side(panels, panel_side=_PANEL)
        _write(out / f"{stem}.{extension}", encode(sheet, kind), "side by side")


@contextmanager
def _progress_line(title: str) -> Iterator[Progress]:
    """Shows how much of a picture is painted, once it is known to be painted in tiles, on a terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Bar(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=1.0, visible=False)
        yield lambda share: bar.update(task, completed=share, visible=True)


def _write(path: Path, data: bytes, remark: str) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror or error}.") from error
    say(f"{path}  {remark}")


def export(
    style: Annotated[str, typer.Option(help="A style of the catalogue.")] = "mosaic",
    norm: Annotated[str, typer.Option(help="Normalizer: bn, in, bn+se or iebn.")] = "iebn",
    model: Annotated[
        Path | None, typer.Option(help="Export this model file instead of the catalogue's.")
    ] = None,
    format: Annotated[str, typer.Option(help="onnx, openvino or torchscript.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file; default: out/<style>-<norm> and extension.")
    ] = None,
) -> None:
    """Write a model for other programs, for pictures of any size, compared with PyTorch before it is written.

    It takes and gives (1, 3, H, W), RGB in [0, 1]. Its metadata name the style, normalizer, width and grain.
    """
    from transformer_net.inference.export import EXTENSIONS, export_model

    source = model or find_style(style).model(norm)
    if out is None:
        info = read_info(source)
        out = Path("out", f"{info.style}-{norm_slug(info.norm)}{EXTENSIONS.get(format.strip().lower(), '')}")
    # The catalogue's models are CC0; what others are is their makers' choice.
    difference = export_model(source, out, format, None if model else "CC0-1.0")
    say(f"{out}  differs from PyTorch by {difference:.1e} at most")


def main() -> None:
    """Run the command that the arguments ask for: a leading `export` is one, unless it is a photo's name."""
    if sys.argv[1:2] == ["export"] and not Path("export").is_file():
        sys.argv[:2] = [f"{sys.argv[0]} export"]  # as it shall stand in the help
        run(export)
    else:
        run(stylize)


if __name__ == "__main__":
    main()
