"""One server and one browser for all browser tests; each test has a page of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.browser.driver import ROOT, chromium, open_page, served

PATIENCE = 60_000
"""Milliseconds to wait for anything: generous, since a busy machine is no reason to fail."""

expect.set_options(timeout=PATIENCE)

SCREENSHOTS = ROOT / "build" / "screenshots"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a running application."""
    settings = {
        "STYLIZER_MAX_UPLOAD_BYTES": "3000000",
        "STYLIZER_ALLOW_TRAINING": "false",
        "STYLIZER_LIVE_BROWSER_RATE": "0",  # whether a browser is quick enough depends on the machine
    }
    with served(tmp_path_factory.mktemp("gradio"), **settings) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A running Chromium."""
    try:
        with chromium() as running:
            yield running
    except FileNotFoundError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def desktop(browser: Browser) -> Iterator[BrowserContext]:
    """A window that most tests share, so that the page's scripts are fetched once."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        yield context


@contextmanager
def watched(context: BrowserContext, name: str, within: str = "http://127.0.0.1:") -> Iterator[Page]:
    """A new page; afterwards it is photographed, and nothing may have failed, or left what begins with
    `within`."""
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    foreign: list[str] = []
    failed: list[str] = []

    def note(sent: Request) -> None:  # also what a service worker sends, which no page knows of
        if not sent.url.startswith((within, "data:", "blob:")):
            foreign.append(sent.url)

    context.on("request", note)
    page.on("response", lambda r: r.status < 400 or failed.append(f"{r.status} {r.url}"))
    page.on("pageerror", lambda error: failed.append(str(error)))
    yield page
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
    page.close()
    context.remove_listener("request", note)
    assert not foreign, f"requests left {within}"
    assert not failed, "requests or scripts failed"


@pytest.fixture
def page(
    request: pytest.FixtureRequest, server: str, browser: Browser, desktop: BrowserContext
) -> Iterator[Page]:
    """The page, opened; afterwards it is photographed, and nothing may have left this machine or failed.

    `pytest.mark.parametrize("page", [{...}], indirect=True)` gives it a window with other options.
    """
    options = getattr(request, "param", None)
    with (
        browser.new_context(**options) if options else nullcontext(desktop) as context,
        watched(context, request.node.name) as page,
    ):
        open_page(page, server)
        yield page


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small photo."""
    path = tmp_path_factory.mktemp("photos") / "small cat.png"
    with Image.open(ROOT / "examples" / "cat.jpg") as image:
        image.resize((180, 120)).save(path)
    return path
