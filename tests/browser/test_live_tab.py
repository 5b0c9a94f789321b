"""The Live tab: the camera is painted, by the server or by the browser, and lets go of."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PATIENCE, watched
from tests.browser.driver import ROOT, STYLE, choose, open_page, paint, served, wait_until_ready
from tests.browser.test_page import DARK, PHONE, _check

_FRAME = """() => {
  const video = document.querySelector("#camera video");
  const canvas = Object.assign(document.createElement("canvas"), {width: 320, height: 240});
  canvas.getContext("2d").drawImage(video, 0, 0, 320, 240);
  return canvas.toDataURL("image/png");
}"""


def test_the_camera_is_painted_until_it_is_stopped(page: Page) -> None:
    _start(page)
    painting = page.locator("#out-live img")
    assert painting.evaluate("e => [e.naturalWidth, e.naturalHeight]") == [320, 240]
    expect(page.locator("#live-rate p")).to_have_text(re.compile(r"^\d+\.\d frames a second$"))
    expect(page.locator("#live-said p")).to_contain_text(
        re.compile(r"^Painted by the server: 320 × 240, \w+, \d+ ms a frame$")
    )
    # The fake camera is green all over; the style is not.
    seen, painted = _opened(page.evaluate(_FRAME)), _opened(painting.get_attribute("src"))
    assert min(ImageStat.Stat(ImageChops.difference(seen, painted)).mean) > 5
    _changes(page)

    before = _opened(painting.get_attribute("src"))
    page.locator("#live-style").get_by_label("Ink").check()
    page.locator("#live-norm").get_by_label("Instance norm").check()
    page.wait_for_timeout(1000)
    _changes(page)
    after = _opened(painting.get_attribute("src"))
    assert max(ImageStat.Stat(ImageChops.difference(before, after)).mean) > 5

    page.get_by_label("Stop painting").click()
    expect(page.locator("#live-rate p")).to_have_text("")
    stopped = painting.get_attribute("src")
    page.wait_for_timeout(700)
    assert painting.get_attribute("src") == stopped
    page.get_by_label("Start painting").click()
    _changes(page)


@pytest.mark.parametrize("leave", ["button", "tab"])
def test_the_camera_is_let_go_of(page: Page, leave: str) -> None:
    _start(page)
    page.evaluate("window.track = document.querySelector('#camera video').srcObject.getVideoTracks()[0]")
    assert page.evaluate("track.readyState") == "live"
    if leave == "button":
        page.get_by_role("button", name="Turn the camera off").click()
    else:
        page.get_by_role("tab", name="Training").click()
    page.wait_for_function("track.readyState == 'ended'")
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#camera-off")).to_be_hidden()
    page.get_by_text("Click to Access Webcam").locator("visible=true").click()
    _changes(page)


def test_a_photo_is_painted_while_the_camera_runs(page: Page, server: str, photo: Any) -> None:
    _start(page)
    other = page.context.new_page()
    open_page(other, server)
    choose(other, photo)
    paint(other)
    other.close()
    _changes(page)


def test_a_frame_that_cannot_be_read_is_told_in_a_sentence(page: Page) -> None:
    broken = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff\xe0 no more").decode()
    page.add_init_script(f"HTMLCanvasElement.prototype.toDataURL = () => {broken!r}")
    page.reload()
    wait_until_ready(page)
    page.get_by_role("tab", name="Live").click()
    page.locator("#camera").get_by_text("Click to Access Webcam").click()
    expect(page.locator("#live-said p")).to_have_text(re.compile(r"^The JPEG picture is damaged.*\.$"))
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    expect(page.locator("#out-live img")).to_have_count(0)


@pytest.mark.parametrize("page", [PHONE, DARK], indirect=True, ids=["phone", "dark"])
def test_it_fits_and_is_accessible(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.wait_for_timeout(300)
    _check(page)
    _start(page)
    page.get_by_label("Stop painting").wait_for()
    _check(page)


@pytest.fixture(scope="module")
def willing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address, below a path, of a server that lets browsers paint that make a small frame in a second. The
    style "alone" has one normalizer."""
    own = tmp_path_factory.mktemp("own")
    (own / "alone").mkdir()
    for name in ("in.safetensors", "style.png"):
        shutil.copy(ROOT / "styles" / "ink" / name, own / "alone")
    settings = {
        "LIVE_SIDE": "32",
        "LIVE_BROWSER_RATE": "1",
        "ROOT_PATH": "/some/path",
        "OWN_STYLES": str(own),
    }
    settings = {f"STYLIZER_{name}": value for name, value in settings.items()}
    with served(tmp_path_factory.mktemp("gradio"), **settings) as address:
        assert address.endswith("/some/path")
        yield address


