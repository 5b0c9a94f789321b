"""What honest clients notice of a siege, and what it costs in memory, disk and log.

    python -m benchmarks.siege                          # a minute of each, about four minutes
    python -m benchmarks.siege --seconds 5 --scale 0.1  # to see that it works

Starts the server on a free port of this machine with a temporary folder of its own, and talks to nothing
else. Four honest clients paint a photo again and again: before, during and after the siege. Then the server
is killed and started again on the same folder. The attackers take processor time of the same machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.serve import ROOT, form, photo
from benchmarks.siege.attackers import HOST, attack
from benchmarks.tables import print_table, tell

_HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}


class Besieged:
    """The server in a process of its own, with its temporary folder and its log."""

    def __init__(self, home: Path, threads: int) -> None:
        self.home, self._log = home, home.with_suffix(".log")
        environment = os.environ | {
            "STYLIZER_THREADS": str(threads),
            "TMPDIR": str(home),
            "GRADIO_TEMP_DIR": str(home),
        }
        begun, before = time.monotonic(), self.log()
        command = [sys.executable, "-m", "app", "--port", "0"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        while not (found := re.search(rb"Ready at http://[^:]+:(\d+)/", self._log.read_bytes()[before:])):
            if self.process.poll() is not None or time.monotonic() - begun > 300:
                raise SystemExit(f"the server did not start: {self._log.read_bytes()[-2000:]!r}")
            time.sleep(0.1)
        self.port, self.seconds = int(found[1]), time.monotonic() - begun

    def resident(self) -> float:
        """Megabytes."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def disk(self) -> float:
        """Megabytes in the temporary folder."""
        sizes = []
        for folder, _, names in os.walk(self.home):
            for name in names:
                with suppress(OSError):  # deleted meanwhile
                    sizes.append(Path(folder, name).lstat().st_size)
        return sum(sizes) / 1e6

    def log(self) -> int:
        """Bytes of the log."""
        return self._log.stat().st_size if self._log.exists() else 0

    def ready(self) -> bool:
        """Whether it says that it can paint."""
        try:
            connection = http.client.HTTPConnection(HOST, self.port, timeout=5)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False


class Honest:
    """Clients that paint one photo after the other, each from an address of its own."""

    def __init__(self, port: int, body: bytes, clients: int) -> None:
        self._port, self._body, self._clients = port, body, clients

    def paint(self, number: int) -> str:
        """One photo; empty where its painting came, else what came instead."""
        connection = http.client.HTTPConnection(
            HOST, self._port, timeout=90, source_address=(f"127.0.0.{10 + number}", 0)
        )
        try:
            connection.request("POST", "/stylize", self._body, _HEADERS)
            answer = connection.getresponse()
            body = answer.read()
            return "" if answer.status == 200 and body else f"{answer.status} {body[:200]!r}"
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()

    def for_seconds(self, seconds: float) -> dict[str, Any]:
        """Paint for a while: requests, the share that succeeded, and seconds to the answer."""
        times: list[float] = []
        failures: Counter[str] = Counter()
        end = time.monotonic() + seconds

        def client(number: int) -> None:
            while time.monotonic() < end:
                begun = time.perf_counter()
                if failure := self.paint(number):
                    failures[failure] += 1
                    time.sleep(0.2)
                else:
                    times.append(time.perf_counter() - begun)

        threads = [threading.Thread(target=client, args=(number,)) for number in range(self._clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for failure, count in failures.most_common(3):
            tell(f"  {count} times: {failure}")
        return summary(times, failures.total())


def summary(times: list[float], failures: int) -> dict[str, Any]:
    """Figures of some requests: how many, the share that succeeded, p50 and p99 in seconds of those."""
    asked = len(times) + failures
    ordered = sorted(times) or [float("nan")]
    return {
        "requests": asked,
        "success": len(times) / asked if asked else 0.0,
        "p50": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))],
    }


class Watch:
    """The peaks of a server's memory and disk while the block lasts."""

    def __init__(self, server: Besieged) -> None:
        self._server, self._over = server, threading.Event()
        self.resident = self.disk = 0.0
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self.resident = max(self.resident, self._server.resident())
            self.disk = max(self.disk, self._server.disk())

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def measure(seconds: float, scale: float, clients: int, threads: int, side: int) -> dict[str, Any]:
    """Figures of three phases, of the time back to normal, and of a start after a kill."""
    body = form(photo(side), style="mosaic", norm="iebn", format="jpeg")
    head = f"POST /stylize HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    request = (head + f"Content-Type: {_HEADERS['Content-Type']}\r\n\r\n").encode() + body
    phases: dict[str, dict[str, Any]] = {}
    with (
        tempfile.TemporaryDirectory() as place,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other,
    ):
        home = Path(place) / "tmp"
        home.mkdir()
        server = Besieged(home, threads)
        try:
            honest = Honest(server.port, body, clients)
            honest.for_seconds(min(5.0, seconds))  # the first paintings are slower
            back = 0.0
            for name in ("before", "during", "after"):
                tell(name)
                logged = server.log()
                if name == "during":
                    attackers = other.submit(attack, server.port, seconds + 5, scale, request)
                    time.sleep(5)  # they are many, and come one after the other
                with Watch(server) as watch:
                    phases[name] = honest.for_seconds(seconds)
                if name == "during":
                    connections = attackers.result()
                    ended = time.monotonic()
                    while not (server.ready() and not honest.paint(0)) and time.monotonic() - ended < 60:
                        time.sleep(0.2)
                    back = time.monotonic() - ended
                phases[name] |= {
                    "resident": watch.resident,
                    "disk": watch.disk,
                    "log": server.log() - logged,
                }
            server.process.kill()
            server.process.wait()
            server = Besieged(home, threads)
            again = not Honest(server.port, body, 1).paint(0)
            return {
                "phases": phases,
                "connections": connections,
                "back": back,
                "restart": server.seconds,
                "paints again": again,
            }
        finally:
            server.process.kill()
            server.process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.siege", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the attackers")
    parser.add_argument("--clients", type=int, default=4, help="honest ones")
    parser.add_argument("--threads", type=int, default=1, help="of a painting; one core is for the attackers")
    parser.add_argument("--side", type=int, default=256, help="of the photo, in pixels")
    parser.add_argument("--json", action="store_true", help="print the figures for programs")
    given = parser.parse_args()
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, max(files, 4096)), most))
    figures = measure(given.seconds, given.scale, given.clients, given.threads, given.side)
    if given.json:
        print(json.dumps(figures))
        return
    rows = [
        (
            name,
            phase["requests"],
            f"{phase['success']:.1%}",
            f"{phase['p50']:.2f}",
            f"{phase['p99']:.2f}",
            f"{phase['resident']:.0f}",
            f"{phase['disk']:.0f}",
            f"{phase['log'] / 1000:.0f}",
        )
        for name, phase in figures["phases"].items()
    ]
    columns = ("siege", "requests", "succeed", "p50, s", "p99, s", "RSS, MB", "disk, MB", "log, kB")
    print_table("Honest clients before, during and after the siege", columns, rows)
    opened = ", ".join(f"{count} {kind}" for kind, count in sorted(figures["connections"].items()))
    print(f"The attackers opened, in {given.seconds + 5:.0f} s: {opened}.")
    print(f"Back to normal after {figures['back']:.1f} s.")
    print(f"Killed and started again in {figures['restart']:.1f} s; paints: {figures['paints again']}.")


if __name__ == "__main__":
    main()
