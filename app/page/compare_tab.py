"""What happens on Paint and Stop: one photo, four paintings, each shown as soon as it is ready."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from app.errors import QueueFullError, StorageFullError, disk_is_full
from app.gradio_parts import leaving
from app.page import card_captions, compare_view, file_access, style_pickers
from app.page.file_access import EXAMPLES
from app.painting.service import Painting, PaintingService
from styles.catalog import Style
from transformer_net.errors import SettingError, StylizerError
from transformer_net.imaging.decode import Limits, Photo, frames_of, opened
from transformer_net.imaging.formats import ANIMATED, format_of
from transformer_net.inference.options.style_options import DECLARED, DEFAULT_OPTIONS, Option, StyleOptions
from transformer_net.norms import NORM_TITLES, NORMS, norm_slug
from transformer_net.prediction.style_picture import StylePicture, predicted_norms

ALL = tuple(NORMS)

_NOT_SHOWN = frozenset({"HEIC", "TIFF", "JPEG XL", "PNM"})
"""Formats of `formats.INPUT_FORMATS` that not every browser shows."""

STYLE_PICTURE = ("Your style picture", "# Drop a picture\nwhose strokes and colours you like")
"""What the upload of a style picture is called, and what it says."""

_PATIENCE = 5
"""How often a comparison that has started asks again for a place in a full queue."""

Shown = list[str | None]
Gone = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Comparison:
    """What paintings that belong together were made of.

    Attributes:
        photo: The photo, as Gradio names an upload.
        style_picture: The style picture likewise; None where they are in a style of the catalogue.
        side: The longest side that was painted.
        options: How it was painted.
    """

    photo: dict[str, Any] | None
    style_picture: dict[str, Any] | None
    side: int
    options: StyleOptions


@dataclass
class Wall:
    """What hangs on one visitor's page. Gradio keeps one for each opening of it.

    Attributes:
        comparison: What the shown paintings were made of; None before the first.
    """

    comparison: Comparison | None = None


@dataclass(frozen=True)
class CompareTab:
    """What other tabs need of this one.

    Attributes:
        style: The choice of a style.
        second: The choice of a style that is mixed in.
        wall: A `Wall`.
        shown: The photo as it was painted, the four paintings, the four captions.
        improve: An empty place below paintings in the style of a visitor's picture.
        thumbnails: Style sheet of the styles that came since the page was made.
    """

    style: gr.Radio
    second: gr.Dropdown
    wall: gr.State
    shown: list[Any]
    improve: gr.Column
    thumbnails: gr.HTML


class CompareHandlers:
    """The events of the Compare tab. One instance serves all visitors and keeps nothing of theirs.

    Pictures go to the page as paths: Gradio would encode a PIL image again at each step. The paintings that
    are shown come in with the event and go out again. An update that leaves a picture as it is would make
    Gradio copy the component, and it never deletes files of such copies; `sweep` does, later.

    Args:
        service: Where the painting is done.
    """

    def __init__(self, service: PaintingService) -> None:
        self._service = service

    async def paint(
        self,
        wall: Wall,
        upload: dict[str, Any] | None,
        style: str,
        style_picture: dict[str, Any] | None,
        side: int,
        *values: Any,
    ) -> AsyncIterator[tuple[Any, ...]]:
        """Paint a photo with every normalizer.

        Args:
            wall: Where the paintings hang; it is told what they are made of.
            upload: The photo as Gradio names it: a dictionary with `path` and `orig_name`.
            style: A style of the catalogue, or `style_pickers.YOUR_PICTURE`.
            style_picture: That picture, as Gradio names it.
            side: Shrink the photo first so that its longer side has at most this many pixels.
            values: The options in the order of `DECLARED`, shares in percent; another style to mix with,
                empty for none; percent of that one; the photo and the four paintings that are shown now,
                then the four captions.

        Yields:
            Status line, photo as it was painted, four paintings, four captions.

        Raises:
            gr.Error: With one sentence, where the photo or the style is not usable, or the server is busy.
        """
        chosen, (second, mix, *shown) = values[: len(DECLARED)], values[len(DECLARED) :]
        pictures: Shown = [file_access.painting(value) for value in shown[: len(ALL) + 1]]
        try:
            wanted, norms = await self._style(str(style), style_picture, str(second), float(mix))
            options = StyleOptions(
                **{
                    name: value / 100 if _is_share(option) else value
                    for (name, option), value in zip(DECLARED.items(), chosen, strict=True)
                }
            )
            photo, stem = await self.open(upload, side)
        except StylizerError as error:
            raise toast(error) from None
        await asyncio.to_thread(file_access.sweep, file_access.KEPT_FOR, self._service.places.bytes_to_keep)
        folder = file_access.cache() / f"painting-{secrets.token_hex(16)}"
        captions = [
            card_captions.waiting(norm) if norm in norms else card_captions.missing(norm) for norm in ALL
        ]
        try:
            pictures[0] = await self.save(photo.with_alpha(photo.rgb), folder / f"{stem}.png")
        except StylizerError as error:
            raise toast(error) from None
        of_picture = isinstance(wanted, StylePicture)
        wall.comparison = Comparison(upload, style_picture if of_picture else None, side, options)
        gone = leaving()
        for place, norm in enumerate(ALL):
            if norm not in norms:
                pictures[place + 1] = None
                continue
            captions[place] = card_captions.painting(norm)
            yield _status(f"Painting with {NORM_TITLES[norm]} …", wall), *pictures, *captions
            try:
                painted = await self.paint_one(photo, wanted, norm, options, gone, patient=place > 0)
                name = f"{stem}-{painted.style}-{norm_slug(norm)}.png"
                pictures[place + 1] = await self.save(painted.image, folder / name)
            except Exception as error:  # a full disk, say: nothing may be left that says "painting …"
                yield _status("Stopped.", wall), *pictures, *_stopped(captions)
                raise (toast(error) if isinstance(error, StylizerError) else error) from None
            captions[place] = card_captions.done(norm, painted.seconds, painted.parameters)
        width, height = photo.size
        done = f"Painted at {width} × {height}. Click a painting to see that place enlarged below."
        if await asyncio.to_thread(_is_animation, upload, self._service.limits):
            done += " Here, only the first frame of an animation is painted; the command line paints all."
        yield _status(done, wall), *pictures, *captions

    async def convert(self, upload: dict[str, Any] | None) -> Any:
        """What to show for an upload: nothing else, or a PNG of it; see `show_converted`.

        Raises:
            gr.Error: As in `paint`.
        """
        path = file_access.uploaded(upload)
        if path is None or not await asyncio.to_thread(_is_hidden, path):
            return gr.skip()
        try:
            photo, stem = await self.open(upload, self._service.settings.max_side)
            folder = file_access.cache() / f"photo-{secrets.token_hex(16)}"
            return await self.save(photo.with_alpha(photo.rgb), folder / f"{stem}.png")
        except StylizerError as error:
            raise toast(error) from None

    def stop(self, wall: Wall, *captions: str) -> tuple[str, ...]:
        """Status line and captions after the visitor stopped the painting."""
        return _status("Stopped.", wall), *_stopped(captions)

    async def _style(
        self, style: str, upload: dict[str, Any] | None, second: str, mix: float
    ) -> tuple[str | StylePicture, list[str]]:
        """What to paint, and the normalizers that can."""
        if style != style_pickers.YOUR_PICTURE[1]:
            style = _mixed(style, second, mix) if second else style
            return style, self._service.registry.norms(*self._service.registry.parts(style)[0])
        if second:
            raise SettingError("Your picture cannot be mixed with another style on this page.")
        path = file_access.uploaded(upload)
        if path is None:
            raise gr.Error("Choose a picture as the style.", title="No style picture", print_exception=False)
        return await self._service.read_style(await asyncio.to_thread(path.read_bytes)), predicted_norms()

    async def open(self, upload: dict[str, Any] | None, side: int) -> tuple[Photo, str]:
        """The decoded photo, at most `side` long, and a name for its paintings.

        Raises:
            gr.Error: There is none, or none any more.
            StylizerError: It is not usable.
        """
        if not upload or not upload.get("path"):
            raise gr.Error("Choose a photo first.", title="No photo", print_exception=False)
        path = file_access.uploaded(upload)
        if path is None:
            raise gr.Error("Choose the photo again.", title="Photo gone", print_exception=False)
        settings = self._service.settings
        data = await asyncio.to_thread(path.read_bytes)
        photo = await self._service.read(data, max(settings.min_side, min(int(side), settings.max_side)))
        stem = re.sub(r"[^\w-]+", "-", Path(upload.get("orig_name") or path.name).stem)[:60].strip("-")
        return photo, stem or "photo"

    async def paint_one(
        self,
        photo: Photo,
        style: str | StylePicture,
        norm: str,
        options: StyleOptions = DEFAULT_OPTIONS,
        gone: Gone | None = None,
        patient: bool = True,
    ) -> Painting:
        """Paints; `patient` waits for a place in a full queue, so that a started comparison is completed."""
        for _ in range(_PATIENCE if patient else 0):
            try:
                return await self._service.paint(photo, style, norm, options=options, gone=gone)
            except QueueFullError as error:
                await asyncio.sleep(error.retry_after or 1)
        return await self._service.paint(photo, style, norm, options=options, gone=gone)

    async def save(self, picture: Image.Image, path: Path) -> str:
        """Write a picture as a PNG; gives the path as the page names it.

        Raises:
            StorageFullError: There is no space for it.
        """
        try:
            data = await self._service.write(picture, "png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            if not disk_is_full(error):
                raise
            raise StorageFullError from error
        return str(path)


def show_converted(chosen: gr.Image, service: PaintingService) -> None:
    """Shows an upload that browsers cannot show (HEIC, TIFF) as a PNG, which takes its place."""
    handlers = CompareHandlers(service)
    chosen.upload(
        handlers.convert,
        chosen,
        chosen,
        preprocess=False,
        show_progress="hidden",
        concurrency_limit=None,
        api_visibility="private",
    )


def _is_hidden(path: Path) -> bool:
    """Whether it is a picture that no browser, or not every one, shows."""
    try:
        return format_of(path) in _NOT_SHOWN
    except StylizerError:
        return False  # told when it is to be painted


def toast(error: StylizerError) -> gr.Error:
    """The error as the page shows it: its kind and one sentence, for ten seconds."""
    sentence = str(error)
    if isinstance(error, QueueFullError):
        sentence = f"Many people are painting right now. Try again in about {error.retry_after or 1} seconds."
    # The page reads it as HTML, and the sentence may repeat what came in.
    return gr.Error(escape(sentence, quote=False), title=error.title, duration=10, print_exception=False)


def _mixed(style: str, second: str, percent: float) -> str:
    return style if second == style else f"{style}:{100 - percent:g},{second}:{percent:g}"


def _is_animation(upload: dict[str, Any] | None, limits: Limits) -> bool:
    path = file_access.uploaded(upload)
    try:
        if path is None or format_of(path) not in ANIMATED:  # opening some other formats decodes them
            return False
        with opened(path, limits) as (name, image):
            return len(frames_of(name, image)) > 1
    except (StylizerError, OSError):  # the photo went meanwhile, or only its beginning can be read
        return False


def _status(text: str, wall: Wall) -> str:
    """The line, which also tells the style sheet whether the paintings came of a visitor's picture."""
    of_picture = wall.comparison is not None and wall.comparison.style_picture is not None
    return f"<p{' data-of-picture' if of_picture else ''}>{text}</p>"


