"""The training step of a style predictor: every photo of a batch has a style of its own."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from transformer_net.errors import ContentError
from transformer_net.prediction.predictor import StylePredictor, save_predictor
from transformer_net.training.execution.distributed import ALONE, Ranks
from transformer_net.training.losses.perceptual import (
    CONTENT_TAP,
    Losses,
    gram_matrix,
    layout_distance,
    total_variation,
)
from transformer_net.training.losses.stability import lattice
from transformer_net.training.losses.vgg import TAPS, Vgg16Features
from transformer_net.training.optimizer import MuonAdam
from transformer_net.training.prediction.config import PredictorConfig
from transformer_net.training.prediction.styles import StyleCrops, StyleTargets
from transformer_net.training.trainer import Trainer, TrainingBatch, add_grain, cut_out

_ZOOMS = (1, 2, 4, 4)
"""How much photos are enlarged. Crops show much of a small photo; those that people bring are larger and so
smoother, and what was learned on small ones alone paints them too faintly."""

_SHOWN = 4
"""Styles in a sample picture."""


class PredictorTrainer(Trainer):
    """Trains a `StylePredictor` as `Trainer` trains a network, but for what a batch is compared with.

    Args:
        config: What to train.
        styles: The style pictures.
        vgg: Feature extractor.
        device: Where to compute.
        network: The predictor, trained in place.
        ranks: The processes that share the batches.
        before: The card of the training that made `network`, where one did.
    """

    network: StylePredictor
    config: PredictorConfig
    style_option = ("other style pictures", "--styles")

    def __init__(
        self,
        config: PredictorConfig,
        styles: StyleCrops,
        vgg: Vgg16Features,
        device: torch.device,
        network: StylePredictor,
        ranks: Ranks = ALONE,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            config, None, vgg.to(device).to(memory_format=torch.channels_last), device, network, ranks
        )
        self.vgg, self.styles, self.before = vgg, styles, before
        names = "\n".join(path.name for path in styles.pictures.training) if styles.pictures else ""
        self.style_sha256, self.vgg_source = hashlib.sha256(names.encode()).hexdigest(), vgg.source

    @property
    def cure(self) -> str:
        """A sentence: what to try after a run that diverged."""
        return "Try a larger --batch-size or another --seed."

    def standardize(self) -> None:
        """Set what descriptors are standardized by; before the first step."""
        descriptors = self.styles.targets(self.styles.in_use(0)).descriptor
        deviation, mean = torch.std_mean(descriptors, dim=0)
        self.network.mean_descriptor.copy_(mean)
        self.network.deviation.copy_(deviation.clamp(min=0.02))

    def step(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        share = len(batch[0])
        drawn = self.styles.drawn(self.iteration, self.config.batch_size)
        first = self.ranks.rank * share
        targets = self.styles.targets(drawn[first : first + share], self.styles.in_use(self.iteration).start)
        return super().step((*batch, *targets))

    def _optimizer(self) -> MuonAdam:
        return MuonAdam(self.network, self.network.predictor)

    def _zooms(self, iteration: int) -> Sequence[int]:
        return _ZOOMS

    def _losses(self, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        own = len(TrainingBatch._fields)
        batch, targets = TrainingBatch(*inputs[:own]), StyleTargets(*inputs[own:])
        smooths = self.schedule.smooths(self.iteration)
        self.network.train(not smooths)
        with self._autocast():
            painting = self._forward(batch.grainy, targets.descriptor).float()
            seen, photo = painting, batch.photo
            if self.config.shift > 1:
                seen, photo = (cut_out(t, batch.rows, batch.columns) for t in (seen, photo))
            terms = self._compare(seen, photo, targets)
            layout = layout_distance(seen, photo, targets.covariance)
        total = terms.total + self.config.layout * layout
        losses = terms.detached() | {"layout": layout.detach(), "total": total.detach()}
        if smooths:
            shared = lattice(painting, self.ranks.average, self.config.batch_size)
            total = total + self.config.lattice * shared
            losses |= {"lattice": shared.detach(), "total": total.detach()}
        return total, losses

    def _compare(self, painting: Tensor, photo: Tensor, targets: StyleTargets) -> Losses:
        """The losses of paintings of `photo`, (B, 3, H, W) both, each by its own style.

        The style term of a layer is log(1 + d) of its relative distance d: pictures with little texture have
        tiny Gram matrices and distances above 10, which would be nearly all of the gradient.
        """
        config = self.config
        with torch.no_grad():
            wanted = self.vgg(photo, taps=CONTENT_TAP + 1)[CONTENT_TAP]
        found = self.vgg(painting)
        content = F.mse_loss(found[CONTENT_TAP].float(), wanted.float())
        distances = torch.stack(
            [
                distance(gram_matrix(features), gram)
                for features, gram in zip(found, targets.grams, strict=True)
            ]
        )
        style = distances.log1p().mean(1)
        palette, tv = self.styles.palette(painting, targets.palette), total_variation(painting)
        factors = torch.tensor(config.layer_weights, device=style.device)
        total = (
            config.content_weight * content
            + config.style_weight * (factors * style).sum()
            + config.palette_weight * palette
            + config.tv_weight * tv
        )
        return Losses(total, content, style, palette, tv)

    def validate(self, photos: Iterable[Tensor]) -> dict[str, float]:
        """Mean losses on held-out pictures and photos, each picture with two photos.

        `closed` is the median over the pictures of the share of the photos' style distance that is gone.
        """
        shown = [photo for photo, _ in zip(photos, range(2), strict=False)]
        if not shown:
            raise ContentError("None of the photos to validate on can be read.")
        totals: dict[str, float] = {}
        closed = []
        for targets in self.styles.validation():
            painter = self.network.for_style(targets.descriptor[0].to(self.device)).to(self.device)
            before = after = 0.0
            for photo in shown:
                with torch.inference_mode():
                    grainy = add_grain(photo, self.config.grain).to(self.device)
                    painting, plain = painter(grainy).clamp(0, 1), photo.to(self.device)
                    losses = self._compare(painting, plain, targets).as_dict()
                    losses["layout"] = layout_distance(painting, plain, targets.covariance).item()
                    losses["total"] += self.config.layout * losses["layout"]
                    before += self._distance(plain, targets)
                    after += self._distance(painting, targets)
                for name, value in losses.items():
                    totals[name] = totals.get(name, 0.0) + value
            closed.append(1 - after / before)
        count = len(shown) * len(closed)
        return {name: value / count for name, value in totals.items()} | {"closed": statistics.median(closed)}

    def _distance(self, image: Tensor, targets: StyleTargets) -> float:
        """Mean relative Gram distance over the layers."""
        pairs = zip(self.vgg(image), targets.grams, strict=True)
        return sum(distance(gram_matrix(f), gram).mean().item() for f, gram in pairs) / len(TAPS)

    def paint(self, photo: Tensor) -> Tensor:
        """The photo in a few styles that are held out, side by side, (1, 3, H, n · W) in [0, 1]."""
        paintings = []
        with torch.inference_mode():
            for targets, _ in zip(self.styles.validation(), range(_SHOWN), strict=False):
                painter = self.network.for_style(targets.descriptor[0].to(self.device)).to(self.device)
                grainy = add_grain(photo, self.config.grain).to(self.device)
                paintings.append(painter(grainy).clamp(0, 1).cpu())
        return torch.cat(paintings, 3)

    def gates(self, photo: Tensor) -> dict[str, Tensor]:
        """Nothing: each style has gates of its own."""
        return {}

    def save(self, path: Path, card: Mapping[str, Any]) -> None:
        pictures = self.styles.pictures
        styles = {"name": pictures.name, "pictures": len(pictures.training)} if pictures else {}
        before = {"before": self.before} if self.before else {}
        save_predictor(path, self.network, self.config.grain, {**card, "styles": styles, **before})


def distance(gram: Tensor, target: Tensor) -> Tensor:
    """‖G − S‖² / ‖S‖² of each pair of Gram matrices (B, C, C); (B,)."""
    return (gram - target).square().sum((1, 2)) / target.square().sum((1, 2))
