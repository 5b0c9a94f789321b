"""The models that the server paints with: those of the catalogue, in every precision, and blends of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image

from app.errors import NotReadyError
from app.metrics import Metrics
from app.settings import Settings
from styles import catalog
from styles.blend import blend, blend_palette, check_blend, parse_blend, two_styles
from styles.catalog import Style
from transformer_net.devices import multiplies_bf16, use_threads
from transformer_net.errors import SettingError, UnknownStyleError
from transformer_net.imaging.decode import Photo
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.quantization import load_ranges
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import parameter_count
from transformer_net.norms import NORMS, canonical_norm
from transformer_net.prediction.style_picture import StylePicture, predictor_file

_BLENDS = 16
"""Blended networks that are cached: four with each normalizer. At width 16 they take 1.7 MB each."""

_PREDICTED = 32
"""Predicted models that are kept: those of eight pictures with each normalizer."""


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        style: Name of its style in the catalogue, of the blend, or of the style picture.
        norm: Canonical name of the normalizer.
        label: Its style in the metrics, where each name is a permanent time series: the same for all
            blends and for all style pictures, since clients choose them.
        stylizer: Paints with it.
        parameters: Number of learned parameters.
        bytes: Size of its file; 0 for a blend or a predicted model, which has none.
        quickest: The fastest precision whose paintings are nearly the same.
    """

    style: str
    norm: str
    label: str
    stylizer: Stylizer
    parameters: int
    bytes: int
    quickest: str = "fp32"


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
    use_threads(threads)
    network, info = blend(shares, parts)
    engine = make_engine(network, engine="torch", threads=threads)
    stylizer = Stylizer(network, info, engine=engine, palette=lambda: blend_palette(shares))
    return Model(info.style, info.norm, "blend", stylizer, parameter_count(network), 0)