def _stopped(captions: Sequence[str]) -> list[str]:
    return [card_captions.stopped(norm, caption) for norm, caption in zip(ALL, captions, strict=True)]


def build(service: PaintingService, offered: list[Style]) -> CompareTab:
    """Adds the tab's contents."""
    handlers = CompareHandlers(service)
    with gr.Row(elem_id="bench"):
        with gr.Column(elem_id="controls", min_width=0):
            photo, style, style_picture, options, paint, stop = _controls(service, offered)
        with gr.Column(elem_id="wall", min_width=0):
            status = gr.HTML(
                "<p>Four paintings will appear here, one after the other.</p>",
                elem_id="status",
                apply_default_css=False,
            )
            # The photo as it was painted: upright and of the paintings' size, whatever came in.
            before = _picture("photo", "The photo")
            with gr.Row(elem_id="results"):
                paintings, captions = zip(*(_card(norm) for norm in ALL), strict=True)
            improve = gr.Column(elem_id="improve", min_width=0)
    gr.HTML(compare_view.markup(), elem_id="compare-view", apply_default_css=False)
    thumbnails = gr.HTML("", elem_id="thumbnails", apply_default_css=False)
    wall = gr.State(Wall())
    shown = [before, *paintings, *captions]
    event = paint.click(
        handlers.paint,
        inputs=[wall, photo, style, style_picture, *options, *shown],
        outputs=[status, *shown],
        preprocess=False,  # Gradio's own decoding differs from ours and toasts internal paths
        show_progress="hidden",  # the captions tell it; an overlay would hide finished paintings
        concurrency_limit=None,
        api_visibility="private",
    )
    show_converted(photo, service)
    show_converted(style_picture, service)
    stop.click(
        handlers.stop,
        inputs=[wall, *captions],
        outputs=[status, *captions],
        cancels=[event],
        concurrency_limit=None,
        show_progress="hidden",
        api_visibility="private",
    )
    style.change(
        None,
        style,
        style_picture,
        js=f"name => ({{ __type__: 'update', visible: name === '{style_pickers.YOUR_PICTURE[1]}' }})",
        api_visibility="private",
    )
    *_, second, _ = options
    return CompareTab(style, second, wall, shown, improve, thumbnails)


