"""GET /styles and its pictures, the health checks, the metrics, the documentation."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import pytest

from styles import catalog
from tests.app.conftest import assert_problem, file, opened, picture, post, serving


def test_styles(client):
    styles = {style["name"]: style for style in client.get("/styles").json()["styles"]}
    mosaic = styles["mosaic"]
    assert mosaic["image"] == "/styles/mosaic/image"
    assert mosaic["thumbnail"] == "/styles/mosaic/image?size=256"
    assert [norm["name"] for norm in mosaic["norms"]] == ["bn", "in", "bn+se", "iebn"]
    parameters = {norm["name"]: norm["parameters"] for norm in mosaic["norms"]}
    assert parameters["bn"] == parameters["in"] < parameters["iebn"] < parameters["bn+se"]
    for norm in mosaic["norms"]:
        assert norm["bytes"] > norm["parameters"]
        assert norm["validation"] is None or all(loss >= 0 for loss in norm["validation"].values())


def test_every_listed_address_answers(client):
    for style in client.get("/styles").json()["styles"]:
        assert opened(client.get(style["image"])).format == "PNG"
        thumbnail = opened(client.get(style["thumbnail"]))
        assert (thumbnail.format, max(thumbnail.size)) == ("JPEG", 256)


def test_head_asks_as_get_does(client):
    for path in ("/styles", "/styles/mosaic/image", "/healthz", "/readyz", "/metrics", "/docs"):
        assert client.head(path).status_code == 200, path
    assert client.head("/").status_code == 307
    others = {"/nothing": 404, "/stylize": 405, "/styles/vangogh/image": 404}
    for path, status in others.items():
        assert client.head(path).status_code == status, path
    assert 'method="HEAD",route="/healthz",status="200"' in client.get("/metrics").text


def test_picture(client):
    response = client.get("/styles/MOSAIC/image", params={"size": 64})
    assert max(opened(response).size) == 64
    assert "max-age" in response.headers["cache-control"]
    assert client.get("/styles/mosaic/image?size=64").content == response.content
    for size, longest in ((100, 96), (63, 63), (1024, 1024)):  # in steps: each size is a decoding
        assert max(opened(client.get(f"/styles/mosaic/image?size={size}")).size) == longest
    assert_problem(client.get("/styles/vangogh/image"), 404, "unknown-style")
    for size in ("15", "1025", "x", "nan", "-3"):
        assert_problem(client.get(f"/styles/mosaic/image?size={size}"), 422, "invalid-request")


def test_losses_come_from_the_model_files(client, monkeypatch):
    model = client.app.state.service.registry.model("mosaic", "bn")
    training = {  # as Run._card makes it
        "config": {"style": "mosaic", "norm": "bn", "iterations": 1200, "warmup_iterations": 300},
        "iterations_done": 1500,
        "content": {"name": "examples", "photos": 5},
        "validation": {"content": 1.5, "broken": float("nan"), "text": "x"},
        "seconds": 12.5,
        "machine": "a machine, 2 threads",
        "precision": "fp32",
        "torch": "2.11.0",
    }
    monkeypatch.setattr(model.stylizer, "info", replace(model.stylizer.info, training=training))
    styles = {style["name"]: style for style in client.get("/styles").json()["styles"]}
    norm = styles["mosaic"]["norms"][0]
    assert norm["validation"] == {"content": 1.5}
    assert norm["iterations"] == 1500


def test_only_what_was_loaded_is_offered(tmp_path, monkeypatch):
    files = catalog.ROOT / "mosaic"
    for style, name in [("mosaic", "style.png"), ("mosaic", "bn.safetensors"), ("later", "style.png")]:
        (tmp_path / style).mkdir(exist_ok=True)
        shutil.copy(files / name, tmp_path / style)
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    with serving() as client:
        before = client.get("/styles").json()
        for style, name in [("mosaic", "in"), ("later", "bn")]:
            shutil.copy(files / f"{name}.safetensors", tmp_path / style)
        photo = file(picture())
        assert client.get("/styles").json() == before
        assert [norm["name"] for norm in before["styles"][0]["norms"]] == ["bn"]
        assert post(client, photo, norm="all").headers["x-stylizer-norm"] == "bn"
        problem = assert_problem(post(client, photo, norm="in"), 404, "unknown-style")
        assert "has no model for in; it has: bn." in problem["detail"]
        assert_problem(post(client, photo, style="later", norm="bn"), 404, "unknown-style")
        (tmp_path / "mosaic" / "bn.safetensors").unlink()
        assert client.get("/styles").json() == before
        assert post(client, photo, norm="bn").status_code == 200


def test_a_catalogue_without_models_is_empty_and_stays_so(tmp_path, monkeypatch):
    files = catalog.ROOT / "mosaic"
    (tmp_path / "mosaic").mkdir()
    shutil.copy(files / "style.png", tmp_path / "mosaic")
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    with serving() as client:
        shutil.copy(files / "bn.safetensors", tmp_path / "mosaic")
        assert client.get("/styles").json() == {"styles": []}
        assert_problem(post(client, file(picture()), norm="bn"), 404, "unknown-style")


def test_a_picture_that_is_gone(tmp_path, monkeypatch):
    shutil.copytree(catalog.ROOT / "mosaic", tmp_path / "mosaic")
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    with serving() as client:
        (tmp_path / "mosaic" / "style.png").unlink()
        for query in ("", "?size=77"):
            problem = assert_problem(client.get(f"/styles/mosaic/image{query}"), 404, "unknown-style")
            assert problem["detail"] == "The picture of the style 'mosaic' is missing."


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=99999999-", "bytes=abc", "items=1-2"])
def test_a_picture_comes_whole(client, asked):
    response = client.get("/styles/mosaic/image", headers={"Range": asked})
    assert response.status_code == 200
    assert response.content == (catalog.ROOT / "mosaic" / "style.png").read_bytes()


def test_root_path_is_part_of_every_address():
    with serving(root_path="/stylizer") as client:
        style = client.get("/styles").json()["styles"][0]
        assert style["image"].startswith("/stylizer/styles/")
        assert client.get("/").headers["location"] == "/stylizer/docs"
        assert "/stylizer/openapi.json" in client.get("/docs").text
        assert_problem(post(client, b""), 422, "unreadable-image")
        assert_problem(client.post("/stylizer/stylize"), 422, "invalid-request")


def test_health(client):
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_metrics():
    with serving() as client:
        post(client, file(picture()), norm="bn")
        post(client, b"")
        client.get("/nothing/at/all")
        client.get("/static-offline-docs/favicon.png")
        client.request("BREW", "/nothing")
        response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in [
        'stylizer_requests_total{method="POST",route="/stylize",status="200"} 1.0',
        'stylizer_requests_total{method="POST",route="/stylize",status="422"} 1.0',
        'stylizer_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'stylizer_requests_total{method="other",route="unmatched",status="404"} 1.0',
        'stylizer_inference_seconds_count{norm="bn",style="mosaic"} 1.0',
        "stylizer_queue_depth 0.0",
        "stylizer_jobs_running 0.0",
        "stylizer_requests_in_flight 1.0",
        'stylizer_jobs_refused_total{reason="full"} 0.0',
    ]:
        assert line in response.text
    assert "/static-offline-docs" in response.text
    loaded = re.search(r"^stylizer_model_load_seconds (\S+)", response.text, re.MULTILINE)
    assert loaded
    assert float(loaded[1]) > 0
    assert "process_resident_memory_bytes" in response.text


def test_docs_work_offline(client):
    page = client.get("/docs").text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses
    for address in addresses:
        assert address.startswith("/")
        assert client.get(address).status_code == 200
    assert "http" not in "".join(addresses)


def test_home_leads_to_the_documentation_without_a_page(client):
    response = client.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/docs")


@pytest.mark.parametrize("path", ["/healthz", "/styles", "/nothing", "/styles/mosaic/image"])
def test_security_headers(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
