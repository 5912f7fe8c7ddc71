"""Data sets whose images are files: from a list of files to three splits in memory, or kept for the next process."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from learngene_bench.array_cache import cached_array
from learngene_bench.config import Section
from learngene_bench.datasets import Dataset, DatasetFacts, Images, Splits, Tell
from learngene_bench.errors import UserError
from learngene_bench.files import address_of, readable
from learngene_bench.tasks.datasets import decoding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ListedOptions(Section):
    root: Path
    image_size: int = Field(ge=1, description="side of the square images that networks see, pixels")
    channels: Literal[1, 3] = Field(3, description="3: RGB; 1: grey")
    memory_limit_gb: float = Field(8.0, gt=0, description="more than this, decoded, is refused")


class File(NamedTuple):
    """An image file.

    Attributes:
        name: path within the root, `train/cat/1.jpg`, with slashes on every system.
        size: bytes.
        label: class index.
    """

    name: str
    size: int
    label: int

    @property
    def place(self) -> bytes:
        """Where the file stands in a random order that is its own, whatever other files there are."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).digest()


class Listing(NamedTuple):
    """The files of the three splits, each sorted by name."""

    train: list[File]
    validation: list[File]
    test: list[File]


class ListedImages(Dataset):
    """Images of any size in files below `root`, of which a subclass says which split and class each belongs to.

    Images are made RGB or grey, their shorter side is resized to `image_size` (bicubic, antialiased), and the centre
    is cut out, with the rounding of torchvision's `Resize` and `CenterCrop`. What was decoded once is kept
    (`learngene_bench/array_cache.py`).
    """

    Options = ListedOptions
    options: ListedOptions
    # Neither decides a result: the same data anywhere, and decoded under any limit, are the same data.
    location: ClassVar[frozenset[str]] = frozenset({"root", "memory_limit_gb"})

    @property
    def _root(self) -> Path:
        return self.options.root.expanduser()

    @cached_property
    @abstractmethod
    def _listing(self) -> Listing:
        """The files of each split. Raises `UserError` naming what is missing."""

    @cached_property
    @abstractmethod
    def _classes(self) -> list[str]:
        """Names of the classes, by label."""

    def facts(self) -> DatasetFacts:
        return self._held

    @property
    def _held(self) -> DatasetFacts:
        """What lies below the root."""
        return DatasetFacts(
            classes=len(self._classes),
            channels=self.options.channels,
            image_size=self.options.image_size,
            train_images=len(self._listing.train),
            validation_images=len(self._listing.validation),
            test_images=len(self._listing.test),
        )

    def fingerprint(self) -> str:
        """Hash of the names and sizes of the files in each split: quick, and the same wherever the root lies."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        splits = self._listing._asdict()
        return address_of({split: [(file.name, file.size) for file in files] for split, files in splits.items()})

    def load(self) -> Splits:
        self._check_memory(self._listing)
        train, validation, test = (self._images(files) for files in self._listing)
        mean, std = decoding.mean_and_std(train.images)
        return Splits(train, validation, test, mean, std)

    def verify(self, tell: Tell) -> list[str]:
        """Decodes every image, and keeps none."""
        own, found = self.options, []
        for split, files in self._listing._asdict().items():
            told = partial(tell, f"decoding the images of {split}", total=len(files))
            decoding.check_all(self._paths(files), own.image_size, own.channels, told)
            found.append(f"{split}: {len(files)} images of {len({file.label for file in files})} classes, all decode")
        return found

    def _images(self, files: Sequence[File]) -> Images:
        import numpy as np

        return Images(self._pixels(files), np.array([file.label for file in files], np.int64))

    def _pixels(self, files: Sequence[File]) -> NDArray[np.uint8]:
        own, paths = self.options, self._paths(files)
        return cached_array(
            paths,
            decoding.describe(own.image_size, own.channels),
            (len(files), own.channels, own.image_size, own.image_size),
            lambda: decoding.decode_all(paths, own.image_size, own.channels),
        )

    def _paths(self, files: Sequence[File]) -> list[Path]:
        return [self._root / file.name for file in files]

    def _check_memory(self, listing: Listing) -> None:
        own, images = self.options, sum(len(files) for files in listing)
        gigabytes = images * own.channels * own.image_size**2 / 1e9
        if gigabytes > own.memory_limit_gb:
            less = [name for name in ("image_size", "classes", "images_per_class") if name in type(own).model_fields]
            named = f"{', '.join(less[:-1])} or {less[-1]}" if len(less) > 1 else less[0]
            raise UserError(
                f"{self._root}: {images} images of {own.channels} x {own.image_size} x {own.image_size} are"
                f" {gigabytes:.3g} GB in memory, more than memory_limit_gb = {own.memory_limit_gb:g};"
                f" reduce {named}, or raise the limit"
            )


def in_order(classes: Iterable[Iterable[File]]) -> list[File]:
    """The files of all classes by name, an order that says nothing about how they were split."""
    return sorted(file for files in classes for file in files)


def file_below(root: Path, name: str, label: int) -> File:
    """A file of which a list says that it is there; see `size_of`."""
    path = root / name
    with readable(path):
        size = path.stat().st_size
    return File(name, checked_size(path, size), label)


def checked_size(path: os.PathLike[str], size: int) -> int:
    """Raises `UserError` for an empty file."""
    if not size:
        raise UserError(f"{os.fspath(path)}: does not decode: the file is empty (0 bytes)")
    return size
