"""docs/results.md says what the stored results say."""

from pathlib import Path

import pytest

from experiments.figures import DOCUMENT, EXPERIMENTS, document, verdict_table
from experiments.harness.runner import Store


def drawn_before():
    """The figures that the document shows, with their captions, as `draw` would have returned them."""
    import re

    text, place = DOCUMENT.read_text(), DOCUMENT.parent
    titles = {"glance": text.split("\n## ")[0]}
    titles |= {
        experiment.__name__: text.split(f"## {experiment.TITLE}\n")[1].split("\n## ")[0]
        for experiment in EXPERIMENTS
    }
    return {
        name: [
            ((place / path).resolve(), caption)
            for caption, path in re.findall(r"!\[(.*?)\]\((.*?)\)", section)
        ]
        for name, section in titles.items()
    }


@pytest.mark.slow
def test_the_document_is_that_of_the_stored_results():
    """Otherwise: make figures."""
    assert DOCUMENT.read_text() == document(Store(), drawn_before())


def test_the_verdicts_are_those_of_the_stored_results():
    claims = [claim for experiment in EXPERIMENTS for claim in experiment.claims(Store())]
    assert len(claims) > 40
    assert verdict_table(claims) in DOCUMENT.read_text()


def test_every_figure_of_the_document_is_there():
    for pictures in drawn_before().values():
        for path, _ in pictures:
            assert Path(path).is_file()
