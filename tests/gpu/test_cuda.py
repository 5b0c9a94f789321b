"""What only a CUDA GPU shows: the same paintings as a CPU's, full memory, batches through the server."""

import asyncio

import numpy as np
import pytest
import torch

from app.painting import registry
from app.painting.service import PaintingService
from app.settings import Settings
from styles.catalog import find_style
from tests.conftest import make_picture
from transformer_net.devices import pick_device
from transformer_net.errors import DeviceMemoryError
from transformer_net.imaging.decode import Photo
from transformer_net.inference.engines.factory import least_psnr
from transformer_net.inference.stylizer import Stylizer
from transformer_net.inference.tiling.tiles import grained
from transformer_net.norms import NORMS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_paintings_are_a_cpus(norm, precision):
    here = Stylizer.from_style("mosaic", norm, "cpu", "torch")
    there = Stylizer.from_style("mosaic", norm, "cuda", precision=precision)
    assert (there.engine.name, there.engine.precision) == ("torch", precision)
    pixels = grained(make_picture(200, 150), here.info.grain)
    assert least_psnr(there.engine, here.engine, [pixels]) > 40


@pytest.fixture
def little_memory():
    """Half a gigabyte of the GPU."""
    total = torch.cuda.get_device_properties("cuda").total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction((512 << 20) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_full_memory(little_memory):
    stylizer = Stylizer.from_style("mosaic", "bn", "cuda")
    tiled = stylizer.paint_photo(Photo(make_picture(1800, 1400)))
    assert tiled.size == (1800, 1400)
    blocked = torch.empty(480 << 20, dtype=torch.uint8, device="cuda")
    with pytest.raises(DeviceMemoryError):
        stylizer.paint_photo(Photo(make_picture(1800, 1400)))
    del blocked
    assert stylizer.paint_photo(Photo(make_picture(1800, 1400))).tobytes() == tiled.tobytes()


def test_the_server_paints_on_it(monkeypatch):
    monkeypatch.setattr(registry, "_offered", lambda: [find_style("mosaic")])
    service = PaintingService(Settings(page=False))
    assert (pick_device().type, service.registry.batch) == ("cuda", 8)
    service.warm()
    photos = [Photo(make_picture(96, 64, seed=seed)) for seed in range(8)]

    async def all_at_once():
        return await asyncio.gather(*(service.paint(photo, "mosaic", "iebn") for photo in photos))

    alone = Stylizer.from_style("mosaic", "iebn", "cuda")
    for photo, painting in zip(photos, asyncio.run(all_at_once()), strict=True):
        difference = np.asarray(alone.paint_photo(photo)).astype(int) - np.asarray(painting.image).astype(int)
        assert np.abs(difference).max() <= 1
    asyncio.run(service.close())
