"""What the page needs of Gradio beyond its documented interface: here only, since an upgrade may change it.

tests/app/test_gradio_parts.py fails where one did.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.context import LocalContext

_LONGEST_TEXT: Final = 10_000
"""Characters of a text that a browser sends: a caption has some hundred. Gradio keeps what was sent last."""

_LOOK_SECONDS: Final = 0.1
"""How often it is looked whether a visitor is still there."""


class GuardedBlocks(gr.Blocks):
    """Blocks that look at what a browser sends, before Gradio opens files or fetches addresses named in it,
    and at what it is sent."""

    def checked(self, inputs: list[Any]) -> list[Any]:
        """These inputs of an event with the files' own paths; raises `gr.Error` where one must not be opened.
        Here as they are."""
        return inputs

    def published(self, value: Any) -> Any:
        """`value`, which a browser gets, with other names for files; here as it is."""
        return value

    def get_config_file(self) -> Any:
        """As Gradio's, which describes the page to a browser, `published`."""
        return self.published(super().get_config_file())

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio's, which prepares the outputs of an event, `published`."""
        prepared: list[Any] = self.published(await super().postprocess_data(block_fn, predictions, state))
        return prepared

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """As Gradio's, which prepares the inputs of an event, which are `checked` before."""
        checked = self.checked(inputs)
        prepared: list[Any] = await super().preprocess_data(block_fn, checked, state, explicit_call)
        return prepared


def check_paths(page: gr.Blocks) -> None:
    """Have Gradio check the paths that a browser sends; `launch` does so, a mount does not."""
    page.has_launched = True


def allow_events(page: gr.Blocks, most: int) -> None:
    """Let so many events go on at once, instead of 40: what `launch` does with its max_threads."""
    page._queue.max_thread_count = most


def remember_sessions(page: gr.Blocks, most: int) -> None:
    """Let Gradio keep the state of so many openings of the page, those used last, instead of 10,000."""
    page.state_session_capacity = most


def forget_deleted_files(page: gr.Blocks) -> None:
    """Gradio keeps the names of files that somebody else deleted for ever."""
    for names in page.temp_file_sets:
        names.difference_update([name for name in tuple(names) if not Path(name).exists()])


def leaving() -> Callable[[], Coroutine[Any, Any, None]]:
    """Returns when the visitor whose event this is has left; Gradio itself looks between two yields only."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)

    async def gone() -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            known = blocks._queue.event_ids_to_events.get(event) if blocks and event else None
            if known is not None and not known.alive:
                return

    return gone


def knows_session(page: gr.Blocks, session: str) -> bool:
    """Whether events of this session wait or are answered; Gradio itself fails with a traceback where not."""
    return session in page._queue.pending_messages_per_session


def mistake(page: gr.Blocks, sent: object) -> str | None:
    """What is wrong with an event that a browser sent, in a sentence; None where it is one of this page's,
    with values of the right kinds. Gradio would find out in the handler, with a traceback."""
    if not isinstance(sent, dict):
        return "An event is a JSON object."
    session, index, data = sent.get("session_hash"), sent.get("fn_index"), sent.get("data")
    if not isinstance(session, str) or not re.fullmatch(r"[\w-]{1,64}", session, re.ASCII):
        return "session_hash: up to 64 letters, digits and hyphens are expected."
    event = page.fns.get(index) if isinstance(index, int) else None
    if event is None or event.fn is None:
        return "fn_index: the page has no such event."
    if not isinstance(data, list) or len(data) != len(event.inputs):
        return f"data: a list of {len(event.inputs)} values is expected."
    for place, (component, value) in enumerate(zip(event.inputs, data, strict=True)):
        if not _fits(component, value):
            return f"data[{place}]: this is no value for a {type(component).__name__}."
    return None


def _fits(component: Any, value: object) -> bool:
    if isinstance(component, gr.Slider):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and component.minimum <= value <= component.maximum  # type: ignore[operator]
    if isinstance(component, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(component, gr.Dataset):
        return type(value) is int and 0 <= value < len(component.samples or ())
    if isinstance(component, gr.Radio | gr.Dropdown):
        # Not which choice it is: the page offers others later.
        return value is None or type(value) in ({type(choice) for _, choice in component.choices} or {str})
    if isinstance(component, gr.Image):
        return value is None or isinstance(value, dict)
    return value is None or (isinstance(value, str) and len(value) <= _LONGEST_TEXT)
