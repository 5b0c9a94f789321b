"""The API with the page mounted beside it. What the page does is tested in a browser."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from app.main import create_app
from app.settings import Settings
from tests.app.conftest import SETTINGS, assert_problem, file, opened, picture, post, serving

pytest.importorskip("gradio")


@pytest.fixture(scope="module")
def with_page():
    with serving(page=True) as client:
        yield client


def test_home_leads_to_the_page(with_page):
    response = with_page.get("/")
    assert (response.status_code, response.headers["location"]) == (307, "/ui")
    page = with_page.get("/ui/")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]


def test_the_api_answers_as_without_it(with_page, client):
    data = file(picture())
    assert opened(post(with_page, data)).size == (40, 32)
    assert post(with_page, data).content == post(client, data).content
    assert_problem(with_page.get("/nothing"), 404)
    assert_problem(with_page.get("/stylize"), 405)
    assert with_page.get("/openapi.json").json() == client.get("/openapi.json").json()
    assert with_page.get("/readyz").json() == {"status": "ready"}


def test_requests_of_the_page_are_one_series(with_page):
    with_page.get("/ui/")
    with_page.get("/ui/no/such/file")
    routes = {line.split('route="')[1].split('"')[0] for line in _requests(with_page)}
    assert "/ui" in routes
    assert not any(route.startswith("/ui/") for route in routes)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Gradio's folder for uploads, with a painting in it, behind a link as in some temporary folders."""
    (tmp_path / "cache" / "painting-1").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "cache")
    folder = tmp_path / "link"
    (folder / "painting-1" / "cat-mosaic-bn.png").write_bytes(file(picture()))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def _foreign(folder: Path) -> list[object]:
    """Paths that a browser may send and that must not be opened; all but the last few are there."""
    outside = folder.parent
    for name in ("secret.txt", "secret.png", "drawing.svg"):
        (outside / name).write_text("<svg>secret</svg>")
    (folder / "link.png").symlink_to(outside / "secret.png")
    paths = [*(str(outside / name) for name in ("secret.txt", "secret.png", "drawing.svg"))]
    paths += [f"{folder}/../secret.png", f"{folder}/link.png", "/etc/hostname", "/proc/self/environ"]
    paths += ["http://127.0.0.1:1/a.png", "https://127.0.0.1:1/a.png", "file:///etc/hostname", "", ".", "\0"]
    return [*paths, "/" + "x" * 5000, 3, ["a"], {"path": "b"}, True]


def test_only_paintings_are_hung_again(cache):
    from app.ui import files

    hung = str(cache / "painting-1" / "cat-mosaic-bn.png")
    (cache / "drawing.svg").write_text("<svg/>")
    (cache / "drawing.SVG").write_text("<svg/>")
    assert files.painting({"path": hung}) == hung
    assert files.painting({"path": str((cache / "painting-1" / "cat-mosaic-bn.png").resolve())}) == hung
    assert files.painting(None) is None
    assert files.painting(hung) is None
    for name in ("drawing.svg", "drawing.SVG", "gone.png", "painting-1"):
        assert files.painting({"path": str(cache / name)}) is None
    for path in _foreign(cache):
        assert files.painting({"path": path}) is None, path


def test_foreign_paths_are_found_wherever_they_are(cache):
    from app.ui import files

    for path in (None, str(cache / "gone.png"), str(files.EXAMPLES / "cat.jpg")):
        assert not files.foreign([{"path": path}, "mosaic", 3, None, ["x"]])
    meta = {"_type": "gradio.FileData"}
    for path in _foreign(cache):
        for value in ({"path": path}, {"path": path, "meta": meta}, {"path": path, "meta": None}):
            assert files.foreign([None, value]), path
            assert files.foreign([{"value": [value]}]), path
            assert files.foreign({"path": None, "x": value}), path


