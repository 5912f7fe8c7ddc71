"""An embedded data set for segmentation: several real digits on one canvas, and the class of every pixel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from learngene_bench.config.recipe import Augmentation
from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import Dataset, DatasetFacts, Splits
from learngene_bench.data.splits import Images
from learngene_bench.tasks.datasets.digits import CLASSES, Digits, DigitsOptions, split_mismatch
from learngene_bench.tasks.datasets.placed import SIDE, Pictures, disturbed
from learngene_bench.util.lazy import np

CELL = 12
"""Side of the square that has at most one digit, pixels: the canvas of `digits`."""
INK = 64
"""Least brightness of ink, a quarter of white."""


class SceneOptions(Section):
    cells: int = Field(
        2, ge=1, description="cells of 12 x 12 pixels along a side of the canvas, each with a digit or none"
    )
    filled: float = Field(0.6, gt=0, le=1, description="probability that a cell has a digit")
    noise: float = Field(0.4, ge=0, description="standard deviation of the noise, white being 1")
    test_digits: int = Field(360, ge=CLASSES, description="digits that test scenes are made of")
    validation_digits: int = Field(180, ge=CLASSES, description="digits that validation scenes are made of")
    decoder: Literal["linear", "mask"] = Field("linear", description="decoder of the network, see docs/segmentation.md")


class DigitScenes(Dataset):
    """Digits of scikit-learn in a square of cells, each cell empty or with one digit at a random place of it.

    The label of a pixel is 0 for the ground and 1 + d inside the smallest rectangle that holds the ink of a digit d.
    Rectangles and not ink, as strokes are narrower than the patches of small models: a map of one number for each
    patch of 4 x 4 pixels, drawn larger bilinearly, can reach a mean IoU of .93 on rectangles and .62 on ink.

    A split has as many scenes as digits, made of these digits only, and they are those of `digits`: no test digit is
    ever seen in training, neither here nor at the source. Scenes are drawn once; the noise of training scenes anew
    each time they are seen.
    """

    Options = SceneOptions
    options: SceneOptions
    origin = "embedded"

    @property
    def _digits(self) -> Digits:
        options = self.options
        return Digits(DigitsOptions(test_digits=options.test_digits, validation_digits=options.validation_digits))

    def facts(self) -> DatasetFacts:
        counts = self._digits.counts
        return DatasetFacts(
            classes=1 + CLASSES,
            channels=1,
            image_size=CELL * self.options.cells,
            train_images=counts.train,
            validation_images=counts.validation,
            test_images=counts.test,
            kind="segmentation" if self.options.decoder == "linear" else "segmentation-mask",
            class_names=("ground", *map(str, range(CLASSES))),
        )

    def fingerprint(self) -> str:
        return f"{self._digits.fingerprint()}; scenes by seeds 0, 1, 2; rectangles around ink of {INK} and more"

    def overlap_with(self, source: Dataset) -> str | None:
        return split_mismatch(self._digits.options, source)

    def load(self) -> Splits:
        train, validation, test = (self._scenes(part, seed) for seed, part in enumerate(self._digits.pictures()))
        noise = self.options.noise
        seen = disturbed(train.images, noise, np.random.default_rng(0)) / 255.0
        return Splits(
            train=train,
            validation=Images(disturbed(validation.images, noise, np.random.default_rng(1)), validation.labels),
            test=Images(disturbed(test.images, noise, np.random.default_rng(2)), test.labels),
            mean=(float(seen.mean()),),
            std=(float(seen.std()),),
            task=Augmentation(noise=noise),
        )

    def _scenes(self, digits: Pictures, seed: int) -> Images:
        random, count, cells = np.random.default_rng(seed), len(digits.labels), self.options.cells
        images = np.zeros((count, 1, CELL * cells, CELL * cells), np.uint8)
        labels = np.zeros((count, CELL * cells, CELL * cells), np.uint8)
        for image, label in zip(images[:, 0], labels, strict=True):
            for row in range(0, CELL * cells, CELL):
                for column in range(0, CELL * cells, CELL):
                    chosen, is_filled = random.integers(count), random.random() < self.options.filled
                    top, left = random.integers(0, CELL - SIDE + 1, 2) + np.array([row, column])
                    if is_filled:
                        place = slice(top, top + SIDE), slice(left, left + SIDE)
                        image[place] = digits.pixels[chosen]
                        rows, columns = np.nonzero(digits.pixels[chosen] >= INK)
                        label[place][rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = (
                            1 + digits.labels[chosen]
                        )
        return Images(images, labels)
