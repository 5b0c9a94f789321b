"""What the page needs of Gradio beyond its documented interface: here only, since an upgrade may change it.

tests/app/test_gradio_parts.py fails where one did.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from gradio.context import LocalContext


class GuardedBlocks(gr.Blocks):
    """Blocks that look at what a browser sends before Gradio opens files or fetches addresses named in it."""

    def refuse(self, inputs: list[Any]) -> None:
        """Raise `gr.Error` where these inputs of an event must not be opened; here none are."""

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """As Gradio's, which prepares the inputs of an event, after `refuse`."""
        self.refuse(inputs)
        prepared: list[Any] = await super().preprocess_data(block_fn, inputs, state, explicit_call)
        return prepared


def check_paths(page: gr.Blocks) -> None:
    """Have Gradio check the paths that a browser sends; `launch` does so, a mount does not."""
    page.has_launched = True


def allow_events(page: gr.Blocks, most: int) -> None:
    """Let so many events go on at once, instead of 40: what `launch` does with its max_threads."""
    page._queue.max_thread_count = most


def leaving() -> Callable[[], Awaitable[bool]]:
    """Whether the visitor whose event this is has left; Gradio itself looks between two yields only."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)

    async def gone() -> bool:
        known = blocks._queue.event_ids_to_events.get(event) if blocks and event else None
        return known is not None and not known.alive

    return gone
