"""How fast a training step is, beside the loop that pytorch/examples publishes.

    python -m benchmarks.training            256 px, batch 4, width 32 as published, and our 16
    python -m benchmarks.training --quick    small shapes: whether it works, not how fast
    python -m benchmarks.training --quality wave --content DIR    until a model is as good as the shipped one

All contenders take steps in turns, round by round, so that whatever else the machine does hits all of them;
ratios are taken within a round. The peer is written out here after its published description: its network
(benchmarks/peers.py), VGG-16 to relu4_3 with zero padding, two passes through it, mean squared errors of
relu2_2 and of the Gram matrices, Adam, float32, eager. Weights are random where they do not matter for time.
Ours paint a margin of 16 px around the photo besides, 27 % more pixels at 256 px. The ceiling is the best
rate that a large convolution or a product of matrices reaches just now: in float32, on a GPU in bfloat16.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import torch.nn.functional as F
import typer
from PIL import Image
from rich.table import Table
from torch import Tensor

from benchmarks.inference import ceiling
from benchmarks.peers import PEER, peer
from styles.catalog import find_style, recipes
from transformer_net.checkpoint import load_model
from transformer_net.commandline import console, run, say
from transformer_net.devices import describe_machine, pick_device
from transformer_net.errors import SettingError
from transformer_net.imaging.decode import decode
from transformer_net.memory import keep_freed_memory
from transformer_net.norms import canonical_norm
from transformer_net.training.config import TrainConfig
from transformer_net.training.content import EXAMPLES, open_content
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.report import STYLE_LOSSES, duration
from transformer_net.training.run import VALIDATION_SIDE, Run
from transformer_net.training.run_folder import RunFolder
from transformer_net.training.trainer import Trainer, validation_losses

_NEAR = 1.1
"""As good as the shipped model: a style loss that is at most this many times as large."""

_WARM_STEPS, _GPU_STEPS = 8, 20
"""On a GPU: steps before the first round, in which ours are recorded, and steps in a round."""


@dataclass
class Contender:
    """What takes part: a name, a step that may still be being computed, and the seconds of each round."""

    name: str
    step: Callable[[], object]
    seconds: list[float] = field(default_factory=list)
    flop: float = 0.0


def peer_step(photo: Tensor, style: Tensor, vgg: Vgg16Features, device: torch.device) -> Callable[[], float]:
    """A step of pytorch/examples/fast_neural_style; pictures (B, 3, H, W) in [0, 1], its own are 0 to 255."""
    network = peer().to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    vgg = vgg.to(device)

    def gram(y: Tensor) -> Tensor:
        features = y.flatten(2)
        return features.bmm(features.transpose(1, 2)) / y[0].numel()

    with torch.no_grad():
        targets = [gram(y) for y in vgg(style.to(device).expand(len(photo), -1, -1, -1))]

    def step() -> float:
        optimizer.zero_grad()
        x = photo.to(device) * 255
        y = network(x)
        features_y, features_x = vgg(y / 255), vgg(x / 255)
        content = 1e5 * F.mse_loss(features_y[1], features_x[1])
        style_loss = 0.0
        for feature, target in zip(features_y, targets, strict=True):
            style_loss += F.mse_loss(gram(feature), target)
        total = content + 1e10 * style_loss
        total.backward()
        optimizer.step()
        return total.item()  # they add it up

    return step


def our_step(trainer: Trainer, photo: Tensor) -> Callable[[], object]:
    """A step of our trainer on a fixed batch, prepared ahead as in a run."""
    batch = trainer.prepare(photo, 0)
    return lambda: trainer.step(batch)


def seconds_each(step: Callable[[], object], times: int, device: torch.device) -> float:
    """Seconds a step, of `times` in a row, as in a run, which waits for the device now and then."""
    wait(device)
    begun = time.perf_counter()
    for _ in range(times):
        step()
    wait(device)
    return (time.perf_counter() - begun) / times


def wait(device: torch.device) -> None:
    """Until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_ceiling(device: torch.device) -> float:
    """The most FLOP a second that a GPU reaches in bfloat16 just now, in a large convolution or product."""
    kind = {"device": device, "dtype": torch.bfloat16}
    square = torch.randn(8192, 8192, **kind)
    image, weight = torch.randn(16, 256, 128, 128, **kind), torch.randn(256, 256, 3, 3, **kind)
    image, weight = (t.to(memory_format=torch.channels_last) for t in (image, weight))
    tries: list[tuple[float, Callable[[], Tensor]]] = [
        (2 * 8192**3, lambda: square @ square),
        (2 * 16 * 128 * 128 * 256 * 256 * 9, lambda: F.conv2d(image, weight, padding=1)),
    ]
    with torch.inference_mode():
        for _, call in tries:
            call()
        return max(flop / seconds_each(call, 10, device) for flop, call in tries)


