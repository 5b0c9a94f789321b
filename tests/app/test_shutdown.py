"""A real server process: started, loaded, told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn

from app import __main__ as command
from app.middleware.admission import AdmissionMiddleware
from app.painting.service import PaintingService
from app.server import Server
from app.settings import Settings
from styles import catalog
from tests.app.conftest import SETTINGS, file, picture

ROOT = Path(__file__).parents[2]


def _body(photo: bytes) -> bytes:
    parts = [
        b'name="style"\r\n\r\nmosaic',
        b'name="norm"\r\n\r\nbn',
        b'name="image"; filename="x"\r\n\r\n' + photo,
    ]
    return (
        b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--b--\r\n"
    )


class Served:
    """The server in a process of its own.

    Args:
        first: Whether SIGTERM itself does not end the process, as the first one of a container.
        settings: From the environment.
    """

    def __init__(self, first: bool = False, **settings: str) -> None:
        environment = os.environ | {"STYLIZER_PAGE": "false", "STYLIZER_THREADS": "1", **settings}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app", "--port", "0"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)) if first else None,
        )
        line = self.process.stdout.readline()
        found = re.fullmatch(r"Ready at (http://127\.0\.0\.1:\d+)/docs\n", line)
        assert found, line
        self.url = found[1]

    def post(self, photo: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        request = urllib.request.Request(f"{self.url}/stylize", _body(photo), headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            return float(re.search(rf"^{name} (\S+)$", response.read().decode(), re.MULTILINE)[1])


@pytest.fixture
def served():
    server = Served()
    yield server
    server.process.kill()
    server.process.wait()


@pytest.mark.slow
def test_sigterm_under_load_finishes_what_runs(served):
    photo = file(picture(512, 512), "JPEG")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(served.post(photo))) for _ in range(8)]
    for thread in threads:
        thread.start()
    while served.metric("stylizer_queue_depth") < 2 or not served.metric("stylizer_jobs_running"):
        time.sleep(0.01)  # none runs for a moment between two
    begun = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(10) in (0, -signal.SIGTERM)
    assert time.monotonic() - begun < 6
    for thread in threads:
        thread.join()
    painted = [body for status, body in answers if status == 200]
    refused = [json.loads(body) for status, body in answers if status == 503]
    assert len(painted) + len(refused) == 8
    assert len(painted) >= 1
    assert len(refused) >= 1
    assert {problem["type"] for problem in refused} == {"urn:stylizer:problem:shutting-down"}


@pytest.mark.slow
def test_the_first_process_of_a_container_ends_well_amid_a_painting():
    server = Served(first=True, STYLIZER_GRACE_SECONDS="0", STYLIZER_API_MAX_SIDE="6000")
    try:
        photo = file(picture(6000, 6000), "JPEG")  # takes longer than the server waits for
        thread = threading.Thread(target=lambda: server.post(photo))
        thread.start()
        while server.metric("stylizer_jobs_running") == 0:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        thread.join()
    finally:
        server.process.kill()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("THREADS", "none", "STYLIZER_THREADS: "), ("MAX_SIDE", "9999", "STYLIZER_API_MAX_SIDE")],
)
def test_wrong_settings_stop_the_start_with_a_sentence(name, value, said):
    environment = os.environ | {f"STYLIZER_{name}": value}
    command = [sys.executable, "-m", "app"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("broken", ["model", "picture"])
def test_a_broken_file_stops_the_start_with_a_sentence(broken, tmp_path, monkeypatch, capsys):
    (tmp_path / "mosaic").mkdir()
    for name, kind in [("style.png", "picture"), ("bn.safetensors", "model")]:
        data = (catalog.ROOT / "mosaic" / name).read_bytes()
        (tmp_path / "mosaic" / name).write_bytes(data[:999] if kind == broken else data)
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["app", "--port", "0"])
    monkeypatch.setenv("STYLIZER_THREADS", "1")
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)  # the tests keep their own Ctrl-C
    with pytest.raises(SystemExit) as stopped:
        command.main()
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert ("bn.safetensors is damaged" if broken == "model" else "PNG picture is damaged") in said.err


def test_the_signal_handler_takes_no_lock(monkeypatch):
    handling, refused = [], []
    jobs = SimpleNamespace(refuse=lambda: refused.append(bool(handling)))
    server = Server(uvicorn.Config(SimpleNamespace()), SimpleNamespace(jobs=jobs))

    async def serve(self, sockets=None):
        handling.append(True)
        self.handle_exit(signal.SIGTERM, None)
        handling.clear()
        assert not refused
        assert self.should_exit
        await asyncio.sleep(0)

    monkeypatch.setattr(uvicorn.Server, "serve", serve)
    asyncio.run(server.serve())
    assert refused == [False]


def test_a_painting_that_outlasts_the_grace_period_is_not_a_bug():
    service = PaintingService(Settings(**SETTINGS))
    sent = []

    async def painting(scope, receive, send):
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    async def cancelled():
        scope = {"type": "http", "method": "POST", "path": "/stylize", "headers": []}
        request = asyncio.create_task(AdmissionMiddleware(painting, service)(scope, None, send))
        await asyncio.sleep(0)
        service.jobs.refuse()
        request.cancel()  # as uvicorn does
        await request

    asyncio.run(cancelled())
    assert sent[0]["status"] == 503
    assert json.loads(sent[1]["body"])["type"] == "urn:stylizer:problem:shutting-down"
