"""The page: a few tabs, the four paintings of a photo first."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.gradio_parts import GuardedBlocks, allow_events, remember_sessions
from app.page import compare_tab, curves_tab, explain_tab, file_access, live_tab, train_tab
from app.page.style_pickers import Pickers
from app.painting.service import PaintingService
from app.training.manager import TrainingManager
from styles.catalog import Style

_CLEAN_EVERY = 300
"""Seconds between two searches for files that are old enough to be deleted."""

_EVENTS = 1000
"""Events at once, far above Gradio's 40: each page that watches a training is one."""

_SESSIONS = 500
"""Openings of the page that Gradio remembers the state of, 0.2 MB each. One that is forgotten goes on with
the choices that the page had at the server's start."""

TITLE = "Four norms, one picture"

HEADER = f"""
<header class="masthead">
  <h1>{TITLE}</h1>
  <p>One painting network, trained four times on the same style. Only its normalization layer differs.
  Drop a photo in and see what that does.</p>
</header>
"""


class Page(GuardedBlocks):
    """Blocks that open nothing but what was uploaded or painted, and the examples, and call them by names
    that show no folder of this machine."""

    def published(self, value: Any) -> Any:
        """`value` with the names that browsers know."""
        return file_access.renamed(value, file_access.public)

    def checked(self, inputs: list[Any]) -> list[Any]:
        """Refuses other files and web addresses."""
        if file_access.foreign(inputs):
            raise gr.Error("Choose the photo again.", title="Photo gone", print_exception=False)
        opened: list[Any] = file_access.renamed(inputs, file_access.private)
        return opened


def build(service: PaintingService, manager: TrainingManager) -> gr.Blocks:
    """Makes the page; `mount` serves it."""
    offered = service.registry.styles()
    page = Page(
        title=TITLE,
        analytics_enabled=False,
        delete_cache=(_CLEAN_EVERY, file_access.KEPT_FOR),
        fill_width=True,
    )
    with page:
        gr.HTML(HEADER, apply_default_css=False)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Compare", id="compare", elem_id="tab-compare"):
                compare = compare_tab.build(service, offered)
            live_style = _live(service, offered)
            with gr.Tab("New style", elem_id="tab-new") as new:
                pass  # filled below: it knows the choices of all tabs
            with gr.Tab("Training", elem_id="tab-training"):
                curves = curves_tab.build(service)
            with gr.Tab("Why", elem_id="tab-explain"):
                explain_tab.build()
        with new:
            choices = Pickers(compare.style, compare.second, curves, live_style)
            train_tab.build(service, manager, page, new, tabs, choices, compare)
        _enable_when_ready(page)
    # The service has the one queue that counts; Gradio's own only keeps a flood of clicks out.
    # Every event goes through it, also the short ones: what passes by is called with no page open.
    page.queue(max_size=64, api_open=False)
    allow_events(page, _EVENTS)
    remember_sessions(page, _SESSIONS)
    return page


def _enable_when_ready(page: gr.Blocks) -> None:
    """All buttons are disabled until the page's events work. Call it when everything is on the page."""
    buttons = [block for block in page.blocks.values() if isinstance(block, gr.Button)]
    for button in buttons:
        button.interactive = False
    enabled = f"() => Array({len(buttons)}).fill({{ __type__: 'update', interactive: true }})"
    page.load(None, None, buttons, js=enabled, show_progress="hidden", api_visibility="private")


def _live(service: PaintingService, offered: list[Style]) -> gr.Radio | None:
    """Adds the Live tab, unless this server has none; gives its choice of styles."""
    if not service.settings.live_cameras:
        return None
    with gr.Tab("Live", elem_id="tab-live") as tab:
        return live_tab.build(service, offered, tab)
