"""The progress line, as a terminal of some width shows it."""

import io

import pytest
from rich.console import Console

from transformer_net.training.report import ProgressLine
from transformer_net.training.run import TrainingProgress

LOSSES = {"content": 8.0, "palette": 0.01} | {f"style_relu{n}": 0.5 for n in ("1_2", "2_2", "3_3", "4_3")}


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_a_narrow_terminal_cuts_the_end_of_the_line_only(columns):
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=columns, color_system=None)
    with ProgressLine(console, "my [red] dots iebn") as line:
        line.update(TrainingProgress(20, 1000, "style", LOSSES, 2.5, 61.0))
    shown = written.getvalue().split("\r")[-1]
    assert "my [red] dots iebn 20/1000  2.5 img/s, 1:01 left  cont" in shown
    assert ("palette 0.0100" in shown) == (columns == 160)


def test_a_file_gets_a_line_every_fifty_iterations():
    written = io.StringIO()
    with ProgressLine(Console(file=written, width=40), "dots iebn") as line:
        for done in (10, 50, 60, 70):
            line.update(TrainingProgress(done, 70, "style", LOSSES, 2.5, 61.0))
    assert [text.split("  ")[0] for text in written.getvalue().splitlines()] == ["style 50/70", "style 70/70"]
