"""Which of the page's addresses visitors may use, and how much they may send there."""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.http.problems import not_found
from app.middleware.prefix import own_path

_FILE: Final = "/ui/gradio_api/file="

_CLOSED: Final = re.compile(
    rf"{_FILE}https?://|/ui/gradio_api/(process_recording|component_server|call|proxy=|file/|deep_link|vibe|undo-vibe"
    r"|run-history|runs|profiling)|/ui/monitoring"
)
"""What Gradio has and the page does not need: it fetches whatever address is named, runs ffmpeg beside the
queue, keeps files that nothing deletes, or answers mistakes with a traceback."""


class GradioRouteMiddleware:
    """ASGI middleware in front of the page.

    Gradio bounds files that are uploaded, but no other body, and keeps what is sent to an event in memory
    until its turn comes. Its answers to a range of a file repeat the request's headers, cookies among them,
    so that ranges are not passed on: pictures come whole.

    Args:
        app: What comes next.
        largest: Bytes that a body may have.
    """

    def __init__(self, app: ASGIApp, largest: int) -> None:
        self._app, self._limited = app, RequestBodyLimitMiddleware(app, largest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = own_path(scope) if scope["type"] == "http" else ""
        if not path.startswith("/ui/"):
            await self._app(scope, receive, send)
        elif _CLOSED.match(path):
            await not_found()(scope, receive, send)
        elif path.startswith(_FILE):
            headers = [pair for pair in scope["headers"] if pair[0] != b"range"]
            await self._app({**scope, "headers": headers}, receive, _private(send))
        else:
            await self._limited(scope, receive, send)


def _private(send: Send) -> Send:
    """`send` for a visitor's own pictures, which no cache shared with others may keep."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("Cache-Control", "private")
        await send(message)

    return marked
