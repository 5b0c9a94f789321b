"""The tab with the losses over the training, drawn as SVG: sharp at every size, and no library to load."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any, TypeAlias

import gradio as gr

from app.page.card_captions import title
from app.page.style_pickers import choices
from app.painting.service import PaintingService
from styles.catalog import Style
from transformer_net.errors import UnknownStyleError
from transformer_net.norms import NORM_TITLES, NORMS, norm_slug

Records: TypeAlias = list[dict[str, float]]
Curves: TypeAlias = dict[str, dict[str, Records]]

_PHASES = ("training", "validation")

_LOSSES = {
    "content": ("Content loss", "How far the painting moved from what the photo shows."),
    "style": ("Style loss", "How far its texture and colour are from the style picture."),
}

_MOST_POINTS = 160
"""Training records are averaged to this many points, which also removes the noise of batches."""

_WARM_UP = 0.02
"""The first part of the training is not considered for the scale: its losses are of another order."""


def build(service: PaintingService) -> gr.Radio:
    """Adds the tab's contents to the Blocks being built; gives the choice of styles."""
    offered = service.registry.styles()
    first = offered[0] if offered else None
    gr.HTML(
        '<div class="lede"><h2>How the networks learned</h2><p>Losses of the four networks. Thin '
        "lines are training batches. Thick lines with dots are held-out photos, measured as you use "
        "the network: in evaluation mode, with running statistics. Lower is better.</p></div>",
        apply_default_css=False,
    )
    choice = gr.Radio(
        choices(offered), value=first.name if first else None, label="Style", elem_id="curves-style"
    )
    charts = gr.HTML(
        render(first) if first else _absent("any style"), elem_id="curves", apply_default_css=False
    )

    def chosen(name: str) -> str:
        try:
            return render(service.registry.style(str(name)))  # which knows those that were trained since
        except UnknownStyleError:
            return _absent("this style")

    choice.change(
        chosen,
        choice,
        charts,
        preprocess=False,  # Gradio's complains of unknown choices with a traceback
        concurrency_limit=None,  # stays usable while the server paints
        show_progress="hidden",
        api_visibility="private",
    )
    return choice


def render(style: Style) -> str:
    """Charts and final losses of a style, or a sentence where it ships no curves."""
    curves = load(style)
    if not curves:
        return _absent(f"the style {style.name}")
    keys = "".join(f'<li data-norm="{norm_slug(norm)}">{escape(title(norm))}</li>' for norm in curves)
    return f'<ul class="legend">{keys}</ul>{draw(curves)}{_table(curves)}'


def draw(curves: Curves) -> str:
    """A chart for each loss, with a line for each normalizer and phase; empty where there is nothing yet."""
    return f'<div class="charts">{"".join(_chart(curves, loss) for loss in _LOSSES)}</div>'


