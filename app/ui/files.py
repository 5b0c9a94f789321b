"""Which files of this machine a browser may name.

Gradio serves whatever path an event gives back, and fetches web addresses: nothing that came in with a
request may go out again unchecked.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

KEPT_FOR = 1800
"""Seconds after which uploads and paintings are deleted, so that the disk stays bounded."""

EXAMPLES = Path(__file__).parents[2] / "examples"
"""Photos that may be opened besides those that were uploaded."""


def cache() -> Path:
    """Gradio's folder: uploads, and what was painted from them."""
    return Path(get_upload_folder())


def sweep(seconds: float) -> None:
    """Remove the empty folders in `cache` that are older than this: Gradio deletes the files in them only."""
    before = time.time() - seconds
    with suppress(OSError), os.scandir(cache()) as entries:
        for entry in entries:
            with suppress(OSError):  # not empty, or somebody else was faster
                if entry.is_dir(follow_symlinks=False) and entry.stat().st_mtime < before:
                    Path(entry.path).rmdir()


def resolved(path: object) -> Path | None:
    """Where a path from a browser leads, links followed; there may be no such file any more.

    None where that is neither upload, painting nor example.
    """
    return _within(path, cache(), EXAMPLES)


def painting(value: Any) -> str | None:
    """The path of a painting that hangs on a visitor's wall; None for everything that was not painted here.

    Args:
        value: What the browser sent for a picture: a dictionary with `path`, or None.
    """
    path = _within(value.get("path") if isinstance(value, dict) else None, cache())
    # Ours are PNG. Others stay out by name: Gradio embeds an SVG file without looking where it lies.
    if path is None or path.suffix != ".png" or not path.is_file():
        return None
    return str(cache() / path.relative_to(cache().resolve()))  # as Gradio names it, which compares names


def foreign(value: Any) -> bool:
    """Whether there is, however deep in `value`, a dictionary whose `path` leads elsewhere than `resolved`
    allows. It need not look like a file of Gradio's, which adds what is missing to make it one."""
    if isinstance(value, dict):
        path = value.get("path")
        return (path is not None and resolved(path) is None) or any(map(foreign, value.values()))
    return isinstance(value, list | tuple) and any(map(foreign, value))


def _within(path: object, *homes: Path) -> Path | None:
    if not isinstance(path, str):
        return None
    try:
        target = Path(path).resolve()
        target.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, a loop of links
        return None
    return target if any(target.is_relative_to(home.resolve()) for home in homes) else None
