"""Micro-batches on a CPU, whose code is a GPU's: who is painted together, and what becomes of errors."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from tests.inference.networks import random_network
from transformer_net.errors import DeviceFailedError
from transformer_net.inference.engines import micro_batches
from transformer_net.inference.engines.factory import make_engine
from transformer_net.inference.engines.micro_batches import BatchedEngine, MicroBatches
from transformer_net.inference.engines.torch_engine import TorchEngine

LONG = 60.0
"""Seconds that nobody waits who is not meant to."""


class Watched(TorchEngine):
    """Notes how many photos it paints together, and fails as it is told."""

    def __init__(self, norm="in", fails=lambda count: None):
        super().__init__(random_network(norm), torch.device("cpu"), threads=1)
        self.seen, self.fails = [], fails

    def paint_batch(self, photos):
        self.seen.append(len(photos))
        if error := self.fails(len(photos)):
            raise error
        return super().paint_batch(photos)


def photos(count, height=33, width=47):
    rng = np.random.default_rng(0)
    return [rng.random((3, height, width), dtype=np.float32) for _ in range(count)]


def at_once(batches, calls):
    """What becomes of each call of an engine with a photo, all from threads of their own."""
    with ThreadPoolExecutor(len(calls)) as pool:
        painting = [pool.submit(BatchedEngine(engine, batches), pixels) for engine, pixels in calls]
        return [future.exception() or future.result() for future in painting]


def test_one_model_and_size_are_painted_together_and_as_alone():
    engine, some = Watched(), photos(4)
    paintings = at_once(MicroBatches(4, wait=LONG), [(engine, pixels) for pixels in some])
    assert engine.seen == [4]
    alone = make_engine(engine.network, engine="torch", threads=1)
    for pixels, painting in zip(some, paintings, strict=True):
        assert np.abs(painting - alone(pixels)).max() < 1 / 255


def test_other_models_and_sizes_are_not_mixed():
    one, other = Watched(), Watched("bn")
    calls = [(engine, pixels) for engine in (one, other) for size in (32, 40) for pixels in photos(2, size)]
    paintings = at_once(MicroBatches(2, wait=LONG), calls)
    assert (one.seen, other.seen) == ([2, 2], [2, 2])
    for (_, pixels), painting in zip(calls, paintings, strict=True):
        assert painting.shape == pixels.shape


def test_who_is_alone_waits_for_nobody(monkeypatch):
    engine = Watched()
    (pixels,) = photos(1)
    BatchedEngine(engine, MicroBatches(8, company=lambda: False, wait=LONG))(pixels)
    BatchedEngine(engine, MicroBatches(8))(pixels)
    monkeypatch.setattr(micro_batches, "_MOST_PIXELS", 1024)  # large photos are batches by themselves
    BatchedEngine(engine, MicroBatches(8, wait=LONG))(pixels)
    assert engine.seen == [1, 1, 1]


def test_without_memory_for_all_each_is_painted_alone():
    engine = Watched(fails=lambda count: torch.OutOfMemoryError("CUDA out of memory") if count > 1 else None)
    paintings = at_once(MicroBatches(3, wait=LONG), [(engine, pixels) for pixels in photos(3)])
    assert engine.seen == [3, 1, 1, 1]
    assert all(isinstance(painting, np.ndarray) for painting in paintings)


def test_all_of_a_batch_are_told_of_an_error_and_the_next_is_painted():
    left = [torch.AcceleratorError("CUDA error: unspecified launch failure")]
    engine, batches = Watched(fails=lambda count: left.pop() if left else None), MicroBatches(3, wait=LONG)
    calls = [(engine, pixels) for pixels in photos(3)]
    assert [type(outcome) for outcome in at_once(batches, calls)] == [DeviceFailedError] * 3
    assert [type(outcome) for outcome in at_once(batches, calls)] == [np.ndarray] * 3