def load(style: Style) -> Curves:
    """curves.json of a style, normalizers in the table's order; empty where none can be read."""
    try:
        data: Any = json.loads((style.folder / "curves.json").read_text(encoding="utf-8"))
        return {
            norm: {
                phase: [{k: float(v) for k, v in record.items()} for record in data[norm].get(phase, [])]
                for phase in _PHASES
            }
            for norm in NORMS
            if norm in data
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _absent(what: str) -> str:
    sentence = f"The training of {escape(what)} was not recorded, so there is nothing to draw."
    return f'<p class="absent-curves">{sentence}</p>'


def _chart(curves: Curves, loss: str) -> str:
    """One loss of all normalizers, logarithmic, with labels in HTML so that they keep their size."""
    lines = [
        (norm, phase, points)
        for phase in _PHASES
        for norm, phases in curves.items()
        if (points := list(_points(phases[phase], loss)))
    ]
    if not lines:
        return ""
    last = max(points[-1][0] for *_, points in lines) or 1.0
    values = [y for *_, points in lines for x, y in points if x >= last * _WARM_UP or len(points) == 1]
    low, high = min(values) / 1.06, max(values) * 1.06

    def place(x: float, y: float) -> tuple[float, float]:
        height = math.log(high / max(y, 1e-12)) / math.log(high / low)
        return 1000 * x / last, 1000 * height

    drawn = "".join(_line(norm, phase, [place(*point) for point in points]) for norm, phase, points in lines)
    rows = "".join(
        f'<i class="rule" style="{top}"></i><span class="tick y" style="{top}">{tick:g}</span>'
        for tick in _ticks(low, high)
        for top in [f"top:{place(0, tick)[1] / 10:.2f}%"]
    )
    columns = "".join(
        f'<span class="tick x" style="left:{100 * part:.0f}%">{_short(last * part)}</span>'
        for part in (0, 0.5, 1)
    )
    name, meaning = _LOSSES[loss]
    return f"""
<figure class="chart">
  <figcaption><h3>{name}</h3><p>{meaning}</p></figcaption>
  <div class="plot">{rows}{columns}
    <svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label="{_spoken(curves, loss)}">
      {drawn}
    </svg>
  </div>
</figure>"""


def _points(records: Records, loss: str) -> Iterator[tuple[float, float]]:
    """(iteration, loss), neighbours averaged so that there are at most `_MOST_POINTS`."""
    known = [record for record in records if "iteration" in record and record.get(loss, 0) > 0]
    step = math.ceil(len(known) / _MOST_POINTS) or 1
    for start in range(0, len(known), step):
        group = known[start : start + step]
        yield (
            sum(record["iteration"] for record in group) / len(group),
            math.exp(sum(math.log(record[loss]) for record in group) / len(group)),
        )


def _line(norm: str, phase: str, points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    # A dot is a line of no length with round ends: a circle would be squeezed with the picture.
    dots = "".join(f"M{x:.1f},{y:.1f}h0" for x, y in points) if phase == "validation" else ""
    dot_path = f'<path class="dots" d="{dots}"/>' if dots else ""
    return f'<g data-norm="{norm_slug(norm)}" class="{phase}"><polyline points="{path}"/>{dot_path}</g>'


def _ticks(low: float, high: float) -> list[float]:
    """Round values within the range, few enough to read: 1, 2 and 5 of each decade, or equal steps where that
    are too few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5)):
        ticks = [s * 10.0**decade for decade in decades for s in steps if low <= s * 10.0**decade <= high]
        if len(ticks) >= 3:
            return ticks
    size = 10.0 ** math.floor(math.log10(high - low))
    step = next(part * size for part in (0.2, 0.5, 1, 2) if (high - low) / (part * size) < 8)
    return [n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _short(iterations: float) -> str:
    return f"{iterations / 1000:g}k" if iterations >= 1000 else f"{iterations:.0f}"


def _spoken(curves: Curves, loss: str) -> str:
    """The chart in words, for screen readers."""
    ends = ", ".join(
        f"{NORM_TITLES[norm]} {phases['validation'][-1][loss]:.3g}"
        for norm, phases in curves.items()
        if phases["validation"] and loss in phases["validation"][-1]
    )
    return escape(f"{_LOSSES[loss][0]} over the iterations. Last validation: {ends or 'none'}.", quote=True)


def _table(curves: Curves) -> str:
    finals = {norm: phases["validation"][-1] for norm, phases in curves.items() if phases["validation"]}
    losses = [loss for loss in _LOSSES if any(loss in final for final in finals.values())]
    if not losses:
        return ""
    head = "".join(f'<th scope="col">{_LOSSES[loss][0]}</th>' for loss in losses)
    rows = "".join(
        f'<tr data-norm="{norm_slug(norm)}"><th scope="row">{escape(title(norm))}</th>'
        + "".join(f"<td>{final[loss]:#.4g}</td>" if loss in final else "<td>–</td>" for loss in losses)
        + f"<td>{final.get('iteration', 0):,.0f}</td></tr>"
        for norm, final in finals.items()
    )
    return (
        '<table class="losses"><caption>Final validation losses</caption>'
        f'<thead><tr><th scope="col">Network</th>{head}<th scope="col">Iterations</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )
