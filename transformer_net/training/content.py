"""Content photos: where they come from, and the batches that a training run sees.

Batches are a pure function of (seed, iteration). Resuming needs no random state, the four normalizers of a
style see the same photos and crops in the same order, and batches can be prepared ahead by threads (Pillow
releases the interpreter lock while it decodes and resizes).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, count
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor

from transformer_net.errors import ContentError, StylizerError
from transformer_net.imaging.arrays import to_array
from transformer_net.imaging.decode import decode
from transformer_net.imaging.formats import SUFFIXES
from transformer_net.training.execution.distributed import ALONE, Ranks

log = logging.getLogger(__name__)

EXAMPLES = Path(__file__).parents[2] / "examples"
"""The photos that ship with the project, used where no content is named."""

_SUFFIXES = SUFFIXES - {".gif"}  # hardly ever a photo

DATASETS = ("imagenette", "food101", "caltech101", "pets")
"""Torchvision datasets that `--content` takes by name and downloads."""

DOWNLOADS = Path.home() / ".cache" / "stylizer" / "datasets"

_PHOTOS = {"pets": "oxford-iiit-pet/images"}
"""Where a data set's photos are that has other pictures, too: masks."""

_MAX_VALIDATION = 8

Prepared = TypeVar("Prepared")


@dataclass
class ContentPhotos:
    """A set of photos, split once into training and validation photos.

    Attributes:
        name: The name of the content in the card.
        training: Files to train on.
        validation: Readable held-out files: at most 8, about a tenth. Chosen by a hash of the file's
            name, so the split does not depend on the seed or on the folder. A single file is trained on, too.
        broken: Files that could not be decoded so far, with the reason.
    """

    name: str
    training: list[Path]
    validation: list[Path]
    broken: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def from_folder(cls, folder: Path, name: str | None = None) -> ContentPhotos:
        """All pictures below `folder`, by suffix, but for hidden ones; links to folders are followed.

        Raises:
            ContentError: It is not a folder, or has no readable picture.
        """
        if not folder.is_dir():
            raise ContentError(f"The content {folder} is not a folder.")
        files = sorted(_pictures_below(folder))
        if not files:
            raise ContentError(
                f"The content folder {folder} holds no picture ({', '.join(sorted(_SUFFIXES))})."
            )
        return cls.from_files(files, name or folder.name)

    @classmethod
    def from_files(cls, files: Sequence[Path], name: str) -> ContentPhotos:
        """Split `files` as described above.

        Raises:
            ContentError: None of them can be read.
        """
        photos = cls(name, list(files), [])
        wanted = min(_MAX_VALIDATION, max(1, len(files) // 10))
        for path in sorted(files, key=lambda p: hashlib.sha256(p.name.encode()).digest()):
            if len(photos.validation) == wanted:
                break
            if photos._decoded(path) is not None:
                photos.validation.append(path)
                if len(files) > 1:
                    photos.training.remove(path)
        if not photos.validation:
            raise photos._unreadable()
        return photos

    def photo(self, index: int) -> Image.Image:
        """Training photo `index`, upright RGB; the next readable one where that file is damaged.

        Where none of them is readable, one of the held-out ones, rather than nothing.

        Raises:
            ContentError: No file can be read.
        """
        files = self.training  # of a hundred thousand, say: no copy for each photo
        in_turn = (files[(index + step) % len(files)] for step in range(len(files)))
        for path in chain(in_turn, self.validation):
            photo = self._decoded(path)
            if photo is not None:
                return photo
        raise self._unreadable()

    def validation_tensors(self, size: int) -> Iterator[Tensor]:
        """Each readable validation photo's central square, (1, 3, `size`, `size`) in [0, 1]."""
        for path in self.validation:
            photo = self._decoded(path)
            if photo is None:
                continue
            side = min(photo.size)
            left, top = (photo.width - side) / 2, (photo.height - side) / 2
            yield torch.from_numpy(_cut(photo, (left, top, left + side, top + side), size))[None]

    def _unreadable(self) -> ContentError:
        count = len({*self.training, *self.validation})
        return ContentError(f"None of the {count} content photos can be read.")

    def _decoded(self, path: Path) -> Image.Image | None:
        """The photo in `path`; None where it is damaged, which is noted and logged the first time."""
        try:
            return decode(path).rgb
        except StylizerError as error:
            if path not in self.broken:
                self.broken[path] = str(error)
                log.warning("Skipping %s: %s", path, error)
            return None


def open_content(content: str | None, name: str | None = None) -> ContentPhotos:
    """The photos that `--content` names: a folder, a torchvision dataset, or (None) the shipped examples.

    Args:
        content: As on the command line.
        name: The name of the folder in the card; its own name if not given.

    Raises:
        ContentError: Neither a folder nor a known dataset, no picture in it, or the download failed.
    """
    if content is None:
        return ContentPhotos.from_folder(EXAMPLES, name="shipped examples")
    if not content.strip():  # an unset variable of the shell, say; as a path, it is the present folder
        raise ContentError("The content has an empty name; give a folder of photos or a data set.")
    if not Path(content).is_dir() and content.lower() in DATASETS:
        dataset = content.lower()
        return ContentPhotos.from_folder(_download(dataset), name=f"torchvision {dataset}")
    if not Path(content).exists():
        raise ContentError(
            f"The content folder {content} does not exist and is not a data set ({', '.join(DATASETS)})."
        )
    return ContentPhotos.from_folder(Path(content), name)


@dataclass(frozen=True)
class ContentBatches:
    """Random crops of the training photos.

    Each crop covers a random share of its photo, `crop_scale` to 1 of the largest square, at a random place,
    mirrored every second time: Inception's augmentation (Szegedy et al. 2015, arXiv 1409.4842) without its
    change of aspect ratio, which would bend faces and houses.
    """

    photos: ContentPhotos
    batch_size: int
    crop_scale: float
    seed: int
    ranks: Ranks = ALONE

    def batch(self, iteration: int, size: int) -> Tensor:
        """This rank's share of the photos of `iteration`, (share, 3, size, size) in [0, 1], channels last.

        Raises:
            SettingError: The ranks cannot share a batch evenly.
        """
        share = self.ranks.share(self.batch_size)
        first = iteration * self.batch_size + self.ranks.rank * share
        # NumPy, beside a training on all cores: PyTorch would have threads of its own for each thread that
        # prepares batches, and they take the cores from it for longer than their work lasts.
        pixels = np.empty((share, size, size, 3), np.float32)
        for place, sample in enumerate(range(first, first + share)):
            pixels[place] = self._crop(sample, size).transpose(1, 2, 0)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def iterate(
        self,
        start: int,
        sizes: Callable[[int], int],
        prepare: Callable[[Tensor, int], Prepared],
        stop: int | None = None,
        threads: int = 1,
    ) -> Iterator[Prepared]:
        """Batches `start` to `stop` − 1 in order, each of side `sizes(iteration)`, made ahead.

        `sizes` is asked in the caller's thread, 2 · `threads` iterations ahead; `prepare(batch, iteration)`
        is what becomes of each batch in the threads. Without a `stop`, there is no end.
        """

        def make(iteration: int, size: int) -> Prepared:
            return prepare(self.batch(iteration, size), iteration)

        with ThreadPoolExecutor(threads, thread_name_prefix="content") as pool:
            pending: deque[Future[Prepared]] = deque()
            try:
                for iteration in count(start) if stop is None else range(start, stop):
                    pending.append(pool.submit(make, iteration, sizes(iteration)))
                    if len(pending) > 2 * threads:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _crop(self, sample: int, size: int) -> npt.NDArray[np.float32]:
        photos = len(self.photos.training)
        epoch, position = divmod(sample, photos)
        photo = self.photos.photo(int(_order(self.seed, epoch, photos)[position]))
        rng = np.random.default_rng([self.seed, 1, sample])
        side = min(photo.size) * rng.uniform(self.crop_scale, 1) ** 0.5
        left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
        crop = _cut(photo, (left, top, left + side, top + side), size)
        return crop[:, :, ::-1] if rng.random() < 0.5 else crop


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, photos: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, 0, epoch]).permutation(photos)


