"""The photos and videos to be painted: which there are, and what their paintings are called."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_net.errors import SettingError
from transformer_net.imaging.formats import SUFFIXES
from transformer_net.inference.ledger import Ledger
from transformer_net.inference.video.reader import SUFFIXES as VIDEO_SUFFIXES


@dataclass(frozen=True)
class InputFile:
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


def find_inputs(paths: Sequence[Path], out: Path) -> list[InputFile]:
    """The photos among `paths`, and all in the folders among them, subfolders included, sorted by name.

    Hidden files and folders are left out, `out` itself where it lies within, and what a ledger says was
    painted: paintings that are written beside their photos are not painted the next time. Two photos of a
    folder that differ in their suffix only keep it in their stem: `cat-jpg` and `cat-png`.

    Raises:
        SettingError: A folder has no photo or cannot be read, or two photos would have the same stem.
    """
    files: list[InputFile] = []
    paths = list(dict.fromkeys(paths))
    alike = Counter(path.with_suffix("") for path in paths if path.name)
    try:
        for path in paths:
            files += _in_folder(path, out.resolve()) if path.is_dir() else [_loose(path, alike)]
    except OSError as error:  # not permitted, or too long a name
        raise SettingError(f"{error.filename} cannot be read: {error.strerror}.") from error
    counts = Counter(file.stem for file in files)
    if twice := next((stem for stem, count in counts.items() if count > 1), None):
        raise SettingError(f"Two photos are called '{twice}': their paintings would overwrite each other.")
    return files


def _loose(path: Path, alike: Counter[Path]) -> InputFile:
    return InputFile(path, _stem(Path(path.name), unique=alike[path.with_suffix("")] == 1))


def _in_folder(folder: Path, out: Path) -> list[InputFile]:
    photos = sorted(_walk(folder, out, frozenset()))
    if not photos:
        raise SettingError(f"There is no photo in the folder {folder}.")
    counts = Counter(photo.with_suffix("") for photo in photos)
    return [
        InputFile(photo, _stem(photo.relative_to(folder), unique=counts[photo.with_suffix("")] == 1))
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
    """Check before hours of painting that a folder can be written to, or can be made.

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
