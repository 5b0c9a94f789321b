"""The web server: uvicorn, with bounds on connections and on the patience with slow clients."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import resource
import socket
import sys
import time
from collections import Counter
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import QueueFullError
from app.http.problems import problem_response
from app.settings import Settings
from transformer_net.errors import SettingError

if TYPE_CHECKING:
    from app.painting.service import PaintingService

HEAD_SECONDS: Final = 10.0
"""How long the head of a request may take, from the opening of the connection or its first byte on, and what
comes after an answer that was given early."""

LARGEST_HEAD: Final = 65_536
"""Bytes of the head of a request."""

_LOOK_SECONDS: Final = 10.0
"""How often a client that does not read what was sent is looked at."""

_OWN_FILES: Final = 128
"""Files and sockets that the server itself may have open: models, logs, Gradio."""

_FILES_EACH: Final = 2
"""Files of a connection: its socket, and the file that is sent or comes."""

_FEWEST: Final = 16
"""Connections with which a page can be opened and a health check comes through."""

_UNSENT: Final = 131_072
"""Bytes that the system takes of an answer beside those that are on their way. By default it takes megabytes,
also for who never reads them."""

_NO_PLACE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

logger = logging.getLogger("app")


class OncePerMinute(logging.Filter):
    """Lets the same message through once a minute: what clients can cause must not fill the disk."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this one is logged; what is not a warning always is."""
        if record.levelno != logging.WARNING:
            return True
        now = time.monotonic()
        if now - self._last.get(record.msg, -60.0) < 60.0:
            return False
        self._last[record.msg] = now
        return True


