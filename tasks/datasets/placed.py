"""Small pictures at random places of a larger, noisy canvas: the common part of all embedded data sets."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import Field

from learngene_bench.config.recipe import Augmentation
from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import Dataset, DatasetFacts, HeldOut, Shift, Split, Splits
from learngene_bench.data.splits import Images
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 8
NOISY = Shift(
    "noisy", (0.1, 0.2, 0.4, 0.6), "More noise (standard deviation)", "version 1, drawn as the noise of the split"
)
ROTATED = Shift(
    "rotated", (15, 30, 45, 60), "Rotated (degrees)", "version 1, counterclockwise, bilinear, before placing"
)

_SEEDS: dict[HeldOut, int] = {"validation": 1, "test": 2}
"""Seeds of places and noise."""


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
    ground: ClassVar[int] = 0
    """Brightness of a picture where nothing is, of 255."""

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
            validation=self._shown(validation, "validation", self.options.noise),
            test=self._shown(test, "test", self.options.noise),
            mean=(float(seen.mean()),),
            std=(float(seen.std()),),
            task=Augmentation(shift=self._margin // 2, noise=self.options.noise),
        )

    @property
    def _margin(self) -> int:
        return self.options.canvas - SIDE

    def shifts(self) -> tuple[Shift, ...]:
        return (NOISY,)

    def shifted(self, splits: Splits, split: HeldOut, shift: str, level: float) -> Split:
        """The same pictures at the same places: turned first, or under more of the same noise."""
        pictures, noise = self.pictures()[_SEEDS[split]], self.options.noise
        if shift == ROTATED.name:
            return self._shown(pictures._replace(pixels=self._turned(pictures.pixels, level)), split, noise)
        if shift == NOISY.name:
            return self._shown(pictures, split, noise + level)
        return super().shifted(splits, split, shift, level)

    def _turned(self, pixels: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
        """Turns pictures (N, 8, 8) about their centres, counterclockwise; the ground comes in at the corners."""
        from PIL import Image

        bilinear, ground = Image.Resampling.BILINEAR, self.ground
        turned = (Image.fromarray(picture).rotate(degrees, bilinear, fillcolor=ground) for picture in pixels)
        return np.stack([np.asarray(picture) for picture in turned])

    def _shown(self, pictures: Pictures, split: HeldOut, noise: float) -> Images:
        """Puts each picture at `placements` random places, under noise."""
        random = np.random.default_rng(_SEEDS[split])
        pixels = pictures.pixels.repeat(self.options.placements, axis=0)
        labels = pictures.labels.repeat(self.options.placements)
        corners = random.integers(0, self._margin + 1, size=(len(pixels), 2))
        return Images(disturbed(self._place(pixels, corners), noise, random), labels)

    def _place(self, pixels: NDArray[np.uint8], corners: NDArray[np.int64]) -> NDArray[np.uint8]:
        canvas = np.zeros((len(pixels), 1, self.options.canvas, self.options.canvas), np.uint8)
        for image, picture, (top, left) in zip(canvas, pixels, corners, strict=True):
            image[0, top : top + SIDE, left : left + SIDE] = picture
        return canvas


def disturbed(images: NDArray[np.uint8], noise: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Adds noise and clips to what an image can hold, as training batches are (`batch_augment.py`)."""
    noisy = images / 255.0 + noise * random.standard_normal(images.shape)
    return (noisy.clip(0, 1) * 255).round().astype(np.uint8)
