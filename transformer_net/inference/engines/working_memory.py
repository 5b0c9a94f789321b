"""Which engine keeps the memory that it painted in.

OpenVINO keeps 330 bytes for each pixel of the largest picture at width 16, in every model, and a server has
dozens. Getting them from the system again takes a quarter of the time of a painting, though. So one engine
keeps its memory: the one that paints, or the last one that did.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

LARGE = 1 << 21
"""Pixels from which a painting's memory is released at once: more than a frame of 1080p."""

TRIMMED = 1 << 19
"""Pixels from which released memory is returned to the system. For less that takes too long: a third of the
time of a painting of 128 x 128 px."""


class ReleasesMemory(Protocol):
    """An engine that can release its working memory."""

    def release_memory(self) -> None:
        """Releases it, unless the engine is painting."""


class MemoryOwner:
    """The engine that keeps its memory. Safe to share between threads."""

    def __init__(self) -> None:
        self._engine: weakref.ref[ReleasesMemory] | None = None
        self._lock = threading.Lock()

    def claim(self, engine: ReleasesMemory) -> None:
        """`engine` may keep its memory from now on; the engine that kept it until now releases it.

        Engines say so before they paint and afterwards: one that others found at work keeps nothing for long.
        """
        with self._lock:
            before = self._engine() if self._engine else None
            self._engine = weakref.ref(engine)
        if before is not None and before is not engine:
            before.release_memory()


owner = MemoryOwner()
