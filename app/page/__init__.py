"""The page: a photo, a style, four paintings that differ in one layer."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import Response

from app.gradio_parts import check_paths
from app.page import file_access
from app.page.layout import build
from app.page.theme import css, theme
from app.painting.service import PaintingService
from app.settings import Settings
from app.training.manager import TrainingManager
from transformer_net.imaging.formats import SUFFIXES

__all__ = ["ICON", "mount"]

_SCRIPTS = [Path(__file__).parent / "assets" / name for name in ("compare_view.js", "page.js", "live.js")]

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#2c66ad" d="M1 1h6v6H1z"/>'
    '<path fill="#0b7a5f" d="M9 1h6v6H9z"/><path fill="#7d4fb3" d="M1 9h6v6H1z"/>'
    '<path fill="#b83a1b" d="M9 9h6v6H9z"/></svg>'
)
"""Four squares in the colours of the four normalizers."""


def mount(
    app: FastAPI, service: PaintingService, manager: TrainingManager, painter: str | None = None
) -> FastAPI:
    """Serve the page at /ui.

    Routes of `app` that are declared later are shadowed where they begin with /ui.

    Args:
        app: The application; its lifespan runs before the page's.
        service: Where the page paints.
        manager: Who trains new styles.
        painter: Where the scripts are that paint in the visitor's browser, as the page names it; None: the
            server paints everything.
    """
    app.add_api_route(
        "/favicon.ico", _icon, include_in_schema=False
    )  # asked for before the page names its own
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    file_access.claim()
    file_access.sweep(file_access.KEPT_FOR, service.places.bytes_to_keep)
    gr.set_static_paths([file_access.EXAMPLES])  # served from where they are, never copied or cleaned up
    page = build(service, manager)
    check_paths(page)
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        page,
        path="/ui",
        root_path=service.settings.root_path + "/ui" if service.settings.root_path else None,
        theme=theme(),
        css=css(service.registry.styles()),
        head=_head(_painter(painter, service.settings) if painter else None),
        max_file_size=service.settings.max_upload_bytes,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,  # our own errors are shown all the same; others may name internal paths
    )
    return mounted


def _head(painter: dict[str, Any] | None) -> str:
    known = {"pictureSuffixes": sorted(SUFFIXES), "painterHere": painter}
    said = "".join(f"window.{name} = {json.dumps(value)};" for name, value in known.items())
    scripts = [said, *(script.read_text(encoding="utf-8") for script in _SCRIPTS)]
    return "".join(f"<script>{script}</script>" for script in scripts)


def _painter(address: str, settings: Settings) -> dict[str, Any]:
    return {"address": address, "side": settings.live_side, "rate": settings.live_browser_rate}


def _icon() -> Response:
    return Response(ICON, media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})
