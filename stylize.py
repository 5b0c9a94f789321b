"""Paint photos: python stylize.py photo.jpg --style mosaic --norm all -o out/"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from styles.catalog import find_style
from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import complain, run, say
from transformer_net.devices import pick_device
from transformer_net.errors import SettingError, StylizerError
from transformer_net.images import decode, encode, fit, output_format
from transformer_net.inference.sheet import side_by_side
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import NORM_TITLES, canonical_norm, norm_slug


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
) -> None:
    """Paint photos with one normalizer, or with several and a labelled side-by-side picture of them.

    Writes OUT/<photo>-<style>-<norm>.<format>, of the photo's size, and OUT/<photo>-<style>.<format> with the
    photo and its paintings side by side where there are several.
    """
    stems = [path.stem for path in photos]
    if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise SettingError(f"Two photos are called {twice!r}: their paintings would overwrite each other.")
    extension = {"jpeg": "jpg"}.get(kind := output_format(format), kind)
    stylizers = _stylizers(style, norm, model, device)
    failed = 0
    for path in photos:
        try:
            _paint(path, stylizers, out, kind, extension, max_side)
        except StylizerError as error:
            failed += 1
            complain(f"{path}: {error}")
    if failed:
        raise typer.Exit(2)


def _stylizers(style: str, norm: str, model: Path | None, device: str) -> list[Stylizer]:
    target = pick_device(device)
    if model is not None:
        return [Stylizer.from_file(model, target)]
    found = find_style(style)
    norms = found.norms if norm.strip().lower() == "all" else [canonical_norm(n) for n in norm.split(",")]
    if not norms:
        raise SettingError(
            f"The style {found.name!r} has no trained model yet: python train_style.py --style {found.name}"
        )
    return [Stylizer.from_file(found.model(n), target) for n in dict.fromkeys(norms)]


def _paint(
    path: Path, stylizers: list[Stylizer], out: Path, kind: str, extension: str, max_side: int | None
) -> None:
    photo = decode(path)
    panels = [("photo", photo.with_alpha(fit(photo.rgb, max_side)))]
    stem = f"{path.stem}-{stylizers[0].info.style}"
    for stylizer in stylizers:
        start = time.perf_counter()
        painting = stylizer.paint_photo(photo, max_side)
        seconds = time.perf_counter() - start
        norm = stylizer.info.norm
        _write(out / f"{stem}-{norm_slug(norm)}.{extension}", encode(painting, kind), f"{seconds:.1f} s")
        panels.append((NORM_TITLES[norm], painting))
    if len(stylizers) > 1:
        sheet = side_by_side(panels, panel_side=640)
        _write(out / f"{stem}.{extension}", encode(sheet, kind), "side by side")


def _write(path: Path, data: bytes, remark: str) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror or error}.") from error
    say(f"{path}  {remark}")


if __name__ == "__main__":
    run(stylize)
