"""Which files of this machine a browser may name.

Gradio serves whatever path an event gives back, and fetches web addresses: nothing that came in with a
request may go out again unchecked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from transformer_net.errors import SettingError

KEPT_FOR = 1800
"""Seconds after which uploads and paintings are deleted."""

_KEPT_FILES = 5000
"""How many may be kept: each sweep looks at all of them."""

_HALF_SECONDS = 120
"""Seconds after which an upload that is not complete is deleted."""

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


def sweep(seconds: float, most: int) -> None:
    """Delete what is older than this in `cache`, the oldest files beyond `most` bytes, halves of uploads that
    grow no more, and old empty folders.

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
    total, home = 0, cache()
    half = time.time() - min(seconds, _HALF_SECONDS)
    for count, (since, size, path) in enumerate(sorted(files, reverse=True)):
        total += size
        incomplete = path.parent == home  # Gradio moves it into a folder when it is complete
        if since < (half if incomplete else before) or total > most or count >= _KEPT_FILES:
            with suppress(OSError):
                path.unlink()
                path.parent.rmdir()  # where it was the last one in it
    for folder in folders[:-1]:  # from the inside out; the last one is the cache itself
        with suppress(OSError):  # not empty
            if folder.stat().st_mtime < before:
                folder.rmdir()


def used() -> int:
    """Bytes of all files in `cache`."""
    total = 0
    for inside, _, names in os.walk(cache()):
        for name in names:
            with suppress(OSError):
                total += Path(inside, name).lstat().st_size
    return total


def public(path: str) -> str:
    """The name by which browsers know a file, which shows no folder of this machine; others' stay as they
    are. `resolved` gives the file."""
    for alias, home in _homes().items():
        if path.startswith(f"{home}/"):
            return f"{alias}/{path.removeprefix(f'{home}/')}"
    return path


def private(name: str) -> str:
    """The path of a file that browsers know by a `public` name; other names stay as they are."""
    alias, _, rest = name.partition("/")
    return f"{_homes()[alias]}/{rest}" if alias in _homes() else name


def renamed(value: Any, name: Callable[[str], str]) -> Any:
    """`value` with another name for each file, in `path` and `url` of a dictionary, however deep in it."""
    if isinstance(value, dict):
        return {key: _renamed(key, inner, name) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(renamed(inner, name) for inner in value)
    return value


def _renamed(key: str, value: Any, name: Callable[[str], str]) -> Any:
    if key == "path" and isinstance(value, str):
        return name(value)
    if key == "url" and isinstance(value, str):
        address, mark, path = value.partition("file=")
        return address + mark + name(path) if mark else value
    return renamed(value, name)


def _homes() -> dict[str, Path]:
    return {"uploads": cache(), "examples": EXAMPLES}


def resolved(path: object) -> Path | None:
    """Where a path or a `public` name from a browser leads, links followed; there may be no such file any
    more.

    None where that is neither upload, painting nor example.
    """
    return _within(path, cache(), EXAMPLES)


def uploaded(upload: Any) -> Path | None:
    """The file of an upload or an example; None where there is none, or none any more.

    Args:
        upload: What the browser sent for it: a dictionary with `path`, or None.
    """
    path = resolved(upload.get("path")) if upload else None
    return path if path and path.is_file() else None


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
        target = Path(private(path)).resolve()
        target.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, a loop of links
        return None
    return target if any(target.is_relative_to(home.resolve()) for home in homes) else None
