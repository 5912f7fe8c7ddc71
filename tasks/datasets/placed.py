"""Small pictures at random places of a larger, noisy canvas: the common part of all embedded data sets."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field

from learngene_bench.config.recipe import Augmentation
from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import Dataset, DatasetFacts, Splits
from learngene_bench.data.splits import Images
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 8


class PlacedOptions(Section):
    # Even, as training shifts a picture equally far to both sides of the centre: an odd margin would cut some of them.
    canvas: int = Field(12, ge=SIDE, multiple_of=2, description="side of the canvas, pixels; the pictures are 8 x 8")
    noise: float = Field(0.4, ge=0, description="standard deviation of the noise, white being 1")
    placements: int = Field(4, ge=1, description="number of places at which each validation and test picture is shown")


class Pictures(NamedTuple):
    """Labelled pictures before they are placed: uint8 of shape (N, 8, 8) and int64 class indices of shape (N,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


class Counts(NamedTuple):
    """Numbers of pictures of each split; a validation or test picture makes `placements` images."""

    train: int
    validation: int
    test: int


class PlacedPictures(Dataset):
    """Pictures of 8 x 8 pixels on a black canvas of, usually, 12 x 12.

    Centred pictures so small saturate at once. Placed anywhere on a canvas and under noise, the same pictures leave
    room between methods and make position matter. A training picture is placed and disturbed anew each time it is
    seen; every test picture is shown at `placements` fixed places under fixed noise.
    """

    Options = PlacedOptions
    options: PlacedOptions
    origin = "embedded"

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes."""

    @property
    @abstractmethod
    def counts(self) -> Counts:
        """Pictures of each split, known without making them."""

    @abstractmethod
    def pictures(self) -> tuple[Pictures, Pictures, Pictures]:
        """Makes the pictures for training, validation and test: the same at every call, and none in two splits."""

    def facts(self) -> DatasetFacts:
        options, counts = self.options, self.counts
        return DatasetFacts(
            classes=self.classes,
            channels=1,
            image_size=options.canvas,
            train_images=counts.train,
            validation_images=counts.validation * options.placements,
            test_images=counts.test * options.placements,
            views=options.placements,
        )

    def load(self) -> Splits:
        train, validation, test = self.pictures()
        centred = self._place(train.pixels, np.full((len(train.pixels), 2), self._margin // 2))
        seen = disturbed(centred, self.options.noise, np.random.default_rng(0)) / 255.0
        return Splits(
            train=Images(centred, train.labels),
            validation=self._shown(validation, np.random.default_rng(1)),
            test=self._shown(test, np.random.default_rng(2)),
            mean=(float(seen.mean()),),
            std=(float(seen.std()),),
            task=Augmentation(shift=self._margin // 2, noise=self.options.noise),
        )

    @property
    def _margin(self) -> int:
        return self.options.canvas - SIDE

    def _shown(self, pictures: Pictures, random: np.random.Generator) -> Images:
        """Puts each picture at `placements` random places, under noise."""
        pixels = pictures.pixels.repeat(self.options.placements, axis=0)
        labels = pictures.labels.repeat(self.options.placements)
        corners = random.integers(0, self._margin + 1, size=(len(pixels), 2))
        return Images(disturbed(self._place(pixels, corners), self.options.noise, random), labels)

    def _place(self, pixels: NDArray[np.uint8], corners: NDArray[np.int64]) -> NDArray[np.uint8]:
        canvas = np.zeros((len(pixels), 1, self.options.canvas, self.options.canvas), np.uint8)
        for image, picture, (top, left) in zip(canvas, pixels, corners, strict=True):
            image[0, top : top + SIDE, left : left + SIDE] = picture
        return canvas


def disturbed(images: NDArray[np.uint8], noise: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Adds noise and clips to what an image can hold, as training batches are (`batch_augment.py`)."""
    noisy = images / 255.0 + noise * random.standard_normal(images.shape)
    return (noisy.clip(0, 1) * 255).round().astype(np.uint8)
