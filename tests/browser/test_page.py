"""What a visitor does, in a real Chromium against the real server."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pillow_heif
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from tests.browser.driver import NORMS, ROOT, STYLE, choose, paint, wait_for_paintings
from tests.conftest import make_picture

GRADIO_DEFECTS: set[str] = set()
"""Ids of axe rules that components of Gradio break and we cannot mend. None, so far."""

PHONE = {"viewport": {"width": 390, "height": 844}}
WIDE = {"viewport": {"width": 2560, "height": 1300}}
DARK = {"color_scheme": "dark", "viewport": {"width": 1440, "height": 900}}


def test_a_photo_becomes_four_paintings_that_can_be_downloaded(page: Page, photo: Path) -> None:
    choose(page, photo)
    paint(page)
    for norm in NORMS:
        expect(page.locator(f"#caption-{norm}")).to_contain_text(
            re.compile(r"\d\.\d\d s · 4\d\d,\d{3} parameters")
        )
        image = page.locator(f"#out-{norm} img")
        assert image.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [180, 120]
        assert image.get_attribute("alt")
        with page.expect_download() as download:
            page.locator(f"#out-{norm} a[download]").click()
        assert download.value.suggested_filename == f"small-cat-{STYLE}-{norm}.png"
        with Image.open(download.value.path()) as painting:
            assert (painting.format, painting.size) == ("PNG", (180, 120))
    assert "180 × 120" in page.inner_text("#status")


def test_an_example_is_one_click_and_results_stay_until_replaced(page: Page, photo: Path) -> None:
    choose(page, photo)
    paint(page)
    before = page.locator("#out-iebn img").get_attribute("src")
    page.locator("#photo").get_by_label("Remove Image").click()
    page.get_by_role("button", name="Example photo: cat").click()
    page.wait_for_selector("#photo img")
    assert page.locator("#out-iebn img").get_attribute("src") == before
    page.click("#paint")
    # Both at one moment: a quick machine has painted before a second question is asked.
    page.wait_for_selector(f'body:has(#caption-iebn [data-state="waiting"]) #out-iebn img[src="{before}"]')
    wait_for_paintings(page)
    assert page.locator("#out-iebn img").get_attribute("src").endswith(f"/cat-{STYLE}-iebn.png")


def test_the_page_and_the_api_paint_the_same_pixels(page: Page, server: str, tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    with Image.open(ROOT / "examples" / "coffee.jpg") as image:
        image.resize((150, 100)).save(path, exif=exif)
    choose(page, path)
    data = {"style": STYLE, "norm": "iebn"}
    pixels = set()
    # Opened before the first painting: what is set in the moment in which Gradio makes that part is lost.
    page.locator("#options").get_by_text("Options").click()
    for look in ({}, {"strength": "0.6", "keep_colour": "true", "stroke_scale": "2"}):
        if look:
            page.locator("#strength input[type=range]").fill("60")
            expect(page.locator("#strength input[type=number]")).to_have_value("60")
            page.locator("#keep-colour input").check()
            page.locator("#stroke-scale input[type=range]").fill("2")
            expect(page.locator("#stroke-scale input[type=number]")).to_have_value("2")
        paint(page)
        answer = httpx.post(
            f"{server}/stylize", files={"image": path.open("rb")}, data=data | look, timeout=90
        )
        hangs = httpx.get(page.locator("#out-iebn img").get_attribute("src"))
        with Image.open(io.BytesIO(answer.content)) as ours, Image.open(io.BytesIO(hangs.content)) as theirs:
            assert ours.size == theirs.size == (100, 150)
            assert ours.tobytes() == theirs.tobytes()
            pixels.add(ours.tobytes())
    assert len(pixels) == 2


def test_any_two_are_compared_by_keyboard(page: Page, photo: Path) -> None:
    choose(page, photo)
    expect(page.locator("#compare-view")).to_be_hidden()
    paint(page)
    page.locator('input[name="wipe-left"]:checked').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.locator('input[name="wipe-right"]:checked').focus()
    page.keyboard.press("ArrowLeft")
    wipe = page.locator("#wipe")
    expect(wipe.locator(".tag.left")).to_have_text("instance norm")
    expect(wipe.locator(".tag.right")).to_have_text("batch norm + SE")
    expect(wipe.locator("img.over")).to_have_attribute("src", re.compile(f"small-cat-{STYLE}-in.png$"))
    expect(wipe.locator("img.under")).to_have_attribute("src", re.compile(f"small-cat-{STYLE}-bn-se.png$"))
    page.keyboard.press("Tab")
    expect(page.locator("#wipe-position")).to_be_focused()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert wipe.evaluate("e => e.style.getPropertyValue('--cut')") == "60%"
    assert "60 percent instance norm" in (page.get_attribute("#wipe-position", "aria-valuetext") or "")


def test_any_two_are_compared_by_mouse(page: Page, photo: Path) -> None:
    choose(page, photo)
    paint(page)
    page.locator('.choosers label[data-norm="bn"]').first.click()
    expect(page.locator("#wipe .tag.left")).to_have_text("batch norm")
    page.locator("#wipe").scroll_into_view_if_needed()
    box = page.locator("#wipe").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 60, steps=4)
    page.mouse.up()
    assert page.locator("#wipe").evaluate("e => e.style.getPropertyValue('--cut')") == "25%"


def test_all_details_show_the_same_place(page: Page) -> None:
    page.get_by_role("button", name="Example photo: astronaut").click()
    page.wait_for_selector("#photo img")
    paint(page)
    page.locator("#out-in img").click(position={"x": 40, "y": 200})
    assert float(page.input_value("#zoom-x")) < 10
    page.locator("#zoom-x").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.locator('input[name="zoom-scale"]:checked').focus()
    page.keyboard.press("ArrowRight")
    places = page.locator("#zoom img").evaluate_all(
        "all => all.map(e => [getComputedStyle(e).objectPosition, getComputedStyle(e).scale, "
        "getComputedStyle(e).transform, e.naturalWidth].join())"
    )
    assert len(places) == 5
    assert len(set(places)) == 1
    assert "matrix(2, 0, 0, 2, 0, 0)" in places[0]
    before = page.input_value("#zoom-x")
    page.locator("#zoom .pane").last.hover()
    page.mouse.down()
    page.mouse.move(700, 500, steps=3)
    page.mouse.up()
    assert page.input_value("#zoom-x") != before


def test_stop_leaves_what_is_painted(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.effect_noise((1280, 960), 60).convert("RGB").save(path, quality=60)
    choose(page, path)
    expect(page.locator("#stop")).to_be_hidden()
    page.click("#paint")
    page.wait_for_selector('#caption-in [data-state="painting"]')
    page.click("#stop")
    page.wait_for_selector('#caption-in [data-state="stopped"]')
    expect(page.locator("#caption-bn [data-state]")).to_have_attribute("data-state", "done")
    expect(page.locator("#caption-iebn")).to_contain_text("not painted")
    expect(page.locator("#stop")).to_be_hidden()
    expect(page.locator("#status p")).to_have_text("Stopped.")
    page.locator('.choosers label[data-norm="iebn"]').last.click()
    expect(page.locator("#wipe .absent.under")).to_have_text("not painted")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("broken.jpg", (ROOT / "examples" / "cat.jpg").read_bytes()[:3000], "damaged, truncated"),
        ("text.png", b"this is no picture", "not a picture in a format"),
        ("tiny.png", None, "each side needs at least 16"),
    ],
)
def test_a_bad_file_is_told_in_a_sentence(
    page: Page, photo: Path, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / name
    if content is None:
        Image.new("RGB", (8, 8)).save(path)
    else:
        path.write_bytes(content)
    page.set_input_files("#photo input[type=file]", path)
    page.wait_for_selector("#photo img", state="attached")
    page.click("#paint")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text(sentence)
    assert str(tmp_path) not in toast.inner_text()
    assert "gradio" not in toast.inner_text().lower()
    page.get_by_test_id("toast-close").click()
    choose(page, photo)
    paint(page)


_GIVE = """([element, bytes, drop]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([Uint8Array.from(bytes)], "IMG_1.HEIC", { type: "" }));
    const input = document.querySelector(element);
    if (drop) {
        const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
        input.closest("button").dispatchEvent(new DragEvent("drop", options));
    } else {
        input.files = transfer.files;
        input.dispatchEvent(new Event("change", { bubbles: true }));
    }
}"""


@pytest.mark.parametrize("drop", [False, True])
def test_a_phones_photo_is_shown_and_painted(page: Page, drop: bool) -> None:
    """HEIC, which this browser neither shows nor knows the type of."""
    heic = io.BytesIO()
    pillow_heif.from_pillow(make_picture(120, 80)).save(heic)
    assert ".heic" in (page.get_attribute("#photo input[type=file]", "accept") or "")
    page.evaluate(_GIVE, ["#photo input[type=file]", list(heic.getvalue()), drop])
    page.wait_for_function("document.querySelector('#photo img')?.naturalWidth === 120")
    paint(page)
    assert page.locator("#out-iebn img").get_attribute("src").endswith(f"/IMG_1-{STYLE}-iebn.png")


def test_without_a_photo_paint_says_so(page: Page) -> None:
    page.click("#paint")
    expect(page.get_by_test_id("toast-body")).to_contain_text("Choose a photo first.")
    # Gradio lays "Error" and a button over each output, which are not seen, and found by Tab.
    expect(page.locator('#tabs [data-testid="status-tracker"] button:visible')).to_have_count(0)


def test_buttons_are_disabled_until_they_work(page: Page) -> None:
    page.add_init_script("""
        new MutationObserver((_, observer) => {
          const paint = document.querySelector("#paint");
          if (!paint) return;
          window.drawnDisabled = paint.disabled;
          observer.disconnect();
        }).observe(document, {childList: true, subtree: true});
    """)
    page.reload()
    page.click("#paint")  # waits until it is enabled
    expect(page.get_by_test_id("toast-body")).to_contain_text("Choose a photo first.")
    assert page.evaluate("drawnDisabled")
    for tab, button in (("Live", "#camera-off"), ("New style", "#train")):
        page.get_by_role("tab", name=tab).click()
        for found in page.locator(button).all():  # a server that does not train has no button for it
            expect(found).to_be_enabled()


def test_a_webcam_picture_is_painted(page: Page) -> None:
    page.locator("#photo").get_by_label("Capture from camera").click()
    page.locator("#photo").get_by_text("Click to Access Webcam").click()
    # A picture taken before the camera's first frame would be empty.
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")
    page.locator("#photo").get_by_label("capture photo").click()
    page.wait_for_selector("#photo img")
    page.locator("#options button").first.click()
    page.get_by_text("384 px").click()
    paint(page)
    assert page.locator("#out-in img").evaluate("e => e.naturalWidth") == 384


@pytest.mark.parametrize("page", [PHONE, WIDE, DARK], indirect=True, ids=["phone", "wide", "dark"])
def test_it_fits_and_is_accessible(page: Page, photo: Path) -> None:
    _check(page)
    choose(page, photo)
    paint(page)
    _check(page)
    for tab in ("Live", "New style", "Training", "Why"):
        page.get_by_role("tab", name=tab).click()
        page.wait_for_timeout(300)
        _check(page)


def test_the_tabs_tell_what_they_should(page: Page) -> None:
    page.get_by_role("tab", name="Training").click()
    expect(page.locator("#curves")).to_contain_text(re.compile("Content loss|was not recorded"))
    page.get_by_role("tab", name="Why").click()
    expect(page.locator("#formulas .katex-display")).to_have_count(4)
    fonts = page.evaluate(
        "document.fonts.ready.then(f => [...f].filter(x => x.status == 'loaded').map(x => x.family))"
    )
    assert any("KaTeX_Main" in font for font in fonts)
    assert any("Source Sans Pro" in font for font in fonts)
    expect(page.get_by_role("link", name=re.compile("Instance Enhancement"))).to_have_attribute(
        "href", "https://arxiv.org/abs/1908.04008"
    )
    docs = httpx.get(page.get_by_role("link", name="the HTTP API").evaluate("link => link.href"), timeout=90)
    assert "swagger" in docs.text.lower()


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the server must not open, by kind; afterwards, nothing may have been fetched."""
    fetched: list[str] = []

    class Website(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_error(404)

    website = HTTPServer(("127.0.0.1", 0), Website)
    threading.Thread(target=website.serve_forever, daemon=True).start()
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "secret.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'>a secret</svg>")
    Image.new("RGB", (20, 20)).save(tmp_path / "secret.png")
    paths = {kind: str(tmp_path / f"secret.{kind}") for kind in ("txt", "svg", "png")}
    yield {**paths, "readme": str(ROOT / "README.md"), "url": f"http://127.0.0.1:{website.server_port}/a.png"}
    website.shutdown()
    website.server_close()
    assert not fetched


