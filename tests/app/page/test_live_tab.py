"""Frames of a camera, without one: what is painted, what is left out, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from typing import Any

import pytest
from PIL import Image

from app.main import create_app
from app.painting.service import PaintingService
from app.settings import Settings
from app.site import parts
from tests.app.conftest import SETTINGS, assert_problem, busy, file, picture, serving

gr = pytest.importorskip("gradio")


def _frame(data: bytes | None = None) -> dict[str, str]:
    data = file(picture(64, 48), "JPEG") if data is None else data
    return {"url": "data:image/jpeg;base64," + base64.b64encode(data).decode()}


def _paint(service: PaintingService, *frames: object, style: object = "mosaic", norm: object = "iebn"):
    from app.page.live_tab import LiveHandlers

    async def paint():
        live = LiveHandlers(service)
        return await asyncio.gather(*(live.paint(frame, style, norm) for frame in frames))

    return asyncio.run(paint())


def test_a_frame_becomes_a_painting_at_the_working_size(client):
    ((painting, said),) = _paint(client.app.state.service, _frame(file(picture(640, 480), "JPEG")))
    head, _, data = painting["url"].partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (head, image.format, image.size) == ("data:image/jpeg;base64", "JPEG", (320, 240))
    assert said.startswith("<p>Painted by the server: 320 × 240, fp32, ")  # PyTorch computes in these tests


def test_cameras_take_turns(client):
    painted = _paint(client.app.state.service, *[_frame()] * 4)
    assert ["url" in painting for painting, _ in painted] == [True] * 4


def test_the_normalizers_of_a_style_are_offered(client):
    from app.page.live_tab import LiveHandlers

    live = LiveHandlers(client.app.state.service)
    offered = live.offer_norms("mosaic", "bn+se")
    assert [norm for _, norm in offered.choices] == ["bn", "in", "bn+se", "iebn"]
    assert "value" not in offered._constructor_args[0]  # another one may have been chosen since
    assert live.offer_norms("mosaic", "none").value == "bn"
    assert live.offer_norms(None, "bn") == gr.skip()
    with pytest.raises(gr.Error, match="There is no style 'nothing'"):
        live.offer_norms("nothing", "bn")


def test_a_frame_is_left_out_while_a_photo_is_painted(client):
    service = client.app.state.service
    with busy(service.jobs):
        ((painting, said),) = _paint(service, _frame())
        assert service.jobs.waiting == 0
    assert painting == gr.skip()
    assert said == "<p>Photos are being painted. The camera continues after them.</p>"


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (None, "The camera did not send a picture."),
        ("data:image/jpeg;base64,AAAA", "The camera did not send a picture."),
        ({"url": None, "path": "/etc/hostname"}, "The camera did not send a picture."),
        ({"url": "http://127.0.0.1:1/a.jpg"}, "The camera did not send a picture."),
        ({"url": "data:image/jpeg;base64,no base64!"}, "The camera did not send a picture."),
        ({"url": "data:image/jpeg;base64,é"}, "The camera did not send a picture."),
        (_frame(b""), "empty"),
        (_frame(b"no picture"), "not a picture in a format"),
        (_frame(file(picture(64, 48), "JPEG")[:300]), "damaged"),
        (_frame(file(picture(8, 8))), "each side needs at least 16"),
        (_frame(bytes(2_000_000)), "The camera's frame has more than 1,000,000 bytes."),
    ],
)
def test_a_bad_frame_is_told_in_one_sentence(client, monkeypatch, frame, sentence):
    service = client.app.state.service
    monkeypatch.setattr(service, "settings", Settings(**SETTINGS, max_upload_bytes=1_000_000))
    ((painting, said),) = _paint(service, frame)
    assert painting == gr.skip()
    assert sentence in said
    assert said.endswith(".</p>")


@pytest.mark.parametrize("choice", [{"style": "vangogh"}, {"norm": "xn"}, {"style": None}, {"norm": ["in"]}])
def test_a_bad_choice_is_told_in_one_sentence(client, choice):
    ((painting, said),) = _paint(client.app.state.service, _frame(), **choice)
    assert painting == gr.skip()
    assert said.startswith("<p>There is no ")


def test_the_quickest_precision_that_paints_nearly_the_same(monkeypatch):
    from app.painting import registry
    from styles.catalog import find_style

    pytest.importorskip("openvino")
    mosaic = find_style("mosaic")
    assert registry.load(mosaic, "in", Settings(engine="torch")).quickest == "fp32"
    assert registry.load(mosaic, "in", Settings(engine="openvino")).quickest == "int8"
    monkeypatch.setattr(registry, "load_ranges", lambda path: None)  # as with a style of one's own
    for native, quickest in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(registry, "multiplies_bf16", lambda native=native: native)
        assert registry.load(mosaic, "in", Settings(engine="openvino")).quickest == quickest


@pytest.mark.parametrize("cameras", [0, 3])
def test_as_many_cameras_as_are_set(cameras):
    app = create_app(Settings(**{**SETTINGS, "page": True, "live_cameras": cameras}))
    (page,) = [route.app for route in app.routes if getattr(route, "path", "") == "/ui"]
    config = page.get_blocks().config
    tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
    assert tabs == ["Compare", *(["Live"] if cameras else []), "New style", "Training", "Why"]
    streams = [fn for fn in page.get_blocks().fns.values() if fn.connection == "stream"]
    assert [fn.concurrency_limit for fn in streams] == ([cameras] if cameras else [])


def _head(page: Any) -> Any:
    """What the page's script is told of painting in the browser; Gradio wraps it into a string."""
    said = re.search(r"window\.painterHere = (.*?);", page.text.replace('\\"', '"'))
    assert said
    return json.loads(said[1])


def test_what_a_browser_paints_with_is_served():
    with serving(page=True) as client:
        page = client.get("/ui/")
        assert page.headers["cross-origin-embedder-policy"] == "require-corp"
        assert _head(page) == {"address": "../live/", "side": 320, "rate": 10}
        for name in (
            *parts.PAINTER,
            *(f"vendor/{name}" for build in parts.BUILDS.values() for name in build),
        ):
            answer = client.get(f"/live/{name}", headers={"accept-encoding": "gzip"})
            assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
            assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert answer.headers["content-type"] == "application/wasm"
        assert answer.content == (parts.RUNTIME / "dist" / parts.BUILDS["WebGPU"][-1]).read_bytes()
        model = client.get("/live/models/mosaic/bn-se.onnx", headers={"accept-encoding": "identity"})
        stylizer = client.app.state.service.registry.model("mosaic", "bn+se").stylizer
        assert model.content == parts.model(stylizer.network, stylizer.info)
        again = client.get("/live/models/mosaic/bn-se.onnx", headers={"if-none-match": model.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("sw.js", "main.js", "../app/main.py", "vendor/", "models/mosaic/xn.onnx"):
            assert_problem(client.get(f"/live/{name}"), 404)
        assert_problem(client.get("/live/models/vangogh/bn.onnx"), 404, "unknown-style")


def test_the_server_paints_where_there_is_nothing_to_serve(monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "RUNTIME", tmp_path / "none")
    with serving(page=True) as client:
        page = client.get("/ui/")
        assert "cross-origin-embedder-policy" not in page.headers
        assert _head(page) is None
        assert_problem(client.get("/live/worker.js"), 404)
