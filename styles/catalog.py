"""What can be painted: finds the styles and their models. The only code that knows where they lie.

styles/<name>/
    style.png            the picture whose style it is
    card.json            how the models were trained, and their validation losses
    bn.safetensors  in.safetensors  bn-se.safetensors  iebn.safetensors
    curves.json          losses over the iterations, for each normalizer
    quality.json         what benchmarks/quality.py measured
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transformer_net.errors import UnknownStyleError
from transformer_net.norms import NORMS, canonical_norm, norm_slug

ROOT = Path(__file__).parent
RECIPES = ROOT / "recipes.toml"


@dataclass(frozen=True)
class Style:
    """One style of the catalogue.

    Attributes:
        name: As it stands in commands and URLs.
        folder: Where its files lie.
    """

    name: str
    folder: Path

    @property
    def picture(self) -> Path:
        """The style picture."""
        return self.folder / "style.png"

    @property
    def norms(self) -> list[str]:
        """Normalizers that it has a model for, in the table's order."""
        return [norm for norm in NORMS if self.model_file(norm).is_file()]

    @cached_property
    def card(self) -> dict[str, Any]:
        """card.json; empty for a style without models."""
        path = self.folder / "card.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    def model(self, norm: str) -> Path:
        """The model file for a normalizer.

        Raises:
            UnknownNormError: There is no such normalizer.
            UnknownStyleError: This style has no model for it.
        """
        path = self.model_file(norm)
        if not path.is_file():
            have = ", ".join(self.norms) or "none yet"
            raise UnknownStyleError(
                f"The style {self.name!r} has no model for {canonical_norm(norm)}; it has: {have}."
            )
        return path

    def model_file(self, norm: str) -> Path:
        """Where the model for a normalizer lies, or will lie."""
        return self.folder / f"{norm_slug(norm)}.safetensors"


def styles() -> list[Style]:
    """All styles, by name: every folder with a style picture."""
    return [Style(path.parent.name, path.parent) for path in sorted(ROOT.glob("*/style.png"))]


def find_style(name: str) -> Style:
    """The style called `name`, in any case.

    Raises:
        UnknownStyleError: There is none; the sentence lists those there are.
    """
    found = {style.name: style for style in styles()}
    key = name.strip().lower()
    if key not in found:
        raise UnknownStyleError(f"There is no style {name!r}; choose one of {', '.join(found)}.")
    return found[key]


def recipes() -> dict[str, dict[str, Any]]:
    """Training settings that each style of the gallery has of its own, by style and option name."""
    with RECIPES.open("rb") as file:
        return tomllib.load(file)