@pytest.fixture
def visit(request: pytest.FixtureRequest, willing: str, browser: Browser) -> Iterator[Page]:
    """Its page with the Live tab open; afterwards, nothing may have failed."""
    with (
        browser.new_context(**PHONE) as context,  # type: ignore[arg-type]
        watched(context, request.node.name) as page,
    ):
        # How long each painting takes at least, in milliseconds: on a slow machine.
        page.add_init_script(
            "window.slow = 0; const post = Worker.prototype.postMessage; Worker.prototype.postMessage ="
            " function (...message)"
            " { setTimeout(() => post.apply(this, message), message[0].norms ? slow : 0) }"
        )
        page.goto(f"{willing}/ui/")
        wait_until_ready(page)
        yield page


_HERE = re.compile(r"^Painted in your browser: 24 × 32, WebAssembly, \d threads?, \d+ ms a frame$")
_THERE = re.compile(r"^Painted by the server: 24 × 32, \w+, \d+ ms a frame$")


def test_a_quick_browser_paints_itself(visit: Page) -> None:
    assert visit.evaluate("crossOriginIsolated")
    _start(visit)
    said = visit.locator("#live-said p")
    expect(said).to_have_text(_HERE)
    sent = _frames_sent(visit)
    _changes(visit)
    # Gradio's own buttons go with what was painted here.
    with visit.expect_download() as download:
        visit.locator("#out-live a[download]").click()
    with Image.open(download.value.path()) as painting:
        assert (painting.format, painting.size) == ("JPEG", (24, 32))
    expect(visit.locator("#live-rate p")).to_have_text(re.compile(r"^\d+\.\d frames a second$"))
    visit.locator("#live-style").get_by_label("Ink").check()
    with visit.expect_response(re.compile("/live/models/ink/bn-se.onnx$")):
        visit.locator("#live-norm").get_by_label("Batch norm + SE").check()
    _changes(visit)
    expect(visit.locator("#live-norm").get_by_label("Batch norm + SE")).to_be_checked()
    _check(visit)

    visit.get_by_label("Stop painting").click()
    visit.get_by_label("Start painting").wait_for()
    visit.wait_for_timeout(500)
    stopped = visit.locator("#out-live img").get_attribute("src")
    visit.wait_for_timeout(700)
    assert visit.locator("#out-live img").get_attribute("src") == stopped
    visit.get_by_label("Start painting").click()
    _changes(visit)
    visit.get_by_role("button", name="Turn the camera off").click()
    expect(visit.locator("#camera-off")).to_be_hidden()
    visit.get_by_text("Click to Access Webcam").locator("visible=true").click()
    _changes(visit)
    expect(said).to_have_text(_HERE)
    assert not sent


def test_a_browser_that_is_stopped_and_started_at_once_goes_on_painting(visit: Page) -> None:
    _start(visit)
    said = visit.locator("#live-said p")
    expect(said).to_have_text(_HERE)
    sent = _frames_sent(visit)
    visit.evaluate("window.slow = 300")  # so that one is being painted
    _changes(visit)
    visit.wait_for_timeout(100)
    visit.evaluate(
        "() => { for (const _ of 'ab') document.querySelector('#camera .capture-button').click(); }"
    )
    _changes(visit)
    visit.wait_for_timeout(1000)
    _changes(visit)
    visit.get_by_label("Stop painting").wait_for()
    expect(said).to_have_text(_HERE)
    assert not sent


