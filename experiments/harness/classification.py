"""The second task: a small ResNet on CIFAR-100, 100 training images a class, with the same normalizers.

He et al. 2016, arXiv 1512.03385 (section 4.2, shortcut A) and 1603.05027 (pre-activation). The data are a
class-balanced subset, 10,000 images to train and 2,000 to test: what two cores can learn from in an hour. The
recipe is that of the paper's authors (github.com/gbup-group/IEBN): SGD with momentum, weight decay on all
parameters, a tenth of the learning rate after 81 and 122 of 164 parts of the epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experiments.harness.foreign_samples import add_foreign_samples, random_samples
from experiments.harness.intervals import UNFINISHED, Estimate, per_seed
from experiments.harness.runner import Inputs, Metrics, Store, Trial, rounded
from transformer_net.network import parameter_count
from transformer_net.norms import canonical_norm, make_norm, norm_slug
from transformer_net.training.trainer import uses_bf16

CLASSES = 100
MEAN, STD = (0.507, 0.487, 0.441), (0.267, 0.256, 0.276)

SETTING: dict[str, Any] = {
    "data": "cifar100",
    "depth": 20,
    "width": 16,
    "preact": False,
    "epochs": 100,
    "drops": [81 / 164, 122 / 164],
    "batch_size": 128,
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
}
QUICK: dict[str, Any] = {
    "data": "synthetic",
    "depth": 8,
    "width": 4,
    "epochs": 2,
    "drops": [0.5],
    "batch_size": 50,
}

SECONDS_PER_EPOCH = {"bn": 12.0, "in": 18.0, "bn+se": 15.0, "iebn": 15.0}
"""Measured on one thread of an AMD EPYC with bfloat16, beside another run: good for plans only."""

CHANCE = 2.0
"""Accuracy in percent, of a hundred classes, up to which a network has learned nothing: it collapsed."""

Bytes = npt.NDArray[np.uint8]


class Block(nn.Module):
    """Two 3x3 convolutions with norms and a shortcut without parameters; (B, C, H, W)."""

    def __init__(
        self, norm: str, options: Mapping[str, Any], inside: int, outside: int, stride: int, preact: bool
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm1 = make_norm(norm, inside if preact else outside, **options)
        self.norm2 = make_norm(norm, outside, **options)
        self.stride, self.more, self.preact = stride, outside - inside, preact

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        if self.preact:
            y: Tensor = self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))
            return shortcut + y
        return F.relu(shortcut + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def resnet(norm: str, depth: int, width: int, preact: bool, options: Mapping[str, Any]) -> nn.Sequential:
    """ResNet of 6n + 2 layers for (B, 3, 32, 32), with `norm` after (or before) every convolution."""
    blocks, rest = divmod(depth - 2, 6)
    if rest or blocks < 1:
        raise ValueError(f"depth must be 6n + 2, not {depth}")
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1, bias=False)]
    if not preact:
        layers += [make_norm(norm, width, **options), nn.ReLU()]
    channels = width
    for wider in (width, 2 * width, 4 * width):
        for _ in range(blocks):
            stride = 2 if wider > channels else 1
            layers.append(Block(norm, options, channels, wider, stride, preact))
            channels = wider
    if preact:
        layers += [make_norm(norm, channels, **options), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


@dataclass(frozen=True)
class Images:
    """Labelled images: x (N, 32, 32, 3) bytes, y (N,)."""

    x: Bytes
    y: npt.NDArray[np.int64]

    def batches(self, size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, shuffled, each moved by up to 4 px and mirrored every second time."""
        rng = np.random.default_rng([seed, epoch])
        padded = np.pad(self.x, ((0, 0), (4, 4), (4, 4), (0, 0)))
        order, steps = rng.permutation(len(self.x)), np.arange(32)
        for first in range(0, len(order) - size + 1, size):
            chosen = order[first : first + size]
            rows = rng.integers(0, 9, (size, 1)) + steps
            columns = rng.integers(0, 9, (size, 1)) + np.where(
                rng.random((size, 1)) < 0.5, steps, steps[::-1]
            )
            crops = padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]
            yield standardized(crops), torch.from_numpy(self.y[chosen])


