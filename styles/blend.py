"""Two styles or more in one network: deep network interpolation (Wang et al. 2019, arXiv 1811.10515).

A style is one of the catalogue, by its name, or any picture, by its path. Models that were trained from the
same base network stay near enough to each other in weight space for their weighted mean to paint, too:
strokes, colours and contours of both, not two pictures laid over each other.

The mean of the running statistics does not fit the mean of the weights: the blend's activations vary less,
and with batch norm a painting half-way would look like a grey photo. So the running statistics are corrected
by the change that is measured on the example photos (after Jordan et al. 2023, "REPAIR", arXiv 2211.08403).
Instance norm has no running statistics.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import ImageOps

from styles.catalog import find_style, shipped
from transformer_net.checkpoint import ModelInfo, load_model
from transformer_net.errors import SettingError, UnknownStyleError, about
from transformer_net.grain import grain as make_grain
from transformer_net.imaging.arrays import to_array
from transformer_net.imaging.decode import decode
from transformer_net.inference.options.palette import Palette
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS, BatchNorm
from transformer_net.prediction.style_picture import StylePicture, predicted_norms

_EXAMPLES = Path(__file__).parents[1] / "examples"

_SIDE = 160
"""Side in pixels of their squares. Four are a tenth of a megapixel, painted in a fraction of a second."""

_RUNNING = ("running_mean", "running_var")

_LEAST = 1e-5
"""What the norms add to a variance, too: a channel that is always the same has none."""


def is_picture(style: str) -> bool:
    """Whether the name of a style is the path of a picture."""
    return bool(Path(style).suffix) or any(mark and mark in style for mark in (os.sep, os.altsep))


def known_style(written: str) -> str:
    """The name of a style of the catalogue, given in any case; or the path of a picture.

    Raises:
        UnknownStyleError: There is no such style, and no such file.
    """
    if not is_picture(written):
        return find_style(written).name
    if not Path(written).is_file():
        raise UnknownStyleError(f"There is no style picture {written}.")
    return written


def parse_blend(text: str, find: Callable[[str], str] = known_style) -> dict[str, float]:
    """Shares by style, which add up to 1: of `wave`, `wave:0.6,my.jpg:0.4`, `wave,starry` (equal shares).

    Args:
        text: The text of a user.
        find: Gives the name of a style that exists; `known_style` opens files, so it is for who may.

    Raises:
        UnknownStyleError: There is no such style.
        SettingError: The text is not of this form, a style is named twice, or no share is above 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        written, colon, share = (piece.strip() for piece in part.partition(":"))
        if not written or ":" in share or (colon and not share):
            raise SettingError(f"A style is a name or a blend such as wave:0.6,starry:0.4, not {text!r}.")
        name = find(written)
        if name in weights:
            raise SettingError(f"The style {name!r} is named twice in {text!r}.")
        weights[name] = _weight(share, text) if colon else 1.0
    total = sum(weights.values())
    if not total > 0:
        raise SettingError(f"No share is above 0 in {text!r}.")
    if math.isinf(total):
        raise SettingError(f"The shares in {text!r} are too large.")
    return {name: weight / total for name, weight in weights.items() if weight > 0}


def with_absolute_paths(text: str) -> str:
    """What `parse_blend` or `two_styles` takes, for a process that runs in another folder."""
    parts = []
    for part in text.split(","):
        name, colon, share = part.strip().partition(":")
        parts.append(f"{Path(name).absolute() if is_picture(name) else name}{colon}{share}")
    return ",".join(parts)


def two_styles(text: str, find: Callable[[str], str] = known_style) -> tuple[str, str]:
    """The styles for the dark and the light places of a mask, of `wave,cubist`.

    Raises:
        UnknownStyleError: There is no such style.
        SettingError: These are not two different names without shares.
    """
    names = [find(part.strip()) for part in text.split(",")] if ":" not in text else []
    if len(set(names)) != 2 or len(names) != 2:
        raise SettingError(
            "With a mask, the style is two names such as wave,cubist, for its dark and for its light places, "
            f"not {text!r}."
        )
    return names[0], names[1]


def _weight(written: str, text: str) -> float:
    try:
        weight = float(written)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise SettingError(f"Shares are numbers of at least 0, and {written!r} in {text!r} is not one.")
    return weight


def common_norms(shares: Mapping[str, float]) -> list[str]:
    """The normalizers that all of the styles have a model for, in the table's order."""
    have = [predicted_norms() if is_picture(name) else find_style(name).norms for name in shares]
    return [norm for norm in NORMS if all(norm in norms for norms in have)]


def blend_name(shares: Mapping[str, float]) -> str:
    """What a blend is called in files and headers: `wave60-starry40`; a single style keeps its name."""
    if len(shares) == 1:
        return _title(next(iter(shares)))
    return "-".join(f"{_title(name)}{round(100 * share)}" for name, share in shares.items())


def _title(name: str) -> str:
    return Path(name).stem.lower() if is_picture(name) else name


def load_blend(shares: Mapping[str, float], norm: str) -> tuple[TransformerNet, ModelInfo]:
    """The network whose weights are the weighted mean of the styles' weights, and its description.

    With one style that is its model.

    Raises:
        UnknownStyleError, UnknownNormError: A style has no such model.
        ModelFileError: A file is unusable.
        SettingError: The models were not trained from the same base network, or there is no predictor.
        StylizerError: A style picture cannot be read, or cannot be a style.
    """
    return blend(shares, {name: _model(name, norm) for name in shares})


