"""What can be painted: finds the styles and their models. The only code that knows where their files are.

styles/<name>/
    style.png            the picture whose style it is
    card.json            how the models were trained, and their validation losses
    bn.safetensors  in.safetensors  bn-se.safetensors  iebn.safetensors
    curves.json          losses over the iterations, for each normalizer
    quality.json         what benchmarks/quality.py measured

Own styles have the same layout in `own_folder()`, and come after these.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from transformer_net.errors import UnknownStyleError
from transformer_net.norms import NORMS, canonical_norm, norm_slug

ROOT = Path(__file__).parent
RECIPES = ROOT / "recipes.toml"

OWN_VARIABLE = "STYLIZER_OWN_STYLES"
"""Environment variable that names another folder for own styles."""

_LONGEST_NAME = 48


@dataclass(frozen=True)
class Style:
    """One style of the catalogue.

    Attributes:
        name: As in commands and URLs.
        folder: The folder of its files.
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
        """The path of the model for a normalizer, whether or not it exists."""
        return self.folder / f"{norm_slug(norm)}.safetensors"


def styles() -> list[Style]:
    """All styles: the shipped ones, then own ones that have a name of their own; each by name."""
    found = {style.name: style for style in shipped()}
    with contextlib.suppress(RuntimeError):  # there is no home folder
        for style in _below(own_folder()):
            if style.name == style_name(style.name):
                found.setdefault(style.name, style)
    return list(found.values())


def shipped() -> list[Style]:
    """The project's own gallery, by name: every folder here with a style picture."""
    return _below(ROOT)


def own_folder() -> Path:
    """$STYLIZER_OWN_STYLES, else stylizer/styles in the user's data folder.

    Raises:
        RuntimeError: There is no home folder.
    """
    if named := os.environ.get(OWN_VARIABLE):
        return Path(named).absolute()  # a training runs in another folder
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "stylizer" / "styles"


def style_name(text: str) -> str:
    """`text` as a style can be called in commands, addresses and file names: `Été, 2.jpg` is `ete-2-jpg`.

    Lower-case ASCII letters, digits and single hyphens; empty where nothing of it can be kept.
    """
    ascii_ = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_).strip("-")[:_LONGEST_NAME].strip("-")


def _below(folder: Path) -> list[Style]:
    return [Style(path.parent.name, path.parent) for path in sorted(folder.glob("*/style.png"))]


def find_style(name: str) -> Style:
    """The style called `name`, in any case.

    Raises:
        UnknownStyleError: There is none; the sentence lists the existing ones.
    """
    found = {style.name: style for style in styles()}
    key = name.strip().lower()
    if key not in found:
        raise UnknownStyleError(f"There is no style {name!r}; choose one of {', '.join(found)}.")
    return found[key]


def recipes() -> dict[str, dict[str, Any]]:
    """Training settings that each style of the gallery has of its own, by style and option name."""
    found: dict[str, dict[str, Any]] = _settings()["styles"]
    return found


def gallery_settings() -> dict[str, Any]:
    """How long the gallery's models are trained, and on which crops, by option name."""
    found: dict[str, Any] = _settings()["gallery"]
    return found


def _settings() -> dict[str, Any]:
    with RECIPES.open("rb") as file:
        return tomllib.load(file)
