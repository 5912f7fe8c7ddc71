"""Any tree of images with a folder per class, as torchvision's `ImageFolder` reads it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from learngene_bench.config.section import later
from learngene_bench.contracts.dataset import ProgressCallback
from learngene_bench.tasks.datasets.listed import File, ListedImages, ListedOptions, Listing, checked_size, in_order
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import readable

MOST_NAMED = 12
"""Classes that `lgbench data verify` names."""
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "eval", "test", "testing"})
"""Names that folders of splits have; such a folder is no class."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")


class ImageFolderOptions(ListedOptions):
    root: Path = Field(description="the folder that holds train/, val/ and perhaps test/; or a folder for each class")
    validation_fraction: float = Field(
        0.1, gt=0, lt=1, description="part of train/ that is used for validation if there is no test/"
    )
    classes: int | None = Field(
        None, ge=2, description="number of classes to use, the first ones by label_order; all when absent"
    )
    label_order: Literal["lexicographic", "natural"] = later(
        "lexicographic",
        protocol=3,
        description="order of class folders: 0, 1, 10, 2 (as torchvision) or 0, 1, 2, 10 (as timm)",
    )
    images_per_class: int | None = Field(
        None, ge=1, description="number of images of each class of train/; all when absent"
    )
    test_fraction: float = later(
        0.2,
        protocol=3,
        gt=0,
        lt=1,
        description="part of a class that is the test split where there is no train/ and val/",
    )


