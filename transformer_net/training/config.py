"""Everything that decides how a model is trained, in one frozen record that goes into its file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from transformer_net.errors import SettingError
from transformer_net.imaging.mark_scale import SMALLEST_STYLE
from transformer_net.network import UPSAMPLING
from transformer_net.norms import canonical_norm
from transformer_net.training.losses.vgg import TAPS
from transformer_net.training.pretrained import base_sha256

Precision = Literal["auto", "fp32", "bf16"]


_BEFORE = {"upsampling": "nearest", "shift": 0, "consistency": 0.0, "lattice": 0.0}
"""How networks were trained before these settings existed."""

_LARGEST_SHIFT = (
    16  # twice what moves all of the grids of network and loss network; half of the smallest crop
)


@dataclass(frozen=True)
class TrainConfig:
    """One training run. The defaults make a good model of a painting in minutes on two cores.

    Attributes:
        style: Name of the style, as the model file will carry it.
        norm: Normalizer: bn, in, bn+se or iebn.
        norm_options: Keyword arguments of the normalizer, for ablations.
        width: Channels of the first layer; 32 is Johnson's, 16 is three times as fast.
        iterations: Steps on the perceptual losses; as many as there is time for, with a `budget`.
        budget: Seconds that the whole run may take by the clock, over all sittings; 0 for `iterations`
            steps, however long they take.
        warmup_iterations: Steps before them on |output − photo| alone, at `warmup_size`. They teach the
            network to reproduce the photo; without them a short run learns the texture and loses the photo.
        batch_size: Photos a step.
        size: Side of the square crops in pixels.
        early_size: Side of the crops in the first half of the style phase, where small ones teach as
            much in less time, unless training begins at the gallery's mean: `size` if that is smaller, or if
            this is 0.
        warmup_size: Side of the square crops in the warm-up.
        crop_scale: Smallest share of a photo's area that a crop covers.
        lr: Peak learning rate of Adam; Muon's is a multiple of it (see `MuonAdam`). It rises over the first
            tenth of the style iterations and falls to 0 as a cosine.
        content_weight: Weight of the content loss.
        style_weight: Weight of each layer's relative Gram distance. More paints more freely.
        palette_weight: Weight of the distance between the painting's colours and the style's.
        tv_weight: Weight of total variation. More is smoother.
        layer_weights: Factors on `style_weight` for relu1_2, relu2_2, relu3_3, relu4_3.
        locality: How much each crop of a batch has to have the whole style by itself, 0 to 1. A small crop of
            the style picture does not have it either; at 1, paintings become an even confetti.
        style_size: Shorter side, in pixels, of the style picture as the losses see it. Brush strokes or
            tiles should then be 8 to 20 px.
        grain: Standard deviation of the noise added to the network's input, in training and in use, so that
            it can paint flat regions.
        upsampling: How the network enlarges; see `TransformerNet`.
        shift: The losses see the painting from a place of its own at each step, less than so many pixels from
            the corner either way: what is locked to the network's grid of 4 px looks wrong at the others.
        consistency: Weight of the mean squared difference between the painting and that of the same photo
            moved by a few pixels, with a little noise and another exposure. It keeps videos from flickering.
        lattice: Weight, in the second half, of what repeats every 4 px in all paintings of a batch; batch
            norms keep their running statistics there.
        init: Where the weights come from: nothing for random ones, `base` for the shipped network of the same
            norm that reproduces the photo (see `transformer_net.training.pretrained`), `gallery` for the mean
            of the gallery's models (see `styles.blend.gallery_mean`), `predicted` for the style predictor's
            network (see `transformer_net.prediction`), `shipped` for the gallery's own model of this
            style and norm, which it then replaces, or the name of a model file.
        seed: Decides initial weights, data order and crops.
        precision: fp32, bf16 (mixed), or auto: bf16 where the processor has instructions for it.
    """

    style: str
    norm: str = "in"
    norm_options: Mapping[str, Any] = field(default_factory=dict)
    width: int = 16
    iterations: int = 500
    budget: float = 0.0
    warmup_iterations: int = 300
    batch_size: int = 4
    size: int = 192
    early_size: int = 0
    warmup_size: int = 128
    crop_scale: float = 0.2
    lr: float = 4e-3
    content_weight: float = 1.0
    style_weight: float = 10.0
    palette_weight: float = 150.0
    tv_weight: float = 0.0
    layer_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    locality: float = 0.3
    style_size: int = 1024
    grain: float = 0.05
    upsampling: str = "bilinear"
    shift: int = 8
    consistency: float = 0.0
    lattice: float = 0.0
    init: str = ""
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "norm", canonical_norm(self.norm))
        object.__setattr__(self, "layer_weights", tuple(self.layer_weights))
        _at_least(1, self, "width", "iterations", "batch_size")
        _at_least(
            0, self, "warmup_iterations", "content_weight", "style_weight", "palette_weight", "tv_weight"
        )
        _at_least(0, self, "grain", "seed", "budget", "shift", "consistency", "lattice")
        if self.upsampling not in UPSAMPLING:
            raise SettingError(f"upsampling must be one of {', '.join(UPSAMPLING)}, not {self.upsampling!r}.")
        if self.shift > _LARGEST_SHIFT:
            raise SettingError(f"shift must be at most {_LARGEST_SHIFT}, not {self.shift}.")
        if self.lattice and self.batch_size < 2:
            raise SettingError("lattice compares paintings: batch_size must be at least 2, or lattice 0.")
        if self.seed >= 2**63:
            raise SettingError(f"seed must be below 2^63, not {self.seed}.")
        _at_least(32, self, "size", "warmup_size")
        _at_least(SMALLEST_STYLE, self, "style_size")
        if self.early_size:
            _at_least(32, self, "early_size")
        if not 0 < self.crop_scale <= 1:
            raise SettingError(f"crop-scale must be above 0 and at most 1, not {self.crop_scale}.")
        if not 0 <= self.locality <= 1:
            raise SettingError(f"locality must be from 0 to 1, not {self.locality}.")
        if not 0 < self.lr <= 1:
            raise SettingError(f"lr must be above 0 and at most 1, not {self.lr}.")
        if len(self.layer_weights) != len(TAPS):
            raise SettingError(f"layer-weights needs {len(TAPS)} numbers, one for each of {', '.join(TAPS)}.")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise SettingError(f"precision must be auto, fp32 or bf16, not {self.precision!r}.")

    @property
    def total_iterations(self) -> int:
        """Warm-up and style iterations together, of a run without a budget."""
        return self.warmup_iterations + self.iterations

    @property
    def base_sha256(self) -> str:
        """Checksum of the base network that the weights descend from; empty for other beginnings."""
        descends = self.init in ("base", "gallery", "predicted", "shipped")
        return base_sha256(self.norm) if descends else ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return {
            **asdict(self),
            "norm_options": dict(self.norm_options),
            "layer_weights": list(self.layer_weights),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """The config that `to_dict` wrote.

        Raises:
            SettingError: A name is unknown or a value is out of range.
        """
        values = {**_BEFORE, **values}
        known = {f.name for f in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise SettingError(f"There is no training option {unknown[0]!r}.")
        return cls(**values)


def length(iterations: int | None, budget: str | None) -> dict[str, Any]:
    """What a command says of how long to train, as settings; empty if it says nothing.

    Raises:
        SettingError: It says both, or the budget is no duration.
    """
    if iterations is not None and budget is not None:
        raise SettingError("Give --iterations or --budget, not both.")
    if budget is not None:
        return {"budget": parse_duration(budget)}
    return {} if iterations is None else {"iterations": iterations}


def parse_duration(text: str) -> float:
    """Seconds of 90s, 3m, 1h30m or plain 90.

    Raises:
        SettingError: It is no such duration, or none at all.
    """
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", text.strip().lower())
    try:
        hours, minutes, seconds = (float(part or 0) for part in (match.groups() if match else ()))
    except ValueError:
        hours = minutes = seconds = 0.0
    if not (total := 3600 * hours + 60 * minutes + seconds) > 0:
        raise SettingError(f"A time is written like 90s, 3m or 1h30m, not {text!r}.")
    return total


def _at_least(minimum: float, config: TrainConfig, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not (math.isfinite(value) and value >= minimum):
            raise SettingError(f"{name.replace('_', '-')} must be at least {minimum}, not {value}.")
