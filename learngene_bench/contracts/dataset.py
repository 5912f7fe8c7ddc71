"""The contract for data sets: facts known before loading, and three splits, in memory or on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from learngene_bench.config.recipe import Augmentation
from learngene_bench.config.section import Section
from learngene_bench.util.entry_points import Plugins
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage


HeldOut = Literal["validation", "test"]
"""Splits that models are measured on."""


@dataclass(frozen=True)
class Windows:
    """Evaluation of whole images of any size by square windows of the size that networks see.

    Attributes:
        shorter_side: what an image's shorter side is resized to, pixels.
        stride: pixels from one window to the next.
    """

    shorter_side: int
    stride: int


@dataclass(frozen=True)
class CentreView:
    """Evaluation of images of any size by their centre: resized, and cut to the square that networks see.

    Attributes:
        shorter_side: what an image's shorter side is resized to (bicubic, antialiased), pixels; rounded down.
        crop: side of the square over the shorter side that it is cut from, `crop_pct` of timm.
    """

    shorter_side: int
    crop: float


@dataclass(frozen=True)
class DatasetFacts:
    """Sizes that a plan needs; read without decoding an image.

    Attributes:
        classes: number of classes; for a kind without classes, the number that its `outputs` makes the head of.
        image_size: side of the square images, pixels.
        train_images: images of the training split, the validation images not counted.
        kind: name of the task kind: what a model is asked about an image.
        class_names: names of the classes, for records and pictures; empty where they are only numbers.
        centre: evaluation of images of any size by their centre; None where images are squares already.
        windows: evaluation of images that are larger than `image_size`; None where all are squares of that size.
        views: number of validation and test images in a row that show one thing, so that they are not independent; 1
            where every image shows another.
    """

    classes: int
    channels: int
    image_size: int
    train_images: int
    validation_images: int
    test_images: int
    kind: str = "classification"
    class_names: tuple[str, ...] = ()
    windows: Windows | None = None
    centre: CentreView | None = None
    views: int = 1


class Split(Protocol):
    """Labelled images, wherever they are kept; `data.splits` has one in memory and one on disk.

    Attributes:
        labels: (N, ...), of the type and shape that the task kind asks for; may be mapped from a file.
    """

    @property
    def labels(self) -> NDArray[Any]: ...

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, (C, H, W)."""
        ...

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Returns the images at these indices as evaluation sees them, (N, C, H, W)."""
        ...

    def image(self, index: int, *, whole: bool = False) -> PILImage:
        """Returns one image, for augmentation.

        Args:
            whole: True if the image is going to be cropped at random, so that it may be larger than `shape`.

        Raises:
            UserError: the image is damaged, or neither grey nor RGB.
        """
        ...


@dataclass(frozen=True)
class Splits:
    """The three splits of a data set.

    Attributes:
        validation: taken from the training data, never from the test data; for choosing recipes.
        mean, std: per channel, of training images scaled to 0..1.
        task: augmentation that belongs to the *task*: the test images were drawn from the same distribution, once. A
            recipe's own augmentation comes on top.
    """

    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    task: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        # Numbers of numpy would make tensors of double precision.
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))


@dataclass(frozen=True)
class Shift:
    """A change of held-out images, by which a trained model is tried on images unlike those that it was trained on.

    Attributes:
        name: what `lgbench evaluate --shift` calls it.
        levels: its strengths, from weak to strong.
        title: what tables call it, with the unit of the levels.
        version: text that changes when what the shift does to an image changes; part of the address of evaluations.
    """

    name: str
    levels: tuple[float, ...]
    title: str
    version: str


class ProgressCallback(Protocol):
    """Receives what is being done, and how much of how much is done; the total is 0 where it is not known."""

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
    """Source of the images in a few words, for `lgbench data list`."""

    def __init__(self, options: Section) -> None:
        self.options = options

    def label(self, name: str) -> str:
        """Returns what tables call the task; `name` is the data set's own."""
        return name

    @abstractmethod
    def facts(self) -> DatasetFacts:
        """Returns the sizes. Raises `UserError` when the data cannot be found."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Returns a text that changes when the data change; part of the address of everything measured on them."""

    def overlap_with(self, source: Dataset) -> str | None:
        """Says why this is no downstream task of that source: it has test images that the source is trained on."""
        return None

    def check_available(self) -> None:
        """Raises `UserError` if the data are not where the options say; quick, so that a run asks before it begins."""
        self.facts()

    @abstractmethod
    def load(self) -> Splits:
        """Reads everything into memory, or finds it on disk. Raises `UserError` naming a file that cannot be read."""

    def shifts(self) -> tuple[Shift, ...]:
        """Returns the shifts of its held-out images; none by default. Labels must stay right."""
        return ()

    def shifted(self, splits: Splits, split: HeldOut, shift: str, level: float) -> Split:
        """Returns a shifted copy of the validation or test split: the same at every call, for every model.

        Args:
            splits: what `load` returned.
            split: which of them.
            shift: name of one of `shifts`.
            level: one of its levels.
        """
        raise UserError(f"{type(self).__name__} has no shift {shift!r}")

    def remarks(self) -> list[str]:
        """Returns what a reader of the numbers must know of how these data were split or chosen, in lines."""
        return []

    def prepare(self, progress: ProgressCallback) -> list[str]:
        """Brings the data to where the options say, if it can; what is there already is not brought again.

        Returns:
            Lines that say what was done or found.

        Raises:
            UserError: the data are not there and cannot be brought; says how a person can.
        """
        self.facts()
        return ["nothing is to be downloaded"]

    def verify(self, progress: ProgressCallback) -> list[str]:
        """Reads all of the data, and compares what is there with what should be.

        Returns:
            Lines that say what was found.

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


DATASETS: Plugins[Dataset] = Plugins("learngene_bench.datasets", "data set", Dataset)
"""All data sets by name."""