class Bounds:
    """How many connections there may be, and how slow their clients.

    Args:
        most: Connections at once; each address gets half of them at most.
        rate: Bytes a second that a client reads at least, once it is slow; 0: any.
    """

    def __init__(self, most: int, rate: int) -> None:
        self.most, self.rate = most, rate
        self._of: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count a connection; False, and not counted, where there is no place for it."""
        if self._of.total() >= self.most or self._of[address] >= max(_FEWEST, self.most // 2):
            return False
        self._of[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection was closed."""
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's, which waits for ever for the head of a request and for the reader of an answer.

    Bodies are timed where their place is known, in `app.middleware.admission`.
    """

    def __init__(self, *args: Any, bounds: Bounds, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bounds = bounds
        self._entered: str | None = None
        self._answering: Any = None
        self._in_body = False
        self._head_bytes = 0
        self._head: asyncio.TimerHandle | None = None
        self._reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or refuse it in a sentence."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if not self._bounds.enter(address):
            logger.warning("Connections are refused: there are as many as may be (STYLIZER_MAX_CONNECTIONS).")
            transport.write(_refusal())
            transport.close()
            return
        self._entered = address
        _prepare(transport.get_extra_info("socket"))
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget_head()
        if self._reader:
            self._reader.cancel()
        if self._entered is not None:
            self._bounds.leave(self._entered)
        if self._answering and not self._answering.response_complete:
            # uvicorn tells the last request only; where several came at once, it is another one's turn.
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the head of a request is bounded in bytes and in time."""
        if self.transport.is_closing():  # it was refused
            return
        between, last = not self._in_body, self.cycle
        super().data_received(data)
        of_a_head = between and self.cycle is last
        self._head_bytes = self._head_bytes + len(data) if of_a_head else 0
        if self._head_bytes > LARGEST_HEAD:
            self.transport.abort()
        elif self._idle and self._head is None:
            self._await_head()

    def on_body(self, body: bytes) -> None:
        """A part of the body, dropped at once where the answer was given early and no other request follows:
        a refused upload is not worth waking the application for each part of it."""
        if self.cycle.keep_alive or not self.cycle.response_started:
            super().on_body(body)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._forget_head()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is there."""
        self._in_body = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """The answer is written, though perhaps not yet sent."""
        super().on_response_complete()
        if self._unsent():
            self._await_reader()

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._await_reader()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _await_head(self) -> None:
        self._forget_head()
        self._head = self.loop.call_later(HEAD_SECONDS, self._end)

    def _forget_head(self) -> None:
        if self._head:
            self._head.cancel()
            self._head = None

    def _end(self) -> None:
        self._head = None
        if self._idle and not self.transport.is_closing():
            self.transport.close()

    def _await_reader(self) -> None:
        if self._reader is None and self._bounds.rate:
            self._reader = self.loop.call_later(_LOOK_SECONDS, self._look, self._unsent())

    def _unsent(self) -> int:
        """Bytes that were written and wait for the client."""
        try:
            return self.transport.get_write_buffer_size()
        except RuntimeError:  # it is closed already
            return 0

    def _look(self, unsent: int) -> None:
        self._reader = None
        left = self._unsent()
        if left and unsent - left < self._bounds.rate * _LOOK_SECONDS:
            self.transport.abort()
        elif left:
            self._await_reader()


class Server(uvicorn.Server):
    """uvicorn that prints its address, and refuses waiting jobs once it is told to stop."""

    def __init__(self, config: uvicorn.Config, service: PaintingService) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(loop_error)
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print the address once the models are warm."""
        await super().startup(sockets)
        # Nothing of what is loaded now becomes garbage. To look for some among it stops all threads for 0.2 s
        # and more, every few seconds where many connections come and go.
        gc.collect()
        gc.freeze()
        if self.started and self.servers:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            settings = self._service.settings
            path = f"{settings.root_path}/{'ui' if settings.page else 'docs'}"
            try:
                sys.stdout.write(f"Ready at http://{shown}:{port}{path}\n")
                sys.stdout.flush()
            except OSError as error:  # a full disk, or nobody who reads: no reason to stop
                logger.warning("The address cannot be printed: %s.", error.strerror)
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish running jobs within the grace period; answer waiting jobs instead of cutting them off.

        This is the signal handler, which may interrupt the queue's own code: `refuse` has to wait its turn in
        the event loop.
        """
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.jobs.refuse)
        super().handle_exit(sig, frame)


def make_server(app: Any, service: PaintingService) -> Server:
    """The server of `app`, by the service's settings.

    Raises:
        SettingError: This process may open too few files.
    """
    settings = service.settings
    bounds = Bounds(most_connections(settings), settings.min_rate)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        timeout_graceful_shutdown=settings.grace_seconds,
        server_header=False,
        access_log=settings.log_level == "debug",  # what clients can cause must not fill the disk
        http=partial(BoundedProtocol, bounds=bounds),  # type: ignore[arg-type]  # it is only called
        ws="none",
        forwarded_allow_ips=settings.trusted_proxies,
    )
    for name in ("app", "uvicorn.error"):  # after the configuration, which makes their handlers
        logging.getLogger(name).addFilter(OncePerMinute())
    return Server(config, service)


def most_connections(settings: Settings) -> int:
    """Connections for which this process may open files, after it asked for as many as it can get.

    Raises:
        SettingError: They are too few.
    """
    own = _OWN_FILES + settings.max_requests  # an upload has its socket, a photo and a mask
    wanted = _FILES_EACH * settings.max_connections + own
    files, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return settings.max_connections
    if files < wanted:
        files = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    if (files - own) // _FILES_EACH < _FEWEST:
        needed = own + _FILES_EACH * _FEWEST
        raise SettingError(
            f"This process may open {files:,} files, and {needed:,} are needed; see ulimit -n."
        )
    return min(settings.max_connections, (files - own) // _FILES_EACH)


def loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no caller catches; a lack of files as one line, not as a traceback for each attempt."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in _NO_PLACE:
        logger.warning("No connection can be accepted: %s.", error.strerror)
    else:
        loop.default_exception_handler(context)


def _refusal() -> bytes:
    body = bytes(problem_response(QueueFullError("The server has no connection left.")).body)
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 5\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _prepare(connection: Any) -> None:
    """Have the system ask after a minute of silence whether the other end is still there, and give up after
    another; and keep little of what the other end does not read."""
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    values = {
        "KEEPIDLE": 60,
        "KEEPINTVL": 15,
        "KEEPCNT": 4,
        "USER_TIMEOUT": 120_000,
        "NOTSENT_LOWAT": _UNSENT,
    }
    for name, value in values.items():
        if hasattr(socket, f"TCP_{name}"):  # not on every system
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"), value)
