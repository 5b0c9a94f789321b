"""The New style tab: a picture is chosen, trained on, watched and painted with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, SCREENSHOTS, watched
from tests.browser.driver import choose, served, wait_until_ready

STARTING = 15 * PATIENCE
"""Milliseconds until the first figures of a training, which gives way to everything else."""


@pytest.fixture
def school(request: pytest.FixtureRequest, tmp_path: Path, browser: Browser) -> Iterator[Page]:
    """The page of a server that trains, with few models, at the tab."""
    environment = {
        "STYLIZER_OWN_STYLES": str(tmp_path / "own"),
        "STYLIZER_ENGINE": "torch",
    }
    with (
        served(tmp_path / "gradio", **environment) as address,
        browser.new_context(viewport={"width": 1280, "height": 900}) as context,
        watched(context, request.node.name) as page,
    ):
        page.goto(f"{address}/ui/")
        wait_until_ready(page)
        page.get_by_role("tab", name="New style").click()
        expect(page.locator(".training-run")).to_contain_text("will appear here")
        yield page


def test_a_picture_is_trained_on_stopped_and_painted_with(school: Page, photo: Path, tmp_path: Path) -> None:
    page = school
    page.click("#train")
    expect(page.get_by_test_id("toast-body")).to_contain_text("Choose a picture first.")
    page.get_by_test_id("toast-close").click()
    expect(page.locator("#train-stop")).to_be_hidden()
    page.set_input_files("#picture input[type=file]", photo)
    page.wait_for_selector("#picture img")
    page.locator("#order").get_by_label("Name").fill("Small Cat!")
    page.locator("#training-run-norm").get_by_label("Instance norm").check()
    page.click("#train")
    expect(page.locator(".training-run h2")).to_have_text("small-cat, instance norm")
    expect(page.locator("#train")).to_be_hidden()
    expect(page.locator(".training-run[data-state=training]")).to_contain_text(
        re.compile(r"\d+ of 500 steps"), timeout=STARTING
    )
    expect(page.locator("#training-run-sample")).to_contain_text("painted after 63 steps")
    expect(page.locator(".training-run progress")).to_have_attribute("max", "500")
    check(page, "training")
    page.reload()  # the training goes on, and the page finds it again
    wait_until_ready(page)
    page.get_by_role("tab", name="New style").click()
    expect(page.locator(".training-run h2")).to_have_text("small-cat, instance norm")
    page.click("#train-stop")
    expect(page.locator(".training-run[data-state=stopped]")).to_contain_text(
        "Stopped after", timeout=STARTING
    )
    page.get_by_test_id("toast-close").click()
    expect(page.locator("#training-run-curves svg")).to_have_count(2)
    check(page, "stopped")

    page.click("#train-use")
    expect(page.locator("#style").get_by_label("Small-cat")).to_be_checked()
    picture = page.locator("#style label").last.evaluate(
        "e => getComputedStyle(e, '::before').backgroundImage"
    )
    assert picture.startswith('url("data:image/jpeg')
    # In all other choices of a style, too.
    page.locator("#options").get_by_text("Options").click()
    page.get_by_label("Mix with").click()
    expect(page.get_by_role("option", name="Small-cat")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Live").click()
    page.locator("#live-style").get_by_label("Small-cat").check()
    expect(page.locator("#live-norm").get_by_role("radio")).to_have_count(1)
    page.get_by_role("tab", name="Training").click()
    page.locator("#curves-style").get_by_label("Small-cat").check()
    expect(page.locator("#curves svg")).to_have_count(2)
    expect(page.locator("#curves .legend")).to_have_text("Instance norm")
    page.get_by_role("tab", name="Compare").click()
    choose(page, photo)
    page.click("#paint")
    page.wait_for_selector('#caption-in [data-state="done"]')
    for norm in ("bn", "bn-se", "iebn"):
        expect(page.locator(f"#caption-{norm}")).to_contain_text("not trained for this style")
    expect(page.locator("#wipe .absent.under")).to_have_text("not trained for this style")
    assert [path.name for path in (tmp_path / "own").glob("*/in.safetensors")] == ["in.safetensors"]


def test_a_server_that_does_not_train_says_how_to(page: Page) -> None:
    page.get_by_role("tab", name="New style").click()
    expect(page.locator("#training-off")).to_contain_text("STYLIZER_ALLOW_TRAINING=true")
    expect(page.locator("#training-off")).to_contain_text("python train_style.py")
    expect(page.locator("#train")).to_have_count(0)
    expect(page.locator("#improve")).to_have_count(0)
    check(page, "off")


def check(page: Page, name: str) -> None:
    """It fits a desktop's and a phone's window, light and dark, and axe has nothing to complain about."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for scheme, width in (("light", 1280), ("light", 390), ("dark", 1280)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        page.screenshot(path=SCREENSHOTS / f"new-style-{name}-{scheme}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        violations = Axe().run(page).response["violations"]
        assert not {v["id"]: [node["html"][:200] for node in v["nodes"]] for v in violations}
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
