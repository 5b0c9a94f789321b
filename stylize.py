"""Paint photos: python stylize.py photo.jpg --style mosaic --norm all -o out/

A whole folder, only what is new: python stylize.py photos/ --style wave --norm iebn -o out/
A video, with its sound: python stylize.py clip.mp4 --style wave --norm iebn --steady -o out/
Or write a model for other programs: python stylize.py export --style mosaic --norm iebn --format onnx
"""

from __future__ import annotations

from transformer_net import interrupts

# isort: split

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from styles.blend import common_norms, open_style_picture, parse_blend, two_styles, with_absolute_paths
from styles.catalog import find_style
from transformer_net.checkpoint import read_info
from transformer_net.commandline import complain, run, say, some_path, with_fields
from transformer_net.errors import DamagedVideoError, SettingError, about
from transformer_net.imaging.decode import Limits
from transformer_net.imaging.encode import MEDIA_TYPES, output_format
from transformer_net.inference.batch.inputs import InputFile, check_writable, find_inputs
from transformer_net.inference.batch.runner import (
    AnyStylizer,
    BatchPlan,
    check_outputs,
    paint_animations,
    paint_on_cluster,
    paint_photos,
    paint_videos,
)
from transformer_net.inference.engines.factory import painting_device, uses_torch_gpus
from transformer_net.inference.ledger import LEDGER, Ledger
from transformer_net.inference.masked_stylizer import MaskedStylizer
from transformer_net.inference.options.mask import read_mask
from transformer_net.inference.options.style_options import (
    DECLARED,
    DEFAULT_OPTIONS,
    StyleOptions,
)
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling.tiles import DEFAULT_MEMORY, parse_memory
from transformer_net.inference.video.animation import KINDS as ANIMATION_KINDS
from transformer_net.inference.video.animation import Animation, find_animation
from transformer_net.inference.video.pipeline import VideoOptions
from transformer_net.norms import canonical_norm, norm_slug
from transformer_net.prediction.style_picture import predicted_norms

interrupts.as_before()

LIMITS = Limits(max_pixels=500_000_000)
"""More than the web accepts: here the same person owns the photo and the memory. Decoded, that is 2 GB."""

DEFAULT_STYLE, DEFAULT_NORMS, EXPORTED_NORM = "mosaic", "all", "iebn"
"""Where none is given; not the options' own defaults, for beside --model a given one is refused."""


def _described(name: str) -> Any:
    option = DECLARED[name]
    bounds = "" if option.least is None else f" {option.least:g} to {option.most:g}."
    return typer.Option(f"--{name.replace('_', '-')}", help=option.help + bounds)