def standardized(images: Bytes) -> Tensor:
    """(N, 3, H, W), each colour with CIFAR-100's mean and deviation taken out; channels last in memory."""
    return ((torch.from_numpy(images).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(
        0, 3, 1, 2
    )


def read(folder: Path, name: str) -> tuple[Images, Images]:
    """Training and test images of `cifar100`, `mnist` (in colour and 32 px wide) or `synthetic`.

    The first two come from `cifar100_10k2k.npz` or `mnist_12k.npz` in `folder`, or else from torchvision,
    which downloads them there; of those the first images of each class.
    """
    if name == "synthetic":
        rng = np.random.default_rng(0)
        y = np.arange(300) % 3
        x = (rng.integers(0, 60, (300, 32, 32, 3)) + 60 * y[:, None, None, None]).astype(np.uint8)
        return Images(x[:200], y[:200]), Images(x[200:], y[200:])
    file = folder / {"cifar100": "cifar100_10k2k.npz", "mnist": "mnist_12k.npz"}[name]
    if file.is_file():
        with np.load(file) as arrays:
            return tuple(  # type: ignore[return-value]
                Images(_coloured(arrays[f"{part}_x"]), arrays[f"{part}_y"].astype(np.int64))
                for part in ("train", "test")
            )
    return _subset(folder, name, True, 10_000), _subset(folder, name, False, 2_000)


def _subset(folder: Path, name: str, train: bool, count: int) -> Images:
    from torchvision import datasets

    maker = datasets.CIFAR100 if name == "cifar100" else datasets.MNIST
    whole = maker(folder, train=train, download=True)
    x, y = np.asarray(whole.data), np.asarray(whole.targets)
    classes = np.unique(y)
    chosen = np.concatenate([np.flatnonzero(y == c)[: count // len(classes)] for c in classes])
    return Images(_coloured(x[chosen]), y[chosen].astype(np.int64))


def _coloured(images: Bytes) -> Bytes:
    if images.ndim == 4:
        return images
    return np.repeat(np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None], 3, axis=3)


def classify(config: Mapping[str, Any], inputs: Inputs) -> Metrics:
    """Train one network; accuracy and losses, epoch by epoch, on the test images in evaluation mode."""
    device, size = inputs.device, config["batch_size"]
    train, test = read(inputs.data, config["data"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        network = resnet(
            config["norm"], config["depth"], config["width"], config["preact"], config["options"]
        )
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if count := config["strangers"]:
        others = read(inputs.data, "mnist" if config["data"] == "cifar100" else "synthetic")[0]
        add_foreign_samples(network, count, random_samples(standardized(others.x), count))
    optimizer = torch.optim.SGD(
        network.parameters(), config["lr"], config["momentum"], weight_decay=config["weight_decay"]
    )
    drops = [round(part * config["epochs"]) for part in config["drops"]]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops)
    dead = False
    mixed = torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16("auto", device))
    curve: list[dict[str, float]] = []
    for epoch in range(config["epochs"]):
        network.train()
        losses = []
        for x, y in train.batches(size, config["seed"], epoch):
            with mixed:
                logits = network(x.to(device))
            loss = F.cross_entropy(logits.float(), y.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                break
        with mixed:
            tested = _test(network, test, inputs)
        rate = optimizer.param_groups[0]["lr"]
        curve.append({"epoch": epoch + 1, "lr": rate, "train_loss": float(np.mean(losses)), **tested})
        schedule.step()
        grads = [m.weight.grad for m in network.modules() if isinstance(m, nn.Conv2d)]
        dead = not any(grad is not None and grad.any() for grad in grads)
        if dead or not math.isfinite(losses[-1]):
            break
    metrics: Metrics = rounded(
        {
            "accuracy": curve[-1]["accuracy"],
            "parameters": parameter_count(network),
            "diverged": not math.isfinite(losses[-1]),
            "dead": dead,
            "images": [len(train.x), len(test.x)],
            "curve": [{k: v if math.isfinite(v) else None for k, v in point.items()} for point in curve],
        }
    )
    return metrics


def last_accuracy(metrics: Any) -> float:
    """Test accuracy of a run in percent at its last epoch, trained to the end or not."""
    return float(metrics["accuracy"])


def accuracy(metrics: Any) -> float | None:
    """Test accuracy of a run in percent; None where it was not trained to the end: for verdicts.

    One that diverged counts with the accuracy of chance that it has, as in the paper.
    """
    return last_accuracy(metrics) if is_finished(metrics) else None


def is_finished(metrics: Any) -> bool:
    """Whether a run shows what its network comes to, and not how fast it began.

    Its learning rate was at its lowest for the whole last fifth of the epochs, and over these the line
    through the test accuracies rose by less than a point. Or nothing can change any more: it diverged, or no
    convolution has a gradient.
    """
    if metrics["diverged"] or metrics.get("dead"):
        return True
    curve = metrics["curve"]
    last = curve[-max(3, len(curve) // 5) :]
    rates = [point.get("lr") for point in curve]
    if None in rates or rates[0] == rates[-1] or {point["lr"] for point in last} != {min(rates)}:
        return False
    slope = np.polyfit([point["epoch"] for point in last], [point["accuracy"] for point in last], 1)[0]
    return bool(slope * (last[-1]["epoch"] - last[0]["epoch"]) < 1)


def collapsed(metrics: Any) -> float:
    """1 for a run that has learned nothing at its end, 0 for others."""
    return float(metrics["accuracy"] <= CHANCE)


def show(store: Store, trial: Callable[[int], Trial]) -> str:
    """The accuracy of `trial(seed)` over the seeds, for a table: of finished runs, or marked with †."""
    finished = Estimate.of(per_seed(store, trial, accuracy))
    if finished.count:
        return finished.show()
    begun = Estimate.of(per_seed(store, trial, last_accuracy))
    return f"{begun.show()} †" if begun.count else ""


MARK = f"\n† {UNFINISHED.capitalize()}: shown, but not judged.\n"


@torch.inference_mode()
def _test(network: nn.Module, test: Images, inputs: Inputs) -> dict[str, float]:
    network.eval()
    x, y = standardized(test.x), torch.from_numpy(test.y)
    logits = torch.cat([network(part.to(inputs.device)).float().cpu() for part in torch.split(x, 250)])
    return {
        "accuracy": 100 * (logits.argmax(1) == y).float().mean().item(),
        "test_loss": F.cross_entropy(logits, y).item(),
    }


def trial(
    norm: str,
    seed: int = 0,
    *,
    variant: str = "",
    options: Mapping[str, Any] | None = None,
    foreign_samples: int = 0,
    batch_size: int = SETTING["batch_size"],
    preact: bool = False,
    quick: bool = False,
    stage: int = 1,
) -> Trial:
    """The training of one network; `variant` names what is not usual about it."""
    config = SETTING | {"preact": preact, "batch_size": batch_size} | (QUICK if quick else {})
    if quick:
        foreign_samples = min(foreign_samples, 20)
    config |= {"norm": norm, "options": dict(options or {}), "strangers": foreign_samples, "seed": seed}
    label = "-".join(filter(None, [norm_slug(norm), "preact" if preact else "", variant, f"seed{seed}"]))
    images = 1 + foreign_samples / config["batch_size"]
    minutes = 0 if quick else config["epochs"] * SECONDS_PER_EPOCH[canonical_norm(norm)] * images / 60
    return Trial("classify", label, config, classify, stage, minutes)
