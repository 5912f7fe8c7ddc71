"""Published data sets: known classes and counts, their authors' split, and a download where there is one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from learngene_bench.contracts.dataset import DatasetFacts, ProgressCallback
from learngene_bench.tasks.datasets.archives import Archive, checked, fetch_all
from learngene_bench.tasks.datasets.listed import File, ListedImages, ListedOptions, Listing, file_below, in_order
from learngene_bench.util.errors import Faults, UserError, one_line

Split = Literal["train", "test"]


class Published(NamedTuple):
    """Facts about a published data set that are known without having it.

    Attributes:
        title: as it is called, for messages.
        train: images of the authors' training split, or of training and validation where they made three.
    """

    title: str
    classes: int
    train: int
    test: int


class OfficialOptions(ListedOptions):
    root: Path = Field(
        Path("data"), description="folder of the data, as torchvision's `root`; `lgbench data prepare` fills it"
    )
    image_size: int = Field(224, ge=1, description="side of the square images that networks see, pixels")
    validation_per_class: int | None = Field(
        None, ge=0, description="training images of each class that are used for validation; about a tenth when absent"
    )


class OfficialImages(ListedImages):
    """A published data set: its counts are known, so that it can be planned where it does not lie, and are asserted.

    The authors' test images are the test split. Validation images are taken from training images: of every class the
    same number, chosen by a hash of the file's name. With `validation_per_class = 0` all training images are trained
    on, as in the paper, and there is no validation.
    """

    Options = OfficialOptions
    options: OfficialOptions
    name: ClassVar[str]
    """Value of `data.name`."""
    published: ClassVar[Published]
    held_out: ClassVar[int]
    """Default number of validation images of each class: about a tenth, fewer if classes are small."""
    archives: ClassVar[tuple[Archive, ...]] = ()
    by_hand: ClassVar[str] = ""
    """Advice on how to get the data if they cannot be downloaded."""
    origin = "download"

    @abstractmethod
    def _files(self, split: Split) -> list[File]:
        """Lists the files of one of the authors' splits."""

    def facts(self) -> DatasetFacts:
        known, options = self.published, self.options
        self._check_some_are_left(known.train // known.classes)
        validation = known.classes * self._of_each_class
        return DatasetFacts(
            known.classes, options.channels, options.image_size, known.train - validation, validation, known.test
        )

    def _check_some_are_left(self, of_a_class: int) -> None:
        """Raises `UserError` if validation would take all training images of a class of so many."""
        if self._of_each_class >= of_a_class:
            raise UserError(
                f"validation_per_class = {self._of_each_class} leaves no image of a class for training: "
                f"{self.name} has {of_a_class} of each"
            )

    def fingerprint(self) -> str:
        """Names the publication and its counts, so that it is known without the data.

        Pixels are not part of it. Counts are checked when the data are loaded, all else by `lgbench data verify`.
        """
        known = self.published
        return f"{known.title}, {known.train} + {known.test} images, {self._of_each_class} of each class for validation"

    @property
    def _of_each_class(self) -> int:
        given = self.options.validation_per_class
        return self.held_out if given is None else given

    @cached_property
    def _classes(self) -> list[str]:
        return [str(label) for label in range(self.published.classes)]

    @cached_property
    def _listing(self) -> Listing:
        train, test = self._files("train"), self._files("test")
        check_split(self._root, self.published, train, test)
        by_class: list[list[File]] = [[] for _ in range(self.published.classes)]
        for file in train:
            by_class[file.label].append(file)
        for files in by_class:
            files.sort(key=lambda file: file.place)
        used = self._part(by_class)
        taken = self._of_each_class
        for label, files in enumerate(used):
            if len(files) <= taken:
                raise UserError(
                    f"validation_per_class = {taken} leaves no image of class {label} for training: it has {len(files)}"
                )
        return Listing(
            train=in_order(files[taken:] for files in used),
            validation=in_order(files[:taken] for files in used),
            test=in_order([[file for file in test if file.label < len(used)]]),
        )

    def _part(self, by_class: list[list[File]]) -> list[list[File]]:
        """Chooses the training images to use, by class, from all of them in random order."""
        return by_class

    def check_available(self) -> None:
        assert self._listing

    def prepare(self, progress: ProgressCallback) -> list[str]:
        # A new reader each time, as this one may remember a list that is not complete.
        done, listing = fetch_all(self.archives, self._root, progress, lambda: type(self)(self.options)._listing)
        return [*done, f"{len(listing.train) + len(listing.validation)} training and {len(listing.test)} test images"]

    def _verified(self, progress: ProgressCallback, faults: Faults) -> list[str]:
        """Checks the archives that are still there, counts, and decodes every image."""
        found = checked(self.archives, self._root, progress, faults)
        with faults.collected():
            found += super()._verified(progress, faults)
        return found

    def _there(self, folder: str) -> Path:
        """Returns a folder or file below the root. Raises `UserError` if it does not exist."""
        path = self._root / folder
        if not path.exists():
            raise UserError(f"{path}: not there; {self._how_to_get_it()}")
        return path

    def _how_to_get_it(self) -> str:
        return self.by_hand or f"`lgbench data prepare {self.name} --root {self._root}` brings {self.published.title}"


def check_split(root: Path, known: Published, train: list[File], test: list[File]) -> None:
    """Raises `UserError` if there are other numbers of images or classes than were published."""
    for split, files, count in (("training", train, known.train), ("test", test, known.test)):
        if len(files) != count:
            raise UserError(
                f"{root}: {len(files)} {split} images, but {known.title} has {count}"
                " (use data.name=imagefolder for a part of it)"
            )
        strange = {file.label for file in files} - set(range(known.classes))
        if strange:
            raise UserError(f"{root}: {split} images of class {max(strange)}, but {known.title} has {known.classes}")
        missing = set(range(known.classes)) - {file.label for file in files}
        if missing:
            raise UserError(
                f"{root}: no {split} image of {len(missing)} of {known.classes} classes, the first"
                f" of them class {min(missing)}"
            )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns a reader's error about a damaged list of images into a `UserError` that names the list."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error


def files_of(root: Path, data: Any) -> list[File]:
    """Lists the files of one of torchvision's data sets, made with `loader=as_it_is` so that none is decoded."""
    return [file_below(root, Path(path).relative_to(root).as_posix(), int(label)) for path, label in _items(data)]


def _items(data: Any) -> list[tuple[Any, Any]]:
    return [data[index] for index in range(len(data))]


def as_it_is(path: Any) -> Any:
    """Returns the path itself: a loader for torchvision that does not decode."""
    return path
