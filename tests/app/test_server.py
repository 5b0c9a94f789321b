"""Clients that are slow, silent or many, against a real server on this machine."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.testclient import TestClient

from app import main
from app import server as room
from app.errors import QueueFullError, TooManyRequestsError
from app.middleware import admission
from app.middleware.admission import AdmissionMiddleware
from app.painting import places as places_module
from app.painting.places import client_name
from app.painting.service import PaintingService
from app.server import BoundedProtocol, Bounds, OncePerMinute, loop_error, make_server, most_connections
from app.settings import Settings
from tests.app.conftest import SETTINGS, until
from transformer_net.errors import SettingError

LARGE = 8_000_000
"""Bytes of an answer that fills every buffer between the two."""


@pytest.fixture
def service():
    service = PaintingService(Settings(**SETTINGS, max_requests=6, client_requests=2, min_rate=50_000))
    service.ready = True  # no model is needed
    return service


async def _app(scope, receive, send):
    body, more = b"", scope["path"] != "/early"
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    size = LARGE if scope["path"] == "/large" else 2
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    await send({"type": "http.response.body", "body": bytes(size)})


@contextmanager
def listening(app, most=100, rate=50_000):
    """The address of a server of this application."""
    bounds = Bounds(most, rate)
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="critical", ws="none")
    config.timeout_keep_alive, config.http = 1, partial(BoundedProtocol, bounds=bounds)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname(), bounds
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


def _connect(address, source="127.0.0.1"):
    return socket.create_connection(address, timeout=20, source_address=(source, 0))


class Body:
    """A body on its way, by so many seconds too late."""

    def __init__(self, lateness=-1.0):
        self._lateness, self.hurried = lateness, False

    def lateness(self):
        return self._lateness

    def hurry(self):
        self.hurried = True


def _status(connection) -> int:
    """The status of the answer; 0 where the connection was closed without one."""
    try:
        head = connection.recv(65536)
    except ConnectionError:
        return 0
    return int(head.split()[1]) if head else 0


def _ask(address, path="/", length=0) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (path.encode(), length)


@pytest.mark.slow
def test_a_slow_upload_is_cut_off_and_a_quick_one_is_not(service, monkeypatch):
    monkeypatch.setattr(admission, "_GRACE_SECONDS", 0.5)
    app = AdmissionMiddleware(ExceptionMiddleware(_app), service)
    with listening(app) as (address, _), ExitStack() as open_:
        slow, quick = (open_.enter_context(_connect(address)) for _ in range(2))
        slow.sendall(_ask(address, "/stylize", 1000))
        quick.sendall(_ask(address, "/stylize", 200_000))
        until(lambda: service.places.taken == 2)
        for _ in range(20):  # a tenth of a second each: two seconds at twice the least rate
            quick.sendall(bytes(10_000))
            with suppress(OSError):  # it was cut off
                slow.sendall(b"x")
            time.sleep(0.1)
        assert (_status(slow), _status(quick)) == (408, 200)
        until(lambda: service.places.taken == 0)


def test_one_client_gets_its_share_of_the_places(service):
    with listening(AdmissionMiddleware(_app, service)) as (address, _), ExitStack() as open_:
        for _ in range(2):
            open_.enter_context(_connect(address)).sendall(_ask(address, "/stylize", 10))
        until(lambda: service.places.taken == 2)
        third = open_.enter_context(_connect(address))
        third.sendall(_ask(address, "/stylize", 10))
        answer = third.recv(65536)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"too-many-requests" in answer
        fourth = open_.enter_context(_connect(address))
        fourth.sendall(_ask(address, "/ui/gradio_api/upload", 10))
        answer = fourth.recv(65536)
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"text/plain" in answer
        assert b"{" not in answer  # Gradio shows a visitor what it gets
        assert service.refusal() is None  # others find a place


def test_the_page_gets_ten_pictures_at_once_and_no_flood(service, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(places_module, "time", SimpleNamespace(monotonic=lambda: now))
    places = service.places

    def uploads(client, number):
        """How many of them are let in."""
        for count in range(number):
            try:
                places.count_page_upload(client)
            except TooManyRequestsError:
                return count
        return number

    assert uploads("a", 100) == 20
    assert uploads("b", 10) == 10
    assert sum(uploads(f"flood {number}", 1) for number in range(100)) == 10
    now += 1
    assert sum(uploads(f"flood {number}", 1) for number in range(100)) == 8
    now += 3600
    assert uploads("a", 10) == uploads("c", 10) == 10
    assert len(places._client_pace._due) == 2  # of those who are long gone, nothing is kept


def test_a_flood_on_the_page_is_refused_before_it_is_read(service, monkeypatch):
    monkeypatch.setattr(places_module, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    read = []

    async def reading(scope, receive, send):
        read.append(1)
        await _app(scope, receive, send)

    with listening(AdmissionMiddleware(reading, service)) as (address, _), ExitStack() as open_:
        for _ in range(25):
            connection = open_.enter_context(_connect(address))
            connection.sendall(_ask(address, "/ui/gradio_api/upload", 3) + b"abc")
            answer = connection.recv(65536)
            until(lambda: service.places.taken == 0)
            if not answer.startswith(b"HTTP/1.1 200 "):
                break
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b"connection: close" in answer.lower()
        assert len(read) == 20
        connection = open_.enter_context(_connect(address))
        connection.sendall(_ask(address, "/stylize", 3) + b"abc")
        assert _status(connection) == 200


def test_a_server_without_places_says_so(service):
    with ExitStack() as taken:
        for name in "abc":
            for _ in range(2):
                taken.enter_context(service.places.take(name, 1000, Body()))
        assert "being uploaded" in str(service.refusal())
    assert service.refusal() is None
    with service.places.take("a", service.settings.temp_bytes // 2, Body()):
        assert "bytes are being uploaded" in str(service.places.refusal(1))


def test_the_latest_upload_gives_its_place_to_who_needs_it(service):
    bodies = [Body(lateness) for lateness in (-1, 0.5, 2, -1, 0, -1)]
    with ExitStack() as taken:
        for name, body in zip("aabbcc", bodies, strict=True):
            taken.enter_context(service.places.take(name, 1000, body))
        for _ in range(2):
            taken.enter_context(service.places.take("d", 1000, Body()))
        assert [body.hurried for body in bodies] == [False, True, True, False, False, False]
        with pytest.raises(QueueFullError), service.places.take("e", 1000, Body()):
            pass
        assert service.places.taken == 6
    assert service.places.taken == 0


@pytest.mark.slow
def test_slow_uploads_do_not_keep_others_out(service):
    app = AdmissionMiddleware(ExceptionMiddleware(_app), service)
    with listening(app) as (address, _), ExitStack() as open_:
        places = [service.places.take(name, 1000, Body()) for name in "aabb"]
        for place in places:
            open_.enter_context(place)
        slow = [open_.enter_context(_connect(address)) for _ in range(2)]
        for connection in slow:
            connection.sendall(_ask(address, "/stylize", 1000))
        until(lambda: service.places.taken == 6)
        quick = open_.enter_context(_connect(address, "127.0.0.2"))
        quick.sendall(_ask(address, "/stylize", 5) + b"12345")
        assert _status(quick) == 200
        assert _status(slow[0]) == 408


def test_what_is_loaded_at_the_start_is_not_searched_for_garbage(monkeypatch, capsys):
    frozen = []
    monkeypatch.setattr(room.gc, "freeze", lambda: frozen.append(1))

    async def scenario():
        config = uvicorn.Config(_app, port=0, lifespan="off", log_level="critical", ws="none")
        server = room.Server(config, SimpleNamespace(settings=SimpleNamespace(root_path="", page=False)))
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        await server.shutdown()

    asyncio.run(scenario())
    assert frozen
    assert "Ready at http://127.0.0.1:" in capsys.readouterr().out


def test_silent_connections_are_closed(monkeypatch):
    monkeypatch.setattr(room, "HEAD_SECONDS", 0.3)
    with listening(_app) as (address, bounds), ExitStack() as open_:
        silent, half, empty, kept, used, late = (open_.enter_context(_connect(address)) for _ in range(6))
        half.sendall(b"GET / HTTP/1.1\r\nHost:")
        late.sendall(_ask(address, "/early", 5))  # answered before its body, which never comes
        for one in (kept, used):
            one.sendall(_ask(address))
        assert [_status(one) for one in (late, kept, used)] == [200, 200, 200]
        for _ in range(3):  # bytes that bring no request forward
            empty.sendall(b"\r\n")
            used.sendall(b"\r\n")
            late.sendall(b"x")
            time.sleep(0.1)
        until(lambda: not bounds._of)
        assert [_status(one) for one in (silent, half, empty)] == [0, 0, 0]


def test_an_endless_head_is_cut_off():
    with listening(_app) as (address, bounds), _connect(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            connection.sendall(b"".join(b"X: " + b"x" * 1000 + b"\r\n" for _ in range(10_000)))
        until(lambda: not bounds._of)


def test_who_does_not_read_is_cut_off(monkeypatch):
    monkeypatch.setattr(room, "_LOOK_SECONDS", 0.3)
    with listening(_app) as (address, bounds), ExitStack() as open_:
        never, steady = (open_.enter_context(_connect(address)) for _ in range(2))
        never.sendall(_ask(address, "/large"))
        steady.sendall(_ask(address, "/large"))
        received = 0
        while received < LARGE:
            received += len(steady.recv(100_000))
            time.sleep(0.001)
        until(lambda: sum(bounds._of.values()) <= 1, 5)
        with suppress(ConnectionError):
            assert sum(map(len, iter(lambda: never.recv(65536), b""))) < LARGE


def test_a_declared_length_is_refused_before_the_body_comes():
    service = PaintingService(Settings(**SETTINGS, max_upload_bytes=1000))
    service.ready = True
    app = AdmissionMiddleware(_app, service)
    with listening(app) as (address, _), _connect(address) as connection:
        connection.sendall(_ask(address, "/stylize", LARGE))  # and nothing of it
        assert _status(connection) == 413


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff", "2001:db8::/64"),
    ],
)
def test_who_a_client_is(host, name):
    assert client_name(host) == name


def test_trusted_proxies_reach_the_server():
    service = PaintingService(Settings(**SETTINGS, trusted_proxies="10.0.0.0/8"))
    assert make_server(_app, service).config.forwarded_allow_ips == "10.0.0.0/8"


def test_little_is_kept_of_what_nobody_reads():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while len(sent) < 1000:
            await send({"type": "http.response.body", "body": bytes(64_000), "more_body": True})
            sent.append(64_000)

    with listening(app) as (address, bounds), _connect(address) as connection:
        connection.sendall(_ask(address))
        until(lambda: sent)
        time.sleep(0.5)
        assert sum(sent) < 1_500_000
    until(lambda: not bounds._of)


@pytest.mark.parametrize("chunked", [False, True])
def test_the_rest_of_a_refused_upload_is_dropped_and_the_answer_seen(chunked):
    messages = []

    async def app(scope, receive, send):
        async def noted():
            messages.append(await receive())
            return messages[-1]

        headers = [(b"content-length", b"2"), (b"connection", b"close")]
        patient = admission.lingering(noted, send)
        await patient({"type": "http.response.start", "status": 429, "headers": headers})
        await patient({"type": "http.response.body", "body": b"no"})

    head = _ask(None, "/stylize", LARGE)
    part = bytes(LARGE // 8)
    if chunked:
        head = head.replace(b"Content-Length: %d" % LARGE, b"Transfer-Encoding: chunked")
        part = b"%x\r\n%b\r\n" % (len(part), part)
    with listening(app) as (address, bounds), _connect(address) as connection:
        connection.sendall(head)
        until(lambda: bounds._of)
        time.sleep(0.1)
        for _ in range(8):
            connection.sendall(part)
        connection.sendall(b"0\r\n\r\n" if chunked else b"")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert answer.endswith(b"no")
    assert [message["type"] for message in messages] == ["http.request"]  # woken once, at the end
    assert not messages[0]["body"]


def test_who_leaves_makes_no_trouble():
    failed, answered = [], []

    async def app(scope, receive, send):
        try:
            await _app(scope, receive, send)
        except Exception as error:
            failed.append(error)
        answered.append(1)

    with listening(app) as (address, bounds):
        for number in range(30):
            with _connect(address) as connection:
                connection.sendall(_ask(address, "/large" if number % 2 else "/") * (1 + number % 3))
        until(lambda: not bounds._of)
        time.sleep(0.3)
    assert answered
    assert not failed


def test_connections_are_bounded_and_the_next_is_told():
    with listening(_app, most=40) as (address, bounds), ExitStack() as open_:
        silent = [open_.enter_context(_connect(address)) for _ in range(20)]  # half, for one address
        until(lambda: sum(bounds._of.values()) == 20)
        refused = open_.enter_context(_connect(address))
        assert _status(refused) == 503
        silent.pop().close()
        until(lambda: sum(bounds._of.values()) == 19)
        again = open_.enter_context(_connect(address))
        again.sendall(_ask(address))
        assert _status(again) == 200


def test_a_lack_of_files_is_logged_once_a_minute(caplog):
    caplog.set_level(logging.WARNING, "app")
    once = OncePerMinute()
    room.logger.addFilter(once)
    try:
        loop = asyncio.new_event_loop()
        for _ in range(1000):
            loop_error(loop, {"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")})
        loop.close()
    finally:
        room.logger.removeFilter(once)
    assert [record.getMessage() for record in caplog.records] == [
        "No connection can be accepted: Too many open files."
    ]


def test_memory_goes_back_to_the_system_while_the_server_runs(monkeypatch):
    given_back = []
    monkeypatch.setattr(main, "give_back", lambda: given_back.append(1))
    monkeypatch.setattr(main, "_TIDY_SECONDS", 0.01)
    monkeypatch.setattr(PaintingService, "warm", lambda self: None)
    with TestClient(main.create_app(Settings(**SETTINGS))):
        until(lambda: len(given_back) > 2)


def test_there_are_fewer_connections_than_files(monkeypatch):
    limits = [(256, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: limits.append(both))
    settings = Settings(**SETTINGS, max_connections=5000)
    assert most_connections(settings) == (1024 - 128 - 32) // 2
    assert limits[-1] == (1024, 1024)
    assert most_connections(Settings(**SETTINGS, max_connections=50)) == 50
    limits.append((150, 150))
    with pytest.raises(SettingError, match="150 files, and 192 are needed"):
        most_connections(settings)
