"""One API without the page, shared by the tests, and tiny pictures of every kind."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.main import create_app
from app.painting.queue import JobQueue
from app.settings import Settings

SETTINGS: dict[str, Any] = {"page": False, "threads": 1, "engine": "torch"}
"""With PyTorch, which has a model ready at once: most tests start a server of their own, with all models. The
browser tests' server has the default engine."""


def picture(width: int = 40, height: int = 32, mode: str = "RGB") -> Image.Image:
    """A picture in which no two neighbours are alike, so that turning or shifting it shows."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    rows, columns = np.mgrid[0:height, 0:width]
    layers = [((rows * 5 + columns * 3 * (i + 1)) % 256).astype(np.uint8) for i in range(channels)]
    return Image.merge(mode, [Image.fromarray(layer) for layer in layers])


def file(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    """The bytes of a picture's file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def post(client: TestClient, data: bytes, headers: dict[str, str] | None = None, **fields: str) -> Any:
    """POST /stylize; `mosaic` and `iebn` where the fields say nothing else."""
    form = {"style": "mosaic", "norm": "iebn", **fields}
    return client.post("/stylize", files={"image": ("photo", data)}, data=form, headers=headers)


def opened(response: Any) -> Image.Image:
    """The picture in an answer."""
    assert response.status_code == 200, response.text
    image = Image.open(io.BytesIO(response.content))
    image.load()
    return image


def assert_problem(response: Any, status: int, kind: str | None = None) -> dict[str, Any]:
    """Checks that an answer is a problem document of that status and kind; gives the document."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["type"] == ("about:blank" if kind is None else f"urn:stylizer:problem:{kind}")
    assert problem["title"]
    assert problem["detail"].endswith(".")
    for internal in ("Traceback", "/srv", "site-packages", ".py", "0x", "safetensors"):
        assert internal not in response.text
    return problem


@contextmanager
def serving(**settings: Any) -> Iterator[TestClient]:
    """A client of an application with settings of its own."""
    with TestClient(create_app(Settings(**{**SETTINGS, **settings})), follow_redirects=False) as client:
        yield client


@contextmanager
def busy(jobs: JobQueue, waiting: int = 0) -> Iterator[None]:
    """Keeps the inference thread busy, and `waiting` jobs behind it, as other visitors would."""
    release, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        release.wait(30)

    threads = [threading.Thread(target=lambda: asyncio.run(_quietly(jobs, hold))) for _ in range(1 + waiting)]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    until(lambda: jobs.waiting >= waiting)
    try:
        yield
    finally:
        release.set()
        for thread in threads:
            thread.join()


async def _quietly(jobs: JobQueue, work: Any) -> None:
    with suppress(Exception):
        await jobs.run(work)


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for something that happens in another thread or process."""
    waiting = threading.Event()
    for _ in range(round(100 * seconds)):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError(f"it did not happen within {seconds:g} seconds")


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    with serving() as client:
        yield client