def _cut(photo: Image.Image, box: tuple[float, float, float, float], size: int) -> npt.NDArray[np.float32]:
    return to_array(photo.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _pictures_below(folder: Path) -> Iterator[Path]:
    """The pictures in a folder and its subfolders. Folders that cannot be read are logged and skipped."""
    seen: set[Path] = set()  # links may lead back

    def unreadable(error: OSError) -> None:
        log.warning("Skipping the folder %s: %s", error.filename, error.strerror)

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        if (real := Path(place).resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(place, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in _SUFFIXES and path.is_file():
                yield path


def _download(name: str) -> Path:
    """The folder of a data set's photos, which are downloaded where that was not done."""
    from torchvision import datasets

    makers: dict[str, Callable[[Path], object]] = {
        "imagenette": lambda root: datasets.Imagenette(root, size="320px", download=True),
        "food101": lambda root: datasets.Food101(root, download=True),
        "caltech101": lambda root: datasets.Caltech101(root, download=True),
        "pets": lambda root: datasets.OxfordIIITPet(root, download=True),
    }
    root = DOWNLOADS / name
    if not root.is_dir():
        # torchvision takes what was half unpacked for the whole: it gets its name when it is complete.
        begun = root.with_name(f"{name}.part")
        try:
            DOWNLOADS.mkdir(parents=True, exist_ok=True)
            with FileLock(DOWNLOADS / f"{name}.lock"):  # of several processes, one downloads
                if not root.is_dir():
                    shutil.rmtree(begun, ignore_errors=True)
                    begun.mkdir()
                    makers[name](begun)
                    begun.rename(root)
        except (OSError, RuntimeError) as error:
            raise ContentError(f"The data set {name} could not be downloaded to {root}: {error}") from error
    return root / _PHOTOS.get(name, "")
