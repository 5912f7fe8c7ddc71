"""What a data set is to the suite: facts known before loading, and three splits, in memory or on disk."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from learngene_bench.config.recipe import Augmentation
from learngene_bench.config.section import Section
from learngene_bench.data.decoding import decoded, decoded_square
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage


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

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image: (C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def some(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The images of these numbers, (N, C, H, W)."""
        return self.images[numbers]

    def image(self, number: int, *, whole: bool = False) -> PILImage:
        """One of the images; `whole` says no more than that it is going to be cropped.

        Raises:
            UserError: it is neither grey nor RGB.
        """
        from PIL import Image

        pixels = self.images[number]
        if len(pixels) not in (1, 3):
            raise UserError(f"random_crop and auto_augment are for grey or RGB images, not for {len(pixels)} channels")
        return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


@dataclass(frozen=True)
class ImageFiles:
    """Labelled images that stay on disk, each decoded whenever it is seen.

    Attributes:
        names: paths within the root, (N,) byte strings: an array, which processes share without a copy.
        labels: class indices, (N,).
        crop: the part of the resized image's shorter side that its centre square takes; see `decoding.centre`.
        whole: whether a random crop is taken from the whole image in its own resolution, not from the centre square.
    """

    root: Path
    names: NDArray[np.bytes_]
    labels: NDArray[np.int64]
    channels: int
    image_size: int
    crop: float = 1.0
    whole: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one image: (C, H, W)."""
        return self.channels, self.image_size, self.image_size

    def some(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The centre squares of these numbers, (N, C, H, W). Raises `UserError` for a damaged file."""
        import numpy as np

        shape = (-1, self.image_size, self.image_size, self.channels)
        images = np.stack([np.asarray(self.image(number)) for number in numbers])
        return images.reshape(shape).transpose(0, 3, 1, 2)

    def image(self, number: int, *, whole: bool = False) -> PILImage:
        """The centre square of an image; all of it if that is asked for, and these data are of that kind.

        Raises:
            UserError: the file is damaged.
        """
        path = self.root / os.fsdecode(bytes(self.names[number]))
        if whole and self.whole:
            return decoded(path, self.channels)
        return decoded_square(path, self.channels, self.image_size, self.crop)


Split = Images | ImageFiles


@dataclass(frozen=True)
class Splits:
    """The three splits of a data set.

    Attributes:
        validation: taken from the training data, never from the test data; for choosing recipes.
        mean, std: per channel, of training images scaled to 0..1.
        task: what is drawn anew for a training image because the *task* is defined so (the test images were drawn
            from the same distribution, once); a recipe's own augmentation comes on top.
    """

    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    task: Augmentation = field(default_factory=Augmentation)


class ProgressCallback(Protocol):
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

    def conflict(self, source: Dataset) -> str | None:
        """Why this is no downstream task of that source: test images that are among what the source is trained on."""
        return None

    def check_available(self) -> None:
        """Raises `UserError` if the data are not where the options say; quick, so that a run asks before it begins."""
        self.facts()

    @abstractmethod
    def load(self) -> Splits:
        """Reads everything into memory, or says where it lies. Raises `UserError` naming a file that cannot be read."""

    def prepare(self, tell: ProgressCallback) -> list[str]:
        """Brings the data to where the options say, if it can; what is there already is not brought again.

        Returns:
            What was done or found, in lines.

        Raises:
            UserError: the data are not there and cannot be brought; says how a person can.
        """
        self.facts()
        return ["nothing is to be downloaded"]

    def verify(self, tell: ProgressCallback) -> list[str]:
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
