"""Which of the page's addresses visitors may use, and how much they may send there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import forbidden, not_found
from app.middleware.prefix import own_path

PAGE: Final = "/ui"

UPLOAD: Final = "/gradio_api/upload"

FILE: Final = "/gradio_api/file="

OPEN: Final = (
    "/",
    "/config",
    "/assets/{path:path}",
    "/static/{path:path}",
    "/theme.css",
    "/favicon.ico",
    "/robots.txt",
    "/gradio_api/app_id",
    "/gradio_api/heartbeat/{session_hash}",
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/cancel",
    "/gradio_api/reset",
    "/gradio_api/stream/{event_id}",
    "/gradio_api/stream/{event_id}/close",
    UPLOAD,
    "/gradio_api/upload_progress",
    FILE + "{path_or_url:path}",
)
"""Gradio's routes that the page's own scripts use; all others are closed."""

_DIRECT: Final = "calls a handler past the queue and its limits, and with no page open"
_HISTORY: Final = "keeps a history of runs, which is switched off"
_CODE: Final = "edits the page's code while it runs; for developers"
_LOGIN: Final = "nobody logs in to the page"
_MEDIA: Final = "streams sound and film, which the page has not"
_DESCRIBES: Final = "describes the page's events for programs, which have the HTTP API"

CLOSED: Final = {
    "/openapi.json": _DESCRIBES,
    "/config/": "the same as /config",
    "/login": _LOGIN,
    "/login/": _LOGIN,
    "/logout": _LOGIN,
    "/svelte/{path:path}": "parts for components of others",
    "/pwa_icon": "the page is not offered as an app to install",
    "/pwa_icon/{size}": "the page is not offered as an app to install",
    "/manifest.json": "the page is not offered as an app to install",
    "/monitoring": "figures for the operator; GET /metrics has them",
    "/monitoring/summary": "figures for the operator; GET /metrics has them",
    "/monitoring/{key}": "figures for the operator; GET /metrics has them",
    "/gradio_api/deep_link": "keeps files that nothing deletes",
    "/gradio_api/user": _LOGIN,
    "/gradio_api/user/": _LOGIN,
    "/gradio_api/login_check": _LOGIN,
    "/gradio_api/login_check/": _LOGIN,
    "/gradio_api/token": _LOGIN,
    "/gradio_api/token/": _LOGIN,
    "/gradio_api/app_id/": "the same as /app_id",
    "/gradio_api/dev/reload": "a connection for developers that never ends",
    "/gradio_api/runs": _HISTORY,
    "/gradio_api/runs/": _HISTORY,
    "/gradio_api/info": _DESCRIBES,
    "/gradio_api/info/": _DESCRIBES,
    "/gradio_api/openapi.json": _DESCRIBES,
    "/gradio_api/custom_component/{id}/{environment}/{type}/{file_name}": "parts for components of others",
    "/gradio_api/proxy={url_path:path}": "fetches whatever address is named",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8": _MEDIA,
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}": _MEDIA,
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file": _MEDIA,
    "/gradio_api/file/{path:path}": "an older name of file=",
    "/gradio_api/reset/": "the same as /reset",
    "/gradio_api/api/{api_name}": _DIRECT,
    "/gradio_api/api/{api_name}/": _DIRECT,
    "/gradio_api/run/{api_name}": _DIRECT,
    "/gradio_api/run/{api_name}/": _DIRECT,
    "/gradio_api/call/{api_name}": _DIRECT,
    "/gradio_api/call/{api_name}/": _DIRECT,
    "/gradio_api/call/v2/{api_name}": _DIRECT,
    "/gradio_api/call/v2/{api_name}/": _DIRECT,
    "/gradio_api/call/{api_name}/{event_id}": _DIRECT,
    "/gradio_api/call/v2/{api_name}/{event_id}": _DIRECT,
    "/gradio_api/component_server": "calls methods of components; answers mistakes with a traceback",
    "/gradio_api/component_server/": "calls methods of components; answers mistakes with a traceback",
    "/gradio_api/queue/status": "figures for the operator; GET /metrics has them",
    "/gradio_api/startup-events": "for Gradio's own start",
    "/gradio_api/theme.css": "the same as /theme.css",
    "/gradio_api/process_recording": "runs ffmpeg beside the queue",
    "/gradio_api/vibe-edit": _CODE,
    "/gradio_api/vibe-edit/": _CODE,
    "/gradio_api/undo-vibe-edit": _CODE,
    "/gradio_api/undo-vibe-edit/": _CODE,
    "/gradio_api/vibe-code": _CODE,
    "/gradio_api/vibe-code/": _CODE,
    "/gradio_api/vibe-starter-queries": _CODE,
    "/gradio_api/vibe-starter-queries/": _CODE,
}
"""Gradio's other routes, and why the page does without them. Documentation only: what is not in `OPEN` is
closed. A test compares both with Gradio's router, so that nobody overlooks what an upgrade adds."""