def open_style_picture(path: Path) -> StylePicture:
    """The picture in a file as a style. The last few are kept, as long as their files do not change.

    Raises:
        UnknownStyleError: There is no such file.
        StylizerError: It cannot be read, or cannot be a style.
    """
    if not path.is_file():
        raise UnknownStyleError(f"There is no style picture {path}.")
    with about(f"Style picture {path}"):
        return _style_picture(path, path.stat().st_mtime_ns)


def _model(name: str, norm: str) -> tuple[TransformerNet, ModelInfo]:
    if is_picture(name):
        return open_style_picture(Path(name)).model(norm)
    return load_model(find_style(name).model(norm))


@lru_cache(maxsize=8)
def _style_picture(path: Path, changed: int) -> StylePicture:
    """The style picture in a file that was last changed then."""
    return StylePicture(decode(path).rgb, _title(str(path)))


def blend(
    shares: Mapping[str, float], models: Mapping[str, tuple[TransformerNet, ModelInfo]]
) -> tuple[TransformerNet, ModelInfo]:
    """The weighted mean of `models`, which stay as they are, and of their grain.

    Args:
        shares: By style; they add up to 1.
        models: The same styles' models for one normalizer.

    Raises:
        SettingError: They were not trained from the same base network, or the example photos are missing,
            which running statistics are corrected by.
    """
    check_blend({name: info for name, (_, info) in models.items()})
    (first, info), *others = models.values()
    if not others:
        return first, replace(info, style=blend_name(shares))  # its file may call it otherwise
    states = [{key: value.cpu() for key, value in net.state_dict().items()} for net, _ in models.values()]
    weights = torch.tensor([shares[name] for name in models])
    network = copy.deepcopy(first).cpu().eval()
    network.load_state_dict({key: _mean([state[key] for state in states], weights) for key in states[0]})
    grain = sum(shares[name] * found.grain for name, (_, found) in models.items())
    if any(isinstance(module, BatchNorm) for module in network.modules()):
        photos = example_photos(grain)
        before = [_statistics(found, photos) for found, _ in models.values()]
        for key, after in _statistics(network, photos).items():
            statistics, mean = network.get_buffer(key), _mean([found[key] for found in before], weights)
            if key.endswith("running_var"):
                statistics *= (after + _LEAST) / (mean + _LEAST)
            else:
                statistics += after - mean
    return network, replace(info, style=blend_name(shares), grain=grain, training={})


def gallery_mean(norm: str, without: str = "") -> TransformerNet:
    """The mean of all styles of the gallery, except the one called `without`: it paints none of them yet.

    Raises:
        UnknownNormError: There is no such normalizer.
        ModelFileError: A file is unusable.
    """
    names = [style.name for style in shipped() if norm in style.norms and style.name != without]
    return load_blend({name: 1 / len(names) for name in names}, norm)[0]


def blend_palette(shares: Mapping[str, float]) -> Palette:
    """The colours of the style pictures, each by its share."""
    pictures = [Path(name) if is_picture(name) else find_style(name).picture for name in shares]
    palettes = [_palette(picture, picture.stat().st_mtime_ns) for picture in pictures]
    return Palette.mixed(palettes, list(shares.values()))


@lru_cache(maxsize=64)
def _palette(picture: Path, changed: int) -> Palette:
    """The palette of a picture that was last changed then."""
    return Palette.of(decode(picture).rgb)


def check_blend(infos: Mapping[str, ModelInfo]) -> None:
    """Raises SettingError, with the reason, unless the models of these styles can be blended."""
    if len(infos) > 1 and (why := _apart(infos)):
        norm = next(iter(infos.values())).norm
        raise SettingError(f"{' and '.join(infos)} cannot be blended with {norm}: {why}.")


def _apart(infos: Mapping[str, ModelInfo]) -> str:
    """Why the models of these styles have different beginnings; empty if they have the same."""
    if len({info.upsampling for info in infos.values()}) > 1:
        return "their networks enlarge in different ways"
    bases = {name: info.training.get("base_sha256") for name, info in infos.items()}
    for name, base in bases.items():
        if not base:
            return f"{name} was not trained from a base network"
    return "" if len(set(bases.values())) == 1 else "they were trained from different base networks"


def example_photos(grain: float) -> torch.Tensor:
    """The central squares of the example photos, (B, 3, H, W) in [0, 1], with a model's grain.

    Raises:
        SettingError: They are missing.
    """
    return _example_photos() + grain * torch.from_numpy(make_grain(_SIDE, _SIDE))


@lru_cache(maxsize=1)
def _example_photos() -> torch.Tensor:
    side = (_SIDE, _SIDE)
    photos = [to_array(ImageOps.fit(decode(path).rgb, side)) for path in sorted(_EXAMPLES.glob("*.jpg"))]
    if not photos:
        raise SettingError(f"This needs the photos in {_EXAMPLES}, and there are none.")
    return torch.from_numpy(np.stack(photos))


@torch.no_grad()
def _statistics(network: TransformerNet, photos: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean and variance of each batch norm's input on these photos, named like its running statistics."""
    # One memory layout, whatever the network came in: another one rounds otherwise, and pixels would differ.
    trained = copy.deepcopy(network).cpu().to(memory_format=torch.channels_last).train()
    for module in trained.modules():
        if isinstance(module, BatchNorm):
            module.momentum = 1.0  # the statistics become this batch's
    trained(photos.contiguous(memory_format=torch.channels_last))
    return {key: value for key, value in trained.named_buffers() if key.endswith(_RUNNING)}


def _mean(tensors: list[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """Their weighted mean; counters, which no painting depends on, are rounded down."""
    mean: torch.Tensor = torch.tensordot(weights, torch.stack(tensors).float(), dims=1)
    return mean.to(tensors[0].dtype)
