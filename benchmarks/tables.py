"""What benchmarks print: tables in Markdown on standard output, for docs/performance.md; progress apart."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> None:
    """Print a table under its title.

    Args:
        title: A line of text.
        columns: Their names.
        rows: Their cells; a float should be formatted.
        left: Columns that hold text, flush left; the others hold numbers.
    """
    print(f"{title}\n")
    print(f"| {' | '.join(columns)} |")
    print("|" + "---|" * left + "---:|" * (len(columns) - left))
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
    print(flush=True)


def tell(line: str) -> None:
    """Print a line of progress."""
    print(line, file=sys.stderr, flush=True)
