"""Paint photos: python stylize.py photo.jpg --style mosaic --norm all -o out/

A whole folder, only what is new: python stylize.py photos/ --style wave --norm iebn -o out/
A video, with its sound: python stylize.py clip.mp4 --style wave --norm iebn --steady -o out/
Or write a model for other programs: python stylize.py export --style mosaic --norm iebn --format onnx
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from styles.blend import common_norms, parse_blend, two_styles
from styles.catalog import find_style
from transformer_net.checkpoint import read_info, write_atomically
from transformer_net.commandline import complain, console, run, say
from transformer_net.devices import pick_device
from transformer_net.errors import SettingError, StylizerError
from transformer_net.images import Limits, decode, encode, fit, output_format
from transformer_net.inference.colour import Look
from transformer_net.inference.folders import Job, Ledger, find_jobs, made_of
from transformer_net.inference.mask import TwoStyles, read_mask
from transformer_net.inference.sheet import side_by_side
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiles import DEFAULT_MEMORY, Progress, parse_memory
from transformer_net.inference.video import VideoOptions, paint_video
from transformer_net.inference.videofile import probe
from transformer_net.metadata import kept
from transformer_net.norms import NORM_TITLES, canonical_norm, norm_slug

LIMITS = Limits(max_pixels=500_000_000)
"""More than the web takes: here the photo and the memory are the same person's. Decoded, that is 2 GB."""

_PANEL = 640


def stylize(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos, videos, and folders of them.", show_default=False),
    ],
    style: Annotated[
        str, typer.Option(help="A style of the catalogue, or a blend: wave:0.6,starry:0.4.")
    ] = "mosaic",
    norm: Annotated[
        str, typer.Option(help="Normalizer: bn, in, bn+se, iebn; several with commas; or all.")
    ] = "all",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the paintings.")] = Path("out"),
    model: Annotated[
        Path | None, typer.Option(help="Paint with this model file instead of the catalogue's.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="A picture that chooses between two styles, --style wave,starry: black the first, white the "
            "second, grey mixes them."
        ),
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(min=16, help="Shrink photos to this longer side first.")
    ] = None,
    strength: Annotated[
        float, typer.Option(help="From 0, the photo itself, to 1, the painting at its full strength.")
    ] = 1.0,
    keep_colour: Annotated[
        bool, typer.Option("--keep-colour", help="The style's light and strokes in the photo's own colours.")
    ] = False,
    match_palette: Annotated[
        bool,
        typer.Option("--match-palette", help="Move the photo's colours towards the style picture's first."),
    ] = False,
    format: Annotated[str, typer.Option(help="png, jpeg or webp.")] = "png",
    keep_exif: Annotated[
        bool,
        typer.Option(
            "--keep-exif", help="Copy camera, time and author into the paintings, and tag them as sRGB."
        ),
    ] = False,
    keep_gps: Annotated[
        bool, typer.Option("--keep-gps", help="The same, and the place where the photo was taken.")
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="Photos in hand at once: one is read or written while another is painted."),
    ] = 2,
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
    steady: Annotated[
        bool, typer.Option("--steady", help="Videos: less flicker, by carrying paint along with what moves.")
    ] = False,
    engine_cluster: Annotated[
        str | None, typer.Option(help="Paint on many machines: ray. See docs/scale.md.", show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Of the cluster: auto or host:port; else it is this machine.", show_default=False),
    ] = None,
) -> None:
    """Paint photos with one normalizer, or with several and a labelled side-by-side picture of them.

    Writes OUT/<photo>-<style>-<norm>.<format>, of the photo's size, and OUT/<photo>-<style>.<format> with the
    photo and its paintings side by side where there are several.

    Of a FOLDER, everything below it is painted, in the same subfolders of OUT. What was painted before, from
    the same photo with the same settings, is skipped. Photos that cannot be painted are listed at the end.

    Of a video, OUT/<video>-<style>-<norm>.mp4 has the same frames at the same times, and the same sound. If
    the work is interrupted, the same command goes on with it.

    Exit code 0: all are painted. 1: all but the listed ones. 2: none.

    `python stylize.py export --help` tells how to write a model for other programs.
    """
    if address is not None and engine_cluster is None:
        raise SettingError("--address is of a cluster: --engine-cluster ray.")
    kind = output_format(format)
    look, memory = Look(strength, keep_colour, match_palette), parse_memory(max_memory)
    found = find_jobs(photos, out)
    clips = [job for job in found if job.is_video]
    if steady and not clips:
        raise SettingError("--steady is for videos, and there is none.")
    if clips == found and kind != "png":
        raise SettingError("--format is for photos: videos are written as mp4.")
    if clips and (mask or match_palette):  # each frame would be measured by itself, and flicker
        raise SettingError("--mask and --match-palette are for photos, not for videos.")
    stylizers = _stylizers(style, norm, model, mask, pick_device(device), engine, precision)
    for stylizer in stylizers:
        stylizer.check(look)  # before a folder of photos is read
    work = _Work(
        stylizers,
        out, kind, max_side, look, memory, exact,
        Ledger(out) if any(path.is_dir() for path in photos) else None,
        keep_exif or keep_gps, keep_gps,
    )  # fmt: skip
    if engine_cluster is None:
        failed = _paint_all([job for job in found if not job.is_video], work, jobs)
        failed |= _paint_clips(clips, work, VideoOptions(max_side, look, steady, memory, exact))
    else:
        if clips:
            raise SettingError("A cluster paints photos only: leave out --engine-cluster for videos.")
        files = (model and model.absolute(), mask and mask.absolute())
        models = (style, norm, *files, device, engine, precision)
        failed = _paint_on_cluster(found, work, models, engine_cluster, address)
    for job in found:  # in the order of the photos, whichever was first to fail
        if job in failed:
            complain(f"{job.photo}: {failed[job]}")
    if failed:
        raise typer.Exit(1 if len(failed) < len(found) else 2)


