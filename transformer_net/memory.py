"""How a process takes memory from the system and returns it. Only glibc can be configured."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for the next step needs as much again; False where it cannot.

    glibc maps every tensor of 32 MB or more again, and the system has to clear its pages each time. It is a
    setting of the whole process, for commands that do nothing but train.
    """
    libc = _libc()
    if not hasattr(libc, "mallopt"):
        return False
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, -1))


def give_back() -> None:
    """Returns freed memory to the system. glibc, which alone has this, keeps as much as was ever in use."""
    if hasattr(_libc(), "malloc_trim"):
        _libc().malloc_trim(0)


@lru_cache
def _libc() -> Any:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