@pytest.mark.parametrize("meta", [True, False], ids=["meta", "bare"])
@pytest.mark.parametrize("kind", ["txt", "svg", "png", "readme", "url"])
def test_nothing_but_uploads_is_opened(
    server: str, photo: Path, outside: dict[str, str], kind: str, meta: bool
) -> None:
    painting = _event(server, lambda event: len(event["outputs"]) == 10)
    uploaded = httpx.post(
        f"{server}/ui/gradio_api/upload", files={"files": ("cat.png", photo.read_bytes())}, timeout=90
    ).json()[0]
    marked: dict[str, Any] = {"meta": {"_type": "gradio.FileData"}}
    file = {"path": outside[kind], **(marked if meta else {})}
    options = (STYLE, None, 384, 100, False, False, 1, "", 50)
    good = [None, {"path": uploaded, **marked}, *options, *[None] * 5, *[""] * 4]
    for slot in (1, 3, 11, 12, 13, 14, 15):
        answer = _call(server, painting, [*good[:slot], file, *good[slot + 1 :]])
        assert '"success":false' in answer
        assert "Choose the photo again." in answer
        for leaked in ("file=", "data:image", "a secret", "a%20secret", outside[kind]):
            assert leaked not in answer
    assert '"success":true' in _call(server, painting, good)
    closed = httpx.get(f"{server}/ui/gradio_api/file={outside['url']}", timeout=90)
    assert (closed.status_code, closed.headers["content-type"]) == (404, "application/problem+json")


def _check(page: Page) -> None:
    """No sideways scrolling, and nothing that axe complains about."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    violations = Axe().run(page).response["violations"]
    found = {v["id"]: [node["html"][:200] for node in v["nodes"]] for v in violations}
    assert not set(found) - GRADIO_DEFECTS, found


def _event(server: str, wanted: Callable[[dict[str, Any]], bool]) -> int:
    config = httpx.get(f"{server}/ui/config", timeout=90).json()
    return next(event["id"] for event in config["dependencies"] if wanted(event))


def _call(server: str, event: int, data: list[Any]) -> str:
    """What the server says of an event, from its start to its end, as any client may send it."""
    base = f"{server}/ui/gradio_api/queue"
    body = {"data": data, "fn_index": event, "session_hash": "test"}
    httpx.post(f"{base}/join", json=body, timeout=90).raise_for_status()
    said = []
    with httpx.stream("GET", f"{base}/data?session_hash=test", timeout=90) as stream:
        for line in stream.iter_lines():
            said.append(line)
            if "process_completed" in line:
                break
    return "\n".join(said)
