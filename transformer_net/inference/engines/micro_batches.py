"""Micro-batches: what threads bring at the same time for one network, at one size, is painted together.

A GPU is not busy with one photo of a usual size. There is no thread for this: who comes first waits for
others for a moment, and while the device is at work, and then paints for all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from transformer_net.devices import device_errors
from transformer_net.errors import DeviceMemoryError
from transformer_net.inference.engines.base import Floats
from transformer_net.inference.engines.torch_engine import TorchEngine

WAIT_SECONDS = 0.002
"""How long the first waits for others, where there are any."""

_MOST_PIXELS = 1 << 22
"""Pixels of all photos of a batch: at width 16, painting takes 640 bytes of memory for each."""


class _Batch:
    """Photos that will be painted together, and their paintings."""

    def __init__(self) -> None:
        self.photos: list[Floats] = []
        self.full = threading.Event()
        self.paintings: Future[list[Floats]] = Future()


class MicroBatches:
    """The batches of one device, which paints one at a time. Safe to share between threads.

    Args:
        most: Photos of a batch.
        company: Whether others may come soon; where not, nobody waits for them.
        wait: Seconds that the first waits for others.
    """

    def __init__(
        self, most: int, company: Callable[[], bool] = lambda: True, wait: float = WAIT_SECONDS
    ) -> None:
        self._most, self._company, self._wait = most, company, wait
        self._open: dict[tuple[TorchEngine, tuple[int, ...]], _Batch] = {}  # those that may still be joined
        self._lock, self._device = threading.Lock(), threading.Lock()

    def paint(self, engine: TorchEngine, pixels: Floats) -> Floats:
        """The painting of a photo, as the engine's; raises what it does."""
        key = engine, pixels.shape
        most = max(1, min(self._most, _MOST_PIXELS // pixels[0].size))
        with self._lock:
            batch = self._open.get(key)
            first = batch is None
            if batch is None:
                batch = self._open[key] = _Batch()
            place = len(batch.photos)
            batch.photos.append(pixels)
            if len(batch.photos) == most:
                del self._open[key]
                batch.full.set()
        if first:
            if self._company():
                batch.full.wait(self._wait)
            with self._device:
                with self._lock:
                    if self._open.get(key) is batch:
                        del self._open[key]
                try:
                    batch.paintings.set_result(_painted(engine, batch.photos))
                except BaseException as error:
                    batch.paintings.set_exception(error)
        return batch.paintings.result()[place]


def _painted(engine: TorchEngine, photos: list[Floats]) -> list[Floats]:
    """Together; or, where there is not enough memory for that, one by one."""
    if len(photos) > 1:
        try:
            with device_errors():
                return engine.paint_batch(photos)
        except DeviceMemoryError:
            pass
    with device_errors():
        return [engine(pixels) for pixels in photos]


class BatchedEngine(TorchEngine):
    """PyTorch's engine, its whole pictures painted in micro-batches.

    Args:
        engine: What paints.
        batches: Of its device.
    """

    def __init__(self, engine: TorchEngine, batches: MicroBatches) -> None:
        super().__init__(engine.network, engine.device, engine.precision, engine.threads)
        self._batches, self._engine = batches, engine

    def __call__(self, pixels: Floats) -> Floats:
        """As `Engine.__call__`."""
        return self._batches.paint(self._engine, pixels)
