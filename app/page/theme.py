"""How the page looks: type, colours and spacing; the style sheets hold what Gradio has no variable for."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from gradio.themes.utils.fonts import LocalFont

from app.page.style_pickers import PICTURES, WITH_YOURS
from app.painting.style_pictures import thumbnail
from styles.catalog import Style

_ASSETS = Path(__file__).parent / "assets"

_THUMBNAIL_SIDE = 176

_ACCENT = gr.themes.Color(
    name="vermilion",
    c50="#fdf3f0",
    c100="#fbe3dc",
    c200="#f6c6b8",
    c300="#f0a28c",
    c400="#e97b5d",
    c500="#d4512f",
    c600="#b83a1b",
    c700="#a23115",
    c800="#7f2711",
    c900="#5f1d0d",
    c950="#350f06",
)

_PAPER = gr.themes.Color(
    name="paper",
    c50="#faf9f7",
    c100="#f2f0ec",
    c200="#e5e2dc",
    c300="#d0ccc4",
    c400="#a39e95",
    c500="#6f6b64",
    c600="#56524c",
    c700="#3d3a36",
    c800="#262421",
    c900="#1b1a18",
    c950="#131211",
)


def theme() -> gr.themes.Base:
    """Paper and ink with one accent. Both typefaces are served by Gradio itself, from this machine."""
    return gr.themes.Base(
        primary_hue=_ACCENT,
        neutral_hue=_PAPER,
        radius_size=gr.themes.sizes.radius_sm,
        text_size=gr.themes.sizes.text_md,
        font=[LocalFont("Source Sans Pro", weights=(400, 700)), "system-ui", "sans-serif"],
        font_mono=[LocalFont("IBM Plex Mono", weights=(400, 700)), "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_800",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        border_color_primary="*neutral_200",
        border_color_primary_dark="*neutral_700",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_300",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="700",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        button_large_text_weight="700",
        layout_gap="16px",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_hover="*primary_800",
        link_text_color_hover_dark="*primary_200",
        link_text_color_visited="*primary_700",
        link_text_color_visited_dark="*primary_300",
    )


def css(styles: Sequence[Style]) -> str:
    """The page's style sheet, with a thumbnail for each option of the style pickers, in this order.

    The thumbnails are in the sheet itself: the options stay plain radio buttons, which every keyboard and
    screen reader knows, and they need no address of their own.
    """
    return look(styles) + (_ASSETS / "style.css").read_text(encoding="utf-8")


def look(styles: Sequence[Style]) -> str:
    """The part of it that the static page has, too."""
    return (_ASSETS / "look.css").read_text(encoding="utf-8") + thumbnails(styles) + "\n"


def thumbnails(styles: Sequence[Style]) -> str:
    """The rules that give each option of the style pickers its picture."""
    return "\n".join(
        f".{PICTURES}:not(.{WITH_YOURS}) label:nth-of-type({place}), "
        f".{WITH_YOURS} label:nth-of-type({place + 1}) {{ --thumbnail: url({_thumbnail(style)}) }}"
        for place, style in enumerate(styles, 1)
    )


def _thumbnail(style: Style) -> str:
    jpeg = thumbnail(style, _THUMBNAIL_SIDE)
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
