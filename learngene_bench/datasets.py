"""What a data set is to the suite: facts known before loading, and three splits as arrays in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from learngene_bench.config import Augmentation, Section

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


class Dataset(ABC):
    """A data set by name, in the entry-point group `learngene_bench.datasets`.

    Importing its module must not import torch; `facts` and `fingerprint` must be quick.
    """

    Options: ClassVar[type[Section]] = Section
    """Its settings: the preset's `[data]` without `name`."""
    location: ClassVar[frozenset[str]] = frozenset()
    """Options that only say where the data lie: not part of any address, as the fingerprint tells data apart."""

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
