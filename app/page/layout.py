"""The page: a few tabs, the four paintings of a photo first."""

from __future__ import annotations

from typing import Any

import gradio as gr

from app.page import (
    card_captions,
    compare_view,
    curves_tab,
    explain_tab,
    file_access,
    live_tab,
    style_pickers,
    train_tab,
)
from app.page.compare_tab import ALL, Easel
from app.page.file_access import EXAMPLES
from app.page.style_pickers import Pickers
from app.painting.service import Studio
from app.training.manager import Apprentice
from styles.catalog import Style
from transformer_net.norms import NORM_TITLES, norm_slug

_CLEAN_EVERY = 300
"""Seconds between two looks for files that were kept for long enough."""

_EVENTS = 1000
"""What may go on at once, far above Gradio's 40: each page that watches a training is one."""

_HEADER = """
<header class="masthead">
  <h1>Four norms, one picture</h1>
  <p>One painting network, trained four times on the same style. Only its normalization layer differs.
  Drop a photo in and see what that does.</p>
</header>
"""


class Page(gr.Blocks):
    """Blocks that open nothing but what was uploaded or painted, and the examples."""

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        """Refuse other files and web addresses, which Gradio would fetch, before it prepares the inputs."""
        if file_access.foreign(inputs):
            raise gr.Error("Choose the photo once more.", title="Photo gone", print_exception=False)
        prepared: list[Any] = await super().preprocess_data(block_fn, inputs, state, explicit_call)
        return prepared


def build(studio: Studio, apprentice: Apprentice) -> gr.Blocks:
    """Makes the page; `mount` serves it."""
    offered = studio.styles()
    page = Page(
        title="Four norms, one picture",
        analytics_enabled=False,
        delete_cache=(_CLEAN_EVERY, file_access.KEPT_FOR),
        fill_width=True,
    )
    with page:
        gr.HTML(_HEADER, apply_default_css=False)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Compare", id="compare", elem_id="tab-compare"):
                style, second = _compare(studio, offered)
            live_style = _live(studio, offered)
            with gr.Tab("New style", elem_id="tab-new") as new:
                pass  # filled below: it knows the choices of all tabs
            with gr.Tab("Training", elem_id="tab-training"):
                curves = curves_tab.build(studio)
            with gr.Tab("Why", elem_id="tab-explain"):
                explain_tab.build()
        with new:
            choices = Pickers(style, second, curves, live_style)
            train_tab.build(studio, apprentice, page, new, tabs, choices)
    # The studio has the one queue that counts; Gradio's own only keeps a flood of clicks out.
    page.queue(max_size=64, api_open=False)
    page._queue.max_thread_count = _EVENTS  # what `launch` does with its max_threads
    return page


def _live(studio: Studio, offered: list[Style]) -> gr.Radio | None:
    """Adds the Live tab, unless this server has none; gives its choice of styles."""
    if not studio.settings.live_cameras:
        return None
    with gr.Tab("Live", elem_id="tab-live"):
        return live_tab.build(studio, offered)


def _compare(studio: Studio, offered: list[Style]) -> tuple[gr.Radio, gr.Dropdown]:
    """Adds the tab's contents; gives the choices of a style and of a second one."""
    easel = Easel(studio)
    with gr.Row(elem_id="bench"):
        with gr.Column(elem_id="controls", min_width=0):
            photo, style, second, options, paint, stop = _controls(studio, offered)
        with gr.Column(elem_id="wall", min_width=0):
            status = gr.HTML(
                "<p>Four paintings will hang here, one after the other.</p>",
                elem_id="status",
                apply_default_css=False,
            )
            # The photo as it was painted: upright and of the paintings' size, whatever came in.
            before = _picture("photo", "The photo")
            with gr.Row(elem_id="results"):
                paintings, captions = zip(*(_card(norm) for norm in ALL), strict=True)
    gr.HTML(compare_view.markup(), elem_id="closer", apply_default_css=False)
    shown = [before, *paintings, *captions]
    event = paint.click(
        easel.paint,
        inputs=[photo, style, *options, *shown],
        outputs=[status, *shown],
        preprocess=False,  # Gradio's own decoding differs from ours and toasts internal paths
        show_progress="hidden",  # the captions tell it; an overlay would hide finished paintings
        concurrency_limit=None,
        api_visibility="private",
    )
    stop.click(
        easel.stop,
        inputs=list(captions),
        outputs=[status, *captions],
        cancels=[event],
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    return style, second


def _controls(
    studio: Studio, offered: list[Style]
) -> tuple[gr.Image, gr.Radio, gr.Dropdown, list[Any], gr.Button, gr.Button]:
    photo = gr.Image(
        label="Photo",
        show_label=False,
        sources=["upload", "webcam", "clipboard"],
        type="filepath",
        buttons=[],
        alt_text="Your photo",
        placeholder="# Drop a photo\nor click to choose one",
        webcam_options=gr.WebcamOptions(mirror=False),
        elem_id="photo",
    )
    examples = sorted(EXAMPLES.glob("*.jpg"))
    if examples:
        # Not gr.Examples, which goes around the queue: the address it gives the photo lacks our mount path.
        thumbnails = gr.Dataset(
            components=[gr.Image(render=False)],
            samples=[[str(path)] for path in examples],
            type="index",
            label="or take one of these",
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
    style = style_pickers.with_pictures(offered, "style")
    with gr.Row(elem_id="actions"):
        paint = gr.Button("Paint", variant="primary", size="lg", elem_id="paint", min_width=0)
        stop = gr.Button("Stop", size="lg", elem_id="stop", min_width=0)
    with gr.Accordion("Options", open=False, elem_id="options"):
        largest = studio.settings.max_side
        sides = [*(side for side in (384, 768) if side < largest), largest]
        side = gr.Radio(
            [(f"{side} px", side) for side in sides],
            value=largest,
            label="Longer side",
            info="Larger photos are shrunk to this first; smaller ones keep their size.",
            elem_id="side",
        )
        strength = gr.Slider(
            0,
            100,
            value=100,
            step=5,
            label="Strength, in percent",
            info="Less lets the photo show through.",
            buttons=[],
            elem_id="strength",
        )
        keep_colour = gr.Checkbox(
            label="Keep the photo's colours",
            info="Only its light and the brush strokes are the style's.",
            elem_id="keep-colour",
        )

        match_palette = gr.Checkbox(
            label="Match the palette",
            info="Give the photo the style picture's colours before it is painted.",
            elem_id="match-palette",
        )
        stroke_scale = gr.Slider(
            1,
            4,
            value=1,
            step=0.5,
            label="Brush strokes",
            info="So many times as large as the network paints them.",
            buttons=[],
            elem_id="stroke-scale",
        )
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
            info="How much of the other style there is.",
            buttons=[],
            visible=False,
            elem_id="mix",
        )
        second.change(
            lambda name: gr.update(visible=bool(name)),
            second,
            mix,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
    options = [side, strength, keep_colour, match_palette, stroke_scale, second, mix]
    return photo, style, second, options, paint, stop


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
