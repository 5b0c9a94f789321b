"""Ctrl-C while a command is imported, which takes seconds: its end, without a traceback of the imports.

A command imports this before anything else, and calls `as_before` when the rest is imported.
"""

from __future__ import annotations

import signal
from contextlib import suppress

_before = signal.getsignal(signal.SIGINT)


def as_before() -> None:
    """From now on, Ctrl-C does what it did."""
    _on_interrupt(_before)


def _on_interrupt(handler: object) -> None:
    with suppress(ValueError):  # imported by another thread than the main one, which alone may do this
        signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]  # what getsignal gave


_on_interrupt(signal.SIG_DFL)
