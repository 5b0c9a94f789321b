"""How the figures look: one colour a normalizer, dots with intervals, white paper."""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.harness.intervals import Estimate
from transformer_net.checkpoint import write_atomically
from transformer_net.imaging.encode import encode
from transformer_net.inference.sheet import side_by_side

COLOURS = {"bn": "#2c66ad", "in": "#0b7a5f", "bn+se": "#7d4fb3", "iebn": "#b83a1b"}
"""Those of the page."""

_DPI = 110


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure, in inches."""
    from matplotlib.figure import Figure  # of the extra `train`

    return Figure(figsize=(width, height), layout="constrained")


def plain_numbers(axes: Any) -> None:
    """Label the ticks of a logarithmic y axis as 8 and 0.3, those between powers of ten, too."""
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")


def save(figure: Any, path: Path) -> Path:
    """Write `figure` as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png", metadata={"Software": None})
    write_atomically(path, buffer.getvalue())
    return path


def sheet(panels: Sequence[tuple[str, Image.Image]], columns: int, path: Path) -> Path:
    """Write labelled pictures, side by side, as JPEG."""
    write_atomically(path, encode(side_by_side(list(panels), columns=columns), "jpeg", 88))
    return path


Groups = Mapping[str, Mapping[str, Estimate]]
"""By row, and in it by name."""


def dots(
    panels: Mapping[str, Groups],
    path: Path,
    colours: Mapping[str, str] | None = None,
    least: int = 1,
    line: float | None = None,
) -> list[Path]:
    """Panels beside each other, each with the rows that something is known of; no file if these are too few.

    Args:
        panels: Groups by what their values are.
        path: Where to write.
        colours: By name; without, everything is grey and there is no legend.
        least: Rows that have to be known, where one alone tells nothing.
        line: A value to draw a line at, in sight everywhere.
    """
    known = {
        label: {row: group for row, group in groups.items() if any(_is_known(e) for e in group.values())}
        for label, groups in panels.items()
    }
    known = {label: groups for label, groups in known.items() if groups}
    rows = max(map(len, known.values()), default=0)
    if rows < max(least, 1):
        return []
    names = {name for groups in known.values() for group in groups.values() for name in group}
    figure = new_figure(4.8 * len(known), 1.0 + rows * (0.14 + 0.14 * len(names)))
    everywhere = figure.subplots(1, len(known), squeeze=False)[0]
    for axes, (label, groups) in zip(everywhere, known.items(), strict=True):
        _dots(axes, groups, colours)
        axes.set_xlabel(label)
        if line is not None:
            axes.axvline(line, color="#404040", lw=1)
            low, high = axes.get_xlim()
            axes.set_xlim(min(low, line - 0.05 * (high - line)), max(high, line + 0.05 * (line - low)))
    if colours:
        handles, labels = everywhere[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper center", ncols=len(names), frameon=False, fontsize=8
        )
    return [save(figure, path)]


def _dots(axes: Any, groups: Groups, colours: Mapping[str, str] | None) -> None:
    """A row a group, top down; in it a dot with its interval for each name.

    What lies so far off that the others could not be told apart is an arrow at the edge, with its value.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    step = 0.7 / max(1, len(names))
    low, high = _limits([e for group in groups.values() for e in group.values() if _is_known(e)])
    for row, group in enumerate(groups.values()):
        for place, name in enumerate(names):
            estimate = group.get(name)
            if estimate is None or not _is_known(estimate):
                continue
            y = row + (place - (len(names) - 1) / 2) * step
            colour = (colours or {}).get(name, "#404040")
            if not low <= estimate.mean <= high:
                beyond = estimate.mean > high
                axes.plot(
                    high if beyond else low, y, ">" if beyond else "<", color=colour, ms=5, clip_on=False
                )
                axes.annotate(
                    f"{estimate.mean:.0f}", (high if beyond else low, y), (-8 if beyond else 8, 0),
                    textcoords="offset points", ha="right" if beyond else "left", va="center", fontsize=8,
                )  # fmt: skip
                continue
            half = estimate.half if math.isfinite(estimate.half) else 0.0
            label = name if colours and row == 0 else None
            axes.errorbar(estimate.mean, y, xerr=half, fmt="o", ms=4, lw=1.2, color=colour, label=label)
    axes.set_xlim(low, high)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)


def _is_known(estimate: Estimate) -> bool:
    return estimate.count > 0 and math.isfinite(estimate.mean)


def _limits(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Where an axis begins and ends: at the last mean that is no farther off than four times the middle half.

    Intervals are shown as far as that, too; or, where the means are nearer to each other than they are sure,
    as far as twice the usual interval.
    """
    means = [e.mean for e in estimates]
    halves = [e.half if math.isfinite(e.half) else 0.0 for e in estimates]
    first, third = means[0], means[0]
    if len(means) > 1:
        first, _, third = statistics.quantiles(means, n=4, method="inclusive")
    reach = max(4 * (third - first), 2 * statistics.median(halves)) or math.inf
    near = [
        (mean, min(half, reach))
        for mean, half in zip(means, halves, strict=True)
        if first - reach <= mean <= third + reach
    ]
    low = min(mean - half for mean, half in near)
    high = max(mean + half for mean, half in near)
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a sentence where there are no rows."""
    if not rows:
        return "Not run yet.\n"
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
