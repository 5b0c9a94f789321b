"""Converted models on disk, so that only the first start converts.

An entry is one file: the SHA-256 of what follows, and that. A reader sees a whole entry or none; what does
not match its checksum is made anew. The folder may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from transformer_net.checkpoint import write_atomically

log = logging.getLogger(__name__)

VARIABLE = "STYLIZER_ENGINE_CACHE"
"""Environment variable that names another folder."""

KEPT = 256
"""Entries kept; those that were not used for longest go first. One of width 16 takes 2 MB."""

_DIGEST = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """$STYLIZER_ENGINE_CACHE, else stylizer/engines in the user's cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stylizer" / "engines"


def cached(key: str, make: Callable[[], bytes]) -> bytes:
    """The entry for `key`, made and written where it is missing or broken.

    Two that make the same entry at once both write it; the last one stays, and both are right. A folder that
    cannot be written costs one line in the log and the time to convert at each start.

    Args:
        key: Name of the entry: letters, digits, `-` and `.`.
        make: Makes its content.
    """
    try:
        path = cache_folder() / f"{key}.engine"
    except RuntimeError:  # there is no home folder
        return make()
    if (data := _read(path)) is not None:
        return data
    data = make()
    try:
        write_atomically(path, hashlib.sha256(data).digest() + data)
    except OSError as error:
        _say_unwritable(path.parent, error.strerror or str(error))
    else:
        _prune(path.parent)
    return data


def _read(path: Path) -> bytes | None:
    try:
        entry = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(entry[_DIGEST:]).digest() != entry[:_DIGEST]:
        log.warning("The converted model %s is broken and is made anew.", path)
        return None
    with contextlib.suppress(OSError):  # the time of its last use; a read-only folder does without
        path.touch()
    return entry[_DIGEST:]


@lru_cache  # one line for a folder, however many models
def _say_unwritable(folder: Path, reason: str) -> None:
    log.warning("Converted models cannot be kept in %s, so each start converts anew: %s.", folder, reason)


def _prune(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another process prunes too
        entries = sorted(folder.glob("*.engine"), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in entries[KEPT:]:
            entry.unlink(missing_ok=True)
