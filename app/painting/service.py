"""What the API and the page share: the models, the limits and the queue."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch
from PIL import Image

from app.errors import ClientGoneError, NotReadyError
from app.metrics import Metrics
from app.painting.queue import JobQueue
from app.painting.registry import Model, Painting, blended, load
from app.settings import Settings
from styles import catalog
from styles.blend import check_blend, parse_blend, two_styles
from styles.catalog import Style
from transformer_net.errors import SettingError, UnknownStyleError, about
from transformer_net.imaging.arrays import fit
from transformer_net.imaging.decode import Limits, Photo, decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.engines.base import PRECISIONS
from transformer_net.inference.masked_stylizer import TwoStyles
from transformer_net.inference.options.mask import read_mask, resized
from transformer_net.inference.options.style_options import AS_PAINTED, Look
from transformer_net.inference.stylizer import Stylizer
from transformer_net.norms import NORMS, canonical_norm

T = TypeVar("T")

_BLENDS = 16
"""Blended networks that are kept: four, of each normalizer one. At width 16 they take 1.7 MB each."""

_MASK = "mask"
"""The style of all paintings by a mask in the metrics; see `Model.label`."""


class Studio:
    """All models, one queue, one set of limits.

    Args:
        settings: What is configured; the environment's where None.

    Attributes:
        settings: As given.
        jobs: Where every painting is computed.
        limits: What photos are accepted.
        metrics: Where it reports.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings = settings or Settings()
        self.metrics = Metrics()
        self.jobs = JobQueue(
            settings.queue_length,
            settings.deadline_seconds,
            lambda reason: self.metrics.refused.labels(reason).inc(),
        )
        self.metrics.watch_queue(lambda: self.jobs.waiting, lambda: self.jobs.running)
        self.limits = Limits(settings.max_pixels, settings.min_side)
        # Decoding and encoding have threads of their own, so that the next photo is read and the last
        # painting written while one is computed. Two: more would hold more photos in memory at once.
        self._codecs = ThreadPoolExecutor(2, "codec")
        self._styles: dict[str, Style] | None = None  # None until they are loaded
        self._models: dict[tuple[str, str], Model] = {}
        self._blend = lru_cache(_BLENDS)(self._make_blend)
        self._others: dict[tuple[Model, str], Model] = {}  # models of `_models` in other precisions
        self.ready = False

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
            return [{name: 1.0} for name in two_styles(style, self.style)]
        return [parse_blend(style, self.style)]

    def style(self, name: str) -> Style:
        """The style called `name`, in any case.

        Raises:
            UnknownStyleError: There is none that can be painted; the sentence lists those there are.
        """
        found = {style.name: style for style in self.styles()}
        key = name.strip().lower()
        if key not in found:
            raise UnknownStyleError(
                f"There is no style {name!r}; choose one of {', '.join(found) or 'none'}."
            )
        return found[key]

    def warm(self) -> None:
        """Load every model of the catalogue and paint a tiny picture, so that the first visitor waits no
        longer than the others. Without effect where that was done.

        Raises:
            ModelFileError: A model file is unusable.
            SettingError: The engine is not installed.
        """
        if self.ready:
            return
        torch.set_num_threads(self.settings.threads)
        begun = time.perf_counter()
        found = _offered()
        self._models = {
            (style.name, norm): load(style, norm, self.settings) for style in found for norm in style.norms
        }
        self._styles = {style.name: style for style in found}
        self.metrics.model_load_seconds.set(time.perf_counter() - begun)
        self.metrics.models.set(len(self._models))
        blank = Photo(Image.new("RGB", (64, 64)))
        for model in self._models.values():
            model.stylizer.paint_photo(blank)
        self.jobs.open()
        self.ready = True

    def adopt(self, style: Style, norm: str) -> None:
        """Offer a model that came into the catalogue after the start, in place of an earlier one of its norm.

        Raises:
            ModelFileError, UnknownStyleError: Its file is unusable, or there is none.
            NotReadyError: The models are not loaded.
        """
        if self._styles is None:
            raise NotReadyError("The models are being loaded.", retry_after=2)
        model = load(style, norm, self.settings)
        model.stylizer.paint_photo(Photo(Image.new("RGB", (64, 64))))
        # New dictionaries: other threads may be reading those that there are.
        self._models = {**self._models, (style.name, norm): model}
        self._styles = {**self._styles, style.name: style}
        self._blend.cache_clear()  # some may be of the earlier model
        current = self._models.values()
        self._others = {key: other for key, other in self._others.items() if key[0] in current}
        self.metrics.models.set(len(self._models))

    async def close(self) -> None:
        """Finish what runs, and take nothing more until `warm` is called again."""
        self.ready = False
        await self.jobs.close()

    def largest_side(self, max_side: int | None) -> int:
        """The longest side to paint, for the one that was asked for; None asks for the largest.

        Raises:
            SettingError: It is out of range.
        """
        least, most = self.settings.min_side, self.settings.api_max_side
        if max_side is None:
            return most
        if not least <= max_side <= most:
            raise SettingError(f"max_side must be within {least} and {most}, not {max_side}.")
        return max_side

    async def read(self, data: bytes, max_side: int | None = None) -> Photo:
        """Decode an upload and shrink it to `max_side`, off the event loop and off the inference thread.

        Photos wait in the queue already shrunk: fifty megapixels take 150 MB each.

        Raises:
            StylizerError: It is no picture that we read, or is too large or too small.
        """
        side = self.largest_side(max_side)

        def work() -> Photo:
            photo = decode(data, self.limits)
            small = fit(photo.rgb, side)
            return photo if small is photo.rgb else _shrunk(photo, small)

        return await self.do(work)

    async def read_mask(self, data: bytes, size: tuple[int, int]) -> Image.Image:
        """Decode a mask for a photo of that size, as `read` does; mode L. Errors say that it is the mask."""
        with about("Mask"):
            return await self.do(lambda: resized(read_mask(data, self.limits), size))

    async def write(self, image: Image.Image, format: str) -> bytes:
        """`encode`, off the event loop and off the inference thread."""
        return await self.do(lambda: encode(image, format))

    async def do(self, work: Callable[[], T]) -> T:
        """Call `work` where pictures are read and written, off the event loop and the inference thread."""
        return await asyncio.get_running_loop().run_in_executor(self._codecs, work)

    async def paint(
        self,
        photo: Photo,
        style: str,
        norm: str,
        max_side: int | None = None,
        look: Look = AS_PAINTED,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> Painting:
        """Paint `photo` in its turn; see `paint_all`."""
        return (await self.paint_all(photo, style, [norm], max_side, look, gone))[0]

    async def paint_all(
        self,
        photo: Photo,
        style: str,
        norms: Sequence[str],
        max_side: int | None = None,
        look: Look = AS_PAINTED,
        gone: Callable[[], Awaitable[bool]] | None = None,
        mask: Image.Image | None = None,
        precision: str = "fp32",
        spare: bool = False,
    ) -> list[Painting]:
        """Paint `photo` once with each normalizer, as one job: all of them or none.

        Args:
            photo: What to paint.
            style: Name of a style, in any case, or a blend of styles.
            norms: Normalizers, in any accepted spelling.
            max_side: Shrink the photo to this longer side first; None: to the largest that is painted.
            look: How strong the paintings are, and whose colours they have.
            gone: Asked while it waits whether the client has left.
            mask: Where which of the two styles is that `style` then names; see `TwoStyles`.
            precision: A key of `PRECISIONS`. Models are loaded in other than fp32 when first asked for.
            spare: Paint only if nothing else is being painted; see `JobQueue.run`.

        Raises:
            UnknownStyleError, UnknownNormError, SettingError: There is nothing of that name, size or
                precision, or the styles cannot be blended.
            NotReadyError: The models are not loaded.
            QueueFullError, DeadlineError, ClientGoneError, ShuttingDownError: See `JobQueue.run`.
        """
        if not self.ready:
            raise NotReadyError("The models are being loaded.", retry_after=2)
        side = self.largest_side(max_side)
        parts = self.parts(style, mask is not None)
        models = [[self._find(part, norm, precision) for part in parts] for norm in norms]
        abandoned = threading.Event()

        def work() -> list[Painting]:
            return [
                self._paint(photo, [find() for find in finds], side, look, mask)
                for finds in _until(abandoned, models)
            ]

        try:
            return await self.jobs.run(work, gone=gone, spare=spare)
        finally:
            abandoned.set()

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

    def _find(self, shares: dict[str, float], norm: str, precision: str) -> Callable[[], Model]:
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
        return lambda: self._blend(tuple(shares.items()), canonical_norm(norm))

    def _make_blend(self, shares: tuple[tuple[str, float], ...], norm: str) -> Model:
        models = {name: self.model(name, norm) for name, _ in shares}
        return blended(models, dict(shares), self.settings.threads)

    def _in_precision(self, model: Model, precision: str) -> Model:
        if precision == "fp32":
            return model
        key = model, precision
        if key not in self._others:
            self._others[key] = load(self.style(model.style), model.norm, self.settings, precision)
        return self._others[key]

    def _paint(
        self, photo: Photo, models: Sequence[Model], side: int, look: Look, mask: Image.Image | None
    ) -> Painting:
        model, *others = models
        painter: Stylizer | TwoStyles = model.stylizer
        if mask is not None:
            painter = TwoStyles(model.stylizer, others[0].stylizer, mask)
        begun = time.perf_counter()
        image = painter.paint_photo(photo, side, look)
        seconds = time.perf_counter() - begun
        label = model.label if mask is None else _MASK
        self.metrics.inference_seconds.labels(label, model.norm).observe(seconds)
        return Painting(
            image,
            "-".join(model.style for model in models),
            model.norm,
            seconds,
            sum(model.parameters for model in models),
            PRECISIONS[model.stylizer.engine.precision],
        )


def _offered() -> list[Style]:
    return [style for style in catalog.styles() if style.norms]


def _shrunk(photo: Photo, small: Image.Image) -> Photo:
    if photo.alpha is None:
        return Photo(small)
    return Photo(small, photo.alpha.resize(small.size, Image.Resampling.LANCZOS))


def _until(abandoned: threading.Event, models: Sequence[T]) -> Iterator[T]:
    for model in models:
        if abandoned.is_set():
            raise ClientGoneError("Nobody waits for this painting any more.")
        yield model