def test_the_easel_gives_no_foreign_file_back_and_paints_what_is_loaded(client, cache):
    from app.ui.painting import Easel

    upload = cache / "cat.png"
    upload.write_bytes(file(picture()))
    hung = str(cache / "painting-1" / "cat-mosaic-bn.png")
    studio = client.app.state.studio

    async def steps(*shown):
        easel = Easel(studio)
        return [
            step
            async for step in easel.paint(
                {"path": str(upload)}, "mosaic", 64, 100, False, False, 1, "", 50, *shown
            )
        ]

    bad, good = {"path": str(cache.parent / "secret.png")}, {"path": hung}
    _foreign(cache)
    first, *_, last = asyncio.run(steps(bad, bad, good, bad, None, *[""] * 4))
    assert first[2:6] == (None, hung, None, None)
    assert all(Path(path).is_relative_to(cache) for path in last[1:6])
    assert len(set(last[1:6])) == 5


def test_the_easel_asks_for_no_model_that_is_not_loaded(client, cache, monkeypatch):
    from app.ui.painting import Easel

    upload = cache / "cat.png"
    upload.write_bytes(file(picture()))
    studio = client.app.state.studio
    loaded = {key: model for key, model in studio._models.items() if key[1] == "in"}
    monkeypatch.setattr(studio, "_models", loaded)  # the other files appeared later

    async def steps():
        easel = Easel(studio)
        return [
            step
            async for step in easel.paint(
                {"path": str(upload)}, "mosaic", 64, 100, False, False, 1, "", 50, *[None] * 9
            )
        ]

    last = asyncio.run(steps())[-1]
    assert [bool(path) for path in last[2:6]] == [False, True, False, False]
    assert sum("not trained for this style" in caption for caption in last[6:]) == 3


def test_the_easel_refuses_a_mixture_without_a_common_normalizer(client, cache, monkeypatch):
    import gradio as gr

    from app.ui.painting import Easel

    (cache / "cat.png").write_bytes(file(picture()))
    studio = client.app.state.studio
    loaded = {("mosaic", "in"), ("wave", "bn")}
    monkeypatch.setattr(studio, "_models", {k: v for k, v in studio._models.items() if k in loaded})
    options = ("mosaic", 64, 100, False, False, 1, "wave", 50, *[None] * 9)
    with pytest.raises(gr.Error, match="mosaic and wave have no normalizer in common"):
        asyncio.run(anext(Easel(studio).paint({"path": str(cache / "cat.png")}, *options)))


@pytest.mark.parametrize("prefix", ["", "/stylizer"])
def test_the_page_below_a_prefix(prefix):
    """Whether the proxy cuts the prefix off the path or leaves it there."""
    with serving(page=True, root_path="/stylizer") as client:
        assert client.get(f"{prefix}/").headers["location"] == "/stylizer/ui"
        assert client.get(f"{prefix}/ui").headers["location"].endswith("/stylizer/ui/")
        assert "text/html" in client.get(f"{prefix}/ui/").headers["content-type"]
        assert client.get(f"{prefix}/styles").status_code == 200


def test_many_pages_that_watch_leave_room_for_one_that_paints(with_page):
    """A page that follows a training is an event for as long as that goes on, and Gradio has 40 places."""
    with_page.get("/ui/")
    blocks = next(r.app.blocks for r in with_page.app.routes if getattr(r, "path", "") == "/ui")
    assert len(blocks._queue.active_jobs) >= 1000


def test_folders_do_not_outlive_their_files(cache):
    from app.ui import files

    for name in ("old", "new", "full"):
        (cache / name).mkdir()
    (cache / "full" / "cat.png").write_bytes(b"")
    for name in ("old", "full"):
        os.utime(cache / name, (0, 0))
    files.sweep(60)
    assert sorted(path.name for path in cache.iterdir()) == ["full", "new", "painting-1"]


def test_the_picker_shows_each_style():
    from app.pictures import thumbnail
    from app.ui.theme import css

    styles = create_app(Settings(**SETTINGS)).state.studio.styles()
    assert css(styles).count("--thumbnail: url(data:image/jpeg;base64,") == len(styles) > 0
    assert thumbnail(styles[0], 64) is thumbnail(styles[0], 64)


def _requests(client):
    text = client.get("/metrics").text
    return [line for line in text.splitlines() if line.startswith("stylizer_requests_total{")]