def _stylizers(
    style: str,
    norm: str,
    model: Path | None,
    mask: Path | None,
    device: torch.device,
    engine: str,
    precision: str,
) -> Sequence[Stylizer | TwoStyles]:
    if model is not None:
        if mask is not None:
            raise SettingError("A mask chooses between two styles of the catalogue, not with a model file.")
        return [Stylizer.from_file(model, device, engine, precision)]
    parts = [style] if mask is None else list(two_styles(style))
    have = common_norms(parse_blend(style))
    norms = have if norm.strip().lower() == "all" else [canonical_norm(n) for n in norm.split(",")]
    if not norms:
        raise SettingError(
            f"The style {style!r} has no trained model yet: python train_style.py --style {style}"
        )
    made = [
        [Stylizer.from_style(part, n, device, engine, precision) for part in parts]
        for n in dict.fromkeys(norms)
    ]
    if mask is None:
        return [stylizer for (stylizer,) in made]
    picture = read_mask(mask, LIMITS)
    return [TwoStyles(first, second, picture) for first, second in made]


@dataclass(frozen=True)
class _Work:
    """What is to be done with each photo."""

    stylizers: Sequence[Stylizer | TwoStyles]
    out: Path
    kind: str
    max_side: int | None
    look: Look
    memory: int
    exact: bool
    ledger: Ledger | None
    keep_exif: bool
    keep_gps: bool

    def outputs(self, job: Job) -> list[Path]:
        """The files to write: a painting for each stylizer, then the sheet if there are several."""
        extension = {"jpeg": "jpg"}.get(self.kind, self.kind)
        stem = f"{job.stem}-{self.stylizers[0].info.style}"
        names = [f"{stem}-{norm_slug(stylizer.info.norm)}" for stylizer in self.stylizers]
        if len(names) > 1:
            names.append(stem)
        return [self.out / f"{name}.{extension}" for name in names]

    def made_of(self, job: Job) -> str:
        """What the files of a photo depend on; empty where nobody asks, or there is no photo."""
        if self.ledger is None or not job.photo.is_file():
            return ""
        metadata = (self.keep_exif, self.keep_gps)
        settings = [self.kind, self.max_side, self.look, self.exact, self.models, metadata]
        return made_of(job.photo, repr(settings))

    def is_done(self, job: Job, of: str) -> bool:
        """Whether all its files are there, and were made of just this."""
        return self.ledger is not None and all(self.ledger.is_done(p, of) for p in self.outputs(job))

    @cached_property
    def models(self) -> list[str]:
        """A checksum of each network's weights."""
        return [stylizer.fingerprint for stylizer in self.stylizers]


def _paint_all(found: list[Job], work: _Work, jobs: int) -> dict[Job, StylizerError]:
    """Paint every photo, several at a time; gives those that failed, with the reason."""
    failed: dict[Job, StylizerError] = {}
    skipped = 0
    with _progress() as bar, ThreadPoolExecutor(jobs) as pool:
        photos = bar.add_task("photos", total=len(found), visible=len(found) > 1)
        running = {pool.submit(_paint, job, work, bar): job for job in found}
        try:
            for future in as_completed(running):
                try:
                    skipped += not future.result()
                except StylizerError as error:
                    failed[running[future]] = error
                bar.advance(photos)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what is being painted is finished
            raise
    _sum_up(found, skipped, failed)
    return failed


def _sum_up(found: list[Job], skipped: int, failed: dict[Job, StylizerError]) -> None:
    if skipped:
        say(f"{skipped} of {len(found)} painted before")
    if failed and len(found) > 1:
        say(f"{len(failed)} of {len(found)} could not be painted")


_Models = tuple[str, str, Path | None, Path | None, str, str, str]
"""What `_stylizers` takes, with the device's name in place of the device, which may be another elsewhere."""


