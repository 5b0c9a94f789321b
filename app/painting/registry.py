"""The models that the server paints with: those of the catalogue, in every precision, and blends of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from PIL import Image

from app.errors import NotReadyError
from app.metrics import Metrics
from app.settings import Settings
from styles import catalog
from styles.blend import blend, blend_palette, check_blend, example_photos, parse_blend, two_styles
from styles.catalog import Style
from transformer_net.devices import bound_memory, multiplies_bf16, paints, torch_device, use_threads
from transformer_net.errors import SettingError, UnknownStyleError
from transformer_net.imaging.decode import Photo
from transformer_net.inference.engines import torch_engine
from transformer_net.inference.engines.base import ON_CPU
from transformer_net.inference.engines.factory import LEAST_HALF, least_psnr, make_engine, painting_device
from transformer_net.inference.engines.micro_batches import BatchedEngine, MicroBatches
from transformer_net.inference.engines.openvino_engine import OpenVinoEngine
from transformer_net.inference.engines.quantization import load_ranges
from transformer_net.inference.engines.torch_engine import TorchEngine
from transformer_net.inference.stylizer import Stylizer
from transformer_net.network import parameter_count
from transformer_net.norms import NORMS, canonical_norm
from transformer_net.prediction.style_picture import StylePicture, predictor_file

_BLENDS = 16
"""Blended networks that are cached: four with each normalizer. At width 16 they take 1.7 MB each."""

_BATCH = 8
"""Photos that a GPU is given at once."""

logger = logging.getLogger("app")

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


def load(
    style: Style,
    norm: str,
    settings: Settings,
    precision: str = "fp32",
    device: str | torch.device | None = None,
) -> Model:
    """A model of the catalogue, on a device; that of the settings where None.

    Raises:
        ModelFileError: Its file is unusable.
        SettingError: The engine is not installed, or cannot compute in that precision.
    """
    where = device or painting_device(settings.device, settings.engine, precision)
    stylizer = Stylizer.from_style(style.name, norm, where, settings.engine, precision, settings.threads)
    path, parameters = style.model(norm), parameter_count(stylizer.network)
    quickest = _quickest(stylizer, path)
    return Model(style.name, norm, style.name, stylizer, parameters, path.stat().st_size, quickest)


def _quickest(stylizer: Stylizer, model: Path) -> str:
    engine = stylizer.engine
    if isinstance(engine, TorchEngine) and engine.device.type in torch_engine.HALF:
        half = make_engine(stylizer.network, engine.device, "torch", "fp16")
        photos = example_photos(stylizer.info.grain).numpy()
        return "fp16" if least_psnr(half, engine, photos) >= LEAST_HALF else "fp32"
    if not isinstance(engine, OpenVinoEngine):
        return "fp32"
    if load_ranges(model):
        return "int8"
    return "bf16" if engine.plugin == "CPU" and multiplies_bf16() else "fp32"


def blended(
    models: Mapping[str, Model], shares: Mapping[str, float], threads: int, device: torch.device
) -> Model:
    """The blend of several models for one normalizer; raises as `blend`.

    PyTorch computes it, whatever the settings say: others have to compile each network first.
    """
    parts = {name: (model.stylizer.network, model.stylizer.info) for name, model in models.items()}
    use_threads(threads)
    network, info = blend(shares, parts)
    engine = make_engine(network, device, "torch", threads=threads)
    stylizer = Stylizer(network, info, device, engine=engine, palette=lambda: blend_palette(shares))
    return Model(info.style, info.norm, "blend", stylizer, parameter_count(network), 0)


class ModelRegistry:
    """All models that are loaded. Models may be adopted while others are painted with.

    Args:
        settings: What is configured.
        metrics: Where it reports.
        company: Whether a photo that is to be painted may soon have others beside it.

    Attributes:
        device: Where models are: that of the settings, or the CPU once that one failed for good.
        batch: Photos that may be painted at once.
        generation: How often the models were loaded anew because the device failed.

    Raises:
        SettingError: The device is not in this machine, or does not paint.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, company: Callable[[], bool] = lambda: True
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self.device = painting_device(settings.device, settings.engine)
        on_cpu = torch_device(self.device).type == "cpu"
        bound_memory(torch_device(self.device), settings.gpu_memory)
        self.batch = settings.batch or (1 if on_cpu else _BATCH)
        self._batches = MicroBatches(self.batch, company) if self.batch > 1 else None
        self.generation = 0
        self._making = threading.Lock()
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
            (style.name, norm): self._load(style, norm) for style in found for norm in style.norms
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
        model = self._load(style, norm)
        model.stylizer.paint_photo(Photo(Image.new("RGB", (64, 64))))
        # New dictionaries: other threads may be reading those that there are.
        self._models = {**self._models, (style.name, norm): model}
        self._styles = {**self._styles, style.name: style}
        self._blend.cache_clear()  # nobody asks any more for those of the earlier model
        current = self._models.values()
        self._others = {key: other for key, other in self._others.items() if key[0] in current}
        self._metrics.models.set(len(self._models))

    def heal(self, generation: int) -> None:
        """Load all models anew, since the device failed; on the CPU where it does not paint any more.

        Args:
            generation: That of the models when it failed; without effect where there is a later one.

        Raises:
            StylizerError: As `load`.
        """
        with self._making:
            if generation != self.generation:
                return
            logger.warning("The GPU failed; all models are loaded again.")
            try:
                painting = paints(torch_device(self.device))
            except (RuntimeError, AssertionError):
                painting = False
            if not painting:
                logger.error("%s paints no more: the CPU does, until the server is restarted.", self.device)
                self.device = torch.device("cpu")
            self.load()
            self._others = {}
            self._blend.cache_clear()
            self._predicted.cache_clear()
            self.generation += 1

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
        """Gives the model of a style or a blend when it is called, in an inference thread.

        Raises:
            UnknownStyleError, UnknownNormError, NotReadyError: As in `model`.
            SettingError: The styles cannot be blended, or not in that precision.
        """
        models = {name: self.model(name, norm) for name in shares}
        if len(models) > 1 and precision != "fp32":
            raise SettingError(f"A blend of styles is painted in fp32, not in {precision}.")
        check_blend({name: model.stylizer.info for name, model in models.items()})

        def make() -> Model:
            with self._making:
                # As they are now, not when the job came; and a blend by the models, not their names: one may
                # be replaced while it is computed.
                first, *others = now = tuple(self.model(name, norm) for name in shares)
                return (
                    self._blend(tuple(shares.items()), now)
                    if others
                    else self._in_precision(first, precision)
                )

        return make

    def predict(self, picture: StylePicture, norm: str, precision: str) -> Callable[[], Model]:
        """Gives the predicted model of a style picture when it is called, in an inference thread.

        The last `_PREDICTED` are kept.

        Raises:
            UnknownNormError: There is no such normalizer.
            SettingError: There is no predictor for it.
        """
        canonical = canonical_norm(norm)
        predictor_file(canonical)

        def make() -> Model:
            with self._making:
                return self._predicted(picture, canonical, precision)

        return make

    def _where(self, precision: str) -> str | torch.device:
        if precision in ON_CPU:
            return painting_device(self._settings.device, self._settings.engine, precision)
        return self.device

    def _load(self, style: Style, norm: str, precision: str = "fp32") -> Model:
        return self._batched(load(style, norm, self._settings, precision, self._where(precision)))

    def _batched(self, model: Model) -> Model:
        if self._batches and isinstance(model.stylizer.engine, TorchEngine):
            model.stylizer.engine = BatchedEngine(model.stylizer.engine, self._batches)
        return model

    def _predict(self, picture: StylePicture, norm: str, precision: str) -> Model:
        settings = self._settings
        use_threads(settings.threads)
        stylizer = Stylizer.from_picture(
            picture, norm, self._where(precision), settings.engine, precision, settings.threads
        )
        parameters = parameter_count(stylizer.network)
        return self._batched(Model(picture.name, norm, "picture", stylizer, parameters, 0))

    def _make_blend(self, shares: tuple[tuple[str, float], ...], models: tuple[Model, ...]) -> Model:
        by_name = {name: model for (name, _), model in zip(shares, models, strict=True)}
        device = torch_device(self.device)
        return self._batched(blended(by_name, dict(shares), self._settings.threads, device))

    def _in_precision(self, model: Model, precision: str) -> Model:
        if precision == "fp32":
            return model
        key = model, precision
        if key not in self._others:
            self._others[key] = self._load(self.style(model.style), model.norm, precision)
        return self._others[key]


def _offered() -> list[Style]:
    return [style for style in catalog.styles() if style.norms]
