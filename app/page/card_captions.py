"""The captions under the four paintings: what state each is in, for visitors and for the page's script."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from transformer_net.norms import NORM_TITLES, norm_slug

_PROMISES = {
    "bn": "The same statistics for all photos, learned from batches.",
    "in": "Each photo's own statistics.",
    "bn+se": "Batch norm, then channels are weighted by what the photo shows.",
    "iebn": "Batch norm that adapts its scale to each photo.",
}
"""What each normalizer does, in a line, shown until there is a painting."""

_UNFINISHED = re.compile(r'data-state="(?:waiting|painting)"')


def title(norm: str) -> str:
    """The normalizer's name as a heading: `batch norm` becomes `Batch norm`."""
    name = NORM_TITLES[norm]
    return name[0].upper() + name[1:]


def choices(norms: Iterable[str]) -> list[tuple[str, str]]:
    """Each normalizer as it is written on the page, and its name."""
    return [(title(norm), norm) for norm in norms]


def empty(norm: str) -> str:
    """Before anything was painted."""
    return _caption(norm, "empty", _PROMISES[norm])


def waiting(norm: str) -> str:
    """Its turn comes after others."""
    return _caption(norm, "waiting", "waiting")


def painting(norm: str) -> str:
    """It is being painted, or waits in the server's queue."""
    return _caption(norm, "painting", "painting …")


def missing(norm: str) -> str:
    """The style has no model for this normalizer."""
    return _caption(norm, "missing", "not trained for this style")


def done(norm: str, seconds: float, parameters: int) -> str:
    """The painting is shown above."""
    return _caption(norm, "done", f"{seconds:.2f} s <span>·</span> {parameters:,} parameters")


def learning(norm: str, line: str) -> str:
    """A painting is shown above, and its network learns on."""
    return _caption(norm, "done", escape(line))


def is_done(caption: str) -> bool:
    """Whether the painting above it is one of those that are shown now."""
    return 'data-state="done"' in caption


def stopped(norm: str, caption: str) -> str:
    """What to show instead of `caption` once no more paintings come."""
    if _UNFINISHED.search(caption):
        return _caption(norm, "stopped", "not painted")
    return caption


def _caption(norm: str, state: str, line: str) -> str:
    return (
        f'<div class="caption" data-norm="{norm_slug(norm)}" data-state="{state}">'
        f"<h2>{escape(title(norm))}</h2><p>{line}</p></div>"
    )
