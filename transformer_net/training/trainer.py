"""The training step: warm-up on the photo itself, then the perceptual losses."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from transformer_net.checkpoint import save_model
from transformer_net.devices import multiplies_bf16
from transformer_net.errors import ContentError, DivergedError, SettingError
from transformer_net.grain import grain
from transformer_net.imaging.arrays import to_array
from transformer_net.memory import give_back
from transformer_net.network import TransformerNet, with_upsampling
from transformer_net.norms import gate_of, running_statistics_kept, synchronize
from transformer_net.training.config import TrainConfig
from transformer_net.training.execution.cuda_graph import GraphedFunction
from transformer_net.training.execution.distributed import ALONE, Ranks
from transformer_net.training.losses.perceptual import PerceptualLoss
from transformer_net.training.losses.stability import (
    ZOOMS,
    SecondView,
    consistency,
    enlarged,
    lattice,
    second_view,
)
from transformer_net.training.losses.vgg import Vgg16Features
from transformer_net.training.optimizer import MuonAdam
from transformer_net.training.pretrained import load_base
from transformer_net.training.schedule import Phase, make_schedule

# A window mean this many times the lowest one so far means that training has left for good: in healthy runs
# the loss stays within a factor of two of its best.
_DIVERGED = 10.0


class TrainingBatch(NamedTuple):
    """What a step is fed with, ready for the device.

    Attributes:
        photo: This rank's share of the photos, (B, 3, H, W) in [0, 1].
        grainy: The same with the noise that the network sees.
        rows, columns: The part of the painting that the perceptual losses see, as indices.
        second, second_rows, second_columns: A `SecondView`; empty where no loss looks at one.
    """

    photo: Tensor
    grainy: Tensor
    rows: Tensor
    columns: Tensor
    second: Tensor
    second_rows: Tensor
    second_columns: Tensor


class Trainer:
    """One network, its optimizer and its losses; `step` by `step` until its `schedule` is over.

    There is no random number outside the initial weights and the batches, and those follow from
    `config.seed`, so network, optimizer and iteration are the whole state; with a budget, the schedule's
    clock besides.

    Args:
        config: What to train.
        style: The style picture, RGB, any size from 64 px; it is scaled to `config.style_size`. None, like
            `vgg`, for a warm-up alone.
        vgg: Feature extractor.
        device: Where to compute.
        network: Start from this network instead of what `config.init` says; it is trained in place.
        ranks: The processes that share the batches; each has a trainer of its own, made alike.

    Raises:
        SettingError: `network` is not what `config` describes, the style picture is too long a strip, or
            `ranks` cannot share a batch evenly.
    """

    style_option = ("another style picture", "--style")
    """What differs where `style_sha256` does, and the option that gives it."""

    def __init__(
        self,
        config: TrainConfig,
        style: Image.Image | None,
        vgg: Vgg16Features | None,
        device: torch.device,
        network: TransformerNet | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        ranks.share(config.batch_size)
        self.config, self.device, self.ranks = config, device, ranks
        self.schedule = make_schedule(config)
        self.style_sha256 = picture_sha256(style) if style else ""
        self.vgg_source = vgg.source if vgg else ""
        if network is None and config.init == "base":
            network = load_base(config.norm)
        if network is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(config.seed)
                network = TransformerNet(config.norm, config.width, config.norm_options, config.upsampling)
        elif (network.norm, network.width, network.norm_options) != (
            config.norm,
            config.width,
            dict(config.norm_options),
        ):
            raise SettingError(
                f"The network to start from is {network.norm} of width {network.width}; "
                f"{config.norm} of width {config.width} is to be trained."
            )
        network = with_upsampling(network, config.upsampling)
        self.network = network.to(device).to(memory_format=torch.channels_last).train()
        self._forward: nn.Module = self.network
        if ranks.count > 1:
            if ranks.sync_bn:
                synchronize(self.network, ranks)
            # Averages the gradients. Running statistics are rank 0's where they are not the same everywhere.
            self._forward = DistributedDataParallel(self.network)
        self.bf16 = uses_bf16(config.precision, device)
        self._loss = perceptual_loss(config, style, vgg, device) if style and vgg else None
        self.iteration = 0
        self.lowest = math.inf
        self.optimizer = self._optimizer()
        # A step is many hundred kernels of a few microseconds: on a GPU, launching them one by one takes
        # longer than computing them. Collectives stay out of recordings.
        self._graphed = (
            GraphedFunction(self._compute, device) if device.type == "cuda" and ranks.count == 1 else None
        )

    @property
    def loss(self) -> PerceptualLoss:
        """The perceptual losses.

        Raises:
            SettingError: The trainer was made without a style, for a warm-up alone.
        """
        if self._loss is None:
            raise SettingError("Without a style picture there is nothing to train after the warm-up.")
        return self._loss

    @property
    def phase(self) -> Phase:
        """What the next step minimizes."""
        return self.schedule.phase(self.iteration)

    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return self.schedule.learning_rate(self.iteration)

    def prepare(self, photo: Tensor, iteration: int) -> TrainingBatch:
        """What the step of `iteration` needs beside weights; nothing of the trainer is changed by it.

        Args:
            photo: This rank's share of the batch, (B, 3, H, W) in [0, 1].
            iteration: Decides the grain, and where the painting is looked at and the photo moved to.
        """
        config = self.config
        photo = photo.contiguous(memory_format=torch.channels_last)
        first = self.ranks.rank * len(photo)
        rng = np.random.default_rng([config.seed, 2, iteration])
        if zooms := self._zooms(iteration):
            photo = enlarged(photo, rng, zooms)
        grainy = add_grain(photo, config.grain, seed=iteration + 1, first=first)
        seen = _part(rng, photo.shape[-1], max(0, config.shift - 1))
        view = SecondView(photo[:0], *seen)
        if config.consistency:
            view = second_view(photo, grainy, rng, first, config.batch_size)
        batch = TrainingBatch(photo, grainy, *seen, *view)
        return TrainingBatch(*(t.pin_memory() for t in batch)) if self.device.type == "cuda" else batch

    def step(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """One optimizer step; returns the losses before it, detached, as this rank sees them.

        Args:
            batch: What `prepare` made for this iteration.
        """
        if self.iteration == self.schedule.style_from:
            self.optimizer = self._optimizer()  # the warm-up's moments are of another loss's scale
        rate = self.learning_rate()
        if self._graphed:
            losses = self._graphed(f"{self.phase} {self.schedule.smooths(self.iteration)}", *batch, rate)
        else:
            losses = self._compute(*(t.to(self.device, non_blocking=True) for t in batch), rate)
        self.iteration += 1
        return losses

    def _optimizer(self) -> MuonAdam:
        return MuonAdam(self.network)

    def _zooms(self, iteration: int) -> Sequence[int]:
        """How much the photos of `iteration` may be enlarged; none where they are not."""
        return ZOOMS if self.schedule.smooths(iteration) else ()

    def _compute(self, *inputs: Any) -> dict[str, Tensor]:
        """All of a step that the device does, for the tensors of a batch and the learning rate."""
        total, losses = self._losses(*inputs[:-1])
        self.optimizer.zero_grad()
        torch.autograd.backward(total)
        self.optimizer.step(inputs[-1])
        return losses

    def _losses(self, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What a step minimizes, and its parts by name without gradient, for the tensors of a batch."""
        batch = TrainingBatch(*inputs)
        self.network.train(not self.schedule.smooths(self.iteration))
        with self._autocast():
            output = self._forward(batch.grainy).float()
            if self.phase == "warm-up":
                total = (output - batch.photo).abs().mean()
                losses = {"identity": total.detach()}
            else:
                seen, photo = output, batch.photo
                if self.config.shift > 1:
                    seen, photo = (cut_out(t, batch.rows, batch.columns) for t in (seen, photo))
                terms = self.loss(seen, photo, self.ranks.average)
                total, losses = terms.total, terms.detached()
        if self.phase == "style":
            for name, value in self._stability(batch, output).items():
                total = total + getattr(self.config, name) * value
                losses |= {name: value.detach(), "total": total.detach()}
        return total, losses

    def _stability(self, batch: TrainingBatch, painting: Tensor) -> dict[str, Tensor]:
        """The losses on lattice and flicker that have a weight, by the names of their weights.

        In float32, but for the network: in bfloat16 there is no faint pattern.
        """
        config, found = self.config, dict[str, Tensor]()
        if config.lattice:
            now = self.schedule.smooths(self.iteration)
            found["lattice"] = (
                lattice(painting, self.ranks.average, config.batch_size) if now else painting.new_zeros(())
            )
        if config.consistency:
            # Not by way of the ranks' wrapper, which expects one pass; gradients meet all the same.
            with self._autocast(), running_statistics_kept(self.network):
                second = self.network(batch.second).float()
            view = SecondView(batch.second, batch.second_rows, batch.second_columns)
            found["consistency"] = consistency(painting, second, view)
        return found

    @property
    def cure(self) -> str:
        """A sentence: what to try after a run that diverged."""
        return f"Lower --lr (now {self.config.lr:g}) or --style-weight (now {self.config.style_weight:g})."

    def check(self, losses: Mapping[str, float]) -> None:
        """Judge the mean losses of the last few steps.

        Raises:
            DivergedError: A loss is not finite, or the total is ten times its lowest so far.
        """
        if not all(math.isfinite(value) for value in losses.values()):
            raise DivergedError(
                f"The loss was no longer a finite number at iteration {self.iteration}. {self.cure}"
            )
        if "total" not in losses:
            return
        if losses["total"] > _DIVERGED * self.lowest:
            raise DivergedError(
                f"The loss at iteration {self.iteration} was {losses['total']:.3g}, "
                f"more than {_DIVERGED:g} times its lowest, {self.lowest:.3g}. {self.cure}"
            )
        self.lowest = min(self.lowest, losses["total"])

    def validate(self, photos: Iterable[Tensor]) -> dict[str, float]:
        """Mean losses over single photos (1, 3, H, W), in evaluation mode and float32."""
        self.network.eval()
        try:
            return validation_losses(self.network, self.loss, photos, self.config.grain, self.device)
        finally:
            self.network.train()

    def paint(self, photo: Tensor) -> Tensor:
        """The painting of a photo (1, 3, H, W) in evaluation mode, clamped to [0, 1], on the CPU."""
        self.network.eval()
        try:
            with torch.inference_mode():
                painting: Tensor = self.network(add_grain(photo, self.config.grain).to(self.device))
                return painting.clamp(0, 1).cpu()
        finally:
            self.network.train()

    def gates(self, photo: Tensor) -> dict[str, Tensor]:
        """Each layer's gates for a photo (1, 3, H, W) in evaluation mode, (C,); bn and in have none."""
        found: dict[str, Tensor] = {}

        def note(name: str, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if (gate := gate_of(norm, inputs[0])) is not None:
                found[name] = gate[0].float().cpu()

        hooks = [
            module.register_forward_pre_hook(functools.partial(note, name))
            for name, module in self.network.named_modules()
        ]
        self.paint(photo)
        for hook in hooks:
            hook.remove()
        return found

    def save(self, path: Path, card: Mapping[str, Any]) -> None:
        """Write the model file, with what its `card` says of the training."""
        save_model(path, self.network, self.config.style, self.config.grain, card)

    def state_tensors(self) -> dict[str, Tensor]:
        """Network and optimizer, flat: `network.NAME` and `optimizer.NAME`."""
        tensors = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {f"optimizer.{name}": t for name, t in self.optimizer.state_tensors().items()}
        return {name: t.detach().cpu().contiguous() for name, t in tensors.items()}

    def load_state(self, tensors: Mapping[str, Tensor], iteration: int, lowest: float) -> None:
        """Continue from what `state_tensors` gave.

        Raises:
            KeyError, RuntimeError: The tensors are not of this network.
        """
        self.network.load_state_dict(_below("network.", tensors))
        self.optimizer.load_state_tensors(_below("optimizer.", tensors))
        self.iteration, self.lowest = iteration, lowest

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)


