"""Any picture as a style: dropped, painted with at once, trained on, kept, and there after a restart."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.conftest import PATIENCE
from tests.browser.driver import NORMS, choose, paint, served, wait_until_ready
from tests.browser.test_train_tab import STARTING, check
from tests.conftest import make_picture


def test_a_picture_is_painted_with_trained_on_and_kept(browser: Browser, photo: Path, tmp_path: Path) -> None:
    art = tmp_path / "My art.png"
    make_picture(200, 160, seed=5).save(art)
    settings = {"STYLIZER_OWN_STYLES": str(tmp_path / "own"), "STYLIZER_ENGINE": "torch"}
    with served(tmp_path / "gradio", **settings) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/ui/")
        wait_until_ready(page)
        expect(page.locator("#style-picture")).to_be_hidden()
        page.locator("#style").get_by_label("Your picture").check()
        choose(page, photo)
        page.click("#paint")
        expect(page.get_by_test_id("toast-body")).to_contain_text("Choose a picture as the style.")
        page.get_by_test_id("toast-close").click()
        page.locator("#style").get_by_label("Wave").check()
        paint(page)
        page.locator("#style").get_by_label("Your picture").check()
        expect(page.locator("#style-picture")).to_be_visible()
        expect(page.locator("#improve")).to_be_hidden()  # these paintings are of no picture
        page.set_input_files("#style-picture input[type=file]", art)
        page.wait_for_selector("#style-picture img")
        paint(page)
        check(page, "your-picture-painted")
        first = page.get_attribute("#out-bn img", "src")

        page.click("#improve-start")
        expect(page.locator("#improve-progress")).to_contain_text(
            re.compile(r"my-art, batch norm: \d+ of 150 steps"), timeout=STARTING
        )
        expect(page.locator("#caption-bn")).to_contain_text("of 150 steps")
        check(page, "your-picture-training")
        page.click("#improve-stop")
        expect(page.locator("#improve-progress")).to_contain_text(
            "my-art, batch norm is kept", timeout=STARTING
        )
        page.wait_for_selector("#caption-bn [data-state=done]")
        assert page.get_attribute("#out-bn img", "src") != first
        expect(page.locator("#style").get_by_label("My-art")).to_be_visible()

        page.click("#improve-start")
        expect(page.locator("#caption-in")).to_contain_text("of 150 steps", timeout=STARTING)
        page.locator("#style").get_by_label("Wave").check()
        paint(page)  # it wins, and the training goes on beside it
        page.wait_for_timeout(2500)
        for norm in NORMS:
            expect(page.locator(f"#out-{norm} img")).to_have_attribute(
                "src", re.compile(f"small-cat-wave-{norm}.png$")
            )
            expect(page.locator(f"#caption-{norm}")).to_contain_text("parameters")
        check(page, "your-picture-painted-meanwhile")
        page.click("#improve-stop")
        expect(page.get_by_test_id("toast-body")).to_contain_text("my-art can be painted", timeout=STARTING)
        expect(page.locator("#improve")).to_be_hidden()
        page.close()
    assert not list((tmp_path / "own").rglob("*.sample"))

    with served(tmp_path / "gradio", **settings) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/ui/")
        wait_until_ready(page)
        page.locator("#style").get_by_label("My-art").check()
        choose(page, photo)
        page.click("#paint")
        page.wait_for_selector('#caption-bn [data-state="done"]')
        expect(page.locator("#caption-iebn")).to_contain_text("not trained for this style")
        page.close()