@with_fields("options", StyleOptions, _described)
def stylize(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos, videos, and folders of them.", show_default=False, parser=some_path),
    ],
    style: Annotated[
        str | None,
        typer.Option(
            help="A style of the catalogue, or a blend: wave:0.6,starry:0.4, or wave:0.6,my.jpg:0.4.",
            show_default=DEFAULT_STYLE,
        ),
    ] = None,
    style_picture: Annotated[
        Path | None,
        typer.Option(
            help="Any picture as the style: its model is predicted at once.",
            show_default=False,
            parser=some_path,
        ),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(
            help="Normalizer: bn, in, bn+se, iebn; several with commas; or all.", show_default=DEFAULT_NORMS
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the paintings.", parser=some_path)
    ] = Path("out"),
    model: Annotated[
        Path | None,
        typer.Option(
            help="Paint with this model file, which has one style and norm, and not the catalogue's.",
            parser=some_path,
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="A picture that chooses between two styles, --style wave,starry: black the first, white the "
            "second, grey mixes them.",
            parser=some_path,
        ),
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(min=16, help="Shrink photos to this longer side first.")
    ] = None,
    options: StyleOptions = DEFAULT_OPTIONS,
    format: Annotated[
        str | None,
        typer.Option(
            help="Photos: png, jpeg or webp. Animations: gif, webp, apng, avif or mp4; else as they come. "
            "Videos: mp4.",
            show_default="png",
        ),
    ] = None,
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
        typer.Option(min=1, help="Photos processed at once: one is read while another is painted."),
    ] = 2,
    device: Annotated[
        str, typer.Option(help="auto: a GPU that works, else cpu; cuda, cuda:1, mps; openvino:GPU or :NPU.")
    ] = "auto",
    engine: Annotated[str, typer.Option(help="auto, torch, openvino, onnxruntime.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32; int8 or bf16 on a CPU with OpenVINO; fp16 on a GPU.")
    ] = "fp32",
    max_memory: Annotated[
        str,
        typer.Option(
            help="Memory for painting, beside the photo's own: 800M, 1.5G. Larger photos: in tiles."
        ),
    ] = f"{DEFAULT_MEMORY // 1024**3}G",
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Tiles give the same painting as the whole; slower, except for bn."),
    ] = False,
    steady: Annotated[
        bool, typer.Option("--steady", help="Videos: less flicker; the paint follows the motion.")
    ] = False,
    engine_cluster: Annotated[
        str | None, typer.Option(help="Paint on many machines: ray. See docs/scale.md.", show_default=False)
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Cluster address: auto or host:port. Default: this machine.", show_default=False),
    ] = None,
) -> None:
    """Paint photos with one normalizer, or with several and a labelled side-by-side picture of them.

    Writes OUT/<photo>-<style>-<norm>.<format>, of the photo's size, and OUT/<photo>-<style>.<format> with the
    photo and its paintings side by side where there are several.

    Of a FOLDER, everything below it is painted, in the same subfolders of OUT. A painting is skipped if it
    is there and photo and settings are unchanged. Photos that cannot be painted are listed at the end, and so
    are files that are neither pictures nor videos.

    Of a video, OUT/<video>-<style>-<norm>.mp4 has the same frames at the same times, and the same sound. If
    the work is interrupted, the same command continues it. An animation (GIF, APNG, WebP, AVIF) stays one.

    Exit code 0: all are painted. 1: all but the listed ones, or a listed video is damaged. 2: none.

    `python stylize.py export --help` says how to write a model for other programs.
    """
    if address is not None and engine_cluster is None:
        raise SettingError("--address needs a cluster: add --engine-cluster ray.")
    wanted = None if format is None else format.strip().lower().removeprefix(".")
    moves_only = wanted in ANIMATION_KINDS and wanted not in MEDIA_TYPES
    kind = "png" if wanted is None or moves_only else output_format(wanted)
    memory = parse_memory(max_memory)
    inputs = find_inputs(photos, out)
    found = inputs.files
    clips = [file for file in found if file.is_video]
    animations: dict[InputFile, Animation] = {}
    if engine_cluster is None and (wanted is None or wanted in ANIMATION_KINDS):  # else, their first frame
        for file in found:
            if not file.is_video and (animation := find_animation(file.photo, LIMITS)):
                animations[file] = animation
    if steady and not clips and not animations:
        raise SettingError("--steady is for videos, and no video was given.")
    if clips == found and wanted not in (None, "mp4"):
        raise SettingError("--format is for photos: videos are written as mp4.")
    if moves_only and not animations and not (clips and wanted == "mp4"):
        raise SettingError(f"--format {wanted} is for animations, and none was given.")
    moving = [file.photo for file in found if file.is_video or file in animations]
    if moving and (mask or options.match_palette):  # frames would flicker
        raise SettingError(
            f"--mask and --match-palette are for photos, not for videos and animations such as {moving[0]}."
        )
    if len(moving) == len(found) and (keep_exif or keep_gps):
        raise SettingError("--keep-exif and --keep-gps are for photos, not for videos and animations.")
    stylizers = _stylizers(style, style_picture, norm, model, mask, device, engine, precision)
    for stylizer in stylizers:
        stylizer.check(options)  # before a folder of photos is read
    check_writable(out)
    skip = any(path.is_dir() for path in photos)
    batch = BatchPlan(
        stylizers=stylizers,
        out=out,
        kind=kind,
        max_side=max_side,
        options=options,
        memory=memory,
        exact=exact,
        ledger=Ledger(out) if skip or (out / LEDGER).is_file() else None,
        skip=skip,
        keep_exif=keep_exif or keep_gps,
        keep_gps=keep_gps,
        limits=LIMITS,
    )
    given = [*(file.photo for file in found), *filter(None, (style_picture, mask, model))]
    stills = [file for file in found if not file.is_video and file not in animations]
    check_outputs(stills, animations, clips, wanted, batch, given)
    if engine_cluster is None:
        video_options = VideoOptions(max_side, options, steady, memory, exact)
        failed = paint_photos(stills, batch, jobs)
        failed |= paint_animations(animations, wanted, batch, video_options)
        failed |= paint_videos(clips, batch, video_options)
    else:
        if clips:
            raise SettingError("A cluster paints photos only: leave out --engine-cluster for videos.")
        # Workers begin in other folders.
        picture, weights, regions = (path and path.absolute() for path in (style_picture, model, mask))
        named = style and with_absolute_paths(style)
        load = partial(_stylizers, named, picture, norm, weights, regions, device, engine, precision)
        on_gpus = uses_torch_gpus(device, engine, precision)
        failed = paint_on_cluster(found, batch, load, engine_cluster, address, on_gpus)
    for sentence in inputs.left_alone():
        say(sentence)
    for file in found:  # in the order of the photos, whichever was first to fail
        if file in failed:
            complain(f"{file.photo}: {failed[file]}")
    for error in inputs.unreadable.values():
        complain(error)
    if failed or inputs.unreadable:
        lost = [error for error in failed.values() if not isinstance(error, DamagedVideoError)]
        raise typer.Exit(1 if len(lost) < len(found) else 2)