def work(step: Callable[[], object]) -> float:
    """FLOP of the convolutions and products of one step, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return float(counter.get_total_flops())


def race(runners: list[Contender], rounds: int, times: int, device: torch.device) -> float:
    """Fills in the seconds a step of each round; returns the ceiling in FLOP a second, the best of all.

    Args:
        runners: Who takes part.
        rounds: Turns of each.
        times: Steps in a turn.
        device: Where they compute.
    """
    for runner in runners:
        runner.flop = work(runner.step)
        for _ in range(_WARM_STEPS if device.type == "cuda" else 1):
            runner.step()
    most = 0.0
    for _ in range(rounds):
        most = max(most, gpu_ceiling(device) if device.type == "cuda" else ceiling())
        for runner in runners:
            runner.seconds.append(seconds_each(runner.step, times, device))
    return most


def show(runners: list[Contender], batch: int, size: int, most: float, precision: str) -> None:
    """The table: ratios first."""
    title = f"batch {batch}, {size} x {size} px, {len(runners[0].seconds)} rounds"
    table = Table(title=f"{title}; ceiling {most / 1e9:.0f} GFLOP/s in {precision}")
    table.add_column("loop", no_wrap=True)
    for name in ("ratio", "least", "most", "s", "img/s", "GFLOP", "ceiling"):
        table.add_column(name, justify="right", no_wrap=True)
    for runner in runners:
        ratios = [theirs / ours for theirs, ours in zip(runners[0].seconds, runner.seconds, strict=True)]
        median = statistics.median(runner.seconds)
        table.add_row(
            runner.name,
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}",
            f"{max(ratios):.2f}",
            f"{median:.4f}",
            f"{batch / median:.4g}",
            f"{runner.flop / 1e9:.0f}",
            f"{runner.flop / median / most:.0%}",
        )
    console.print(table)


def time_to_quality(config: TrainConfig, content: str | None, device: torch.device) -> None:
    """Train a style of the gallery anew until its validation style loss is near the shipped model's."""
    style, norm = config.style, config.norm
    found, photos = find_style(style), open_content(content)
    picture = decode(found.picture).rgb
    trainer = Trainer(config, picture, Vgg16Features(), device)
    shipped, info = load_model(found.model(norm))
    validation = list(photos.validation_tensors(VALIDATION_SIDE))
    shipped = shipped.to(device)
    goal = _style_of(validation_losses(shipped, trainer.loss, validation, info.grain, device))
    say(f"{style} {norm}: style loss of the shipped model {goal:.3f}, wanted {_NEAR * goal:.3f}")
    begun = time.perf_counter()

    def near_enough() -> bool:
        if trainer.iteration % 50 or trainer.phase == "warm-up":
            return False
        loss = _style_of(trainer.validate(validation))
        taken = time.perf_counter() - begun
        say(f"{trainer.iteration:5d} steps  {duration(taken)}  style {loss:.3f}")
        return loss <= _NEAR * goal

    with tempfile.TemporaryDirectory() as folder:
        runs = RunFolder(Path(folder))
        runs.create()
        sample = decode(EXAMPLES / "astronaut.jpg").rgb
        outcome = Run(trainer, photos, runs, sample, config.total_iterations, should_stop=near_enough).run()
    loss = _style_of(trainer.validate(validation))
    verdict = "reached" if loss <= _NEAR * goal else "not reached"
    say(f"{verdict} after {outcome.iteration} steps, {outcome.seconds:.0f} s: style {loss:.3f}")


