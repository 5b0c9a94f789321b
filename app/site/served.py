"""What paints in the visitor's browser, for the page of the server: it is handed out below /live."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final
from weakref import ref

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from app.http.problems import not_found
from app.painting.registry import Model
from app.painting.service import PaintingService
from app.site import parts
from transformer_net.norms import NORMS, norm_slug

_ADDRESS: Final = "/live"

_TYPES: Final = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
}

_FILES: Final = {
    **{name: parts.ASSETS / name for name in parts.PAINTER},
    **{f"vendor/{name}": parts.RUNTIME / "dist" / name for name in chain(*parts.BUILDS.values())},
}

_PIECE: Final = 65_536
"""Bytes that are given to a connection at once: a client that reads slowly must not fill the memory."""

_KEPT: Final = 48
"""Exported models that are kept: each has a megabyte."""

_NORMS: Final = {norm_slug(norm): norm for norm in NORMS}


def offer(app: FastAPI, service: PaintingService) -> str | None:
    """Serve them, where they are there and the settings want it.

    Args:
        app: The application.
        service: Whose models are painted with.

    Returns:
        Where they are, as the page at /ui names it; None where it has to do without.
    """
    settings = service.settings
    if not (settings.live_cameras and settings.live_browser_rate and parts.are_there()):
        return None

    async def model(request: Request, style: str, norm: str) -> Response:
        if norm not in _NORMS:
            return not_found()
        found = service.registry.model(style, _NORMS[norm])
        return _response(request, ".onnx", *await asyncio.to_thread(_exported, ref(found)))

    async def file(request: Request, path: str) -> Response:
        if path not in _FILES:
            return not_found()
        where = _FILES[path]
        return _response(request, where.suffix, *await asyncio.to_thread(_read, where))

    app.add_api_route(_ADDRESS + "/models/{style}/{norm}.onnx", model, include_in_schema=False)
    app.add_api_route(_ADDRESS + "/{path:path}", file, include_in_schema=False)
    return f"..{_ADDRESS}/"


@lru_cache(maxsize=_KEPT)
def _exported(loaded: ref[Model]) -> tuple[bytes, str]:
    """By a weak reference: no model that the registry has replaced shall stay loaded for its export."""
    model = loaded()
    assert model is not None  # who asks holds it
    return _packed(parts.model(model.stylizer.network, model.stylizer.info))


@lru_cache
def _read(path: Path) -> tuple[bytes, str]:
    return _packed(path.read_bytes())


def _packed(data: bytes) -> tuple[bytes, str]:
    """Compressed once, since it takes up to a second, and a name for the contents."""
    return gzip.compress(data, 6), f'W/"{hashlib.sha256(data).hexdigest()[:20]}"'


def _response(request: Request, suffix: str, packed: bytes, tag: str) -> Response:
    headers = {**parts.ISOLATING, "ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
    else:
        packed = gzip.decompress(packed)
    headers["Content-Length"] = str(len(packed))
    return StreamingResponse(_pieces(packed), headers=headers, media_type=_TYPES[suffix])


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PIECE):
        yield data[start : start + _PIECE]
