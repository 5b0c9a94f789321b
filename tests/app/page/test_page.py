"""The API with the page mounted beside it. What the page does is tested in a browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.routing import iter_route_contexts

from app.main import create_app
from app.middleware import gradio_routes
from app.settings import Settings
from tests.app.conftest import SETTINGS, assert_problem, busy, file, opened, picture, post, serving
from tests.conftest import make_picture
from transformer_net.errors import SettingError
from transformer_net.training.content import EXAMPLES

gradio = pytest.importorskip("gradio")

from app.page import file_access  # noqa: E402


@pytest.fixture(scope="module")
def with_page():
    with serving(page=True) as client:
        yield client


@pytest.mark.slow
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
    (folder / file_access._MARK).write_text(file_access._MARKED)
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
    hung = str(cache / "painting-1" / "cat-mosaic-bn.png")
    (cache / "drawing.svg").write_text("<svg/>")
    (cache / "drawing.SVG").write_text("<svg/>")
    assert file_access.painting({"path": hung}) == hung
    assert file_access.painting({"path": str((cache / "painting-1" / "cat-mosaic-bn.png").resolve())}) == hung
    assert file_access.painting(None) is None
    assert file_access.painting(hung) is None
    for name in ("drawing.svg", "drawing.SVG", "gone.png", "painting-1"):
        assert file_access.painting({"path": str(cache / name)}) is None
    for path in _foreign(cache):
        assert file_access.painting({"path": path}) is None, path


def test_foreign_paths_are_found_wherever_they_are(cache):
    for path in (None, str(cache / "gone.png"), str(file_access.EXAMPLES / "cat.jpg")):
        assert not file_access.foreign([{"path": path}, "mosaic", 3, None, ["x"]])
    meta = {"_type": "gradio.FileData"}
    for path in _foreign(cache):
        for value in ({"path": path}, {"path": path, "meta": meta}, {"path": path, "meta": None}):
            assert file_access.foreign([None, value]), path
            assert file_access.foreign([{"value": [value]}]), path
            assert file_access.foreign({"path": None, "x": value}), path


def test_the_easel_gives_no_foreign_file_back_and_paints_what_is_loaded(client, cache):
    from app.page.compare_tab import CompareHandlers, Wall

    upload = cache / "cat.png"
    upload.write_bytes(file(picture()))
    hung = str(cache / "painting-1" / "cat-mosaic-bn.png")
    service = client.app.state.service

    async def steps(*shown):
        handlers = CompareHandlers(service)
        return [
            step
            async for step in handlers.paint(
                Wall(), {"path": str(upload)}, "mosaic", None, 64, 100, False, False, 1, "", 50, *shown
            )
        ]

    bad, good = {"path": str(cache.parent / "secret.png")}, {"path": hung}
    _foreign(cache)
    first, *_, last = asyncio.run(steps(bad, bad, good, bad, None, *[""] * 4))
    assert first[2:6] == (None, hung, None, None)
    assert all(Path(path).is_relative_to(cache) for path in last[1:6])
    assert len(set(last[1:6])) == 5


@pytest.mark.parametrize("frames", [1, 2])
def test_the_easel_says_that_it_takes_the_first_frame(client, cache, frames):
    from app.page.compare_tab import CompareHandlers, Wall

    upload = cache / "cat.gif"
    first, *others = [make_picture(40, 32, seed=number) for number in range(frames)]
    first.save(upload, save_all=True, append_images=others)

    async def steps():
        handlers = CompareHandlers(client.app.state.service)
        options = Wall(), {"path": str(upload)}, "mosaic", None, 64, 100, False, False, 1, "", 50, *[None] * 9
        return [step async for step in handlers.paint(*options)]

    assert ("only the first frame" in asyncio.run(steps())[-1][0]) == (frames == 2)


def test_the_easel_asks_for_no_model_that_is_not_loaded(client, cache, monkeypatch):
    from app.page.compare_tab import CompareHandlers, Wall

    upload = cache / "cat.png"
    upload.write_bytes(file(picture()))
    service = client.app.state.service
    loaded = {key: model for key, model in service.registry._models.items() if key[1] == "in"}
    monkeypatch.setattr(service.registry, "_models", loaded)  # the other files appeared later

    async def steps():
        handlers = CompareHandlers(service)
        return [
            step
            async for step in handlers.paint(
                Wall(), {"path": str(upload)}, "mosaic", None, 64, 100, False, False, 1, "", 50, *[None] * 9
            )
        ]

    last = asyncio.run(steps())[-1]
    assert [bool(path) for path in last[2:6]] == [False, True, False, False]
    assert sum("not trained for this style" in caption for caption in last[6:]) == 3


def test_the_easel_paints_in_the_style_of_a_visitor_s_picture(client, cache, predictors):
    import gradio as gr

    from app.page.compare_tab import CompareHandlers, Wall

    for name, seed in (("cat.png", 0), ("art.png", 1)):
        make_picture(80, 70, seed=seed).save(cache / name)
    photo, art = ({"path": str(cache / name)} for name in ("cat.png", "art.png"))
    options = (64, 100, False, False, 1)

    wall = Wall()

    async def last(style_picture, second, style=":picture"):
        handlers = CompareHandlers(client.app.state.service)
        steps = handlers.paint(wall, photo, style, style_picture, *options, second, 50, *[None] * 9)
        return [step async for step in steps][-1]

    status, _, *paths = asyncio.run(last(art, ""))[:6]
    assert (wall.comparison.photo, wall.comparison.style_picture) == (photo, art)
    assert "data-of-picture" in status
    assert [Path(path).name for path in paths] == [
        f"cat-picture-{norm}.png" for norm in ("bn", "in", "bn-se", "iebn")
    ]
    for style_picture, second, sentence in (
        (None, "", "Choose a picture as the style"),
        ({"path": str(cache.parent / "secret.png")}, "", "Choose a picture as the style"),
        (art, "wave", "cannot be mixed"),
    ):
        with pytest.raises(gr.Error, match=sentence):
            asyncio.run(last(style_picture, second))
    assert wall.comparison.style_picture == art  # what was refused did not change what hangs
    assert "data-of-picture" not in asyncio.run(last(art, "", style="mosaic"))[0]
    assert wall.comparison.style_picture is None


def test_the_easel_refuses_a_mixture_without_a_common_normalizer(client, cache, monkeypatch):
    import gradio as gr

    from app.page.compare_tab import CompareHandlers, Wall

    (cache / "cat.png").write_bytes(file(picture()))
    service = client.app.state.service
    loaded = {("mosaic", "in"), ("wave", "bn")}
    monkeypatch.setattr(
        service.registry, "_models", {k: v for k, v in service.registry._models.items() if k in loaded}
    )
    options = ("mosaic", None, 64, 100, False, False, 1, "wave", 50, *[None] * 9)
    with pytest.raises(gr.Error, match="mosaic and wave have no normalizer in common"):
        asyncio.run(anext(CompareHandlers(service).paint(Wall(), {"path": str(cache / "cat.png")}, *options)))


@pytest.mark.slow
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
    for name in ("old", "new", "full"):
        (cache / name).mkdir()
    (cache / "full" / "cat.png").write_bytes(b"")
    for name in ("old", "full"):
        os.utime(cache / name, (0, 0))
    file_access.sweep(60, 10**9)
    assert sorted(path.name for path in cache.iterdir() if path.is_dir()) == ["full", "new", "painting-1"]
    (cache / "half-an-upload").write_bytes(b"half")
    file_access.sweep(-1, 10**9)  # everything is older than a second from now
    assert [path.name for path in cache.iterdir()] == ["CACHEDIR.TAG"]


def test_the_oldest_files_go_where_all_are_too_much(cache):
    for name in ("first", "second", "third"):
        (cache / name).write_bytes(bytes(1000))
        time.sleep(0.02)  # files of one instant have no order
    file_access.sweep(60, most=2500)
    assert {path.name for path in cache.iterdir() if path.is_file()} == {"second", "third", "CACHEDIR.TAG"}


@pytest.mark.parametrize("name", ["gradio", "stylizer", "stylizer-page"])
def test_nothing_of_other_programs_is_deleted(name, tmp_path, monkeypatch):
    theirs = tmp_path / name / "theirs.txt"
    theirs.parent.mkdir()
    theirs.write_text("precious")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(theirs.parent))
    file_access.sweep(-1, 10**9)
    for _ in range(2):  # the second time it is there already
        file_access.claim()
        assert file_access.cache() == theirs.parent / "stylizer-page"
    (file_access.cache() / "ours.png").write_bytes(b"")
    file_access.sweep(-1, 10**9)
    assert [path.name for path in file_access.cache().iterdir()] == ["CACHEDIR.TAG"]
    assert theirs.read_text() == "precious"
    (tmp_path / "full" / "stylizer-page").mkdir(parents=True)
    (tmp_path / "full" / "stylizer-page" / "theirs.txt").write_text("precious")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "full"))
    with pytest.raises(SettingError, match="holds files that are not ours"):
        file_access.claim()


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "file=https://example.org/a.png"),
        ("GET", "file=http:/%2Fexample.org/a.png"),
        ("GET", "file/etc/hostname"),
        ("POST", "process_recording"),
        ("POST", "run/stop"),
        ("POST", "api/paint"),
        ("GET", "dev/reload"),
        ("OPTIONS", "upload"),
        ("POST", "component_server/"),
        ("POST", "call/v2/x"),
        ("GET", "proxy=https://example.org"),
    ],
)
def test_what_gradio_has_and_the_page_does_not_need_is_closed(with_page, method, address):
    assert_problem(with_page.request(method, f"/ui/gradio_api/{address}"), 404)


def test_every_route_of_gradio_is_known_and_those_that_the_page_uses_are_open(with_page):
    """An upgrade that adds one fails here: decide whether the page needs it."""
    gradio_app = next(r.app for r in with_page.app.routes if getattr(r, "path", "") == "/ui")
    routes = {context.path for context in iter_route_contexts(gradio_app.routes)}
    assert routes == {*gradio_routes.OPEN, *gradio_routes.CLOSED}
    assert not set(gradio_routes.OPEN) & set(gradio_routes.CLOSED)
    for route in gradio_routes.CLOSED:
        assert not gradio_routes.is_open("/ui" + re.sub(r"\{.*?\}", "x", route)), route


def test_every_event_goes_through_the_queue(with_page):
    blocks = next(r.app for r in with_page.app.routes if getattr(r, "path", "") == "/ui").get_blocks()
    assert all(event.queue is not False for event in blocks.fns.values() if event.fn)


def test_other_web_sites_cannot_use_the_page(with_page):
    for site, status in (("cross-site", 403), ("same-origin", 422)):
        headers = {"sec-fetch-site": site, "origin": "https://example.org"}
        answer = with_page.post("/ui/gradio_api/queue/join", json={}, headers=headers)
        assert answer.status_code == status
        assert "access-control-allow-origin" not in answer.headers


def _event(page, handler):
    """The number of an event of this handler, and values that it takes."""
    blocks = next(r.app for r in page.app.routes if getattr(r, "path", "") == "/ui").get_blocks()
    found = next(e for e in blocks.fns.values() if getattr(e.fn, "__qualname__", "") == handler)
    kinds = {"Slider": 1, "Checkbox": False, "Image": None, "HTML": "", "Dropdown": "", "State": None}
    radios = iter(["mosaic", 384])
    return found._id, [kinds[k] if (k := type(c).__name__) in kinds else next(radios) for c in found.inputs]


@pytest.mark.parametrize(
    "change",
    [
        {"fn_index": 999},
        {"fn_index": None},
        {"fn_index": "2"},
        {"fn_index": {}},
        {"session_hash": None},
        {"session_hash": "../x"},
        {"session_hash": 5},
        {"data": []},
        {"data": "x"},
        {"data": None},
        *({1: value} for value in (5, "photo", [1])),
        *({2: value} for value in (5, ["mosaic"], {})),
        *({3: value} for value in (5, "photo", [1])),
        *({4: value} for value in ("384", [384], True)),
        *({5: value} for value in ("1", None, True, 1e9, -1, float("nan"), [])),
        *({6: value} for value in ("true", 1, None)),
    ],
    ids=str,
)
def test_wrongly_typed_events_are_refused_in_a_sentence(with_page, change, caplog, capfd):
    index, data = _event(with_page, "CompareHandlers.paint")
    sent = {"fn_index": index, "session_hash": "abc", "data": data}
    for key, value in change.items():
        if isinstance(key, int):
            sent["data"] = [*data[:key], value, *data[key + 1 :]]
        else:
            sent[key] = value
    answer = with_page.post("/ui/gradio_api/queue/join", content=json.dumps(sent))
    assert_problem(answer, 422, "invalid-request")
    assert "Traceback" not in caplog.text + capfd.readouterr().err


def test_what_is_no_event_or_session_is_refused(with_page):
    for body in (b"", b"null", b"[1]", b"{", b"\xff", b"[" * 100_000):
        for address in ("queue/join", "stream/x"):
            answer = with_page.post(f"/ui/gradio_api/{address}", content=body)
            assert_problem(answer, 422, "invalid-request")
    assert_problem(with_page.get("/ui/gradio_api/queue/data?session_hash=unknown"), 404)


def test_no_answer_of_the_page_shows_a_folder_of_this_machine(with_page):
    (name,) = with_page.post("/ui/gradio_api/upload", files={"files": ("small cat.png", b"x" * 9)}).json()
    assert re.fullmatch(r"uploads/[0-9a-f]{64}/small cat\.png", name)
    answer = with_page.get(f"/ui/gradio_api/file={name}")
    assert (answer.status_code, answer.content) == (200, b"x" * 9)
    example = with_page.get("/ui/gradio_api/file=examples/cat.jpg")
    assert example.content == (EXAMPLES / "cat.jpg").read_bytes()
    pages = [with_page.get(address).text for address in ("/ui/", "/ui/config")]
    for folder in (str(file_access.cache()), str(EXAMPLES.parent), str(Path.home()), "site-packages"):
        assert not any(folder in page for page in pages)
    assert '"examples/cat.jpg"' in pages[1]
    for gone in ("uploads/x/cat.png", "uploads/../../etc/hostname", "examples/../README.md", "uploads"):
        assert_problem(with_page.get(f"/ui/gradio_api/file={gone}"), 404)
    hung = {"path": "uploads/painting-1/a.png", "url": "http://x/ui/gradio_api/file=uploads/painting-1/a.png"}
    private = file_access.renamed([hung], file_access.private)
    assert private[0]["path"] == f"{file_access.cache()}/painting-1/a.png"
    assert file_access.renamed(private, file_access.public) == [hung]


@pytest.mark.slow
def test_uploads_are_bounded_when_they_arrive(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with serving(page=True, temp_bytes=4_000_000, max_upload_bytes=1_000_000) as page:
        for number in range(12):
            files = {"files": ("a.jpg", bytes(900_000) + bytes([number]))}
            assert page.post("/ui/gradio_api/upload", files=files).status_code == 200
            assert file_access.used() <= 4_000_000
        assert file_access.used() > 2_000_000
        assert len(list(file_access.cache().iterdir())) < 6  # no empty folders are left


@pytest.mark.slow
def test_a_full_disk_is_our_fault_and_heals(monkeypatch, tmp_path):
    from gradio.route_utils import GradioUploadFile

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with serving(page=True) as page:

        def upload():
            return page.post("/ui/gradio_api/upload", files={"files": ("a.jpg", bytes(9000))})

        def assert_full(answer):  # in words: Gradio shows a visitor the answer as it is
            assert answer.status_code == 503
            assert answer.text == "The server's disk is full; this is no fault of the request."

        async def full(self, data):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(GradioUploadFile, "write", full)
            assert_full(upload())
        with monkeypatch.context() as patched:
            patched.setattr("starlette.datastructures.UploadFile.write", full)
            assert_problem(post(page, file(picture())), 503, "storage-full")
        with monkeypatch.context() as patched:
            patched.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
            assert_full(upload())
            problem = assert_problem(page.get("/readyz"), 503, "storage-full")
            assert "disk is full" in problem["detail"]
        assert upload().status_code == 200
        assert page.get("/readyz").status_code == 200


def test_no_body_is_endless(with_page):
    def body():
        for _ in range(80):
            yield bytes(1_000_000)

    response = with_page.post("/ui/gradio_api/queue/join", content=body())
    assert response.status_code == 413
    response = with_page.post("/ui/gradio_api/upload", content=bytes(70_000_000))
    assert response.status_code == 413


def test_pictures_come_whole_and_to_their_owner_alone(with_page):
    address = f"/ui/gradio_api/file={EXAMPLES / 'cat.jpg'}"
    for wanted in ("bytes=0-9", "bytes=0-5,10-15"):
        response = with_page.get(address, headers={"range": wanted, "cookie": "secret=1"})
        assert (response.status_code, response.content) == (200, (EXAMPLES / "cat.jpg").read_bytes())
        assert response.headers["cache-control"] == "private"
        assert "cookie" not in response.headers


def _painting(service, cache):
    """Steps of a comparison of the page, as a list that grows, and what runs it."""
    from app.page.compare_tab import CompareHandlers, Wall

    upload = cache / "cat.png"
    upload.write_bytes(file(picture()))
    steps = []

    async def paint():
        options = ("mosaic", None, 64, 100, False, False, 1, "", 50, *[None] * 9)
        async for step in CompareHandlers(service).paint(Wall(), {"path": str(upload)}, *options):
            steps.append(step)

    return steps, paint


def test_a_disk_that_is_full_for_the_photo_is_told(with_page, cache, monkeypatch):
    service = with_page.app.state.service
    steps, paint = _painting(service, cache)

    async def full(image, format):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(service, "write", full)
    with pytest.raises(gradio.Error, match="disk is full"):
        asyncio.run(paint())
    assert not steps


def test_nothing_is_said_to_be_painted_after_a_disk_was_full(with_page, cache, monkeypatch):
    service = with_page.app.state.service
    steps, paint = _painting(service, cache)
    write = service.write

    async def full(image, format):
        if steps:  # the photo found its place, the first painting does not
            raise OSError(28, "No space left on device")
        return await write(image, format)

    monkeypatch.setattr(service, "write", full)
    with pytest.raises(gradio.Error, match="disk is full"):
        asyncio.run(paint())
    assert "Stopped." in steps[-1][0]
    assert "painting" in "".join(steps[0][-4:])
    assert not any('data-state="painting"' in caption for caption in steps[-1][-4:])


def test_a_visitor_who_left_gives_the_place_back(with_page, cache):
    from gradio.context import LocalContext

    service = with_page.app.state.service
    event = SimpleNamespace(alive=True)
    queue = SimpleNamespace(event_ids_to_events={"1": event})

    async def leave():
        LocalContext.blocks.set(SimpleNamespace(_queue=queue))
        LocalContext.event_id.set("1")
        steps, paint = _painting(service, cache)
        with busy(service.jobs):
            visit = asyncio.create_task(paint())
            while service.jobs.waiting == 0:
                await asyncio.sleep(0.01)
            event.alive = False
            while service.jobs.waiting:
                await asyncio.sleep(0.01)
        with pytest.raises(gradio.Error):
            await visit
        return steps

    assert "Stopped." in asyncio.run(asyncio.wait_for(leave(), 20))[-1][0]


def test_the_picker_shows_each_style():
    from app.page.theme import css
    from app.painting.style_pictures import thumbnail

    styles = create_app(Settings(**SETTINGS)).state.service.registry.styles()
    assert css(styles).count("--thumbnail: url(data:image/jpeg;base64,") == len(styles) > 0
    assert thumbnail(styles[0], 64) is thumbnail(styles[0], 64)


def _requests(client):
    text = client.get("/metrics").text
    return [line for line in text.splitlines() if line.startswith("stylizer_requests_total{")]