def test_a_browser_that_becomes_slow_leaves_it_to_the_server(visit: Page) -> None:
    _start(visit)
    said = visit.locator("#live-said p")
    expect(said).to_have_text(_HERE)
    sent = _frames_sent(visit)
    visit.evaluate("window.slow = 2100")
    expect(said).to_have_text(_THERE)
    _changes(visit)
    assert sent
    visit.get_by_label("Stop painting").click()
    visit.get_by_label("Start painting").click()
    _changes(visit)
    expect(said).to_have_text(_THERE)


def test_a_style_is_painted_with_the_normalizers_that_it_has(visit: Page) -> None:
    _start(visit)
    said = visit.locator("#live-said p")
    expect(said).to_have_text(_HERE)
    norms = visit.locator("#live-norm")
    with visit.expect_response(re.compile("/live/models/alone/in.onnx$")):
        visit.locator("#live-style").get_by_label("Alone").check()
        expect(norms.get_by_label("Instance norm")).to_be_checked()
    expect(norms.get_by_role("radio")).to_have_count(1)
    _changes(visit)
    expect(said).to_have_text(_HERE)
    visit.locator("#live-style").get_by_label("Ink").check()
    expect(norms.get_by_role("radio")).to_have_count(4)
    expect(norms.get_by_label("Instance norm")).to_be_checked()


def test_a_slow_browser_never_begins(visit: Page) -> None:
    given_up: list[str] = []
    visit.on("worker", lambda worker: worker.on("close", lambda _: given_up.append(worker.url)))
    visit.evaluate("window.slow = 1100")
    _start(visit)
    for _ in range(PATIENCE // 100):
        if given_up:
            break
        visit.wait_for_timeout(100)
    assert given_up
    _changes(visit)
    expect(visit.locator("#live-said p")).to_have_text(_THERE)


def _start(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.locator("#camera").get_by_text("Click to Access Webcam").click()
    page.wait_for_selector("#out-live img")
    page.wait_for_function("document.querySelector('#out-live img').naturalWidth > 0")


def _frames_sent(page: Page) -> list[str]:
    """Addresses that a picture is sent to from now on."""
    sent: list[str] = []
    page.on(
        "request", lambda request: "data:image/" in (request.post_data or "") and sent.append(request.url)
    )
    return sent


def _changes(page: Page) -> None:
    """Waits until another frame hangs than now."""
    page.wait_for_function(
        "old => document.querySelector('#out-live img').src != old",
        arg=page.locator("#out-live img").get_attribute("src"),
    )


def _opened(url: str | None) -> Image.Image:
    assert url is not None
    assert url.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB")


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_frame_opens_no_file(server: str, first: bool) -> None:
    """Neither the frame that begins a stream nor those that follow it, which come by another way."""
    with Image.open(ROOT / "examples" / "cat.jpg") as image:
        buffer = io.BytesIO()
        image.resize((160, 120)).save(buffer, "JPEG")
    good = {"url": "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()}
    foreign = {"path": str(ROOT / "docs" / "pictures" / "gallery.jpg"), "meta": {"_type": "gradio.FileData"}}
    config = httpx.get(f"{server}/ui/config", timeout=90).json()
    event = next(event["id"] for event in config["dependencies"] if event["connection"] == "stream")
    base, session = f"{server}/ui/gradio_api", f"live-{first}"
    body = {"fn_index": event, "session_hash": session}
    joined = httpx.post(
        f"{base}/queue/join", json={**body, "data": [foreign if first else good, STYLE, "in"]}, timeout=90
    ).json()
    with httpx.stream("GET", f"{base}/queue/data?session_hash={session}", timeout=90) as stream:
        lines = (line for line in stream.iter_lines() if "process_" in line)
        assert "process_starts" in next(lines)
        if not first:
            assert "data:image/jpeg;base64," in next(lines)
            later = {**body, "data": [foreign, STYLE, "in"]}
            httpx.post(f"{base}/stream/{joined['event_id']}", json=later, timeout=90).raise_for_status()
        answer = next(lines)
    assert "process_completed" in answer
    assert "Choose the photo again." in answer
    assert "data:image" not in answer
    assert "gallery" not in answer
