"""Which files of a folder are finished, and of what they were made."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import asdict, dataclass
from os.path import samestat
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


@dataclass(frozen=True)
class _Entry:
    """What is known of a finished file.

    Attributes:
        of: What it was made of, as `made_of` gives it.
        photo: The whole path of its photo; empty where older lines do not tell, or there is none.
        remark: What is to be told whenever the file is left as it is.
    """

    of: str = ""
    photo: str = ""
    remark: str = ""


class Ledger:
    """Which files of a folder are finished, and of what they were made. Safe to share between threads.

    One line of JSON a file, appended when the file is complete, in `LEDGER` in that folder; the last line on
    a file counts. Lines of earlier versions do not tell the photo. A line that was truncated by a crash is
    ignored.

    Args:
        folder: Where the paintings are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path, self._lock = folder, folder / LEDGER, threading.Lock()
        self._known: dict[str, _Entry] = {}
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                entry = json.loads(line)
                self._known[str(entry["file"])] = _Entry(
                    entry["of"], str(entry.get("photo", "")), str(entry.get("remark", ""))
                )
            except (ValueError, TypeError, KeyError):
                continue

    @property
    def files(self) -> frozenset[Path]:
        """All that were finished at some time, below the folder."""
        return frozenset(self._folder / name for name in self._known)

    def is_done(self, file: Path, of: str) -> bool:
        """Whether `file` is there and was made of just this."""
        return bool(of) and self._entry(file).of == of and file.is_file()

    def remark(self, file: Path) -> str:
        """What was noted with `file`; empty where nothing was."""
        return self._entry(file).remark

    def other_photo(self, file: Path, photo: Path) -> Path | None:
        """The photo that `file` was made of, if it is still there and is not this one.

        As in `made_of`, photos of the same size and time of change are one: a copy is no other photo.
        """
        noted = Path(self._entry(file).photo)
        try:
            before, now = noted.stat(), photo.stat()
            alike = (before.st_size, before.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
            if not noted.is_file() or not file.is_file() or alike or samestat(before, now):
                return None
        except (OSError, ValueError):  # gone, moved, or no path at all
            return None
        return noted

    def add(self, file: Path, of: str, photo: Path | None = None, remark: str = "") -> None:
        """Note that `file` is complete, of which photo, and what to tell whenever it is left as it is.

        Raises:
            SettingError: The note cannot be written.
        """
        with self._lock:
            entry = _Entry(of, "" if photo is None else str(photo.absolute()), remark)
            self._known[self._name(file)] = entry
            told = {key: value for key, value in asdict(entry).items() if value or key == "of"}
            # A new line first: after a crash the last one may lack its end.
            line = "\n" + json.dumps({"file": self._name(file), **told})
            try:
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(line)
            except OSError as error:
                raise SettingError(f"{self._path} cannot be written: {error.strerror or error}.") from error

    def _entry(self, file: Path) -> _Entry:
        return self._known.get(self._name(file), _Entry())

    def _name(self, file: Path) -> str:
        return file.relative_to(self._folder).as_posix()
