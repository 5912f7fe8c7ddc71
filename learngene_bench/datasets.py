"""What a data set is to the suite: facts known before loading, and three splits as arrays in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from learngene_bench.config import Augmentation, Section
from learngene_bench.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DatasetFacts:
    """What a plan needs to know; read without decoding an image.

    Attributes:
        image_size: side of the square images, pixels.
        train_images: images of the training split, the validation images not counted.
    """

    classes: int
    channels: int
    image_size: int
    train_images: int
    validation_images: int
    test_images: int


@dataclass(frozen=True)
class Images:
    """Labelled images: uint8 of shape (N, C, H, W) and int64 class indices of shape (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """The three splits of a data set.

    Attributes:
        validation: taken from the training data, never from the test data; for choosing recipes.
        mean, std: per channel, of training images scaled to 0..1.
        task: what is drawn anew for a training image because the *task* is defined so (the test images were drawn
            from the same distribution, once); a recipe's own augmentation comes on top.
    """

    train: Images
    validation: Images
    test: Images
    mean: tuple[float, ...]
    std: tuple[float, ...]
    task: Augmentation = field(default_factory=Augmentation)


class Tell(Protocol):
    """Is told what is being done, and how much of it is done of how much; total is 0 where that is not known."""

    def __call__(self, what: str, done: int, total: int) -> object: ...


class Dataset(ABC):
    """A data set by name, in the entry-point group `learngene_bench.datasets`.

    Importing its module must not import torch; `facts` and `fingerprint` must be quick.
    """

    Options: ClassVar[type[Section]] = Section
    """Its settings: the preset's `[data]` without `name`."""
    location: ClassVar[frozenset[str]] = frozenset()
    """Options that only say where the data lie: not part of any address, as the fingerprint tells data apart."""

    origin: ClassVar[str] = "your own"
    """Where the images come from, in a few words, for `lgbench data list`."""

    def __init__(self, options: Section) -> None:
        self.options = options

    def label(self, name: str) -> str:
        """What tables call the task; `name` is the data set's own."""
        return name

    @abstractmethod
    def facts(self) -> DatasetFacts:
        """Sizes. Raises `UserError` when the data cannot be found."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Changes when the data change; part of the address of everything measured on them."""

    @abstractmethod
    def load(self) -> Splits:
        """Reads everything into memory. Raises `UserError` naming the file that cannot be read."""

    def prepare(self, tell: Tell) -> list[str]:
        """Brings the data to where the options say, if it can; what is there already is not brought again.

        Returns:
            What was done or found, in lines.

        Raises:
            UserError: the data are not there and cannot be brought; says how a person can.
        """
        self.facts()
        return ["nothing is to be downloaded"]

    def verify(self, tell: Tell) -> list[str]:
        """Reads all of the data, and compares what is there with what should be.

        Returns:
            What was found, in lines.

        Raises:
            UserError: naming the first file that is not as it should be.
        """
        facts, splits = self.facts(), self.load()
        found = []
        for split in ("train", "validation", "test"):
            held, known = len(getattr(splits, split).labels), getattr(facts, f"{split}_images")
            if held != known:
                raise UserError(f"{split}: {held} images, not {known}")
            found.append(f"{split}: {held} images")
        return found
