"""What happens on Paint and Stop: one photo, four paintings, each shown as soon as it is ready."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from PIL import Image

from app.errors import QueueFullError
from app.page import card_captions, file_access
from app.painting.registry import Painting
from app.painting.service import Studio
from transformer_net.errors import StylizerError
from transformer_net.imaging.decode import Photo
from transformer_net.inference.options.style_options import Look
from transformer_net.norms import NORM_TITLES, NORMS, norm_slug

ALL = tuple(NORMS)

_PATIENCE = 5
"""How often a comparison that has begun asks again for a place in a full queue."""

Shown = list[str | None]
Gone = Callable[[], Awaitable[bool]]


class Easel:
    """The events of the Compare tab. One instance serves all visitors and keeps nothing of theirs.

    Pictures go to the page as paths: Gradio would encode a PIL image again at each step. The paintings that
    hang already come in with the event and go out again, since an update that leaves a picture as it is
    makes Gradio copy the component, and files of such copies are never cleaned up.

    Args:
        studio: Where the painting is done.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def paint(
        self,
        upload: dict[str, Any] | None,
        style: str,
        side: int,
        strength: float,
        keep_colour: bool,
        match_palette: bool,
        stroke_scale: float,
        second: str,
        mix: float,
        *shown: Any,
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Paint a photo with every normalizer.

        Args:
            upload: The photo as Gradio names it: a dictionary with `path` and `orig_name`.
            style: A style of the catalogue.
            side: Shrink the photo first so that its longer side has at most this many pixels.
            strength: From 0, the photo itself, to 100, the painting at its full strength.
            keep_colour: Whether the paintings have the photo's own colours.
            match_palette: Whether the photo is given the style picture's colours before it is painted.
            stroke_scale: How many times as large the brush strokes are.
            second: Another style to mix with; empty for none.
            mix: Percent of that one.
            shown: The photo and the four paintings that hang now, then the four captions.

        Yields:
            Status line, photo as it was painted, four paintings, four captions.

        Raises:
            gr.Error: With one sentence, where the photo or the style will not do, or the server is busy.
        """
        pictures: Shown = [file_access.painting(value) for value in shown[: len(ALL) + 1]]
        try:
            style = _mixed(str(style), str(second), float(mix)) if second else str(style)
            norms = self._studio.norms(*self._studio.parts(style)[0])
            look = Look(float(strength) / 100, bool(keep_colour), bool(match_palette), float(stroke_scale))
            photo, stem = await self._open(upload, side)
        except StylizerError as error:
            raise toast(error) from None
        await asyncio.to_thread(file_access.sweep, file_access.KEPT_FOR)
        folder = file_access.cache() / f"painting-{secrets.token_hex(16)}"
        captions = [
            card_captions.waiting(norm) if norm in norms else card_captions.missing(norm) for norm in ALL
        ]
        pictures[0] = await self._save(photo.with_alpha(photo.rgb), folder / f"{stem}.png")
        gone = _leaving()
        for place, norm in enumerate(ALL):
            if norm not in norms:
                pictures[place + 1] = None
                continue
            captions[place] = card_captions.painting(norm)
            yield _status(f"Painting with {NORM_TITLES[norm]} …"), *pictures, *captions
            try:
                painted = await self._paint(photo, style, norm, look, gone, patient=place > 0)
                name = f"{stem}-{painted.style}-{norm_slug(norm)}.png"
                pictures[place + 1] = await self._save(painted.image, folder / name)
            except Exception as error:  # a full disk, say: nothing may be left that says "painting …"
                yield _status("Stopped."), *pictures, *_stopped(captions)
                raise (toast(error) if isinstance(error, StylizerError) else error) from None
            captions[place] = card_captions.done(norm, painted.seconds, painted.parameters)
        width, height = photo.size
        done = f"Painted at {width} × {height}. Click a painting to look closer at that place, further down."
        yield _status(done), *pictures, *captions

    def stop(self, *captions: str) -> tuple[str, ...]:
        """Status line and captions after the visitor stopped the painting."""
        return _status("Stopped."), *_stopped(captions)

    async def _open(self, upload: dict[str, Any] | None, side: int) -> tuple[Photo, str]:
        """The decoded photo, at most `side` long, and a name for its paintings."""
        if not upload or not upload.get("path"):
            raise gr.Error("Choose a photo first.", title="No photo", print_exception=False)
        path = file_access.resolved(upload["path"])
        if path is None or not path.is_file():
            raise gr.Error("Choose the photo once more.", title="Photo gone", print_exception=False)
        settings = self._studio.settings
        data = await asyncio.to_thread(path.read_bytes)
        photo = await self._studio.read(data, max(settings.min_side, min(int(side), settings.max_side)))
        stem = re.sub(r"[^\w-]+", "-", Path(upload.get("orig_name") or path.name).stem)[:60].strip("-")
        return photo, stem or "photo"

    async def _paint(
        self, photo: Photo, style: str, norm: str, look: Look, gone: Gone, patient: bool
    ) -> Painting:
        """Paints; `patient` waits for a place in a full queue, so that a begun comparison is completed."""
        for _ in range(_PATIENCE if patient else 0):
            try:
                return await self._studio.paint(photo, style, norm, look=look, gone=gone)
            except QueueFullError as error:
                await asyncio.sleep(error.retry_after or 1)
        return await self._studio.paint(photo, style, norm, look=look, gone=gone)

    async def _save(self, picture: Image.Image, path: Path) -> str:
        data = await self._studio.write(picture, "png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)


def _leaving() -> Gone:
    """Whether the visitor whose event this is has left; Gradio itself looks between two yields only."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)

    async def gone() -> bool:
        known = blocks._queue.event_ids_to_events.get(event) if blocks and event else None
        return known is not None and not known.alive

    return gone


def toast(error: StylizerError) -> gr.Error:
    """The error as the page shows it: its kind and one sentence, for ten seconds."""
    sentence = str(error)
    if isinstance(error, QueueFullError):
        sentence = f"Many people are painting right now. Try again in about {error.retry_after or 1} seconds."
    return gr.Error(sentence, title=error.title, duration=10, print_exception=False)


def _mixed(style: str, second: str, percent: float) -> str:
    return style if second == style else f"{style}:{100 - percent:g},{second}:{percent:g}"


def _status(text: str) -> str:
    return f"<p>{text}</p>"


def _stopped(captions: Sequence[str]) -> list[str]:
    return [card_captions.stopped(norm, caption) for norm, caption in zip(ALL, captions, strict=True)]
