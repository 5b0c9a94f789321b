"""The Training tab's charts, without a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from app.page import curves_tab
from styles.catalog import Style


def _style(folder: Path, curves: object | None = None) -> Style:
    if curves is not None:
        (folder / "curves.json").write_text(curves if isinstance(curves, str) else json.dumps(curves))
    return Style("mosaic", folder)


def _records(count: int, level: float) -> list[dict[str, float]]:
    return [
        {"iteration": 10 * n, "content": level + 100 / n, "style": level / n} for n in range(1, count + 1)
    ]


def test_curves_are_drawn_for_each_norm_and_phase(tmp_path: Path) -> None:
    phases = {"training": _records(1000, 5.0), "validation": _records(20, 6.0)}
    html = curves_tab.render(_style(tmp_path, {"iebn": phases, "bn": phases}))
    assert html.count("<svg") == 2
    assert html.count('class="validation"') == html.count('class="training"') == 4
    assert html.index("Batch norm") < html.index("IEBN")  # the table's order, not the file's
    assert "<td>11.00</td>" in html
    assert "Last validation: batch norm 11, IEBN 11" in html
    longest = max(len(line.split()) for line in html.split('points="')[1:])
    assert longest < 250


@pytest.mark.parametrize(
    "curves", [None, "{", "[]", {}, {"bn": 3}, {"bn": {"training": [{"iteration": "x"}]}}]
)
def test_absent_or_broken_curves_give_a_sentence(tmp_path: Path, curves: object) -> None:
    assert "was not recorded" in curves_tab.render(_style(tmp_path, curves))


@pytest.mark.parametrize(
    "curves",
    [
        {"bn": {"training": [], "validation": []}},
        {"bn": {"validation": [{"iteration": 0, "content": 1.0}]}},
        {"bn": {"training": [{"iteration": 5, "content": 2.0, "style": 2.0}]}},
        {"bn": {"training": [{"iteration": n, "content": 0.0, "style": 1e-9} for n in range(9)]}},
    ],
)
def test_sparse_curves_do_not_break_the_page(
    tmp_path: Path, curves: dict[str, dict[str, list[dict[str, float]]]]
) -> None:
    html = curves_tab.render(_style(tmp_path, curves))
    assert ("<svg" in html) == any(curves["bn"].values())
    assert not re.search(r"\b(nan|inf)\b", html)


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.1), (0.003, 4000.0), (9.0, 11.0), (2.0, 2.0001), (8.5, 120.0)]
)
def test_ticks_lie_in_the_range_and_are_few(low: float, high: float) -> None:
    ticks = curves_tab._ticks(low, high)
    assert all(low <= tick <= high for tick in ticks)
    assert 2 <= len(ticks) <= 8
