"""Two ways to look closer at what was painted: any two pictures over each other, and one place in all.

Both are plain HTML with native controls, moved by `page.js` without asking the server: Gradio's own image
slider has neither keyboard support nor roles. A range input covers the picture, so that dragging anywhere
and the arrow keys do the same.
"""

from __future__ import annotations

from app.page import card_captions
from transformer_net.norms import NORM_TITLES, norm_slug

_CHOICES = {"photo": "photo", **{norm_slug(norm): name for norm, name in NORM_TITLES.items()}}
"""Names of all pictures, by the key that the script knows them by."""


def markup() -> str:
    """The two sections; hidden by the style sheet until there is a painting."""
    return f'<div class="compare-view">{_wipe()}{_zoom()}</div>'


def _wipe() -> str:
    return f"""
<section aria-labelledby="wipe-title">
  <h2 id="wipe-title">Compare any two pictures</h2>
  <p class="hint">Drag across the picture, or focus it and use the arrow keys.</p>
  <div class="choosers">{_chooser("left", "photo")}{_chooser("right", "iebn")}</div>
  <div class="wipe" id="wipe">
    <img class="under" alt="" hidden><span class="absent under"></span>
    <img class="over" alt="" hidden><span class="absent over"></span>
    <span class="handle" aria-hidden="true"></span>
    <span class="tag left"></span><span class="tag right"></span>
    <input type="range" id="wipe-position" min="0" max="100" step="1" value="50"
      aria-label="Boundary between the left and the right picture">
  </div>
</section>"""


def _chooser(side: str, chosen: str) -> str:
    options = "".join(
        f'<label data-norm="{key}"><input type="radio" name="wipe-{side}" value="{key}"'
        f"{' checked' if key == chosen else ''}><span>{name}</span></label>"
        for key, name in _CHOICES.items()
    )
    return f'<fieldset class="segments"><legend>{side.capitalize()}</legend><div>{options}</div></fieldset>'


def _axis(name: str, label: str) -> str:
    return (
        f'<label class="axis"><span>{label}</span>'
        f'<input type="range" id="zoom-{name}" min="0" max="100" value="50"></label>'
    )


def _zoom() -> str:
    panes = "".join(
        f'<figure data-norm="{key}"><div class="pane"><img alt="Detail: {name}" hidden>'
        f"</div><figcaption>{name if key == 'photo' else card_captions.title(norm)}</figcaption></figure>"
        for (key, name), norm in zip(_CHOICES.items(), ["", *NORM_TITLES], strict=True)
    )
    scales = "".join(
        f'<label><input type="radio" name="zoom-scale" value="{scale}"{" checked" if scale == 1 else ""}>'
        f"<span>{scale}:1</span></label>"
        for scale in (1, 2, 4)
    )
    return f"""
<section aria-labelledby="zoom-title">
  <h2 id="zoom-title">The same place in all pictures</h2>
  <p class="hint">Click a painting above, drag a detail, or move the sliders with the arrow keys.</p>
  <div class="zoom-controls">
    {_axis("x", "Across")}{_axis("y", "Down")}
    <fieldset class="segments"><legend>Scale</legend><div>{scales}</div></fieldset>
  </div>
  <div class="panes" id="zoom">{panes}</div>
</section>"""
