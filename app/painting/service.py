"""What the API and the page paint through: limits, decoding and encoding, and one queue of jobs."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from PIL import Image

from app.errors import ClientGoneError, NotReadyError, ServiceError, ShuttingDownError
from app.metrics import Metrics
from app.painting.places import Places
from app.painting.queue import JobQueue
from app.painting.registry import Model, ModelRegistry
from app.settings import Settings
from transformer_net.devices import device_errors, use_threads
from transformer_net.errors import DeviceFailedError, SettingError, about
from transformer_net.imaging.decode import Limits, Photo, decode
from transformer_net.imaging.encode import encode
from transformer_net.inference.engines.base import PRECISIONS
from transformer_net.inference.masked_stylizer import MaskedStylizer
from transformer_net.inference.options.mask import read_mask, resized
from transformer_net.inference.options.style_options import DEFAULT_OPTIONS, StyleOptions
from transformer_net.inference.stylizer import Stylizer
from transformer_net.prediction.style_picture import StylePicture

T = TypeVar("T")

_STYLE_PICTURES = 8
"""Style pictures that are kept, 3 MB each at most. The models of as many are kept, too."""

_MASK = "mask"
"""The style of all paintings by a mask in the metrics; see `Model.label`."""


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


class PaintingService:
    """Paints what is asked for: one registry of models, one queue, one set of limits.

    Args:
        settings: What is configured; the environment's where None.

    Raises:
        SettingError: The device is not in this machine, or does not paint.

    Attributes:
        settings: As given.
        registry: The models.
        jobs: Where every painting is computed.
        places: For requests that bring a picture.
        limits: What photos are accepted.
        metrics: Where it reports.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings = settings or Settings()
        self.metrics = Metrics()
        self.registry = ModelRegistry(settings, self.metrics, lambda: self.jobs.running > 1)
        batch = self.registry.batch
        self.jobs = JobQueue(
            settings.queue_length,
            settings.deadline_seconds,
            lambda reason: self.metrics.refused.labels(reason).inc(),
            batch,
        )
        self.metrics.watch_queue(lambda: self.jobs.waiting, lambda: self.jobs.running)
        self.places = Places(settings)
        self.limits = Limits(settings.max_pixels, settings.min_side)
        # Decoding and encoding have threads of their own, so that the next photo is read and the last
        # painting written while one is computed. Two: more would hold more photos in memory at once. A GPU is
        # faster than two.
        self._codecs = ThreadPoolExecutor(2 if batch == 1 else max(2, settings.threads), "codec")
        self._style_pictures: OrderedDict[bytes, StylePicture] = OrderedDict()
        self._style_pictures_lock = threading.Lock()
        self.ready = False

    def warm(self) -> None:
        """Load all models and take jobs; raises as `ModelRegistry.load`. Without effect where it was done."""
        if self.ready:
            return
        use_threads(self.settings.threads)
        self.registry.load()
        self.jobs.open()
        self.ready = True

    def refusal(self) -> ServiceError | None:
        """Why nobody's picture can be taken now; None where it can."""
        if self.jobs.closed and self.ready:
            return ShuttingDownError()
        if not self.ready:
            return NotReadyError("The models are being loaded.", retry_after=2)
        if self.jobs.full:
            return self.jobs.full_error()
        return self.places.refusal()

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

    async def read(self, data: bytes | IO[bytes], max_side: int | None = None) -> Photo:
        """Decode an upload and shrink it to `max_side`, off the event loop and off the inference thread.

        Photos wait in the queue already shrunk: a hundred megapixels take 400 MB each.

        Raises:
            StylizerError: It is not a readable picture, or is too large or too small.
        """
        side = self.largest_side(max_side)

        return await self.in_codec_thread(lambda: decode(data, self.limits, side))

    async def read_style(self, upload: IO[bytes] | bytes) -> StylePicture:
        """Decode an upload as a style picture, as `read` does; the last few are kept by their checksum.

        Raises:
            StylizerError: As in `read`; or the picture cannot be a style. Errors say that it is the style's.
        """

        def work() -> StylePicture:
            data = upload if isinstance(upload, bytes) else upload.read()
            key = hashlib.sha256(data).digest()
            with self._style_pictures_lock:
                if key in self._style_pictures:
                    self._style_pictures.move_to_end(key)
                    return self._style_pictures[key]
            with about("Style picture"):
                found = StylePicture(decode(data, self.limits).rgb, "picture")
            with self._style_pictures_lock:
                found = self._style_pictures.setdefault(key, found)
                while len(self._style_pictures) > _STYLE_PICTURES:
                    self._style_pictures.popitem(last=False)
            return found

        return await self.in_codec_thread(work)

    async def read_mask(self, data: bytes | IO[bytes], size: tuple[int, int]) -> Image.Image:
        """Decode a mask for a photo of that size, as `read` does; mode L. Errors say that it is the mask."""
        with about("Mask"):
            return await self.in_codec_thread(lambda: resized(read_mask(data, self.limits), size))

    async def write(self, image: Image.Image, format: str) -> bytes:
        """`encode`, off the event loop and off the inference thread."""
        return await self.in_codec_thread(lambda: encode(image, format))

    async def in_codec_thread(self, work: Callable[[], T]) -> T:
        """Call `work` where pictures are read and written, off the event loop and the inference thread."""
        return await asyncio.get_running_loop().run_in_executor(self._codecs, work)

    async def paint(
        self,
        photo: Photo,
        style: str | StylePicture,
        norm: str,
        options: StyleOptions = DEFAULT_OPTIONS,
        gone: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> Painting:
        """Paint `photo` once; see `paint_all`."""
        return (await self.paint_all(photo, style, [norm], options=options, gone=gone))[0]

    async def paint_all(
        self,
        photo: Photo,
        style: str | StylePicture,
        norms: Sequence[str],
        max_side: int | None = None,
        options: StyleOptions = DEFAULT_OPTIONS,
        gone: Callable[[], Coroutine[Any, Any, None]] | None = None,
        mask: Image.Image | None = None,
        precision: str = "fp32",
        spare: bool = False,
    ) -> list[Painting]:
        """Paint `photo` once with each normalizer, as one job: all of them or none.

        Args:
            photo: What to paint.
            style: Name of a style, in any case, or a blend of styles; or a style picture.
            norms: Normalizers, in any accepted spelling.
            max_side: Shrink the photo to this longer side first; None: to the largest that is painted.
            options: How strong the paintings are, and whose colours they have.
            gone: Returns when the client has left; see `JobQueue.run`.
            mask: Where which of the two styles is that `style` then names; see `MaskedStylizer`.
            precision: A key of `PRECISIONS`. Models are loaded in other than fp32 when first asked for.
            spare: Paint only if nothing else is being painted; see `JobQueue.run`.

        Raises:
            UnknownStyleError, UnknownNormError, SettingError: There is nothing of that name, size or
                precision, or the styles cannot be blended.
            NotReadyError: The models are not loaded.
            QueueFullError, DeadlineError, ClientGoneError, ShuttingDownError: See `JobQueue.run`.
            DeviceMemoryError, DeviceFailedError: See `Stylizer.paint_photo`; after the latter, the next one
                is painted.
        """
        if not self.ready:
            raise NotReadyError("The models are being loaded.", retry_after=2)
        side = self.largest_side(max_side)
        if isinstance(style, StylePicture):
            if mask is not None:
                raise SettingError("A mask is for two styles of the catalogue, not for a style picture.")
            models = [[self.registry.predict(style, norm, precision)] for norm in norms]
        else:
            parts = self.registry.parts(style, mask is not None)
            models = [[self.registry.find(part, norm, precision) for part in parts] for norm in norms]
        abandoned = threading.Event()

        def work() -> list[Painting]:
            return [self._paint(photo, finds, side, options, mask) for finds in _until(abandoned, models)]

        try:
            return await self.jobs.run(work, gone=gone, spare=spare)
        finally:
            abandoned.set()

    def _paint(
        self,
        photo: Photo,
        finds: Sequence[Callable[[], Model]],
        side: int,
        options: StyleOptions,
        mask: Image.Image | None,
    ) -> Painting:
        generation = self.registry.generation
        try:
            with device_errors():
                return self._paint_with([find() for find in finds], photo, side, options, mask)
        except DeviceFailedError:
            self.registry.heal(generation)
            raise

    def _paint_with(
        self,
        models: Sequence[Model],
        photo: Photo,
        side: int,
        options: StyleOptions,
        mask: Image.Image | None,
    ) -> Painting:
        model, *others = models
        painter: Stylizer | MaskedStylizer = model.stylizer
        if mask is not None:
            painter = MaskedStylizer(model.stylizer, others[0].stylizer, mask)
        begun = time.perf_counter()
        image = painter.paint_photo(photo, side, options)
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


def _until(abandoned: threading.Event, models: Sequence[T]) -> Iterator[T]:
    for model in models:
        if abandoned.is_set():
            raise ClientGoneError("The client no longer waits for this painting.")
        yield model