def _controls(
    service: PaintingService, offered: list[Style]
) -> tuple[gr.Image, gr.Radio, gr.Image, list[Any], gr.Button, gr.Button]:
    photo = upload_box("photo", "Photo", "Your photo", "# Drop a photo\nor click to choose one", camera=True)
    examples = sorted(EXAMPLES.glob("*.jpg"))
    if examples:
        # Not gr.Examples, which goes around the queue: the address it gives the photo lacks our mount path.
        thumbnails = gr.Dataset(
            components=[gr.Image(render=False)],
            samples=[[str(path)] for path in examples],
            type="index",
            label="or choose one of these",
            elem_id="examples",
        )
        thumbnails.click(
            lambda index: str(examples[index]),
            thumbnails,
            photo,
            concurrency_limit=None,
            show_progress="hidden",
            api_visibility="private",
        )
    style = style_pickers.with_pictures(offered, "style", first=style_pickers.yours())
    style_picture = upload_box(
        "style-picture", "Your picture as the style", *STYLE_PICTURE, camera=True, visible=False
    )
    with gr.Row(elem_id="actions"):
        paint = gr.Button("Paint", variant="primary", size="lg", elem_id="paint", min_width=0)
        stop = gr.Button("Stop", size="lg", elem_id="stop", min_width=0)
    with gr.Accordion("Options", open=False, elem_id="options"):
        largest = service.settings.max_side
        sides = [*(side for side in (384, 768) if side < largest), largest]
        side = gr.Radio(
            [(f"{side} px", side) for side in sides],
            value=largest,
            label="Longer side",
            info="Larger photos are shrunk to this first; smaller ones keep their size.",
            elem_id="side",
        )
        chosen = [_control(name, option) for name, option in DECLARED.items()]
        second = gr.Dropdown(
            [style_pickers.NO_OTHER, *style_pickers.choices(offered)],
            value="",
            label="Mix with",
            info="One network between two styles, for each normalizer.",
            filterable=False,
            elem_id="second",
        )
        mix = gr.Slider(
            0,
            100,
            value=50,
            step=5,
            label="Mix, in percent",
            info="The share of the other style.",
            buttons=[],
            visible=False,
            elem_id="mix",
        )
        second.change(
            None,
            second,
            mix,
            js="name => ({ __type__: 'update', visible: !!name })",
            api_visibility="private",
        )
    options = [side, *chosen, second, mix]
    return photo, style, style_picture, options, paint, stop


