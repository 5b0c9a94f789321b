"""What decides how a style predictor is trained."""

from __future__ import annotations

from dataclasses import dataclass

from transformer_net.errors import SettingError
from transformer_net.training.config import TrainConfig


@dataclass(frozen=True)
class PredictorConfig(TrainConfig):
    """One training of a style predictor. What `TrainConfig` says of the style picture holds for each picture.

    The defaults that differ from those of `TrainConfig` are for a training of hours: small crops first, and
    terms against the lattice that appears in long trainings. There is no warm-up, because the training begins
    at the base, which reproduces the photo.

    Attributes:
        hidden: Units of the two inner layers of the predictor.
        crop: Side in pixels of the crops of style pictures.
        crops: Crops of style pictures that are in use at a time.
        fresh: Crops that come new into use at each step; as many go out.
        layout: Weight of the distance between the places of the colours in painting and photo. Where styles
            are many and steps few, negatives and posters of two tones are easy to find.
        init: `base`, or `shipped`: the predictor that ships.
        painted: Share of the crops that are of drawn pictures, where there are others.
    """

    iterations: int = 3000
    warmup_iterations: int = 0
    early_size: int = 128
    size: int = 144
    lr: float = 2e-3
    tv_weight: float = 10.0
    lattice: float = 10.0
    layout: float = 20.0
    style_weight: float = 20.0
    layer_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.5, 2.0)
    palette_weight: float = 300.0
    init: str = "base"
    hidden: int = 512
    crop: int = 256
    crops: int = 2000
    fresh: float = 0.5
    painted: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 1:
            raise SettingError(f"hidden must be at least 1, not {self.hidden}.")
        if not 0 <= self.painted <= 1:
            raise SettingError(f"painted must be within 0 and 1, not {self.painted}.")
