"""Clients that are slow, silent, rude or many. They talk to this machine only, and end by themselves.

Each kind comes from addresses of its own in 127.0.0.0/8, as Linux allows, so that the server tells it from
the honest clients.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

HOST: Final = "127.0.0.1"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_CORPUS: Final = (
    b"",
    b"\r\n" * 50,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /stylize HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /stylize HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /stylize HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"POST /ui/gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nnull",
    b"GET /ui/gradio_api/queue/data?session_hash=nobody HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /ui/gradio_api/file=/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /styles/%00/image?size=1e9 HTTP/1.1\r\nHost: x\r\n\r\n",
)
"""Requests that once did harm to some server."""


class Siege:
    """All attackers of a server, until the time is over.

    Args:
        port: Of the server, on this machine.
        seconds: How long they go on.
        scale: How many there are, as a share of 200 slow writers, 200 slow readers, 500 silent connections,
            100 uploads a second, 20 fuzzers and 20 who leave at random.
        request: A whole request for a painting, head and body.

    Attributes:
        connections: How many each kind of attacker has opened.
    """

    def __init__(self, port: int, seconds: float, scale: float, request: bytes) -> None:
        self._port, self._seconds, self._request = port, seconds, request
        self._uploads = max(1.0, 100 * scale)
        self.connections: Counter[str] = Counter()
        attacks = {
            "slow writers": (self._write_slowly, 200),
            "slow readers": (self._read_slowly, 200),
            "silent": (self._be_silent, 500),
            "fuzzers": (self._fuzz, 20),
            "leavers": (self._leave, 20),
        }
        self._clients = [
            (kind, attack, f"127.1.{net}.{1 + client % 40}")
            for net, (kind, (attack, number)) in enumerate(attacks.items(), 1)
            for client in range(max(1, round(number * scale)))
        ]

    async def run(self) -> None:
        """Attack until the time is over."""
        loop = asyncio.get_running_loop()
        self._end = loop.time() + self._seconds
        tasks = [asyncio.create_task(self._again(*one)) for one in self._clients]
        tasks.append(asyncio.create_task(self._upload_often()))
        await asyncio.sleep(self._seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, kind: str, attack: Callable[[Streams], Awaitable[None]], address: str) -> None:
        while True:
            await self._once(kind, attack, address)
            await asyncio.sleep(random.uniform(0.05, 0.5))  # a client that is refused comes again

    async def _once(self, kind: str, attack: Callable[[Streams], Awaitable[None]], address: str) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(self._seconds):
                streams = await asyncio.open_connection(HOST, self._port, local_addr=(address, 0), limit=1024)
                self.connections[kind] += 1
                try:
                    await attack(streams)
                finally:
                    streams[1].transport.abort()

    async def _write_slowly(self, streams: Streams) -> None:
        for place in range(len(self._request)):
            streams[1].write(self._request[place : place + 1] if place > 400 else b"")
            if place == 400:
                streams[1].write(self._request[:401])
            if place >= 400:
                await streams[1].drain()
                await asyncio.sleep(1)

    async def _read_slowly(self, streams: Streams) -> None:
        streams[1].write(b"GET /styles/mosaic/image HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        while await streams[0].read(10):
            await asyncio.sleep(1)

    async def _be_silent(self, streams: Streams) -> None:
        await streams[0].read()

    async def _fuzz(self, streams: Streams) -> None:
        request = bytearray(random.choice((*_CORPUS, self._request)))
        for _ in range(random.randint(0, 8) if request else 0):
            request[random.randrange(len(request))] = random.randrange(256)
        streams[1].write(bytes(request))
        async with asyncio.timeout(5):
            await streams[0].read()

    async def _leave(self, streams: Streams) -> None:
        streams[1].write(self._request[: random.randrange(len(self._request))])
        await streams[1].drain()
        await asyncio.sleep(random.uniform(0, 1))

    async def _upload_often(self) -> None:
        """Uploads to the page that nobody paints."""
        running: set[asyncio.Task[None]] = set()
        loop, number = asyncio.get_running_loop(), 0
        begun = loop.time()
        while True:
            number += 1
            task = asyncio.create_task(self._once("uploads", self._upload, f"127.1.9.{1 + number % 200}"))
            running.add(task)
            task.add_done_callback(running.discard)
            await asyncio.sleep(max(0.0, begun + number / self._uploads - loop.time()))

    async def _upload(self, streams: Streams) -> None:
        part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="x.jpg"\r\n\r\n'
        body = part + random.randbytes(64) + bytes(1_000_000) + b"\r\n--b--\r\n"
        head = (
            "POST /ui/gradio_api/upload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        streams[1].write(head.encode() + body)
        async with asyncio.timeout(30):
            await streams[0].read()


def fuzz_schema(port: int, seconds: float) -> subprocess.Popen[bytes] | None:
    """schemathesis in a process of its own, which makes up requests from the API's document; None where it is
    not installed."""
    beside = Path(sys.executable).with_name("schemathesis")
    program = str(beside) if beside.exists() else shutil.which("schemathesis")
    if program is None:
        return None
    command = [program, "run", f"http://{HOST}:{port}/openapi.json", "--phases", "fuzzing", "--max-time"]
    return subprocess.Popen(
        [*command, str(round(seconds))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def attack(port: int, seconds: float, scale: float, request: bytes) -> Counter[str]:
    """Run all attackers; gives the connections that they opened.

    For a process of their own, so that they do not slow the honest clients.
    """
    fuzzer = fuzz_schema(port, seconds)
    siege = Siege(port, seconds, scale, request)
    try:
        asyncio.run(siege.run())
        return siege.connections
    finally:
        if fuzzer:
            fuzzer.kill()
            fuzzer.wait()
