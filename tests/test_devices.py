"""How many threads PyTorch computes with, whichever engine was made last, and in whichever thread."""

import threading

import numpy as np
import pytest
import torch

from tests.inference.networks import random_network
from transformer_net import devices
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
