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

from transformer_net.errors import SettingError

KEPT_FOR = 1800
"""Seconds after which uploads and paintings are deleted."""

KEPT_BYTES = 500_000_000
"""What all of them may have together; beyond it the oldest go first, so that the disk stays bounded."""

_MARK, _MARKED = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n# Stylizer's page keeps uploads and paintings here.\n",
)
"""A file that marks our own folder, by the Cache Directory Tagging Specification: backups leave it out."""

EXAMPLES = Path(__file__).parents[2] / "examples"
"""Photos that may be opened besides those that were uploaded."""


def cache() -> Path:
    """Gradio's folder: uploads, and what was painted from them."""
    return Path(get_upload_folder())


def claim() -> None:
    """Make `cache` a folder of our own, marked as such: Gradio's default is shared with other programs.

    Raises:
        SettingError: It cannot be made, or there is one of its name that holds other files.
    """
    if _ours():
        return
    home = cache() / "stylizer-page"
    os.environ["GRADIO_TEMP_DIR"] = str(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if _ours():
            return
        if any(home.iterdir()):
            raise SettingError(f"{home} holds files that are not ours; name another GRADIO_TEMP_DIR.")
        (home / _MARK).write_text(_MARKED)
    except OSError as error:
        raise SettingError(f"{home} cannot be written: {error.strerror}; set GRADIO_TEMP_DIR.") from None


def _ours() -> bool:
    try:
        return (cache() / _MARK).read_text().splitlines()[:2] == _MARKED.splitlines()
    except OSError:
        return False


def sweep(seconds: float, most: int = KEPT_BYTES) -> None:
    """Delete what is older than this in `cache`, the oldest files beyond `most` bytes, and old empty folders.

    Gradio deletes files that it gave out itself, while it runs: no folders, and neither half an upload nor
    what an earlier server left. Nothing is deleted unless `claim` made the folder.
    """
    if not _ours():
        return
    before, files, folders = time.time() - seconds, [], []
    for inside, _, names in os.walk(cache(), topdown=False):
        folders.append(Path(inside))
        for path in (Path(inside, name) for name in names if name != _MARK):
            with suppress(OSError):  # here and below: it was deleted meanwhile
                status = path.lstat()
                files.append((status.st_ctime, status.st_size, path))  # a copy has its original's st_mtime
    total = 0
    for since, size, path in sorted(files, reverse=True):
        total += size
        if since < before or total > most:
            with suppress(OSError):
                path.unlink()
    for folder in folders[:-1]:  # from the inside out; the last one is the cache itself
        with suppress(OSError):  # not empty
            if folder.stat().st_mtime < before:
                folder.rmdir()


def resolved(path: object) -> Path | None:
    """Where a path from a browser leads, links followed; there may be no such file any more.

    None where that is neither upload, painting nor example.
    """
    return _within(path, cache(), EXAMPLES)


def painting(value: Any) -> str | None:
    """The path of a painting that a visitor's page shows; None for everything that was not painted here.

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
