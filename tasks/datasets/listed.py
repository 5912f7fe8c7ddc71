"""Data sets whose images are files: from a list of files to three splits in memory, or kept for the next process."""

from __future__ import annotations

import hashlib
import math
import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from learngene_bench.config.section import Section
from learngene_bench.config.typed import user_path
from learngene_bench.contracts.dataset import (
    CentreView,
    Dataset,
    DatasetFacts,
    HeldOut,
    ProgressCallback,
    Shift,
    Split,
    Splits,
)
from learngene_bench.data.corruptions import corrupted_split, corruptions_of
from learngene_bench.data.decoded_cache import cached_array
from learngene_bench.data.splits import ImageFiles, Images
from learngene_bench.tasks.datasets import arrays
from learngene_bench.tasks.datasets.arrays import Square
from learngene_bench.util.errors import Faults, UserError
from learngene_bench.util.files import address_of, readable
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images, rounded as usual."""


class ListedOptions(Section):
    root: Path
    image_size: int = Field(ge=1, description="side of the square images that networks see, pixels")
    channels: Literal[1, 3] = Field(3, description="3: RGB; 1: grey")
    crop: float = Field(
        1.0,
        gt=0,
        le=1,
        description="validation and test images: side of the centre square over the shorter side that it is cut from",
    )
    training_view: Literal["square", "whole"] = Field(
        "square",
        description="input of random_crop: the centre square of image_size, or the whole image, which is streamed",
    )
    normalization: Literal["measured", "imagenet"] = Field(
        "measured", description="mean and standard deviation of these training images, or those of ImageNet"
    )
    memory_limit_gb: float = Field(
        8.0, gt=0, description="largest size of all decoded images in memory; more is streamed, or refused"
    )
    stream: Literal["auto"] | bool = Field(
        "auto",
        description="decode an image each time it is used, not once into memory; auto: if memory_limit_gb is exceeded",
    )

    @model_validator(mode="after")
    def _whole_images_are_streamed(self) -> Self:
        if self.training_view == "whole" and self.stream is False:
            raise ValueError("training_view = 'whole' needs stream = true or 'auto': only squares fit into an array")
        if self.normalization == "imagenet" and self.channels != 3:
            raise ValueError("normalization = 'imagenet' is for 3 channels")
        return self


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
        """Sort key of a random order; a file's key does not depend on the other files."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).digest()


class Listing(NamedTuple):
    """The files of the three splits, each sorted by name."""

    train: list[File]
    validation: list[File]
    test: list[File]


