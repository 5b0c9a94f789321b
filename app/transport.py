"""What travels between page and Gradio: checked before Gradio reads it, without paths of this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from typing import Final
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import InvalidRequestError, StorageFullError, disk_is_full
from app.gradio_parts import GuardedBlocks, knows_session, mistake
from app.http.problems import http_problem, not_found, problem_response
from app.page import file_access
from app.painting.places import Places

_PREFIX: Final = "/gradio_api/"

_FILE: Final = _PREFIX + "file="

_STREAM: Final = re.compile(_PREFIX + "stream/[^/]+")

_SWEEP_SECONDS: Final = 1.0
"""How often a flood of uploads has files deleted, unless it brings much."""

logger = logging.getLogger("app")


class TransportMiddleware:
    """ASGI middleware around Gradio's application.

    Args:
        app: What comes next.
        page: Whose events may be sent.
        places: What the files of the page may take on the disk.
    """

    def __init__(self, app: ASGIApp, page: GuardedBlocks, places: Places) -> None:
        self._app, self._page, self._places = app, page, places
        self._swept, self._since = 0.0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope["type"] == "http" else ""
        if path.startswith(_FILE):
            await self._file(path.removeprefix(_FILE), scope, receive, send)
        elif path == _PREFIX + "upload":
            await self._upload(scope, receive, send)
        elif path == _PREFIX + "queue/join" or _STREAM.fullmatch(path):
            await self._event(scope, receive, send)
        elif path == _PREFIX + "queue/data" and not knows_session(self._page, _query(scope, "session_hash")):
            await not_found()(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _file(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        path = await asyncio.to_thread(file_access.resolved, name)
        if path is None or not path.is_file():
            await not_found()(scope, receive, send)
            return
        scope["path"] = scope.get("root_path", "") + _FILE + str(path)
        await self._app(scope, receive, send)

    async def _event(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An event, if it is one of the page's with values of the right kinds."""
        body, more = bytearray(), True
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                more = message.get("more_body", False)
        except HTTPException as error:  # Gradio's own handlers are further in
            await http_problem(error)(scope, receive, send)
            return
        try:
            sent = await asyncio.to_thread(json.loads, body)
        except (ValueError, RecursionError):
            sent = None
        if wrong := mistake(self._page, sent):
            await problem_response(InvalidRequestError(wrong))(scope, receive, send)
            return
        waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return waiting.pop() if waiting else await receive()

        await self._app(scope, again, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An upload: room is made before, and the answer names files as `file_access.public` does."""
        start: Message = {}
        body = b""

        async def collected(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            else:
                body += message.get("body", b"")

        # The answer is read here, so that it must not be compressed.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
        try:
            await self._make_room(scope)
            await self._app(scope, receive, collected)
        except ClientDisconnect:
            return
        except OSError as error:
            if not disk_is_full(error):
                raise
            logger.warning("The disk of the page's uploads is full; the older half of them is deleted.")
            await asyncio.to_thread(file_access.sweep, file_access.KEPT_FOR, file_access.used() // 2)
            await problem_response(StorageFullError(), plain=True)(scope, receive, send)
            return
        if not start:
            return
        if start["status"] == 200:
            names = [file_access.public(path) for path in json.loads(body)]
            await JSONResponse(names)(scope, receive, send)
        else:
            kept = {name.decode(): value.decode() for name, value in start["headers"]}
            await Response(body, start["status"], kept)(scope, receive, send)

    async def _make_room(self, scope: Scope) -> None:
        length = dict(scope["headers"]).get(b"content-length", b"")
        self._since += int(length) if length.isdigit() else 0
        step = self._places.bytes_to_keep // 20
        if self._since > step or time.monotonic() - self._swept > _SWEEP_SECONDS:
            self._since, self._swept = 0, time.monotonic()
            most = max(0, self._places.bytes_to_keep - step)
            await asyncio.to_thread(file_access.sweep, file_access.KEPT_FOR, most)


def guard(app: FastAPI, places: Places) -> GuardedBlocks:
    """Put the middleware around the page that is mounted in `app`; gives the page."""
    mounted = next(route.app for route in app.routes if getattr(route, "path", "") == "/ui")  # type: ignore[attr-defined]
    page: GuardedBlocks = mounted.get_blocks()
    mounted.add_middleware(TransportMiddleware, page=page, places=places)
    return page


def _query(scope: Scope, name: str) -> str:
    found: list[str] = parse_qs(scope["query_string"].decode("latin-1")).get(name, [""])
    return found[0]
