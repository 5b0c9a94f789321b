"""The tab that paints the live camera."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from html import escape
from typing import Any, Final

import gradio as gr

from app.errors import QueueFullError, UploadTooLargeError
from app.page import card_captions, style_pickers
from app.page.compare_tab import toast
from app.painting.service import PaintingService
from styles.catalog import Style
from transformer_net.errors import StylizerError, UnreadableImageError
from transformer_net.imaging.encode import encode
from transformer_net.norms import NORMS

_EVERY: Final = 1 / 15
"""Seconds between two frames that a browser sends. What it sends while one is painted replaces what it sent
before: Gradio keeps the last one only, and asks for the next painting when the last is on its way."""

_TURN: Final = 60
"""Seconds after which a camera gives its place to another one that waits."""

_QUALITY: Final = 80
"""Of the JPEG. A frame has 40 kB, at the quality of other paintings 65, and is seen for a moment."""

_READY: Final = "<p>The painting will appear here. Your camera's pictures are not stored.</p>"

_HEAD: Final = "data:image/jpeg;base64,"

_BUSY: Final = "<p>Photos are being painted. The camera continues after them.</p>"


class LiveHandlers:
    """The event of the tab. One instance serves all visitors and keeps nothing of theirs.

    Args:
        service: Where the painting is done.
    """

    def __init__(self, service: PaintingService) -> None:
        self._service = service
        self._turn = asyncio.Lock()  # fair: cameras take turns, in the order in which they came

    async def paint(self, frame: dict[str, Any] | None, style: str, norm: str) -> tuple[Any, str]:
        """Paint a frame, unless a photo is being painted.

        Args:
            frame: As Gradio's camera sends it: a dictionary with `url`, a picture in base64.
            style: A style of the catalogue.
            norm: A normalizer.

        Returns:
            The painting, in the same form, or an update that keeps the last one; and a sentence about it.
            There are many frames, so errors are sentences, too.
        """
        service = self._service
        side = min(service.settings.live_side, service.settings.api_max_side)
        try:
            photo = await service.read(_bytes(frame, service.settings.max_upload_bytes), side)
            precision = service.registry.model(str(style), str(norm)).quickest
            async with self._turn:
                (painted,) = await service.paint_all(
                    photo, str(style), [str(norm)], precision=precision, spare=True
                )
            jpeg = await service.in_codec_thread(lambda: encode(painted.image, "jpeg", quality=_QUALITY))
        except QueueFullError:
            return gr.skip(), _BUSY
        except StylizerError as error:
            return gr.skip(), f"<p>{escape(str(error), quote=False)}</p>"  # it may repeat what came in
        width, height = photo.size
        facts = f"{width} × {height}, {precision}, {1000 * painted.seconds:.0f} ms a frame"
        said = f"<p>Painted by the server: {facts}</p>"
        # An address with the picture in it: a file for each frame would fill the disk.
        return {"url": _HEAD + base64.b64encode(jpeg).decode("ascii")}, said

    def offer_norms(self, style: str | None, norm: str) -> Any:
        """An update: the normalizers that a style was trained with; `norm` stays chosen where it is one.

        Raises:
            gr.Error: There is no such style.
        """
        if style is None:  # there are no styles
            return gr.skip()
        try:
            norms = self._service.registry.norms(str(style))
        except StylizerError as error:
            raise toast(error) from None
        choices = card_captions.choices(norms)
        # With the value that came in, this would undo what was chosen since.
        return gr.Radio(choices=choices) if norm in norms else gr.Radio(choices=choices, value=norms[0])


def build(service: PaintingService, offered: Sequence[Style], tab: gr.Tab) -> gr.Radio:
    """Adds the tab's contents to the page being built; gives the choice of styles.

    Args:
        service: Where the painting is done.
        offered: The styles to choose from.
        tab: The tab that is being filled.
    """
    side = service.settings.live_side
    handlers = LiveHandlers(service)
    with gr.Row(elem_id="stage"):
        camera = gr.Image(
            label="Camera",
            show_label=False,
            sources=["webcam"],
            streaming=True,
            buttons=[],
            alt_text="Your camera",
            # What the camera is asked for: less to send than its largest picture, and the same painting.
            webcam_options=gr.WebcamOptions(
                constraints={"video": {"width": {"ideal": side}, "height": {"ideal": side * 3 // 4}}}
            ),
            elem_id="camera",
        )
        with gr.Column(elem_id="live", min_width=0):
            painting = gr.Image(
                label="Live painting",
                show_label=False,
                interactive=False,
                buttons=["download", "fullscreen"],
                alt_text="Live painting",
                elem_id="out-live",
            )
            # The rate is counted where the frames arrive; see live.js.
            gr.HTML("<p></p>", elem_id="live-rate", apply_default_css=False)
            said = gr.HTML(_READY, elem_id="live-said", apply_default_css=False)
        with gr.Column(elem_id="live-choices", min_width=0):
            off = gr.Button("Turn the camera off", elem_id="camera-off", min_width=0)
            hang = gr.Button("Hang a painting", elem_id="live-hang", visible="hidden")
            style = style_pickers.with_pictures(offered, "live-style")
            norm = gr.Radio(
                card_captions.choices(NORMS),
                value="iebn",  # in int8, the four are about equally quick
                label="Normalizer",
                elem_id="live-norm",
            )
    # What leaves the page ends its stream and lets go of the device; the camera's own button does not.
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    gone = off.click(None, None, camera, js=_shown(False), **quiet)
    gone.then(None, None, camera, js=_shown(True), **quiet)
    # A painting that the visitor's browser made itself takes the place of one of the server's; see live.js.
    hang.click(None, None, [painting, said], js="() => window.paintedHere", **quiet)
    # The browser paints with what was agreed here: a choice of its own may lack the other for a moment.
    chosen = [style, norm]
    gr.on([tab.select, style.change, norm.change], handlers.offer_norms, chosen, norm, **quiet).then(
        None, chosen, None, js="(...chosen) => { window.chosenLive = chosen; return []; }", **quiet
    )
    camera.stream(
        handlers.paint,
        inputs=[camera, style, norm],
        outputs=[painting, said],
        preprocess=False,  # Gradio's own decoding differs from ours and toasts internal paths
        postprocess=False,  # it would write a file
        stream_every=_EVERY,
        time_limit=_TURN,
        concurrency_limit=service.settings.live_cameras,
        **quiet,
    )
    return style


def _shown(visible: bool) -> str:
    return f"() => ({{ __type__: 'update', visible: {str(visible).lower()} }})"


def _bytes(frame: object, most: int) -> bytes:
    """The file in a frame.

    Raises:
        UnreadableImageError: There is none.
        UploadTooLargeError: It has more than `most` bytes.
    """
    url = frame.get("url") if isinstance(frame, dict) else None
    head, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if len(data) // 4 * 3 > most:
        raise UploadTooLargeError(f"The camera's frame has more than {most:,} bytes.")
    try:
        if head.startswith("data:image/") and head.endswith(";base64"):
            return base64.b64decode(data, validate=True)
    except ValueError:  # binascii.Error, or letters beyond ASCII
        pass
    raise UnreadableImageError("The camera did not send a picture.")
