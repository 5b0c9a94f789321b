"""Files opened through PyAV, which brings ffmpeg."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformer_net.errors import UnreadableVideoError
from transformer_net.optional import require


def pyav() -> Any:
    """PyAV.

    Raises:
        SettingError: It is not installed.
    """
    return require("av", "Videos need PyAV, which", "av")


def address(path: Path) -> str:
    """A path as ffmpeg takes it for a file: without this, what stands before a colon is a protocol."""
    return f"file:{path}"


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A video, opened for reading; ffmpeg's errors become one sentence."""
    av = pyav()
    if path.exists() and not path.is_file():  # opening a pipe or a device could wait forever
        raise UnreadableVideoError(f"{path.name!r} is not a regular file.")
    if not path.is_file():
        raise UnreadableVideoError(f"There is no file {path.name!r}.")
    try:
        with av.open(address(path), metadata_errors="replace") as container:
            yield container
    except av.FFmpegError as error:
        raise damaged(path) from error


def damaged(path: Path) -> UnreadableVideoError:
    return UnreadableVideoError(
        f"The video {path.name!r} is damaged, truncated, or of a kind that cannot be read."
    )
