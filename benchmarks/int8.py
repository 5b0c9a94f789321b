"""How near int8 and bf16 come to fp32, and how much faster they are.

    python -m benchmarks.int8                                     every model that is prepared for int8
    python -m benchmarks.int8 --models wave:iebn,starry:bn --rounds 0
    python -m benchmarks.int8 --models wave:iebn --nncf           and NNCF's quantization (pip install nncf)

The example photos' central squares, painted by OpenVINO in all precisions. PSNR and SSIM (Wang et al. 2004,
doi 10.1109/TIP.2003.819861, on luminance, Gaussian window of 1.5 px) are against the painting in fp32; style
and content are the losses that the model was trained on, as `benchmarks/quality.py` takes them. Times are of
one photo, all precisions in turns; ratios are taken within a turn.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from benchmarks.quality import luminance
from benchmarks.tables import print_table, tell
from styles.catalog import Style, find_style, shipped
from styles.gallery.quality import SIDE, example_photos, gallery_loss
from transformer_net.checkpoint import load_model
from transformer_net.commandline import run
from transformer_net.cores import default_threads
from transformer_net.devices import describe_machine, multiplies_bf16
from transformer_net.errors import SettingError
from transformer_net.inference.engines.base import require_engine
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.openvino_graph import openvino_graph
from transformer_net.inference.engines.quantization import load_ranges
from transformer_net.network import TransformerNet
from transformer_net.training.losses.perceptual import PerceptualLoss
from transformer_net.training.report import STYLE_LOSSES
from transformer_net.training.trainer import add_grain

Floats = npt.NDArray[np.float32]
ArrayFunction = Callable[[Floats], Floats]

FP32 = "fp32"


def psnr(painting: Tensor, reference: Tensor) -> float:
    """Peak signal-to-noise ratio in decibels, of pictures in [0, 1]."""
    error = (painting - reference).square().mean().item()
    return math.inf if error == 0 else -10 * math.log10(error)


def ssim(painting: Tensor, reference: Tensor) -> float:
    """Mean structural similarity of luminance, of pictures (1, 3, H, W) in [0, 1]."""
    x, y = luminance(painting), luminance(reference)
    bell = torch.exp(-torch.arange(-5.0, 6).square() / (2 * 1.5**2))
    bell /= bell.sum()

    def smooth(plane: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(plane, bell.view(1, 1, 11, 1)), bell.view(1, 1, 1, 11))

    mean_x, mean_y = smooth(x), smooth(y)
    var_x, var_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return (similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean().item()


def painters(
    style: Style, norm: str, photos: dict[str, Tensor], nncf: bool
) -> tuple[dict[str, ArrayFunction], float]:
    """What paints with a model in each precision, and the model's grain."""
    path = style.model(norm)
    network, info = load_model(path)
    ranges = load_ranges(path)
    precisions = [FP32, *(["bf16"] if multiplies_bf16() else []), *(["int8"] if ranges else [])]
    found: dict[str, ArrayFunction] = {
        precision: make_engine(network, engine="openvino", precision=precision, ranges=ranges)
        for precision in precisions
    }
    if nncf:
        inputs = [add_grain(photo, info.grain).numpy() for photo in photos.values()]
        found["NNCF, as it comes"] = with_nncf(network, inputs)
        found["NNCF, convolutions only"] = with_nncf(network, inputs, ["Add", "Multiply", "Subtract"])
    return found, info.grain


def with_nncf(
    network: TransformerNet, photos: list[Floats], left_alone: list[str] | None = None
) -> ArrayFunction:
    """The network in int8 as NNCF makes it, calibrated on `photos`, by which it is judged, too."""
    try:
        import nncf
    except ImportError as error:
        raise SettingError("NNCF is not installed: pip install nncf") from error
    nncf.set_log_level(logging.ERROR)  # else it tells of each node, on standard output
    model = nncf.quantize(
        openvino_graph(network),
        nncf.Dataset(photos),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(photos),
        ignored_scope=nncf.IgnoredScope(types=left_alone) if left_alone else None,
    )
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    compiled = (
        require_engine("openvino")
        .Core()
        .compile_model(model, "CPU", {**hints, "INFERENCE_NUM_THREADS": default_threads()})
    )
    return lambda pixels: compiled(pixels[None])[0][0]


