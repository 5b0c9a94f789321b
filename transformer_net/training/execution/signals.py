"""Ctrl-C and SIGTERM as a request that a run looks at, rather than as its end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class StopSignals:
    """While the block lasts, the first SIGINT or SIGTERM is noted only; a second one acts as it would have.

    Args:
        on_first: Called when the first comes.

    Attributes:
        received: Number of the signal that came; 0 for none.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.received = 0
        self._on_first = on_first
        self._before: dict[int, Any] = {}

    def requested(self) -> bool:
        """Whether a signal came."""
        return self.received != 0

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self.__exit__()
        self._on_first()
