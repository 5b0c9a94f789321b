"""The photos and videos to be painted: which there are, and what their paintings are called."""

from __future__ import annotations

import hashlib
import os
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from transformer_net.errors import SettingError
from transformer_net.imaging.formats import REFUSED_SUFFIXES, SUFFIXES
from transformer_net.inference.ledger import Ledger
from transformer_net.inference.video.reader import SUFFIXES as VIDEO_SUFFIXES
from transformer_net.inference.video.reader import transport_packet

_PAINTED: Final = SUFFIXES | REFUSED_SUFFIXES | VIDEO_SUFFIXES

_LONGEST_NAME: Final = 255
"""Bytes of a file's name, on nearly every file system."""

_LEAST_NAME: Final = 24
"""Bytes that are left for a photo's name, however long the style's is: a few letters and a digest."""


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


@dataclass
class Inputs:
    """What the given files and folders hold.

    Attributes:
        files: What is to be painted. Pictures in a format that cannot be read are among them: they fail.
        unreadable: Folders that cannot be read, each with the reason.
        left: Files that are neither pictures nor videos, by their names.
        links: Links to folders: they may lead back here.
    """

    files: list[InputFile] = field(default_factory=list)
    unreadable: dict[Path, SettingError] = field(default_factory=dict)
    left: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)

    def left_alone(self) -> list[str]:
        """A sentence for each reason why something was left alone."""
        sentences = []
        if self.left:
            are = "file is no picture or video" if len(self.left) == 1 else "files are no pictures or videos"
            sentences.append(f"{len(self.left)} {are}: {_listed(self.left)}")
        if self.links:
            are = "link to a folder was" if len(self.links) == 1 else "links to folders were"
            sentences.append(f"{len(self.links)} {are} not followed: {_listed(self.links)}")
        return sentences


def find_inputs(paths: Sequence[Path], out: Path) -> Inputs:
    """The photos and videos among `paths`, and all in the folders among them, subfolders included, by name.

    Hidden files and folders are left out, `out` itself where it lies within, and what a ledger says was
    painted, in these folders, below or above: paintings that are written beside their photos are not painted
    the next time. Two photos of a folder that differ in their suffix only keep it in their stem: `cat-jpg`
    and `cat-png`. So do `Cat.jpg` and `cat.png`, which some file systems cannot tell apart.

    Raises:
        SettingError: There is nothing to paint; or two photos that were given by name have the same stem.
    """
    found = Inputs()
    paths = list(dict.fromkeys(paths))
    alike = Counter(_key(path.with_suffix("")) for path in paths if path.name)
    for path in paths:
        try:
            is_folder = path.is_dir()
        except OSError as error:  # too long a name, say
            raise _cannot_be_read(error) from error
        if is_folder:
            before = len(found.files)
            _add_folder(path, out.resolve(), found)
            if len(found.files) == before and path not in found.unreadable:
                raise SettingError(
                    " ".join([f"There is no photo in the folder {path}.", *found.left_alone()])
                )
        else:
            unique = alike[_key(path.with_suffix(""))] == 1
            name = Path(path.name)
            found.files.append(InputFile(path, name.with_suffix("") if unique else _with_suffix(name)))
    if not found.files:
        raise next(iter(found.unreadable.values()))
    counts = Counter(_key(file.stem) for file in found.files)
    if twice := next((file.stem for file in found.files if counts[_key(file.stem)] > 1), None):
        raise SettingError(f"Two photos are called '{twice}': their paintings would overwrite each other.")
    return found


def _add_folder(folder: Path, out: Path, found: Inputs) -> None:
    photos: list[Path] = []
    # A run over a folder above may have left its paintings here, and only its ledger there tells of them.
    painted = frozenset[Path]().union(*(Ledger(above).files for above in folder.resolve().parents))
    _walk(folder, out, painted, photos, found)
    names = [photo.relative_to(folder) for photo in sorted(photos)]
    counts = Counter(_key(name.with_suffix("")) for name in names)
    taken: set[str] = set()
    for name in names:
        stem = name.with_suffix("")
        if counts[_key(stem)] > 1:
            stem = _with_suffix(name)
        if _key(stem) in taken:  # `Cat.jpg` beside `cat.jpg`
            stem = stem.with_name(f"{stem.name}-{_digest(str(name))}")
        taken.add(_key(stem))
        found.files.append(InputFile(folder / name, stem))


def _walk(folder: Path, out: Path, painted: frozenset[Path], photos: list[Path], found: Inputs) -> None:
    real = folder.resolve()  # which is one path, wherever the walk began
    painted |= Ledger(real).files
    try:
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or real / path.name in painted:
                continue
            if path.is_dir():
                if path.is_symlink():
                    found.links.append(path)
                elif real / path.name != out:
                    _walk(path, out, painted, photos, found)
            elif path.suffix.lower() in _PAINTED and not _is_typescript(path):
                photos.append(path)
            else:
                found.left.append(path)
    except OSError as error:
        found.unreadable[folder] = _cannot_be_read(error)


def _is_typescript(path: Path) -> bool:
    """Whether a file is called as transport streams are, and is none."""
    try:  # opening a pipe could wait forever; it is refused when it is to be painted
        return path.suffix.lower() == ".ts" and path.is_file() and transport_packet(path) is None
    except OSError:  # reported by whoever is to paint it
        return False


def _cannot_be_read(error: OSError) -> SettingError:
    return SettingError(f"{error.filename} cannot be read: {error.strerror}.")


def _key(path: Path) -> str:
    """The same for names that some file system takes for one: case, and letters composed or not."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(path)).casefold())


def _with_suffix(name: Path) -> Path:
    return name.with_name(f"{name.stem}-{name.suffix[1:]}")


def _listed(paths: Sequence[Path], most: int = 10) -> str:
    names = ", ".join(map(str, paths[:most]))
    return names if len(paths) <= most else f"{names} and {len(paths) - most} more"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def painting_path(folder: Path, stem: Path, style: str, rest: str) -> Path:
    """Where a painting is written: `stem` below `folder`, a hyphen, `style` and `rest` added to its name.

    Names have at most 255 bytes. Of a longer one the photo's part is cut, and then the style's.
    """
    room = _LONGEST_NAME - len(os.fsencode(f"-{rest}"))
    style = _cut(style, room - min(_LEAST_NAME, len(os.fsencode(stem.name))))
    return folder / stem.parent / f"{_cut(stem.name, room - len(os.fsencode(style)))}-{style}{rest}"


def _cut(name: str, room: int) -> str:
    """A name of at most `room` bytes; one that is cut ends in a digest that tells it from others."""
    if len(os.fsencode(name)) <= room:
        return name
    digest = f"~{_digest(name)}"
    while name and len(os.fsencode(name)) > room - len(digest):
        name = name[:-1]
    return name + digest


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