def _stylizers(
    style: str | None,
    style_picture: Path | None,
    norm: str | None,
    model: Path | None,
    mask: Path | None,
    device: str,
    engine: str,
    precision: str,
) -> Sequence[AnyStylizer]:
    where = painting_device(device, engine, precision)
    if model is not None:
        if mask is not None:
            raise SettingError("A mask needs two styles of the catalogue, not a model file.")
        if style_picture is not None:
            raise SettingError("Give --model or --style-picture, not both.")
        _refuse_beside(model, style, norm)
        return [Stylizer.from_file(model, where, engine, precision)]
    if style_picture is not None:
        if style is not None or mask is not None:
            raise SettingError("--style-picture is the whole style: leave out --style and --mask.")
        found = open_style_picture(style_picture)
        wanted = DEFAULT_NORMS if norm is None else norm
        norms = _norms(wanted, predicted_norms()) or [EXPORTED_NORM]
        return [Stylizer.from_picture(found, one, where, engine, precision) for one in norms]
    style, norm = DEFAULT_STYLE if style is None else style, DEFAULT_NORMS if norm is None else norm
    parts = [style] if mask is None else list(two_styles(style))
    have = common_norms(parse_blend(style))
    norms = _norms(norm, have)
    if not norms:
        raise SettingError(
            f"The style {style!r} has no trained model yet: python train_style.py --style {style}"
        )
    made = [[Stylizer.from_style(part, n, where, engine, precision) for part in parts] for n in norms]
    if mask is None:
        return [stylizer for (stylizer,) in made]
    with about(str(mask)):  # or it would read as if a photo were meant
        picture = read_mask(mask, LIMITS)
    return [MaskedStylizer(first, second, picture) for first, second in made]


def _norms(text: str, have: list[str]) -> list[str]:
    """The normalizers that `--norm` names, of which `all` are those that the style has."""
    if text.strip().lower() == "all":
        return have
    return list(dict.fromkeys(canonical_norm(name) for name in text.split(",")))


def _refuse_beside(model: Path, style: str | None, norm: str | None) -> None:
    if style is not None or norm is not None:  # they would have no effect
        raise SettingError(f"{model} has a style and a normalizer already: leave out --style and --norm.")


def export(
    style: Annotated[
        str | None, typer.Option(help="A style of the catalogue.", show_default=DEFAULT_STYLE)
    ] = None,
    norm: Annotated[
        str | None, typer.Option(help="Normalizer: bn, in, bn+se or iebn.", show_default=EXPORTED_NORM)
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Export this model file instead of the catalogue's.", parser=some_path),
    ] = None,
    format: Annotated[str, typer.Option(help="onnx, openvino or torchscript.")] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The file; default: out/<style>-<norm> and extension.", parser=some_path
        ),
    ] = None,
) -> None:
    """Write a model for other programs, for pictures of any size, compared with PyTorch before it is written.

    It takes and gives (1, 3, H, W), RGB in [0, 1]. Its metadata name the style, normalizer, width and grain:
    the strength of the noise of transformer_net/grain.py that is added to a photo before it is painted.
    Without it, even areas stay bare.
    """
    from transformer_net.inference.export import EXTENSIONS, export_model

    if model is not None:
        _refuse_beside(model, style, norm)
    style, norm = DEFAULT_STYLE if style is None else style, EXPORTED_NORM if norm is None else norm
    source = model or find_style(style).model(norm)
    if out is None:
        info = read_info(source)
        name = info.style if model else find_style(style).name
        out = Path("out", f"{name}-{norm_slug(info.norm)}{EXTENSIONS.get(format.strip().lower(), '')}")
    # The catalogue's models are CC0; what others are is their makers' choice.
    difference = export_model(source, out, format, None if model else "CC0-1.0")
    say(f"{out}  differs from PyTorch by {difference:.1e} at most")


def main() -> None:
    """Run the command that the arguments ask for: a leading `export` is one, unless it is a photo's name."""
    if sys.argv[1:2] == ["export"] and not Path("export").is_file():
        if Path("export").is_dir() and "--help" not in sys.argv:  # which was meant is not clear
            complain(
                "There is a folder called export here: ./export paints it; to export a model, go elsewhere."
            )
            raise SystemExit(2)
        sys.argv[:2] = [f"{sys.argv[0]} export"]  # as it shall stand in the help
        run(export)
    else:
        run(stylize)


if __name__ == "__main__":
    main()
