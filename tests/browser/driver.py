"""Starts the application and a real Chromium for tests and pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = os.environ.get("CHROMIUM") or "chromium"
"""Name or path of the browser."""

NORMS = ("bn", "in", "bn-se", "iebn")

STYLE = "wave"
"""The style that is chosen; not the first one, so that it has to be."""


@contextmanager
def served(cache: Path, **environment: str) -> Iterator[str]:
    """Run `python -m app` on a free port of this machine; gives its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "GRADIO_TEMP_DIR": str(cache), "STYLIZER_LOG_LEVEL": "warning", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # printed once the models are warm
        assert line.startswith("Ready at "), f"the application did not start: {line!r}"
        yield line.removeprefix("Ready at ").strip().removesuffix("/ui")
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a Chromium that finds no host but this machine, with a fake webcam.

    Raises:
        FileNotFoundError: There is no Chromium.
    """
    program = shutil.which(CHROMIUM)
    if program is None:
        raise FileNotFoundError(
            f"The browser tests need Chromium, and there is no program {CHROMIUM!r}; install it, or name "
            "another with CHROMIUM=..."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # its vendor's hosts, too
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
            ],
        )
        yield browser
        browser.close()


def open_page(page: Page, address: str) -> None:
    """Go to the page and wait until it can be used."""
    page.goto(f"{address}/ui/")
    wait_until_ready(page)
    page.locator("#style").get_by_label(STYLE.capitalize()).check()


def wait_until_ready(page: Page) -> None:
    """Wait until the page's events work and its script has run."""
    page.wait_for_selector("#paint:enabled")
    page.wait_for_selector("#status[aria-live]")


def choose(page: Page, photo: Path) -> None:
    """Upload a photo, in place of the one that is there."""
    if page.locator("#photo img").count():
        page.locator("#photo").get_by_label("Remove Image").click()
    page.set_input_files("#photo input[type=file]", photo)
    page.wait_for_selector("#photo img")


def paint(page: Page) -> None:
    """Press Paint and wait for four new paintings."""
    before = [_source(page, norm) for norm in NORMS]
    page.click("#paint")
    # Their addresses tell new ones from old: the states in between may pass too quickly to be seen.
    for norm, source in zip(NORMS, before, strict=True):
        page.wait_for_function(
            "([norm, old]) => (document.querySelector(`#out-${norm} img`)?.src ?? old) !== old",
            arg=[norm, source],
        )
    wait_for_paintings(page)


def _source(page: Page, norm: str) -> str | None:
    image = page.query_selector(f"#out-{norm} img")
    return image.evaluate("e => e.src") if image else None


def wait_for_paintings(page: Page) -> None:
    """Wait until all four paintings hang and are loaded."""
    for norm in NORMS:
        page.wait_for_selector(f'#caption-{norm} [data-state="done"]')
        page.wait_for_function(
            "norm => { const e = document.querySelector(`#out-${norm} img`);"
            " return e?.complete && e.naturalWidth > 0 }",
            arg=norm,
        )