class ModelRegistry:
    """All models that are loaded. Models may be adopted while others are painted with.

    Args:
        settings: What is configured.
        metrics: Where it reports.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._styles: dict[str, Style] | None = None  # None until they are loaded
        self._models: dict[tuple[str, str], Model] = {}
        self._blend = lru_cache(_BLENDS)(self._make_blend)
        self._predicted = lru_cache(_PREDICTED)(self._predict)
        self._others: dict[tuple[Model, str], Model] = {}  # models of `_models` in other precisions

    def styles(self) -> list[Style]:
        """The styles that can be painted, by name: those whose models are loaded, whatever has become of the
        files since; before that, those with a model file."""
        return _offered() if self._styles is None else list(self._styles.values())

    def norms(self, *names: str) -> list[str]:
        """The normalizers that all of these styles can be painted with, in the table's order.

        Raises:
            UnknownStyleError: There is no style of such a name.
            SettingError: There are several, and no normalizer that all have.
        """
        found = [self.style(name) for name in names]
        if self._styles is None:
            have = [style.norms for style in found]
        else:
            have = [[norm for norm in NORMS if (style.name, norm) in self._models] for style in found]
        common = [norm for norm in NORMS if all(norm in norms for norms in have)]
        if not common and len(found) > 1:
            raise SettingError(f"{' and '.join(style.name for style in found)} have no normalizer in common.")
        return common

    def parts(self, style: str, masked: bool = False) -> list[dict[str, float]]:
        """What is painted, by the shares of the styles: one style or blend, or two by a mask.

        Raises:
            UnknownStyleError, SettingError: See `parse_blend` and `two_styles`.
        """
        if masked:
            return [{name: 1.0} for name in two_styles(style, self._name)]
        return [parse_blend(style, self._name)]

    def style(self, name: str) -> Style:
        """The style called `name`, in any case.

        Raises:
            UnknownStyleError: There is none that can be painted; the sentence lists the existing ones.
        """
        found = {style.name: style for style in self.styles()}
        key = name.strip().lower()
        if key not in found:
            raise UnknownStyleError(
                f"There is no style {name!r}; choose one of {', '.join(found) or 'none'}."
            )
        return found[key]

    def _name(self, written: str) -> str:
        return self.style(written).name

    def load(self) -> None:
        """Load every model of the catalogue and paint a tiny picture, so that the first visitor waits no
        longer than the others.

        Raises:
            ModelFileError: A model file is unusable.
            SettingError: The engine is not installed.
        """
        begun = time.perf_counter()
        found = _offered()
        self._models = {
            (style.name, norm): load(style, norm, self._settings) for style in found for norm in style.norms
        }
        self._styles = {style.name: style for style in found}
        self._metrics.model_load_seconds.set(time.perf_counter() - begun)
        self._metrics.models.set(len(self._models))
        blank = Photo(Image.new("RGB", (64, 64)))
        for model in self._models.values():
            model.stylizer.paint_photo(blank)

    def adopt(self, style: Style, norm: str) -> None:
        """Offer a model that came into the catalogue after the start, in place of an earlier one of its norm.

        Raises:
            ModelFileError, UnknownStyleError: Its file is unusable, or there is none.
            NotReadyError: The models are not loaded.
        """
        if self._styles is None:
            raise NotReadyError("The models are being loaded.", retry_after=2)
        model = load(style, norm, self._settings)
        model.stylizer.paint_photo(Photo(Image.new("RGB", (64, 64))))
        # New dictionaries: other threads may be reading those that there are.
        self._models = {**self._models, (style.name, norm): model}
        self._styles = {**self._styles, style.name: style}
        self._blend.cache_clear()  # nobody asks any more for those of the earlier model
        current = self._models.values()
        self._others = {key: other for key, other in self._others.items() if key[0] in current}
        self._metrics.models.set(len(self._models))

    def model(self, style: str, norm: str) -> Model:
        """A loaded model.

        Raises:
            UnknownStyleError, UnknownNormError: There is none of that name.
            NotReadyError: The models are not loaded.
        """
        found, canonical = self.style(style), canonical_norm(norm)
        if self._styles is None:
            raise NotReadyError("The models are being loaded.", retry_after=2)
        if (found.name, canonical) not in self._models:
            have = ", ".join(self.norms(found.name)) or "none"
            raise UnknownStyleError(f"The style {found.name!r} has no model for {canonical}; it has: {have}.")
        return self._models[found.name, canonical]

    def find(self, shares: dict[str, float], norm: str, precision: str) -> Callable[[], Model]:
        """Gives the model of a style or a blend when it is called, in the inference thread.

        Raises:
            UnknownStyleError, UnknownNormError, NotReadyError: As in `model`.
            SettingError: The styles cannot be blended, or not in that precision.
        """
        models = {name: self.model(name, norm) for name in shares}
        first, *others = models.values()
        if not others:
            return lambda: self._in_precision(first, precision)
        if precision != "fp32":
            raise SettingError(f"A blend of styles is painted in fp32, not in {precision}.")
        check_blend({name: model.stylizer.info for name, model in models.items()})
        # By the models, not their names: one may be replaced while its blend is computed.
        return lambda: self._blend(tuple(shares.items()), tuple(models.values()))

    def predict(self, picture: StylePicture, norm: str, precision: str) -> Callable[[], Model]:
        """Gives the predicted model of a style picture when it is called, in the inference thread.

        The last `_PREDICTED` are kept.

        Raises:
            UnknownNormError: There is no such normalizer.
            SettingError: There is no predictor for it.
        """
        canonical = canonical_norm(norm)
        predictor_file(canonical)
        return lambda: self._predicted(picture, canonical, precision)

    def _predict(self, picture: StylePicture, norm: str, precision: str) -> Model:
        settings = self._settings
        use_threads(settings.threads)
        stylizer = Stylizer.from_picture(
            picture, norm, engine=settings.engine, precision=precision, threads=settings.threads
        )
        return Model(picture.name, norm, "picture", stylizer, parameter_count(stylizer.network), 0)

    def _make_blend(self, shares: tuple[tuple[str, float], ...], models: tuple[Model, ...]) -> Model:
        by_name = {name: model for (name, _), model in zip(shares, models, strict=True)}
        return blended(by_name, dict(shares), self._settings.threads)

    def _in_precision(self, model: Model, precision: str) -> Model:
        if precision == "fp32":
            return model
        key = model, precision
        if key not in self._others:
            self._others[key] = load(self.style(model.style), model.norm, self._settings, precision)
        return self._others[key]


def _offered() -> list[Style]:
    return [style for style in catalog.styles() if style.norms]