def upload_box(
    elem_id: str, label: str, alt: str, placeholder: str, *, camera: bool = False, visible: bool = True
) -> gr.Image:
    """Where a visitor drops, pastes or chooses a picture, or takes it with the camera."""
    return gr.Image(
        label=label,
        show_label=False,
        sources=["upload", *(["webcam"] if camera else []), "clipboard"],  # type: ignore[list-item]
        type="filepath",
        buttons=[],
        alt_text=alt,
        placeholder=placeholder,
        webcam_options=gr.WebcamOptions(mirror=False),
        visible=visible,
        elem_id=elem_id,
    )


def _control(name: str, option: Option) -> gr.components.Component:
    """A slider for a number, a box for a choice."""
    element, value = name.replace("_", "-"), getattr(DEFAULT_OPTIONS, name)
    if option.least is None or option.most is None:
        return gr.Checkbox(value, label=option.label, info=option.help, elem_id=element)
    times, unit = (100, ", in percent") if _is_share(option) else (1, "")
    return gr.Slider(
        times * option.least,
        times * option.most,
        value=times * value,
        step=times * (option.step or 1),
        label=option.label + unit,
        info=option.help,
        buttons=[],
        elem_id=element,
    )


def _is_share(option: Option) -> bool:
    return (option.least, option.most) == (0, 1)


def _card(norm: str) -> tuple[gr.Image, gr.HTML]:
    with gr.Column(elem_classes=["card"], min_width=0):
        painting = _picture(norm_slug(norm), f"Painting by the network with {NORM_TITLES[norm]}")
        caption = gr.HTML(
            card_captions.empty(norm), elem_id=f"caption-{norm_slug(norm)}", apply_default_css=False
        )
    return painting, caption


def _picture(key: str, alt: str) -> gr.Image:
    return gr.Image(
        label=alt,
        show_label=False,
        interactive=False,
        type="filepath",
        buttons=["download", "fullscreen"],
        alt_text=alt,
        elem_id=f"out-{key}",
    )
