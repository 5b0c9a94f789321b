"""The models that the server paints with, of the catalogue and blended from these, and what they paint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from app.settings import Settings
from styles.blend import blend, blend_palette
from styles.catalog import Style
from transformer_net.devices import multiplies_bf16
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.quantization import load_ranges
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import parameter_count


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        style: Name of its style in the catalogue, or of the blend.
        norm: Canonical name of the normalizer.
        label: Its style in the metrics, where each is a time series for ever: the same for all blends, since
            shares are the client's choice.
        stylizer: Paints with it.
        parameters: Number of learned parameters.
        bytes: Size of its file; 0 for a blend, which has none.
        quickest: The precision in which its style is painted soonest and nearly the same.
    """

    style: str
    norm: str
    label: str
    stylizer: Stylizer
    parameters: int
    bytes: int
    quickest: str = "fp32"


@dataclass(frozen=True)
class Painting:
    """A finished painting and what is worth telling about it.

    Attributes:
        image: Mode RGB, or RGBA where the photo has transparency.
        style: Name of its style, or of the blend.
        norm: Canonical name of the normalizer.
        seconds: Time to compute it, without decoding, waiting and encoding.
        parameters: Learned parameters of the network.
        precision: Number format that it was computed in.
    """

    image: Image.Image
    style: str
    norm: str
    seconds: float
    parameters: int
    precision: str


def load(style: Style, norm: str, settings: Settings, precision: str = "fp32") -> Model:
    """A model of the catalogue.

    Raises:
        ModelFileError: Its file is unusable.
        SettingError: The engine is not installed, or cannot compute in that precision.
    """
    stylizer = Stylizer.from_style(
        style.name, norm, engine=settings.engine, precision=precision, threads=settings.threads
    )
    path, parameters = style.model(norm), parameter_count(stylizer.network)
    quickest = _quickest(stylizer, path)
    return Model(style.name, norm, style.name, stylizer, parameters, path.stat().st_size, quickest)


def _quickest(stylizer: Stylizer, model: Path) -> str:
    if stylizer.engine.name != "openvino":
        return "fp32"
    if load_ranges(model):
        return "int8"
    return "bf16" if multiplies_bf16() else "fp32"


def blended(models: Mapping[str, Model], shares: Mapping[str, float], threads: int) -> Model:
    """The blend of several models for one normalizer; raises as `blend`.

    PyTorch computes it, whatever the settings say: others convert each network, and keep it on the disk.
    """
    parts = {name: (model.stylizer.network, model.stylizer.info) for name, model in models.items()}
    network, info = blend(shares, parts)
    engine = make_engine(network, engine="torch", threads=threads)
    stylizer = Stylizer(network, info, engine=engine, palette=lambda: blend_palette(shares))
    return Model(info.style, info.norm, "blend", stylizer, parameter_count(network), 0)