def _style_of(losses: dict[str, float]) -> float:
    return sum(losses[name] for name in STYLE_LOSSES) / len(STYLE_LOSSES)


def bench(
    size: Annotated[int, typer.Option(min=32, help="Side of the crops in pixels.")] = 256,
    batch_size: Annotated[int, typer.Option(min=1, help="Photos a step.")] = 4,
    widths: Annotated[str, typer.Option(help="Widths of our networks; theirs is 32.")] = "32,16",
    norms: Annotated[str, typer.Option(help="Normalizers.")] = "in,iebn",
    precisions: Annotated[str, typer.Option(help="Of our steps: fp32, bf16, auto.")] = "fp32,auto",
    rounds: Annotated[int, typer.Option(min=1, help="Steps of each contender.")] = 7,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Small shapes, few rounds.")] = False,
    quality: Annotated[
        str | None, typer.Option(help="A style: how long until it is as good as its shipped model.")
    ] = None,
    norm: Annotated[str, typer.Option(help="The normalizer for --quality.")] = "iebn",
    iterations: Annotated[int, typer.Option(min=1, help="Steps of the whole training for --quality.")] = 1000,
    scratch: Annotated[
        bool, typer.Option("--scratch", help="Begin --quality at random weights, not at the base.")
    ] = False,
    content: Annotated[str | None, typer.Option(help="The photos for --quality.")] = None,
) -> None:
    """Measure a training step beside pytorch/examples', or the time to a good model."""
    target = pick_device(device)
    say(describe_machine(target))
    if quality:
        quality = find_style(quality).name
        start = {} if scratch else {"init": "base", "warmup_iterations": 0}
        settings = {**recipes().get(quality, {}), **start, "iterations": iterations}
        time_to_quality(TrainConfig(quality, canonical_norm(norm), **settings), content, target)
        return
    if quick:
        size, batch_size, widths, norms, rounds = 64, 2, "32", "iebn", 2
    names = [canonical_norm(name) for name in norms.split(",")]
    if not set(precisions.split(",")) <= {"fp32", "bf16", "auto"}:
        raise SettingError(f"precisions must be of fp32, bf16 and auto, not {precisions!r}.")
    photo = torch.rand(batch_size, 3, size, size)
    picture = Image.effect_noise((size, size), 60).convert("RGB")
    style = torch.rand(1, 3, size, size)
    zeros, vgg = Vgg16Features(padding="zeros"), Vgg16Features()
    runners = [Contender(PEER, peer_step(photo, style, zeros, target))]
    for width in (int(w) for w in widths.split(",")):
        for name in names:
            for precision in precisions.split(","):
                config = TrainConfig(
                    "bench", name, width=width, warmup_iterations=0, batch_size=batch_size, size=size,
                    style_size=max(64, size), precision=precision,  # type: ignore[arg-type]
                )  # fmt: skip
                trainer = Trainer(config, picture, vgg, target)
                label = f"{name} {width} {'bf16' if trainer.bf16 else 'fp32'}"
                if label not in {runner.name for runner in runners}:
                    runners.append(Contender(label, our_step(trainer, photo)))
    on_gpu = target.type == "cuda"
    most = race(runners, rounds, _GPU_STEPS if on_gpu else 1, target)
    show(runners, batch_size, size, most, "bfloat16" if on_gpu else "float32")


if __name__ == "__main__":
    keep_freed_memory()  # as train_style.py does; the peer gains by it, too
    run(bench)
