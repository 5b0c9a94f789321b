"""What is decided about a request before its body is read, and counted after it was answered."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ServiceError, ShuttingDownError, UploadTooLargeError
from app.http.problems import problem_response
from app.middleware.prefix import below, own_path
from app.painting.places import client_name
from app.painting.service import PaintingService
from app.settings import Settings

_FORM_OVERHEAD = 16_384
"""Bytes of a request for a painting beside the picture: boundaries, part headers and the small fields."""

_LONGEST_NUMBER = 20
"""Digits of a declared length that are looked at; Python refuses to read thousands."""

_LINGER_SECONDS = 10.0
"""How long what still comes of a refused upload is read and dropped."""

_GRACE_SECONDS = 10.0
"""How long a body may be slower than the least rate, because a connection begins slowly or stalls once."""

PAGE_UPLOAD = "/ui/gradio_api/upload"
"""Where the page uploads. Gradio's script shows a visitor the body of an error as it is."""

_UPLOADS = frozenset({"/stylize", PAGE_UPLOAD})

_TAIL = 2048
"""Bytes at the end of a form among which its last boundary is."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def largest_body(settings: Settings) -> int:
    """Bytes that the body of a request for a painting may have."""
    return settings.max_upload_bytes + _FORM_OVERHEAD


class AdmissionMiddleware:
    """ASGI middleware: refuses what cannot be served before reading it, sets headers, counts.

    A full queue refuses an upload before it travels; a declared length over the limit likewise. (A body
    without a declared length is cut off by the framework when it passes the limit.) Every body has to come in
    time. HEAD is answered as GET, whose body the server leaves out.

    Args:
        app: What comes next.
        service: Whose queue and limits apply.
    """

    def __init__(self, app: ASGIApp, service: PaintingService) -> None:
        self._app, self._service, self._settings = app, service, service.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        root_path = self._settings.root_path
        if root_path:
            scope = below(root_path, scope)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what it is if an exception comes through before an answer began

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
            await send(message)

        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        metrics = self._service.metrics
        metrics.in_flight.inc()
        try:
            timed = _Arrival(receive, self._settings.upload_seconds, self._settings.min_rate)
            if scope["method"] == "POST" and own_path(scope) in _UPLOADS:
                await self._upload(scope, timed, watched)
            else:
                await self._app(scope, timed, watched)
        finally:
            metrics.in_flight.dec()
            # No invented methods: each label is a time series for ever.
            label = method if method in _METHODS else "other"
            metrics.requests.labels(label, _route(scope, root_path), status).inc()

    async def _upload(self, scope: Scope, receive: _Arrival, send: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        host, _ = scope.get("client") or ("", 0)
        try:
            size = self._size(scope)
            self._check_jobs(scope)
            places, client = self._service.places, client_name(host)
            if own_path(scope) == PAGE_UPLOAD:
                places.count_page_upload(client)
            with places.take(client, size, receive):
                await self._app(scope, _whole(scope, receive, largest_body(self._settings)), noting)
        except ServiceError as error:
            if error.status != UploadTooLargeError.status:
                self._service.metrics.refused.labels("full").inc()
            response = problem_response(error, plain=own_path(scope) == PAGE_UPLOAD)
            response.headers["Connection"] = "close"  # the body is still on its way
            await response(scope, receive, lingering(receive, send))
        except asyncio.CancelledError:
            if begun or not self._service.jobs.closed:
                raise
            # The grace period is over. The server would tell the client of a bug, and log a traceback.
            await problem_response(ShuttingDownError())(scope, receive, send)

    def _size(self, scope: Scope) -> int:
        """Bytes of the body, as they are declared; else as many as there may be."""
        largest = largest_body(self._settings)
        length = Headers(scope=scope).get("content-length", "").lstrip("0")
        if len(length) > _LONGEST_NUMBER:
            raise UploadTooLargeError("The request has more bytes than are accepted.")
        if not length.isdecimal():
            return largest
        if int(length) > largest:
            raise UploadTooLargeError(
                f"The request has {int(length):,} bytes; pictures of at most "
                f"{self._settings.max_upload_bytes:,} bytes are accepted."
            )
        return int(length)

    def _check_jobs(self, scope: Scope) -> None:
        """Raises a `ServiceError` where there will be no place in the queue for what is uploaded now."""
        if self._service.jobs.closed:
            raise ShuttingDownError
        if _is_stylize(scope) and self._service.jobs.full:
            raise self._service.jobs.full_error()


def _route(scope: Scope, root_path: str) -> str:
    """The template of the route that answered, or the prefix of the mounted application that did."""
    if mounted := scope.get("root_path", "").removeprefix(root_path):
        return str(mounted)
    if _is_stylize(scope):  # also where it was refused before it came to a route
        return "/stylize"
    return getattr(scope.get("route"), "path", "unmatched")


def _is_stylize(scope: Scope) -> bool:
    return bool(scope["method"] == "POST") and own_path(scope) == "/stylize"


def lingering(receive: Receive, send: Send) -> Send:
    """`send`, but after the last of the answer the rest of the request is read and dropped for a while.

    A connection that is closed on a client that still sends is reset, and the answer is often lost with it.
    """

    async def patient(message: Message) -> None:
        if message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        await send({**message, "more_body": True})
        with suppress(TimeoutError, HTTPException):
            async with asyncio.timeout(_LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body"})

    return patient


def _whole(scope: Scope, receive: Receive, largest: int) -> Receive:
    """`receive`, but a form without its last boundary is refused: parsers drop what came after the one before
    it, and would paint with other options than were meant. What is over `largest` is refused elsewhere."""
    kind, options = parse_options_header(Headers(scope=scope).get("content-type", ""))
    if kind != b"multipart/form-data":
        return receive
    last = b"--" + options.get(b"boundary", b"") + b"--"
    tail, received = b"", 0

    async def checked() -> Message:
        nonlocal tail, received
        message = await receive()
        body = message.get("body", b"")
        tail, received = (tail + body)[-_TAIL:], received + len(body)
        complete = message["type"] == "http.request" and not message.get("more_body", False)
        if complete and 0 < received <= largest and last not in tail:
            raise HTTPException(400, "The form ends before its last boundary.", {"Connection": "close"})
        return message

    return checked


class _Arrival:
    """`receive`, but the whole body has to come within `seconds`, and `rate` bytes a second of it on the
    average after a grace, which ends where somebody else needs the place; what follows the body may take
    longer."""

    def __init__(self, receive: Receive, seconds: float, rate: int) -> None:
        self._receive, self._seconds, self._rate = receive, seconds, rate
        self._clock = asyncio.get_running_loop().time
        self._begun = self._clock()
        self._received, self._complete, self._hurried = 0, False, False
        self._timeout: asyncio.Timeout | None = None

    async def __call__(self) -> Message:
        """The next message of the client."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end) as self._timeout:
                message = await self._receive()
        except TimeoutError:
            raise self._refusal() from None
        finally:
            self._timeout = None
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message

    def lateness(self) -> float:
        """Seconds by which it is slower than the least rate, without the grace; −∞ where all has come."""
        return -math.inf if self._complete else self._clock() - self._due(0)

    def hurry(self) -> None:
        """End the grace now."""
        self._hurried = True
        if self._timeout and not self._timeout.expired():
            self._timeout.reschedule(self._clock())

    def _due(self, grace: float) -> float:
        """When more has to have come than has."""
        return self._begun + grace + self._received / self._rate if self._rate else math.inf

    @property
    def _end(self) -> float:
        if self._hurried:
            return self._clock()
        return min(self._begun + self._seconds, self._due(_GRACE_SECONDS))

    def _refusal(self) -> HTTPException:
        slow = self._hurried or self._due(_GRACE_SECONDS) < self._begun + self._seconds
        sentence = (
            f"The upload brought less than {self._rate:,} bytes a second."
            if slow
            else f"The upload took longer than {self._seconds:g} seconds."
        )
        # The framework lets an HTTPException out of its form parser, and nothing else.
        return HTTPException(408, sentence, {"Connection": "close"})
