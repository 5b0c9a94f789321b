"""How many threads PyTorch computes with, whichever engine was made last, and in whichever thread; and where.

There is no GPU here: what is tested is what happens without a driver, and the same code on the CPU.
"""

import logging
import threading
import weakref

import numpy as np
import pytest
import torch

from tests.inference.networks import random_network
from transformer_net import devices
from transformer_net.errors import DeviceFailedError, DeviceMemoryError, SettingError
from transformer_net.inference.engines.factory import make_engine

PHOTO = np.zeros((3, 32, 32), np.float32)


@pytest.fixture
def two_cores(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    devices._usual_threads.cache_clear()
    monkeypatch.setattr(devices, "available_cores", lambda: 2)
    yield
    torch.set_num_threads(before)
    devices._usual_threads.cache_clear()


def test_the_default_is_not_what_an_engine_before_was_told(two_cores):
    make_engine(random_network("bn"), engine="torch", threads=1)(PHOTO)
    assert torch.get_num_threads() == 1
    make_engine(random_network("bn"), engine="torch")(PHOTO)
    assert torch.get_num_threads() == 2


def test_an_engine_changes_nothing_before_it_paints(two_cores):
    make_engine(random_network("bn"), engine="torch", threads=1)
    assert torch.get_num_threads() == 2


def test_the_default_is_at_most_the_quota(two_cores, monkeypatch):
    monkeypatch.setattr(devices, "available_cores", lambda: 1)
    make_engine(random_network("bn"), engine="torch")(PHOTO)
    assert torch.get_num_threads() == 1


def test_an_engine_keeps_its_number_in_every_thread(two_cores):
    one = make_engine(random_network("bn"), engine="torch", threads=1)
    other = make_engine(random_network("bn"), engine="torch")
    seen = []

    def paint():
        for engine in (one, other, one):
            engine(PHOTO)
            seen.append(torch.get_num_threads())

    for _ in range(2):
        thread = threading.Thread(target=paint)
        thread.start()
        thread.join()
    assert seen == [1, 2, 1] * 2


@pytest.fixture
def broken_gpu(monkeypatch):
    """A GPU that is found, and on which nothing can be computed."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    devices.pick_device.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    yield
    devices.pick_device.cache_clear()


def test_a_gpu_that_does_not_work_is_said_once_and_left_alone(broken_gpu, caplog):
    with caplog.at_level(logging.WARNING):
        assert [devices.pick_device().type for _ in range(3)] == ["cpu"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "Computing on the CPU: The device 'cuda' is not available on this machine."
    ]
    with pytest.raises(SettingError, match="'cuda:1' is not available"):
        devices.pick_device("cuda:1")


def test_a_gpu_that_computes_something_else_is_refused(broken_gpu, monkeypatch):
    monkeypatch.setattr(devices, "paints", lambda device: False)
    with pytest.raises(SettingError, match="'cuda' does not compute what a CPU does"):
        devices.pick_device("cuda")


def test_the_trial_painting(monkeypatch):
    before = torch.get_rng_state()
    assert devices.paints(torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: tensor.roll(1))
    assert not devices.paints(torch.device("cpu"))


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), DeviceMemoryError),
        (torch.AcceleratorError("CUDA error: out of memory"), DeviceMemoryError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), DeviceMemoryError),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), DeviceFailedError),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceFailedError),
        (RuntimeError("expected 4 dimensions"), RuntimeError),
    ],
    ids=str,
)
def test_what_a_gpu_reports(raised, told):
    with pytest.raises(told) as caught, devices.device_errors():
        raise raised
    assert type(caught.value) is told


def test_full_memory_is_not_kept_by_the_error_that_tells_of_it():
    def paint():
        layer = torch.zeros(1)
        alive.append(weakref.ref(layer))
        raise torch.OutOfMemoryError("CUDA out of memory")

    alive = []
    with pytest.raises(DeviceMemoryError) as caught, devices.device_errors():
        paint()
    assert caught.value.__cause__ is not None
    assert alive[0]() is None
