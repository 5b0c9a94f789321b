"""Which files of a folder are finished, and of what they were made."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path

from transformer_net.errors import SettingError

LEDGER = ".stylizer.jsonl"

PIPELINE_VERSION = 3
"""To be raised with every change after which the same photo, model and options give other pixels: in
decoding, grain, network, options, tiles or encoding. Cached paintings are then painted again."""


def made_of(photo: Path, settings: str) -> str:
    """What a painting was made of: photo (by its size and time of change), settings and pipeline."""
    stat = photo.stat()
    return hashlib.sha256(
        f"{PIPELINE_VERSION} {stat.st_size} {stat.st_mtime_ns} {settings}".encode()
    ).hexdigest()[:32]


class Ledger:
    """Which files of a folder are finished, and of what they were made. Safe to share between threads.

    One line of JSON a file, appended when the file is complete, in `LEDGER` in that folder; the last line on
    a file counts. A line that was truncated by a crash is ignored.

    Args:
        folder: Where the paintings are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path, self._lock = folder, folder / LEDGER, threading.Lock()
        self._known: dict[str, tuple[str, str]] = {}  # of what, and a remark
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                entry = json.loads(line)
                self._known[str(entry["file"])] = entry["of"], str(entry.get("remark", ""))
            except (ValueError, TypeError, KeyError):
                continue

    @property
    def files(self) -> frozenset[Path]:
        """All that were finished at some time, below the folder."""
        return frozenset(self._folder / name for name in self._known)

    def is_done(self, file: Path, of: str) -> bool:
        """Whether `file` is there and was made of just this."""
        return bool(of) and self._known.get(self._name(file), ("", ""))[0] == of and file.is_file()

    def remark(self, file: Path) -> str:
        """What was noted with `file`; empty where nothing was."""
        return self._known.get(self._name(file), ("", ""))[1]

    def add(self, file: Path, of: str, remark: str = "") -> None:
        """Note that `file` is complete, and what is to be told whenever it is left as it is.

        Raises:
            SettingError: The note cannot be written.
        """
        with self._lock:
            self._known[self._name(file)] = of, remark
            entry = {"file": self._name(file), "of": of} | ({"remark": remark} if remark else {})
            line = "\n" + json.dumps(entry)  # a new line first: after a crash the last one may lack its end
            try:
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(line)
            except OSError as error:
                raise SettingError(f"{self._path} cannot be written: {error.strerror or error}.") from error

    def _name(self, file: Path) -> str:
        return file.relative_to(self._folder).as_posix()
