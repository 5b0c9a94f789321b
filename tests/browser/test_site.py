"""The page that paints in the visitor's browser: the library's pixels, without a server."""

from __future__ import annotations

import io
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.site.__main__ import build, transferred
from styles.catalog import find_style
from tests.browser.conftest import PATIENCE, watched
from tests.browser.driver import CHROMIUM, NORMS, STYLE
from tests.browser.test_page import PHONE, _check
from tests.conftest import make_picture
from transformer_net.errors import SettingError
from transformer_net.grain import grain
from transformer_net.inference.options.style_options import StyleOptions
from transformer_net.inference.stylizer import Stylizer


class _Files(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.endswith("/index.html"):  # as some hosts do
            self.send_response(301)
            self.send_header("Location", "./")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files."""
    folder = tmp_path_factory.mktemp("host") / "some" / "path"
    try:
        build(folder, [find_style(STYLE)])
    except SettingError as error:
        pytest.fail(str(error), pytrace=False)
    return folder


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    """Where a static host serves the page, below a path."""
    root = built.parents[1]
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/some/path/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(request: pytest.FixtureRequest, address: str, browser: Browser) -> Iterator[Page]:
    """The page on a phone, opened; afterwards, nothing may have left the path that it lies in, or failed."""
    with (
        browser.new_context(**PHONE) as context,  # type: ignore[arg-type]
        watched(context, request.node.name, within=address) as page,
    ):
        page.goto(address)
        page.wait_for_selector("#paint:enabled")  # from here on, the page does not load itself again
        # On a slow machine, the page does not wait for its service worker: it is there at the next visit.
        page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
        page.reload()
        page.wait_for_selector("#paint:enabled")
        yield page


@pytest.fixture
def bare(address: str, browser: Browser) -> Iterator[Page]:
    """The page in a browser without service workers, where requests can be held; not opened."""
    with browser.new_context(**PHONE) as context:  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE)
        context.add_init_script("Object.defineProperty(navigator, 'serviceWorker', { value: undefined })")
        yield context.new_page()


def test_it_paints_as_the_library_does_and_without_a_connection(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "small photo.png"
    picture = make_picture(54, 37)
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(path)
    expect(page.locator("#runs")).to_contain_text("WebAssembly")
    assert page.evaluate("crossOriginIsolated")
    for options in (StyleOptions(), StyleOptions(strength=0.6, keep_colour=True)):
        if options.strength < 1:
            page.context.set_offline(True)
            page.reload()
            page.wait_for_selector("#paint:enabled")
            page.locator("#options summary").click()
            page.locator("#strength").fill("60")
            page.get_by_label("Keep the photo's colours").check()
        page.set_input_files("#file", path)
        page.wait_for_selector("#preview:not([hidden])")
        page.click("#paint")
        for norm in NORMS:
            page.wait_for_selector(f'#caption-{norm} [data-state="done"]', timeout=3 * PATIENCE)
        expect(page.locator("#status")).to_contain_text("Painted at 54 × 37")
        for norm in NORMS:
            ours = Stylizer.from_style(STYLE, norm, engine="torch").paint(path, options=options)
            theirs = _downloaded(page, norm)
            assert theirs.size == ours.size == (54, 37)
            difference = np.asarray(theirs).astype(int) - np.asarray(ours.convert("RGBA"))
            # A canvas that is drawn on keeps colours times opacity, so faint pixels come back coarser.
            opaque = np.asarray(ours)[..., 3] > 250
            assert np.abs(difference[opaque]).max() <= 2
            assert np.abs(difference[..., 3]).max() <= 1
    expect(page.locator("#wipe img.over")).to_be_visible()
    page.context.set_offline(False)
    _check(page)


# As the page does it: another model is taken in while the first one is on its way.
_PAINTED_BY_WEBGPU = """async ([style, pixels, width, height]) => {
    history.replaceState(null, "", "?backend=webgpu");
    const { Painter } = await import("./painter.js");
    const runs = [];
    const painter = new Painter((name) => runs.push(name));
    painter.warm(style, "bn");
    let painted;
    const photo = new ImageData(Uint8ClampedArray.from(pixels), width, height);
    await painter.paint(photo, style, ["iebn"], { strength: 1, keepColour: false }, ({ picture }) => {
        painted = picture;
    });
    return [runs, [...painted.data]];
}"""


@pytest.mark.slow
def test_webgpu_paints_as_the_library_does(address: str, browser: Browser) -> None:
    args = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    program = shutil.which(CHROMIUM)
    with browser.browser_type.launch(
        executable_path=program, args=[*args, "--enable-features=Vulkan"]
    ) as other:
        page = other.new_page()
        page.goto(address)
        page.wait_for_selector("#paint:enabled", timeout=PATIENCE)
        photo = make_picture(21, 20)
        pixels = np.asarray(photo.convert("RGBA")).ravel().tolist()
        runs, painted = page.evaluate(_PAINTED_BY_WEBGPU, [STYLE, pixels, 21, 20])
    assert runs == ["WebGPU"]  # and nothing in its place afterwards
    ours = Stylizer.from_style(STYLE, "iebn", engine="torch").paint(photo)
    difference = np.reshape(painted, (20, 21, 4)).astype(int) - np.asarray(ours.convert("RGBA"))
    assert np.abs(difference).max() <= 2


def test_the_first_style_is_at_most_8_mb(built: Path) -> None:
    sums = {backend: sum(files.values()) for backend, files in transferred(built, STYLE).items()}
    assert set(sums) == {"WebAssembly", "WebGPU"}
    assert all(5_000_000 < size < 8_000_000 for size in sums.values()), sums


@pytest.mark.parametrize(("height", "width"), [(1, 1), (70, 51)])
def test_the_grain_is_the_librarys(page: Page, height: int, width: int) -> None:
    made = page.evaluate(f"import('./grain.js').then(m => [...m.grain({height}, {width})])")
    assert np.abs(np.reshape(made, (3, height, width)) - grain(height, width)).max() < 1e-5


def test_the_camera_is_painted_and_let_go_of(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.locator("input[name=norms][value=iebn]").check()
    page.get_by_role("button", name="Turn the camera on").click()
    expect(page.locator("#rate")).to_contain_text("frames a second", timeout=3 * PATIENCE)
    expect(page.locator("#out-iebn canvas")).to_be_visible()
    expect(page.locator("#out-bn")).to_be_hidden()
    seen = "[...document.querySelector('#out-iebn canvas').getContext('2d').getImageData(9, 9, 1, 1).data]"
    assert page.evaluate(seen)[3] == 255
    page.evaluate("window.track = document.querySelector('#camera').srcObject.getVideoTracks()[0]")
    page.get_by_role("tab", name="Compare").click()
    assert page.evaluate("track.readyState") == "ended"
    taken = [[256, 66], [256, 266], [256, 9], [64, 900], [512, 1]]  # side and milliseconds
    sides = page.evaluate("taken => import('./live.js').then(m => taken.map(t => m.nextSide(...t)))", taken)
    assert sides == [256, 128, 384, 64, 512]
    shown = [0, 100, 200, 10_000]  # milliseconds; the last frame took longer than frames are counted over
    count = "times => import('./live.js').then(m => ((r) => times.map(t => r.count(t)))(new m.Rate()))"
    assert page.evaluate(count, shown) == [None, 10, 10, pytest.approx(1 / 9.8)]


def test_live_keeps_its_camera_until_that_is_gone(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.locator("input[name=norms][value=iebn]").check()
    page.get_by_role("button", name="Turn the camera on").click()
    rate = page.locator("#rate")
    expect(rate).to_have_text(re.compile(r"^\d+\.\d frames a second, \d+ × \d+$"), timeout=3 * PATIENCE)
    expect(page.locator("#status")).to_have_text("")
    page.evaluate(_PASTED, "examples/cat.jpg")
    # As in a tab that is not seen: no animation frames.
    page.evaluate("""() => {
        const [next, post] = [window.requestAnimationFrame, Worker.prototype.postMessage];
        window.held = new Promise((hold) => (window.requestAnimationFrame = hold)).then((go) => {
            window.requestAnimationFrame = next;
            return () => next(go);
        });
        window.posts = 0;
        Worker.prototype.postMessage = function (...args) { window.posts++; post.apply(this, args); };
    }""")
    page.evaluate("held.then(() => undefined)")
    page.evaluate("posts = 0")
    page.wait_for_timeout(500)
    assert page.evaluate("posts") == 0
    page.evaluate("held.then((go) => { go(); })")
    page.wait_for_function("() => posts > 0")
    page.evaluate("document.querySelector('#camera').srcObject.getVideoTracks()[0].stop()")
    expect(page.locator("#status")).to_contain_text("unplugged")
    expect(page.get_by_role("button", name="Turn the camera on")).to_be_enabled()


_PASTED = """async (address) => {
    const files = new DataTransfer();
    files.items.add(new File([await (await fetch(address)).blob()], "cat.jpg", { type: "image/jpeg" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: files }));
    await new Promise((done) => setTimeout(done, 300));
}"""


def test_one_camera_is_opened_and_let_go_of_when_it_cannot_be_shown(page: Page) -> None:
    page.evaluate("""() => {
        const devices = navigator.mediaDevices, ask = devices.getUserMedia.bind(devices);
        window.streams = [];
        window.allowed = new Promise((allow) => (window.allow = allow));
        devices.getUserMedia = async (wanted) => {
            await window.allowed;
            streams.push(await ask(wanted));
            return streams.at(-1);
        };
    }""")
    active = "streams.map((stream) => stream.active)"
    page.evaluate("document.querySelector('#take').click(); document.querySelector('#take').click()")
    page.get_by_role("tab", name="Live").click()
    expect(page.locator("#begin")).to_be_disabled()
    page.evaluate("allow()")
    expect(page.locator("#begin")).to_be_enabled()
    assert page.evaluate(active) == [False]  # the visitor is elsewhere by now
    page.get_by_role("tab", name="Compare").click()
    page.evaluate("() => { HTMLMediaElement.prototype.play = () => Promise.reject(new Error('no')); }")
    page.locator("#take").click()
    expect(page.locator("#status")).to_contain_text("cannot be shown")
    assert page.evaluate(active) == [False, False]


def test_the_last_photo_that_was_chosen_is_shown(bare: Page, address: str, tmp_path: Path) -> None:
    held: list[Any] = []
    bare.route("**/examples/*.jpg", lambda route: held.append(route))
    bare.goto(address)
    bare.wait_for_selector("#paint:enabled")
    bare.locator("#examples button").first.click()
    path = tmp_path / "small.png"
    make_picture(54, 37).save(path)
    width = "document.querySelector('#preview').width"
    bare.set_input_files("#file", path)
    bare.wait_for_function(f"() => {width} == 54")
    with bare.expect_response("**/examples/*.jpg"):
        held.pop().continue_()
    bare.wait_for_timeout(500)
    assert bare.evaluate(width) == 54
    bare.unroute("**/examples/*.jpg")
    bare.locator("#examples button").first.click()
    bare.wait_for_function(f"() => {width} != 54")
    bare.set_input_files("#file", path)  # the same file again
    bare.wait_for_function(f"() => {width} == 54")


@pytest.mark.parametrize("missing", ["worker.js", "ort.wasm.min.mjs", "ort-wasm-simd-threaded.wasm"])
def test_a_program_that_could_not_be_loaded_is_tried_again(
    bare: Page, address: str, tmp_path: Path, missing: str
) -> None:
    path = tmp_path / "small.png"
    make_picture(54, 37).save(path)
    bare.route(f"**/{missing}", lambda route: route.abort())
    bare.goto(address)
    bare.wait_for_selector("#paint:enabled")
    bare.set_input_files("#file", path)
    bare.wait_for_selector("#preview:not([hidden])")
    bare.click("#paint")
    expect(bare.locator("#status")).to_have_text("The painting program cannot be loaded. Are you online?")
    bare.unroute(f"**/{missing}")
    bare.click("#paint")
    expect(bare.locator("#status")).to_contain_text("Painted at 54 × 37", timeout=3 * PATIENCE)


def test_the_service_worker_answers_for_the_page_only(page: Page, address: str, built: Path) -> None:
    (built / "other.txt").write_text("of another page")
    headers = """(name) => fetch(name).then(({ headers }) =>
        ["Cross-Origin-Embedder-Policy", "Content-Security-Policy"].map((header) => headers.get(header)))"""
    assert page.evaluate(headers, "other.txt") == [None, None]
    isolation, policy = page.evaluate(headers, "worker.js")
    assert isolation == "require-corp"
    assert policy == page.locator("meta[http-equiv]").get_attribute("content")
    (worker,) = page.context.service_workers
    full = "Promise.reject(new DOMException('', 'QuotaExceededError'))"
    worker.evaluate(f"() => {{ Cache.prototype.put = () => {full}; }}")
    assert page.evaluate("fetch('licences.txt').then((answer) => answer.status)") == 200
    page.goto(address + "index.html")
    page.wait_for_selector("#paint:enabled")
    assert page.url == address


def test_a_file_that_cannot_be_painted_is_told(page: Page, tmp_path: Path) -> None:
    tiny = io.BytesIO()
    make_picture(40, 19).save(tiny, "PNG")
    page.click("#paint")
    expect(page.locator("#status")).to_have_text("Choose a photo first.")
    for content, sentence in (
        (b"\xff\xd8\xff no more", "no picture"),
        (tiny.getvalue(), "at least 20 pixels"),
    ):
        file: Any = {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": content}
        page.set_input_files("#file", file)
        expect(page.locator("#status")).to_contain_text(sentence)


def _downloaded(page: Page, norm: str) -> Image.Image:
    with page.expect_download() as download:
        page.locator(f"#out-{norm} a").click()
    assert download.value.suggested_filename == f"small-photo-{STYLE}-{norm}.png"
    return Image.open(download.value.path())