_OPEN: Final = tuple(compile_path(PAGE + path)[0] for path in OPEN)

_METHODS: Final = ("GET", "HEAD", "POST")

_LARGEST_EVENT: Final = 2_000_000
"""Bytes of anything but a file: what is sent to an event is kept in memory until its turn comes, and reading
it as JSON holds the interpreter, 70 ms a megabyte at worst. A frame of the camera has 40 kB; a browser that
ignores what it was asked for sends half a megabyte or so."""


class GradioRouteMiddleware:
    """ASGI middleware in front of the page.

    Other web sites cannot use it in a visitor's name: Gradio would answer requests of any origin. Gradio
    bounds files that are uploaded, but no other body. Its answers to a range of a file repeat the request's
    headers, cookies among them, so that ranges are not passed on: pictures come whole.

    Args:
        app: What comes next.
        largest: Bytes that an upload may have.
        headers: What the answer with the page itself says besides.
    """

    def __init__(self, app: ASGIApp, largest: int, headers: Mapping[str, str] | None = None) -> None:
        self._app, self._headers = app, headers or {}
        self._upload = RequestBodyLimitMiddleware(app, largest)
        self._event = RequestBodyLimitMiddleware(app, min(largest, _LARGEST_EVENT))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = own_path(scope) if scope["type"] == "http" else ""
        if not path.startswith(f"{PAGE}/"):
            await self._app(scope, receive, send)
            return
        if scope["method"] not in _METHODS or not is_open(path):
            await not_found()(scope, receive, send)
            return
        if scope["method"] == "POST" and Headers(scope=scope).get("sec-fetch-site") == "cross-site":
            await forbidden("Other web sites may not use the page.")(scope, receive, send)
            return
        dropped = (b"range", b"origin")
        # In place, for what is outside looks at the scope when all is done.
        scope["headers"] = [pair for pair in scope["headers"] if pair[0] not in dropped]
        if path.startswith(PAGE + FILE):
            # A visitor's own pictures: no cache shared with others may keep them.
            await self._app(scope, receive, _with({"Cache-Control": "private"}, send))
        elif path == f"{PAGE}/":
            await self._app(scope, receive, _with(self._headers, send))
        elif path == PAGE + UPLOAD:
            await self._upload(scope, receive, send)
        else:
            await self._event(scope, receive, send)


def is_open(path: str) -> bool:
    """Whether the page's scripts use this address, and it is no other web site's."""
    if path.startswith((PAGE + FILE + "http:", PAGE + FILE + "https:")):
        return False
    return any(pattern.match(path) for pattern in _OPEN)


def _with(headers: Mapping[str, str], send: Send) -> Send:
    """`send` that adds these headers to an answer, unless it has them."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            for name, value in headers.items():
                MutableHeaders(scope=message).setdefault(name, value)
        await send(message)

    return marked
