"""What the server does with a GPU, on a CPU: batches, full memory, and a context that is lost (injected)."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest
import torch

from app.main import create_app
from app.painting import registry
from app.painting.service import PaintingService
from app.settings import Settings
from styles.catalog import find_style
from tests.app.conftest import SETTINGS, assert_problem, file, opened, picture, post, serving
from tests.conftest import make_picture
from transformer_net import devices
from transformer_net.errors import SettingError
from transformer_net.imaging.decode import Photo
from transformer_net.inference import stylizer
from transformer_net.inference.engines import torch_engine
from transformer_net.inference.engines.torch_engine import TorchEngine


@pytest.fixture(autouse=True)
def one_style(monkeypatch):
    monkeypatch.setattr(registry, "_offered", lambda: [find_style("mosaic")])


@pytest.fixture
def failing(monkeypatch):
    """Has whole pictures fail with the errors in a list, one after the other, and then no more."""
    errors: list[Exception] = []
    paint_batch = TorchEngine.paint_batch

    def paint(self, photos):
        if errors:
            raise errors.pop(0)
        return paint_batch(self, photos)

    monkeypatch.setattr(TorchEngine, "paint_batch", paint)
    return errors


def pixels(image):
    return np.asarray(image).astype(int)


def test_on_a_cpu_nothing_is_batched():
    service = PaintingService(Settings(**SETTINGS))
    assert (service.registry.batch, service.registry._batches) == (1, None)
    service.registry.load()
    assert {type(model.stylizer.engine) for model in service.registry._models.values()} == {TorchEngine}


@pytest.mark.slow
def test_waiting_photos_are_painted_together(monkeypatch):
    seen = []
    paint_batch = TorchEngine.paint_batch
    monkeypatch.setattr(
        TorchEngine,
        "paint_batch",
        lambda self, photos: seen.append(len(photos)) or paint_batch(self, photos),
    )
    service = PaintingService(Settings(**SETTINGS, device="cpu", batch=4))
    service.warm()
    batches = service.registry._batches
    batches._company, batches._wait = (lambda: True), 60.0  # until there are four
    photos = [Photo(make_picture(60, 40, seed=seed)) for seed in range(4)]

    async def four():
        return await asyncio.gather(*(service.paint(photo, "mosaic", "iebn") for photo in photos))

    seen.clear()
    together = asyncio.run(four())
    assert seen == [4]
    batches._wait = 0.0
    alone = service.registry.model("mosaic", "iebn").stylizer
    for photo, painting in zip(photos, together, strict=True):
        assert np.abs(pixels(alone.paint_photo(photo)) - pixels(painting.image)).max() <= 1
    asyncio.run(service.close())


@pytest.mark.slow
def test_full_memory_means_small_tiles_once_and_then_a_sentence(failing):
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    with serving() as client:
        photo = file(make_picture(440, 400))
        whole = opened(post(client, photo, norm="bn"))
        failing.append(full)
        tiled = opened(post(client, photo, norm="bn"))
        assert np.abs(pixels(tiled) - pixels(whole)).max() <= 1
        assert not failing
        failing[:] = [full] * 2  # a small picture has no smaller tiles
        problem = assert_problem(response := post(client, file(picture())), 503, "gpu-memory-full")
        assert "too little free memory" in problem["detail"]
        assert response.headers["Retry-After"] == "5"
        opened(post(client, file(picture())))


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_a_lost_context_heals(failing, monkeypatch, caplog, comes_back):
    monkeypatch.setattr(registry, "paints", lambda device: comes_back)
    with serving() as client:
        service = client.app.state.service
        before, blend = opened(post(client, file(picture()))), post(client, file(picture()), norm="all")
        engine = service.registry.model("mosaic", "iebn").stylizer.engine
        failing.append(torch.AcceleratorError("CUDA error: unspecified launch failure"))
        with caplog.at_level(logging.WARNING):
            response = post(client, file(picture()))
        assert_problem(response, 503, "gpu-failed")
        assert response.headers["Retry-After"] == "1"
        assert service.registry.generation == 1
        assert service.registry.model("mosaic", "iebn").stylizer.engine is not engine
        assert opened(post(client, file(picture()))).tobytes() == before.tobytes()
        assert post(client, file(picture()), norm="all").content == blend.content
        service.registry.heal(0)  # by another that failed at the same time
        assert service.registry.generation == 1
    sentences = [record.getMessage() for record in caplog.records if record.name == "app"]
    assert sentences[0] == "The GPU failed; all models are loaded again."
    assert any("the CPU does, until" in sentence for sentence in sentences) is not comes_back


@pytest.mark.slow
def test_half_precision_is_offered_where_it_is_faster(monkeypatch):
    monkeypatch.setattr(torch_engine, "HALF", ("cpu",))  # which is slow in it
    for module in (registry, stylizer):
        monkeypatch.setattr(module, "example_photos", lambda grain: torch.rand(1, 3, 32, 32))
    with serving() as client:
        assert client.app.state.service.registry.model("mosaic", "in").quickest == "fp16"
        half, full = (post(client, file(picture()), norm="in", precision=name) for name in ("fp16", "fp32"))
        assert (half.headers["X-Stylizer-Precision"], full.headers["X-Stylizer-Precision"]) == (
            "float16",
            "float32",
        )
        assert 0 < np.abs(pixels(opened(half)) - pixels(opened(full))).mean() < 1


def test_a_device_that_is_missing_stops_the_start():
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    devices.pick_device.cache_clear()
    with pytest.raises(SettingError, match="The device 'cuda' is not available on this machine"):
        create_app(Settings(**SETTINGS, device="cuda"))