class ListedImages(Dataset):
    """Images of any size in files below `root`, of which a subclass says which split and class each belongs to.

    Images are made RGB or grey, their shorter side is resized to `image_size` (bicubic, antialiased), and the centre
    is cut out, with the rounding of torchvision's `Resize` and `CenterCrop`; for validation and test images perhaps a
    smaller part of the centre (`crop`). What fits into memory is decoded once and kept for the next process
    (`learngene_bench.data.decoded_cache`); what does not is streamed.
    """

    Options = ListedOptions
    options: ListedOptions
    # None decides a result: the same data anywhere, decoded once or again and again, are the same data.
    location: ClassVar[frozenset[str]] = frozenset({"root", "memory_limit_gb", "stream"})
    _can_stream: ClassVar[bool] = True

    @property
    def _root(self) -> Path:
        return user_path(self.options.root)

    @cached_property
    @abstractmethod
    def _listing(self) -> Listing:
        """The files of each split. Raises `UserError` naming what is missing."""

    @cached_property
    @abstractmethod
    def _classes(self) -> list[str]:
        """Names of the classes, by label."""

    def facts(self) -> DatasetFacts:
        return DatasetFacts(
            classes=len(self._classes),
            channels=self.options.channels,
            image_size=self.options.image_size,
            train_images=len(self._listing.train),
            validation_images=len(self._listing.validation),
            test_images=len(self._listing.test),
            class_names=tuple(self._classes),
            centre=CentreView(math.floor(self.options.image_size / self.options.crop), self.options.crop),
        )

    def fingerprint(self) -> str:
        """Hash of the names and sizes of the files in each split: quick, and the same wherever the root lies."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        splits = self._listing._asdict()
        return address_of({split: [(file.name, file.size) for file in files] for split, files in splits.items()})

    def load(self) -> Splits:
        listing, options = self._listing, self.options
        self._check_memory(listing)
        train = self._split(listing.train)
        validation, test = (self._split(files, options.crop) for files in listing[1:])
        mean, std = IMAGENET if options.normalization == "imagenet" else self._measured(train, listing.train)
        return Splits(train, validation, test, mean, std)

    def shifts(self) -> tuple[Shift, ...]:
        """Returns the corruptions of photographs (`learngene_bench.data.corruptions`)."""
        return corruptions_of(self.options.image_size)

    def shifted(self, splits: Splits, split: HeldOut, shift: str, level: float) -> Split:
        return corrupted_split(splits.test if split == "test" else splits.validation, shift, int(level))

    def verify(self, progress: ProgressCallback) -> list[str]:
        """Decodes every image, and keeps none; names every one that does not decode."""
        faults = Faults()
        found = self._verified(progress, faults)
        faults.raise_all()
        return found

    def _verified(self, progress: ProgressCallback, faults: Faults) -> list[str]:
        """Checks all of the data. Returns lines that say what was found, and adds what is wrong to the faults."""
        found = []
        for split, files in self._listing._asdict().items():
            report = partial(progress, f"decoding the images of {split}", total=len(files))
            arrays.check_all(self._paths(files), self._square(), report, faults)
            found.append(f"{split}: {len(files)} images of {len({file.label for file in files})} classes, all decode")
        return found

    @cached_property
    def _streams(self) -> bool:
        options = self.options
        if options.stream != "auto" or not self._can_stream:
            return options.stream is True
        return options.training_view == "whole" or self._size_in_memory(self._listing) > options.memory_limit_gb

    def _split(self, files: Sequence[File], crop: float = 1.0) -> Split:
        labels = np.array([file.label for file in files], np.int64)
        if not self._streams:
            return Images(self._pixels(files, self._square(crop)), labels)
        options, names = self.options, np.array([os.fsencode(file.name) for file in files], np.bytes_)
        whole = options.training_view == "whole"
        return ImageFiles(self._root, names, labels, options.channels, options.image_size, crop, whole)

    def _pixels(self, files: Sequence[File], square: Square) -> NDArray[np.uint8]:
        paths = self._paths(files)
        shape = (len(files), square.channels, square.side, square.side)
        return cached_array(paths, arrays.describe(square), shape, lambda: arrays.decode_all(paths, square))

    def _measured(self, train: Split, files: Sequence[File]) -> arrays.Moments:
        """Measures the training squares; files on disk need a pass over all of them."""
        if isinstance(train, Images):
            return arrays.measured(train.images)
        return arrays.measured_on_disk(self._paths(files), self._square())

    def _square(self, crop: float = 1.0) -> Square:
        return Square(self.options.image_size, self.options.channels, crop)

    def _paths(self, files: Sequence[File]) -> list[Path]:
        return [self._root / file.name for file in files]

    def _size_in_memory(self, listing: Listing) -> float:
        """Returns the size of all decoded images in gigabytes."""
        return sum(len(files) for files in listing) * self.options.channels * self.options.image_size**2 / 1e9

    def _check_memory(self, listing: Listing) -> None:
        options, gigabytes = self.options, self._size_in_memory(listing)
        in_memory = options.stream is False or not self._can_stream
        if in_memory and gigabytes > options.memory_limit_gb:
            images = sum(len(files) for files in listing)
            smaller = [
                name for name in ("image_size", "classes", "images_per_class") if name in type(options).model_fields
            ]
            raise UserError(
                f"{self._root}: {images} images of {options.channels} x {options.image_size} x {options.image_size} are"
                f" {gigabytes:.3g} GB in memory, more than memory_limit_gb = {options.memory_limit_gb:g};"
                f" {'stream them, ' * self._can_stream}reduce {' or '.join(smaller)}, or raise the limit"
            )


def in_order(classes: Iterable[Iterable[File]]) -> list[File]:
    """Sorts the files of all classes by name, an order that is independent of the split."""
    return sorted(file for files in classes for file in files)


def file_below(root: Path, name: str, label: int) -> File:
    """Returns a file that a list names; see `size_of`."""
    path = root / name
    with readable(path):
        size = path.stat().st_size
    return File(name, checked_size(path, size), label)


def checked_size(path: os.PathLike[str], size: int) -> int:
    """Raises `UserError` for an empty file."""
    if not size:
        raise UserError(f"{os.fspath(path)}: does not decode: the file is empty (0 bytes)")
    return size