def _part(rng: np.random.Generator, side: int, room: int) -> tuple[Tensor, Tensor]:
    """Rows and columns, as indices, of a random square of `side` − `room` px in one of `side` px."""
    rows, columns = (torch.arange(side - room) + int(start) for start in rng.integers(0, room + 1, 2))
    return rows, columns


def cut_out(image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The part of (B, 3, H, W), channels last; by indices, as a recorded step has one slice."""
    part = image.index_select(2, rows).index_select(3, columns)
    return part.contiguous(memory_format=torch.channels_last)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def perceptual_loss(
    config: TrainConfig, style: Image.Image, vgg: Vgg16Features, device: torch.device
) -> PerceptualLoss:
    """The losses that `config` describes, for a style picture of any size."""
    loss = PerceptualLoss(
        vgg.to(device).to(memory_format=torch.channels_last),
        scaled_style(style, config.style_size).to(device, memory_format=torch.channels_last),
        config.content_weight,
        config.style_weight,
        config.palette_weight,
        config.tv_weight,
        config.layer_weights,
        config.locality,
    ).to(device)
    give_back()  # the activations of the whole style picture are larger than anything in a step
    return loss


def validation_losses(
    network: nn.Module, loss: PerceptualLoss, photos: Iterable[Tensor], amount: float, device: torch.device
) -> dict[str, float]:
    """Mean losses of `network`, as it is (evaluation mode), over single photos (1, 3, H, W) in [0, 1].

    The paintings are clamped to [0, 1] first, as they will be seen; `amount` is the model's grain.

    Raises:
        ContentError: There is no photo.
    """
    totals: dict[str, float] = {}
    count = 0
    with torch.inference_mode():
        for photo in photos:
            grainy, photo = (
                t.to(device, memory_format=torch.channels_last) for t in (add_grain(photo, amount), photo)
            )
            painting = network(grainy).clamp(0, 1)
            for name, value in loss(painting, photo).as_dict().items():
                totals[name] = totals.get(name, 0.0) + value
            count += 1
    if not count:
        raise ContentError("None of the photos to validate on can be read.")
    return {name: value / count for name, value in totals.items()}


def picture_sha256(picture: Image.Image) -> str:
    """Checksum of a picture's RGB pixels, whatever file they came from."""
    return hashlib.sha256(f"{picture.size}".encode() + picture.convert("RGB").tobytes()).hexdigest()


def add_grain(photo: Tensor, amount: float, seed: int = 0, first: int = 0) -> Tensor:
    """`photo` (B, 3, H, W), on the CPU, with noise of standard deviation `amount`; each image its own.

    `first` is the number in the batch of the first of them, where they are a part of it.
    """
    if not amount:
        return photo
    height, width = photo.shape[-2:]
    noise = grain(len(photo) * height, width, top=first * height, seed=seed)
    each = noise.reshape(3, len(photo), height, width).swapaxes(0, 1)
    pixels = photo.numpy()  # in NumPy, as batches are (see ContentBatches)
    grainy = np.multiply(each, np.float32(amount), out=np.empty_like(pixels))
    grainy += pixels
    return torch.from_numpy(grainy)


def scaled_style(style: Image.Image, size: int) -> Tensor:
    """The style picture with its shorter side at `size` pixels, aspect kept; (1, 3, H, W) in [0, 1]."""
    scale = size / min(style.size)
    if max(style.size) * scale > 4096:
        raise SettingError(
            f"The style picture is {style.width}x{style.height}; with a shorter side of {size} px its longer "
            "one exceeds 4096 px. Lower --style-size or crop the picture."
        )
    wanted = (round(style.width * scale), round(style.height * scale))
    return torch.from_numpy(to_array(style.convert("RGB").resize(wanted, Image.Resampling.LANCZOS)))[None]


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether `precision` means bfloat16 here; `auto` does where the processor multiplies it faster."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        return multiplies_bf16()
    return False
