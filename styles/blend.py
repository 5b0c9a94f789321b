"""Two styles or more in one network: deep network interpolation (Wang et al. 2019, arXiv 1811.10515).

Models that began at the same base network stay near enough to each other in weight space for their weighted
mean to paint, too: strokes, colours and contours of both, not two pictures laid over each other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch

from styles.catalog import find_style
from transformer_net.checkpoint import ModelInfo, load_model
from transformer_net.errors import SettingError
from transformer_net.network import TransformerNet
from transformer_net.norms import NORMS

_PART = re.compile(r"\s*([^:,]+?)\s*(?::\s*([0-9.eE+-]+)\s*)?")


def parse_blend(text: str) -> dict[str, float]:
    """Shares by style, which add up to 1: of `wave`, `wave:0.6,starry:0.4`, `wave,starry` (equal shares).

    Raises:
        UnknownStyleError: There is no such style.
        SettingError: It is not written like that, a style is named twice, or no share is above 0.
    """
    weights: dict[str, float] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if not match:
            raise SettingError(f"A style is a name or a blend such as wave:0.6,starry:0.4, not {text!r}.")
        name = find_style(match[1]).name
        if name in weights:
            raise SettingError(f"The style {name!r} is named twice in {text!r}.")
        weights[name] = _weight(match[2], text)
    total = sum(weights.values())
    if not total > 0:
        raise SettingError(f"No share is above 0 in {text!r}.")
    return {name: weight / total for name, weight in weights.items() if weight > 0}


def _weight(written: str | None, text: str) -> float:
    if written is None:
        return 1.0
    try:
        weight = float(written)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise SettingError(f"Shares are numbers from 0 up, and {written!r} in {text!r} is none.")
    return weight


def common_norms(shares: Mapping[str, float]) -> list[str]:
    """The normalizers that all of the styles have a model for, in the table's order."""
    have = [find_style(name).norms for name in shares]
    return [norm for norm in NORMS if all(norm in norms for norms in have)]


def load_blend(shares: Mapping[str, float], norm: str) -> tuple[TransformerNet, ModelInfo]:
    """The network whose weights are the mean of the styles' by their shares, and what there is to say of it.

    With one style that is its model. Running statistics and grain are averaged like weights.

    Raises:
        UnknownStyleError, UnknownNormError: A style has no such model.
        ModelFileError: A file is unusable.
        SettingError: The models did not begin at the same base network.
    """
    loaded = {name: load_model(find_style(name).model(norm)) for name in shares}
    (network, info), *others = loaded.values()
    if not others:
        return network, info
    if why := _apart({name: found for name, (_, found) in loaded.items()}):
        raise SettingError(f"{' and '.join(shares)} cannot be blended with {info.norm}: {why}.")
    states = [found.state_dict() for found, _ in loaded.values()]
    weights = torch.tensor(list(shares.values()))
    network.load_state_dict({key: _mean([state[key] for state in states], weights) for key in states[0]})
    style = "-".join(f"{name}{round(100 * share)}" for name, share in shares.items())
    grain = sum(share * loaded[name][1].grain for name, share in shares.items())
    return network, ModelInfo(info.norm, info.width, info.norm_options, style, grain)


def _apart(infos: Mapping[str, ModelInfo]) -> str:
    """Why the models of these styles did not begin at the same place; empty if they did."""
    bases = {name: info.training.get("base_sha256") for name, info in infos.items()}
    for name, base in bases.items():
        if not base:
            return f"{name} did not begin at a base network"
    return "" if len(set(bases.values())) == 1 else "they began at different base networks"


def _mean(tensors: list[torch.Tensor], weights: torch.Tensor) -> torch.Tensor:
    """Their weighted mean; counters, which no painting depends on, are rounded down."""
    mean: torch.Tensor = torch.tensordot(weights, torch.stack(tensors).float(), dims=1)
    return mean.to(tensors[0].dtype)