class ImageFolder(ListedImages):
    """`ROOT/train/CLASS/IMAGE`, `ROOT/val/CLASS/IMAGE` and perhaps `ROOT/test/CLASS/IMAGE`, in memory or streamed.

    With `test/`, `val/` is the validation split. Without, `val/` is the test split, as it is customary for ImageNet,
    and validation images are taken from `train/`: the same fraction of every class, at least one image, chosen by a
    hash of each file's name, so that a file that comes or goes moves at most one other of its class.

    `ROOT/CLASS/IMAGE`, without any of the three, is split by the same rule: `test_fraction` of every class is the test
    split, `validation_fraction` of it the validation split, the rest is trained on.

    Files without an image's suffix and hidden files and folders are ignored; folders inside a class belong to it.
    """

    Options = ImageFolderOptions
    options: ImageFolderOptions
    _may_lack_splits: ClassVar[bool] = True

    def label(self, name: str) -> str:
        """Returns the folder's name, as every tree is another task."""
        return self._root.resolve().name

    def fingerprint(self) -> str:
        """Hash of the names and sizes of the files; and the order of labels, unless it is that of earlier versions."""
        found, order = super().fingerprint(), self.options.label_order
        return found if order == "lexicographic" else f"{found}, labels in {order} order"

    def verify(self, progress: ProgressCallback) -> list[str]:
        """Decodes every image, and says which class has which label."""
        names, order = self._classes, self.options.label_order
        listed = ", ".join(names[:MOST_NAMED]) + ", ..." * (len(names) > MOST_NAMED)
        line = f"labels: 0 to {len(names) - 1} in {order} order of the folders' names: {listed}"
        if sorted(names, key=natural if order == "lexicographic" else None) != names:
            other = "natural" if order == "lexicographic" else "lexicographic"
            line += f" (label_order={other} numbers them otherwise; weights from elsewhere may need it)"
        return [*super().verify(progress), line, *self.remarks(), *self._ignored()]

    def remarks(self) -> list[str]:
        if not self._lacks_splits:
            return []
        tested, validated = self.options.test_fraction, self.options.validation_fraction
        return [
            f"{self._root} has no train/ and val/: of every class, {tested:.0%} of the images are for testing and "
            f"{validated:.0%} for validation, chosen by a hash of their names"
        ]

    def _ignored(self) -> list[str]:
        """Says how many files in the class folders are no images by their suffix, with these suffixes."""
        suffixes: Counter[str] = Counter()
        for split in self._split_names:
            for name in self._classes:
                for _, folders, files in os.walk(self._root / split / name):
                    folders[:] = [folder for folder in folders if not folder.startswith(".")]
                    seen = (file for file in files if not file.startswith("."))
                    suffixes.update(Path(file).suffix for file in seen if not file.lower().endswith(SUFFIXES))
        listed = ", ".join(
            f"{count} {suffix or 'without suffix'}" for suffix, count in suffixes.most_common(MOST_NAMED)
        )
        return [f"ignored: {suffixes.total()} files that are no images by their suffix ({listed})"] if suffixes else []

    @cached_property
    def _listing(self) -> Listing:
        if self._lacks_splits:
            return self._split_by_rule()
        train = [self._first_of_class(files) for files in self._files_by_class("train")]
        val = self._files_by_class("val")
        if "test" in self._split_folders:
            listing = Listing(in_order(train), in_order(val), in_order(self._files_by_class("test")))
        else:
            validation = [self._for_validation(files) for files in train]
            rest = [files[len(taken) :] for files, taken in zip(train, validation, strict=True)]
            listing = Listing(in_order(rest), in_order(validation), in_order(val))
        self._check_memory(listing)
        return listing

    @cached_property
    def _lacks_splits(self) -> bool:
        """True for a folder of class folders, none of which is called like a split."""
        folders = _folders(self._root) if self._may_lack_splits and self._root.is_dir() else []
        return len(folders) > 1 and not SPLITS & {name.lower() for name in folders}

    def _split_by_rule(self) -> Listing:
        """Splits every class: the first images in their random order are for testing, the next for validation."""
        parts: tuple[list[list[File]], list[list[File]], list[list[File]]] = ([], [], [])
        for files in self._files_by_class(""):
            if len(files) < len(parts):
                folder = self._root / self._classes[files[0].label]
                raise UserError(f"{folder}: {len(files)} images; 3 are needed, one for each split")
            tested = min(max(1, round(self.options.test_fraction * len(files))), len(files) - 2)
            validated = max(1, round(self.options.validation_fraction * len(files)))
            start = tested + min(validated, len(files) - tested - 1)
            chosen = self._first_of_class(files[start:]), files[tested:start], files[:tested]
            for part, some in zip(parts, chosen, strict=True):
                part.append(some)
        listing = Listing(*map(in_order, parts))
        self._check_memory(listing)
        return listing

    @cached_property
    def _split_folders(self) -> list[str]:
        """train, val, and test if there is one."""
        if not self._root.is_dir():
            raise UserError(f"{self._root}: no such folder; data.root must be the folder that holds train/ and val/")
        folders = _folders(self._root)
        for split in ("train", "val"):
            if split not in folders:
                listed = ", ".join(folders[:10]) or "no folder"
                raise UserError(f"{self._root}: no {split}/ folder in it (it holds {listed})")
        return [split for split in ("train", "val", "test") if split in folders]

    @property
    def _split_names(self) -> list[str]:
        """Paths within the root of the folders that hold class folders."""
        return [""] if self._lacks_splits else self._split_folders

    @cached_property
    def _classes(self) -> list[str]:
        """Names of the classes, by label."""
        train, *others = (self._root / split for split in self._split_names)
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
        if self.options.label_order == "natural":
            classes.sort(key=natural)
        return classes[: self.options.classes]

    def _files_by_class(self, split: str) -> list[list[File]]:
        """Lists the image files of each class of a split folder, each class in its random order."""
        found = []
        for label, name in enumerate(self._classes):
            folder = self._root / split / name
            files = sorted(image_files(folder, f"{split}/{name}".lstrip("/"), label), key=lambda file: file.place)
            if not files:
                raise UserError(f"{folder}: no images in it (known suffixes: {' '.join(SUFFIXES)})")
            found.append(files)
        return found

    def _first_of_class(self, files: list[File]) -> list[File]:
        """Keeps `images_per_class` images of a class of train/."""
        return files[: self.options.images_per_class]

    def _for_validation(self, files: list[File]) -> list[File]:
        """Chooses the validation images of a class of train/: at least one, and never all."""
        if len(files) == 1:
            folder = self._root / "train" / self._classes[files[0].label]
            few = "its one image" if self.options.images_per_class != 1 else "images_per_class = 1"
            raise UserError(
                f"{folder}: {few} leaves no image for validation, which is taken from train/ as there is no test/;"
                " 2 are needed"
            )
        taken = max(1, round(self.options.validation_fraction * len(files)))
        return files[: min(taken, len(files) - 1)]


def natural(name: str) -> list[str | int]:
    """Sort key by which numbers inside of names count as numbers; that of timm's readers (`natural_key`)."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name.lower())]


def _folders(folder: Path) -> list[str]:
    """Lists the names of the folders in a folder, sorted."""
    return [entry.name for entry in _entries(folder) if _is_folder(entry)]


def image_files(folder: Path, name: str, label: int) -> Iterator[File]:
    """Yields the image files in a folder and its subfolders; `name` is the folder's path within the root."""
    for entry in _entries(folder):
        within = f"{name}/{entry.name}"
        if _is_folder(entry):
            yield from image_files(folder / entry.name, within, label)
        elif entry.name.lower().endswith(SUFFIXES):
            yield File(within, _size(entry), label)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Lists a folder by name, without hidden entries (macOS's `._cat.jpg` is no image)."""
    with readable(folder), os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with readable(entry):
        return entry.is_dir()


def _size(entry: os.DirEntry[str]) -> int:
    """Returns the size of a file. A link that leads nowhere is an error: it must not silently shrink the data set."""
    with readable(entry):
        size = entry.stat().st_size
    return checked_size(entry, size)