def _paint_on_cluster(
    found: list[Job], work: _Work, models: _Models, cluster: str, address: str | None
) -> dict[Job, StylizerError]:
    """As `_paint_all`, by the workers of a cluster. This process alone keeps the ledger."""
    from transformer_net.inference.cluster import paint_on_ray

    if cluster.strip().lower() != "ray":
        raise SettingError(f"There is no cluster engine {cluster!r}: ray.")
    if pick_device(models[4]).type != "cpu":
        raise SettingError("A cluster paints with CPUs: --device cpu.")
    of = {job: work.made_of(job) for job in found}  # before painting: a photo may change meanwhile
    todo = [job for job in found if not work.is_done(job, of[job])]
    plan = replace(work, stylizers=[], out=work.out.absolute(), ledger=None)
    failed: dict[Job, StylizerError] = {}
    with _progress() as bar:
        photos = bar.add_task("photos", total=len(todo))
        for job, error in paint_on_ray(todo, partial(_painter, models, plan), address):
            if error is not None:
                failed[job] = error
            else:
                for path in work.outputs(job):
                    if work.ledger:
                        work.ledger.add(path, of[job])
                    say(str(path))
            bar.advance(photos)
    _sum_up(found, len(found) - len(todo), failed)
    return failed


def _painter(models: _Models, plan: _Work) -> Callable[[Job], bool]:
    """In a worker: what paints a photo, once the models are loaded."""
    style, norm, model, mask, device, engine, precision = models
    stylizers = _stylizers(style, norm, model, mask, pick_device(device), engine, precision)
    work, bar = replace(plan, stylizers=stylizers), Bar(disable=True)
    return lambda job: _paint(job, work, bar)


def _paint(job: Job, work: _Work, bar: Bar) -> bool:
    """Paint one photo with every normalizer; False where that was done before."""
    outputs, of = work.outputs(job), work.made_of(job)
    if work.is_done(job, of):
        return False
    photo = decode(job.photo, LIMITS)
    several = len(work.stylizers) > 1
    panels = []
    if several:  # a copy: the last painting may take the place of the photo's pixels
        panels.append(("photo", fit(photo.with_alpha(fit(photo.rgb, work.max_side)), _PANEL).copy()))
    for stylizer, path in zip(work.stylizers, outputs, strict=False):
        start = time.perf_counter()
        title = NORM_TITLES[stylizer.info.norm]
        with _tile_progress(bar, f"{job.photo.name} {title}") as tell:
            painting = stylizer.paint_photo(
                photo,
                work.max_side,
                work.look,
                max_memory=work.memory,
                exact=work.exact,
                overwrite=stylizer is work.stylizers[-1],
                on_progress=tell,
            )
        seconds = time.perf_counter() - start
        exif = kept(photo.exif, work.keep_gps) if work.keep_exif else None
        _write(work, path, painting, of, f"{seconds:.1f} s", exif)
        if several:
            panels.append((title, fit(painting, _PANEL)))
    if several:
        _write(work, outputs[-1], side_by_side(panels, panel_side=_PANEL), of, "side by side")
    return True


def _paint_clips(clips: list[Job], work: _Work, options: VideoOptions) -> dict[Job, StylizerError]:
    """Paint every video, one after the other; gives those that failed, with the reason."""
    failed: dict[Job, StylizerError] = {}
    with _progress() as bar:
        for job in clips:
            try:
                for stylizer in work.stylizers:
                    assert isinstance(stylizer, Stylizer)  # masks are for photos
                    _paint_clip(job, stylizer, work, options, bar)
            except StylizerError as error:
                failed[job] = error
    return failed


def _paint_clip(job: Job, stylizer: Stylizer, work: _Work, options: VideoOptions, bar: Bar) -> None:
    """Paint one video with one normalizer, unless that was done before."""
    clip = probe(job.photo)
    norm = stylizer.info.norm
    path = work.out / f"{job.stem}-{stylizer.info.style}-{norm_slug(norm)}{clip.suffix}"
    of = options.made_of(clip, stylizer)
    if work.ledger and work.ledger.is_done(path, of):
        say(f"{path}  painted before")
        return
    task = bar.add_task(f"{job.photo.name} {NORM_TITLES[norm]}", total=clip.frames)
    start = time.perf_counter()
    paint_video(clip, path, stylizer, options, lambda done: bar.update(task, completed=done))
    bar.remove_task(task)
    if work.ledger:
        work.ledger.add(path, of)
    say(f"{path}  {time.perf_counter() - start:.1f} s")


def _write(
    work: _Work, path: Path, picture: Image.Image, of: str, remark: str, exif: bytes | None = None
) -> None:
    data = encode(picture, work.kind, exif=exif)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror or error}.") from error
    if work.ledger:
        work.ledger.add(path, of)
    say(f"{path}  {remark}")


def _progress() -> Bar:
    """A bar for each task, on a terminal: how much of it is done, and the time left."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    hidden = not console.is_terminal
    return Bar(*columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden)


@contextmanager
def _tile_progress(bar: Bar, title: str) -> Iterator[Progress]:
    """Shows how much of a picture is painted, in percent, once it is known to be painted in tiles."""
    task = bar.add_task(title, total=100, visible=False)
    try:
        yield lambda share: bar.update(task, completed=round(100 * share), visible=True)
    finally:
        bar.remove_task(task)


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
