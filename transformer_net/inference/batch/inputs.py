"""Many photos and videos: which there are, where their paintings go, and which are painted already."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_net.errors import SettingError
from transformer_net.imaging.decode import SUFFIXES
from transformer_net.inference.video.reader import SUFFIXES as VIDEO_SUFFIXES

LEDGER = ".stylizer.jsonl"


@dataclass(frozen=True)
class Job:
    """One photo, and what its paintings' names begin with.

    Attributes:
        photo: Its file, which may be a video.
        stem: Relative to the folder of the paintings; the photo's name without its suffix, below the same
            subfolders.
    """

    photo: Path
    stem: Path

    @property
    def is_video(self) -> bool:
        """Whether it is called like a video."""
        return self.photo.suffix.lower() in VIDEO_SUFFIXES


def find_jobs(paths: Sequence[Path], out: Path) -> list[Job]:
    """The photos among `paths`, and all in the folders among them, subfolders included, sorted by name.

    Hidden files and folders are left out, `out` itself where it lies within, and what a ledger says was
    painted: paintings that are written beside their photos are not painted the next time. Two photos of a
    folder that differ in their suffix only keep it in their stem: `cat-jpg` and `cat-png`.

    Raises:
        SettingError: A folder has no photo or cannot be read, or two photos would have the same stem.
    """
    jobs: list[Job] = []
    paths = list(dict.fromkeys(paths))
    alike = Counter(path.with_suffix("") for path in paths if path.name)
    try:
        for path in paths:
            jobs += _in_folder(path, out.resolve()) if path.is_dir() else [_loose(path, alike)]
    except OSError as error:  # not permitted, or too long a name
        raise SettingError(f"{error.filename} cannot be read: {error.strerror}.") from error
    counts = Counter(job.stem for job in jobs)
    if twice := next((stem for stem, count in counts.items() if count > 1), None):
        raise SettingError(f"Two photos are called '{twice}': their paintings would overwrite each other.")
    return jobs


def _loose(path: Path, alike: Counter[Path]) -> Job:
    return Job(path, _stem(Path(path.name), unique=alike[path.with_suffix("")] == 1))


def _in_folder(folder: Path, out: Path) -> list[Job]:
    photos = sorted(_walk(folder, out, frozenset()))
    if not photos:
        raise SettingError(f"There is no photo in the folder {folder}.")
    counts = Counter(photo.with_suffix("") for photo in photos)
    return [
        Job(photo, _stem(photo.relative_to(folder), unique=counts[photo.with_suffix("")] == 1))
        for photo in photos
    ]


def _walk(folder: Path, out: Path, painted: frozenset[Path]) -> Iterator[Path]:
    painted |= Ledger(folder).files
    for path in folder.iterdir():
        if path.name.startswith(".") or path in painted:
            continue
        if path.is_dir():
            # Links are not followed: they may lead back here.
            if not path.is_symlink() and path.resolve() != out:
                yield from _walk(path, out, painted)
        elif path.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES:
            yield path


def _stem(photo: Path, unique: bool) -> Path:
    return photo.with_suffix("") if unique else photo.with_name(f"{photo.stem}-{photo.suffix[1:]}")


def check_writable(folder: Path) -> None:
    """See that paintings can be written to a folder, or that it can be made, before hours of painting.

    Raises:
        SettingError: They cannot; the sentence says why.
    """
    place = folder.absolute()
    try:
        while not place.exists():
            place = place.parent
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise SettingError(f"The folder {folder} cannot be written to: {error.strerror}.") from error


def made_of(photo: Path, settings: str) -> str:
    """What a painting was made of: the photo, as its size and time of change tell, and the settings."""
    stat = photo.stat()
    return hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns} {settings}".encode()).hexdigest()[:32]


class Ledger:
    """Which files of a folder are finished, and of what they were made. Safe to share between threads.

    One line of JSON a file, appended when the file is complete, in `LEDGER` in that folder; the last line on
    a file counts. A line that was cut short by a crash is as good as none.

    Args:
        folder: Where the paintings are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path, self._lock = folder, folder / LEDGER, threading.Lock()
        self._known: dict[str, str] = {}
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                entry = json.loads(line)
                self._known[str(entry["file"])] = entry["of"]
            except (ValueError, TypeError, KeyError):
                continue

    @property
    def files(self) -> frozenset[Path]:
        """All that were finished at some time, below the folder."""
        return frozenset(self._folder / name for name in self._known)

    def is_done(self, file: Path, of: str) -> bool:
        """Whether `file` is there and was made of just this."""
        return self._known.get(self._name(file)) == of and file.is_file()

    def add(self, file: Path, of: str) -> None:
        """Note that `file` is complete.

        Raises:
            SettingError: The note cannot be written.
        """
        with self._lock:
            self._known[self._name(file)] = of
            # A new line first: after a crash the last one may lack its end.
            line = "\n" + json.dumps({"file": self._name(file), "of": of})
            try:
                with self._path.open("a", encoding="utf-8") as stream:
                    stream.write(line)
            except OSError as error:
                raise SettingError(f"{self._path} cannot be written: {error.strerror or error}.") from error

    def _name(self, file: Path) -> str:
        return file.relative_to(self._folder).as_posix()