def compare(
    title: str,
    found: dict[str, ArrayFunction],
    photos: dict[str, Tensor],
    grain: float,
    loss: PerceptualLoss,
) -> list[dict[str, Any]]:
    """A row for each photo and precision."""
    rows = []
    for name, photo in photos.items():
        pixels = add_grain(photo, grain)[0].numpy()
        paintings = {
            precision: (torch.from_numpy(paint(pixels)).clamp(0, 1) * 255).round()[None] / 255
            for precision, paint in found.items()
        }
        for precision, painting in paintings.items():
            with torch.inference_mode():
                losses = loss(painting, photo).as_dict()
            rows.append(
                {
                    "model": title,
                    "photo": name,
                    "precision": precision,
                    "psnr": psnr(painting, paintings[FP32]),
                    "ssim": ssim(painting, paintings[FP32]),
                    "style": statistics.fmean(losses[layer] for layer in STYLE_LOSSES),
                    "content": losses["content"],
                }
            )
    return rows


def times_as_fast(found: dict[str, ArrayFunction], pixels: Floats, rounds: int) -> dict[str, list[float]]:
    """How many times as fast as in fp32 each precision is, round by round."""
    for paint in found.values():
        paint(pixels)
    ratios: dict[str, list[float]] = {precision: [] for precision in found}
    for _ in range(rounds):
        seconds = {}
        for precision, paint in found.items():
            begun = time.perf_counter()
            paint(pixels)
            seconds[precision] = time.perf_counter() - begun
        for precision in found:
            ratios[precision].append(seconds[FP32] / seconds[precision])
    return ratios


def int8(
    models: Annotated[
        str | None, typer.Option(help="Such as wave:iebn,starry:bn; all prepared for int8 if not given.")
    ] = None,
    side: Annotated[int, typer.Option(help="Side of the photos in pixels.")] = SIDE,
    rounds: Annotated[int, typer.Option(min=0, help="Photos by each precision for the times; 0: none.")] = 7,
    nncf: Annotated[bool, typer.Option("--nncf", help="Quantize with NNCF, too; minutes a model.")] = False,
) -> None:
    """Compare int8 and bf16 with fp32: paintings, losses and times."""
    chosen = [name.partition(":")[::2] for name in models.split(",")] if models else _prepared()
    if not chosen:
        raise SettingError("No model is prepared for int8: python -m styles.gallery.quantize")
    threads = default_threads()
    torch.set_num_threads(threads)
    photos = example_photos(side)
    rows: list[dict[str, Any]] = []
    speeds: list[tuple[str, dict[str, list[float]]]] = []
    for name, norm in chosen:
        style, title = find_style(name), f"{name} {norm}"
        tell(title)
        found, grain = painters(style, norm, photos, nncf)
        rows += compare(title, found, photos, grain, gallery_loss(style))
        if rounds:
            pixels = next(iter(photos.values()))[0].numpy()
            speeds.append((title, times_as_fast(found, pixels, rounds)))
    machine = describe_machine(torch.device("cpu"))
    print(f"{machine}; photos of {side} x {side} px.\n")
    _print_summary(rows, speeds)
    plain = {(row["model"], row["photo"]): row for row in rows if row["precision"] == FP32}
    print_table(
        "Each painting in int8, with its losses in fp32 → in int8. bf16 differs less:",
        ["model", "photo", "precision", "PSNR, dB", "SSIM", "style", "content"],
        (
            _detail(row, plain[row["model"], row["photo"]])
            for row in rows
            if row["precision"] not in (FP32, "bf16")
        ),
        left=3,
    )


def _print_summary(rows: list[dict[str, Any]], speeds: list[tuple[str, dict[str, list[float]]]]) -> None:
    summary = []
    for precision in dict.fromkeys(row["precision"] for row in rows):
        if precision == FP32:
            continue
        psnrs, ssims = (
            [row[key] for row in rows if row["precision"] == precision] for key in ("psnr", "ssim")
        )
        ratios = [statistics.median(found[precision]) for _, found in speeds if precision in found]
        fast = f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""
        summary.append(
            [
                precision,
                f"{min(psnrs):.1f}",
                f"{statistics.median(psnrs):.1f}",
                f"{min(ssims):.3f}",
                f"{statistics.median(ssims):.3f}",
                fast,
            ]
        )
    print_table(
        "All models and photos:",
        ["", "PSNR, least, dB", "median", "SSIM, least", "median", "times as fast as fp32"],
        summary,
    )


def _detail(row: dict[str, Any], plain: dict[str, Any]) -> list[str]:
    losses = [f"{plain[key]:.3f} → {row[key]:.3f}" for key in ("style", "content")]
    return [row["model"], row["photo"], row["precision"], f"{row['psnr']:.1f}", f"{row['ssim']:.3f}", *losses]


def _prepared() -> list[tuple[str, str]]:
    return [
        (style.name, norm)
        for style in shipped()
        for norm in style.norms
        if load_ranges(style.model(norm)) is not None
    ]


if __name__ == "__main__":
    run(int8)
