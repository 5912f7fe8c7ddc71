"""Any tree of images with a folder per class, as torchvision's `ImageFolder` reads it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from learngene_bench.config import LATER, Section
from learngene_bench.datasets import Dataset, DatasetFacts, ImageFiles, Images, Split, Splits
from learngene_bench.decoding import decoded_square
from learngene_bench.errors import UserError
from learngene_bench.files import address_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's training images, as everybody rounds them."""
IMAGES_PER_TASK = 256
"""Images that a thread decodes at a time: a million small tasks would cost more than the decoding."""


class ImageFolderOptions(Section):
    root: Path = Field(description="the folder that holds train/, val/ and perhaps test/")
    image_size: int = Field(ge=1, description="side of the square images that networks see, pixels")
    channels: Literal[1, 3] = Field(3, description="3: RGB; 1: grey")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="part of train/ taken for validation when there is no test/"
    )
    classes: int | None = Field(None, ge=2, description="only the first classes by name; all when absent")
    images_per_class: int | None = Field(
        None, ge=1, description="only so many images of each class of train/; all when absent"
    )
    crop: float = Field(
        1.0,
        gt=0,
        le=1,
        description="validation and test images: side of the centre square over the shorter side that it is cut from",
        json_schema_extra=LATER,
    )
    training_view: Literal["square", "whole"] = Field(
        "square",
        description="what random_crop crops: the centre square of image_size, or the whole image, which is streamed",
        json_schema_extra=LATER,
    )
    normalization: Literal["measured", "imagenet"] = Field(
        "measured",
        description="mean and standard deviation of these training images, or those of ImageNet",
        json_schema_extra=LATER,
    )
    memory_limit_gb: float = Field(8.0, gt=0, description="more than this, decoded, is streamed, or refused")
    stream: Literal["auto"] | bool = Field(
        "auto",
        description="decode images whenever they are seen, not once into memory; auto: where they exceed the limit",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _whole_images_are_streamed(self) -> ImageFolderOptions:
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
        """Where the file stands in a random order that is its own, whatever other files there are."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).digest()


class Listing(NamedTuple):
    """The files of the three splits, each sorted by name."""

    train: list[File]
    validation: list[File]
    test: list[File]


class ImageFolder(Dataset):
    """`ROOT/train/CLASS/IMAGE`, `ROOT/val/CLASS/IMAGE` and perhaps `ROOT/test/CLASS/IMAGE`, in memory or streamed.

    With `test/`, `val/` is the validation split. Without, `val/` is the test split, as it is customary for ImageNet,
    and validation images are taken from `train/`: the same fraction of every class, at least one image, chosen by a
    hash of each file's name, so that a file that comes or goes moves at most one other of its class.

    Files without an image's suffix and hidden files and folders are ignored; folders inside a class belong to it.
    Images are made RGB or grey, their shorter side is resized to `image_size` (bicubic, antialiased), and the centre
    is cut out, with the rounding of torchvision's `Resize` and `CenterCrop`; for validation and test images perhaps a
    smaller part of the centre (`crop`).
    """

    Options = ImageFolderOptions
    options: ImageFolderOptions
    # None decides a result: the same data anywhere, decoded once or again and again, are the same data.
    location: ClassVar[frozenset[str]] = frozenset({"root", "memory_limit_gb", "stream"})

    @property
    def _root(self) -> Path:
        return self.options.root.expanduser()

    def label(self, name: str) -> str:
        """The folder's name: every tree is another task."""
        return self._root.resolve().name

    def facts(self) -> DatasetFacts:
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
        from PIL import Image

        # Left to the first image of a rare format, this is a race: of two threads, one finds no decoder.
        Image.init()
        listing, own = self._listing, self.options
        with ThreadPoolExecutor(_cores()) as pool:
            train = self._held(listing.train, pool)
            validation, test = (self._held(files, pool, own.crop) for files in listing[1:])
            mean, std = IMAGENET if own.normalization == "imagenet" else self._measured(train, listing.train, pool)
        return Splits(train, validation, test, mean, std)

    @cached_property
    def _streams(self) -> bool:
        own = self.options
        if own.stream != "auto":
            return own.stream
        return own.training_view == "whole" or self._size_in_memory(self._listing) > own.memory_limit_gb

    def _held(self, files: Sequence[File], pool: Executor, crop: float = 1.0) -> Split:
        return self._on_disk(files, crop) if self._streams else self._in_memory(files, pool, crop)

    def _on_disk(self, files: Sequence[File], crop: float) -> ImageFiles:
        import numpy as np

        own, names = self.options, np.array([os.fsencode(file.name) for file in files])
        whole = own.training_view == "whole"
        return ImageFiles(self._root, names, _labels(files), own.channels, own.image_size, crop, whole)

    def _in_memory(self, files: Sequence[File], pool: Executor, crop: float) -> Images:
        import numpy as np

        own = self.options
        images = np.empty((len(files), own.channels, own.image_size, own.image_size), np.uint8)

        def fill(start: int) -> None:
            some = files[start : start + IMAGES_PER_TASK]
            images[start : start + len(some)] = self._squares(some, crop)

        for _ in pool.map(fill, range(0, len(files), IMAGES_PER_TASK)):
            pass  # raises what a thread raised, of several the first by name
        return Images(images, _labels(files))

    def _measured(
        self, train: Split, files: Sequence[File], pool: Executor
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of the training squares, which for files on disk takes a pass over them."""

        def counted(start: int) -> NDArray[np.int64]:
            end = start + IMAGES_PER_TASK
            return _histograms(
                train.images[start:end] if isinstance(train, Images) else self._squares(files[start:end])
            )

        return _mean_and_std(list(pool.map(counted, range(0, len(files), IMAGES_PER_TASK))))

    def _squares(self, files: Sequence[File], crop: float = 1.0) -> NDArray[np.uint8]:
        """The decoded centre squares of these files: (N, channels, side, side)."""
        import numpy as np

        own = self.options
        images = [decoded_square(self._root / file.name, own.channels, own.image_size, crop) for file in files]
        shape = (len(files), own.image_size, own.image_size, own.channels)
        return np.stack([np.asarray(image) for image in images]).reshape(shape).transpose(0, 3, 1, 2)

    @cached_property
    def _listing(self) -> Listing:
        train = [self._kept(files) for files in self._files_by_class("train")]
        val = self._files_by_class("val")
        if "test" in self._split_folders:
            listing = Listing(_sorted(train), _sorted(val), _sorted(self._files_by_class("test")))
        else:
            validation = [self._for_validation(files) for files in train]
            rest = [files[len(taken) :] for files, taken in zip(train, validation, strict=True)]
            listing = Listing(_sorted(rest), _sorted(validation), _sorted(val))
        self._check_memory(listing)
        return listing

    @cached_property
    def _split_folders(self) -> list[str]:
        """train, val, and test if there is one."""
        if not self._root.is_dir():
            raise UserError(f"{self._root}: no such folder; data.root must be the folder that holds train/ and val/")
        held = _folders(self._root)
        for split in ("train", "val"):
            if split not in held:
                listed = ", ".join(held[:10]) or "no folder"
                raise UserError(f"{self._root}: no {split}/ folder in it (it holds {listed})")
        return [split for split in ("train", "val", "test") if split in held]

    @cached_property
    def _classes(self) -> list[str]:
        """Names of the classes, by label."""
        train, *others = (self._root / split for split in self._split_folders)
        classes = _folders(train)
        for other in others:
            found = _folders(other)
            for name in sorted(set(classes) - set(found)):
                hint = "; move test/ away if its images have no labels" if other.name == "test" else ""
                raise UserError(f"{other}: no folder for class {name!r}, which {train} has{hint}")
            for name in sorted(set(found) - set(classes)):
                raise UserError(f"{train}: no folder for class {name!r}, which {other} has")
        least = self.options.classes or 2
        if len(classes) < least:
            raise UserError(f"{train}: class folders in it: {len(classes)}; needed: {least}")
        return classes[: self.options.classes]

    def _files_by_class(self, split: str) -> list[list[File]]:
        """The image files of each class of a split folder, each class in its random order."""
        found = []
        for label, name in enumerate(self._classes):
            folder = self._root / split / name
            files = sorted(_image_files(folder, f"{split}/{name}", label), key=lambda file: file.place)
            if not files:
                raise UserError(f"{folder}: no images in it (known suffixes: {' '.join(SUFFIXES)})")
            found.append(files)
        return found

    def _kept(self, files: list[File]) -> list[File]:
        """What `images_per_class` leaves of a class of train/."""
        return files[: self.options.images_per_class]

    def _for_validation(self, files: list[File]) -> list[File]:
        """What validation takes of a class of train/: at least one image, and never all."""
        if len(files) == 1:
            folder = self._root / "train" / self._classes[files[0].label]
            few = "its one image" if self.options.images_per_class != 1 else "images_per_class = 1"
            raise UserError(
                f"{folder}: {few} leaves no image for validation, which is taken from train/ as there is no test/;"
                " 2 are needed"
            )
        taken = max(1, round(self.options.validation_fraction * len(files)))
        return files[: min(taken, len(files) - 1)]

    def _check_memory(self, listing: Listing) -> None:
        own, gigabytes = self.options, self._size_in_memory(listing)
        if own.stream is False and gigabytes > own.memory_limit_gb:
            images = sum(len(files) for files in listing)
            raise UserError(
                f"{self._root}: {images} images of {own.channels} x {own.image_size} x {own.image_size} are"
                f" {gigabytes:.3g} GB in memory, more than memory_limit_gb = {own.memory_limit_gb:g};"
                " stream them, reduce image_size, classes or images_per_class, or raise the limit"
            )

    def _size_in_memory(self, listing: Listing) -> float:
        """Gigabytes of all images, decoded."""
        return sum(len(files) for files in listing) * self.options.channels * self.options.image_size**2 / 1e9


def _labels(files: Sequence[File]) -> NDArray[np.int64]:
    import numpy as np

    return np.array([file.label for file in files], np.int64)


def _sorted(classes: Iterable[Iterable[File]]) -> list[File]:
    """The files of all classes by name, an order that says nothing about how they were split."""
    return sorted(file for files in classes for file in files)


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    return [entry.name for entry in _entries(folder) if _is_folder(entry)]


def _image_files(folder: Path, name: str, label: int) -> Iterator[File]:
    """The image files in a folder and in folders inside it; `name` is the folder's path within the root."""
    for entry in _entries(folder):
        within = f"{name}/{entry.name}"
        if _is_folder(entry):
            yield from _image_files(folder / entry.name, within, label)
        elif entry.name.lower().endswith(SUFFIXES):
            yield File(within, _size(entry), label)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, by name, without what is hidden (macOS's `._cat.jpg` is no image)."""
    with _readable(folder), os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with _readable(entry):
        return entry.is_dir()


def _size(entry: os.DirEntry[str]) -> int:
    """Bytes of a file; an error for a link that leads nowhere, which must not silently make the data set smaller."""
    with _readable(entry):
        size = entry.stat().st_size
    if not size:
        raise UserError(f"{entry.path}: does not decode: the file is empty (0 bytes)")
    return size


@contextmanager
def _readable(path: os.PathLike[str]) -> Iterator[None]:
    """Turns what the system says of a path into a `UserError` that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from error


def _histograms(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each of the 256 values is in each channel: (channels, 256)."""
    import numpy as np

    return np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])


def _mean_and_std(histograms: Sequence[NDArray[np.int64]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, images scaled to 0..1.

    From the counts of the 256 values, so that no array of floats is made and the result depends on no order of sums.
    """
    import numpy as np

    counts = np.sum(histograms, axis=0)
    values, total = np.arange(256) / 255, counts.sum(1)
    mean = counts @ values / total
    std = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(1) / total)
    # A channel that is the same everywhere has no scale; a step of 8 bits keeps the normalised images finite.
    return tuple(mean.tolist()), tuple(std.clip(1 / 255).tolist())


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
