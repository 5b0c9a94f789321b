"""What a user sees of a training run: the progress line, the table of losses, the drawing of the curves."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from transformer_net.checkpoint import write_atomically
from transformer_net.commandline import console, say
from transformer_net.training.losses.vgg import TAPS
from transformer_net.training.run import Outcome, TrainingProgress
from transformer_net.training.run_folder import RunFolder, writing

log = logging.getLogger(__name__)

_WIDE = 124
"""Columns of a terminal that has room for all of the progress line and a bar."""

_BROKEN_SHOWN = 10

STYLE_LOSSES = tuple(f"style_{tap}" for tap in TAPS)


class ProgressLine:
    """One line: iteration, images a second, time left, content loss, style loss by layer.

    Where the output is no terminal, a line every fifty iterations instead.
    """

    def __init__(self, console: Console, title: str) -> None:
        self.console = console
        self.bar = ProgressBar(
            *([BarColumn(bar_width=16)] if console.width >= _WIDE else []),
            # One column: of several, a narrow terminal would cut each, and not the end of the line.
            TextColumn("[bold]{task.fields[title]}[/] {task.fields[line]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(title, title=escape(title), total=None, line="starting")

    def __enter__(self) -> ProgressLine:
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()

    def update(self, progress: TrainingProgress) -> None:
        """Show where the run is."""
        speed = f"{progress.images_per_second:.1f} img/s, {duration(progress.seconds_left)} left"
        line = f"{progress.iteration}/{progress.total}  {speed}  {describe_losses(progress.losses)}"
        self.bar.update(self.task, completed=progress.iteration, total=progress.total, line=line)
        if not self.console.is_terminal and (
            progress.iteration % 50 == 0 or progress.iteration == progress.total
        ):
            self.console.print(f"{progress.phase} {line}", soft_wrap=True)


def describe_losses(losses: Mapping[str, float]) -> str:
    """Losses in one short phrase; the style loss layer by layer, fine to coarse."""
    if "identity" in losses:
        return f"identity {losses['identity']:.3f}"
    layers = " ".join(f"{losses[name]:.3f}" for name in STYLE_LOSSES)
    return f"content {losses['content']:.2f}  style {layers}  palette {losses['palette']:.4f}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def losses_table(validation: Mapping[str, float]) -> Table:
    """Validation losses as a table."""
    table = Table(
        title="On held-out photos, in evaluation mode: content, style, palette", title_justify="left"
    )
    for name in ("content", *TAPS, "palette"):
        table.add_column(name, justify="right")
    style = [f"{validation[name]:.3f}" for name in STYLE_LOSSES]
    table.add_row(f"{validation['content']:.2f}", *style, f"{validation['palette']:.4f}")
    return table


def say_outcome(outcome: Outcome) -> None:
    """The photos that could not be read; then the losses, or how a run that was stopped goes on."""
    if outcome.broken:
        say(f"{len(outcome.broken)} content photos could not be read and were skipped:", "yellow")
        for path, reason in islice(outcome.broken.items(), _BROKEN_SHOWN):
            say(f"  {path}: {reason}", "yellow")
        if (more := len(outcome.broken) - _BROKEN_SHOWN) > 0:
            say(f"  and {more} more", "yellow")
    if outcome.finished:
        console.print(losses_table(outcome.validation))
    else:
        say(f"Stopped and saved at iteration {outcome.iteration}; the same command with --resume continues.")


def draw_curve(folder: RunFolder) -> None:
    """Draw losses.png from metrics.jsonl; without matplotlib, log one line instead."""
    if (figure := _figure()) is None:
        return
    records = folder.records()
    content, style = figure.subplots(1, 2)
    _draw(content, records, "content", "content")
    content.set_title("Content loss at relu2_2")
    for name in STYLE_LOSSES:
        _draw(style, records, name, name.removeprefix("style_"))
    style.set_title("Style loss, relative to the style's own Gram energy")
    style.set_yscale("log")
    _write(figure, folder.curve)


def draw_comparison(folders: Mapping[str, RunFolder], path: Path) -> bool:
    """Draw the losses of several runs over each other, a colour for each; False without matplotlib."""
    if (figure := _figure()) is None:
        return False
    content, style = figure.subplots(1, 2)
    for title, folder in folders.items():
        records = [
            {**r, "style": sum(r[name] for name in STYLE_LOSSES) / len(STYLE_LOSSES)}
            for r in folder.records()
            if STYLE_LOSSES[0] in r
        ]
        _draw(content, records, "content", title)
        _draw(style, records, "style", title)
    content.set_title("Content loss at relu2_2")
    style.set_title("Style loss, mean of the layers, relative to the style's own Gram energy")
    style.set_yscale("log")
    _write(figure, path)
    return True


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("No drawing of the losses: matplotlib is not installed (pip install matplotlib).")
        return None
    return Figure(figsize=(11, 4.2), layout="constrained")


def _write(figure: Any, path: Path) -> None:
    for axes in figure.axes:
        axes.set_xlabel("iteration")
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=8, title="line: training, dots: validation")
    drawing = io.BytesIO()
    figure.savefig(drawing, dpi=110, format="png")
    with writing(path.parent):
        write_atomically(path, drawing.getvalue())


def _draw(axes: Any, records: list[dict[str, Any]], name: str, label: str) -> None:
    training = [r for r in records if r["phase"] == "style"]
    (line,) = axes.plot([r["iteration"] for r in training], [r[name] for r in training], label=label, lw=1.2)
    seen = [
        r
        for r in records
        if r["phase"] == "validation" and training and r["iteration"] >= training[0]["iteration"]
    ]
    axes.plot([r["iteration"] for r in seen], [r[name] for r in seen], "o", color=line.get_color(), ms=4)
