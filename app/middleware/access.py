"""Who may call: keys of the API, and how often. Off unless the settings say otherwise."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Iterable
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import KeyMissingError, ServiceError, TooManyRequestsError, WrongKeyError
from app.http.problems import problem_response
from app.middleware.admission import PAGE_UPLOAD, lingering
from app.middleware.prefix import own_path
from app.painting.places import client_name
from app.settings import Settings

_GUARDED: Final = ("/stylize", "/styles", "/metrics")
"""The addresses that need a key, and what is below them. Health checks, documentation and page do not."""

_COUNTED: Final = frozenset({"/stylize", PAGE_UPLOAD, "/ui/gradio_api/queue/join"})
"""What is counted of each client, where it is sent by POST."""

CORS_EXPOSED: Final = (
    "X-Stylizer-Style",
    "X-Stylizer-Norm",
    "X-Stylizer-Size",
    "X-Stylizer-Seconds",
    "X-Stylizer-Precision",
    "Server-Timing",
    "Content-Disposition",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
)
"""Headers of an answer that scripts of other web sites may read."""


class Keys:
    """The keys of the API. Their digests are kept, and all of them compared, whichever fits.

    Args:
        keys: As clients send them.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def check(self, headers: Headers) -> None:
        """Raises an error where there is no key of ours in `Authorization: Bearer` or `X-API-Key`."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not given:
            raise KeyMissingError
        digest = _digest(given)
        if not sum(hmac.compare_digest(digest, ours) for ours in self._digests):  # compares with all
            raise WrongKeyError


class Rate:
    """Counts what each client asks for.

    Args:
        limit: What each may, such as `60/minute`.
    """

    def __init__(self, limit: str) -> None:
        self._item: RateLimitItem = parse(limit)
        self._counts = MovingWindowRateLimiter(MemoryStorage())
        self.policy = f'"default";q={self._item.amount};w={self._item.get_expiry()}'

    def count(self, client: str) -> tuple[bool, int, int]:
        """Count a request: whether it is allowed, how many are left, and after how many seconds all are."""
        allowed = self._counts.hit(self._item, client)
        window = self._counts.get_window_stats(self._item, client)
        return allowed, window.remaining, max(1, math.ceil(window.reset_time - time.time()))


class AccessMiddleware:
    """ASGI middleware: asks for a key where there are keys, and counts where there is a rate.

    Args:
        app: What comes next.
        settings: What is configured.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._keys = Keys(settings.keys) if settings.keys else None
        self._rate = Rate(settings.rate) if settings.rate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = own_path(scope), Headers(scope=scope)
        try:
            if self._keys and is_guarded(path):
                self._keys.check(headers)
            if self._rate and scope["method"] == "POST" and path in _COUNTED:
                send = self._counted(self._rate, scope, send)
        except ServiceError as error:
            response = problem_response(error, plain=path == PAGE_UPLOAD)
            response.headers["Connection"] = "close"  # a body may be on its way
            if isinstance(error, KeyMissingError):
                response.headers["WWW-Authenticate"] = "Bearer"
            if isinstance(error, TooManyRequestsError) and self._rate:
                response.headers["RateLimit-Policy"] = self._rate.policy
                response.headers["RateLimit"] = f'"default";r=0;t={error.retry_after}'
            await response(scope, receive, lingering(receive, send))
            return
        await self._app(scope, receive, send)

    def _counted(self, rate: Rate, scope: Scope, send: Send) -> Send:
        """`send` that tells how many requests are left; raises where there are none."""
        host, _ = scope.get("client") or ("", 0)
        allowed, left, seconds = rate.count(client_name(host))
        if not allowed:
            raise TooManyRequestsError("You have asked as often as one client may for now.", seconds)

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["RateLimit-Policy"] = rate.policy
                headers["RateLimit"] = f'"default";r={left};t={seconds}'
            await send(message)

        return telling


def is_guarded(path: str) -> bool:
    """Whether an address needs a key, where there are keys."""
    return any(path == one or path.startswith(f"{one}/") for one in _GUARDED)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
