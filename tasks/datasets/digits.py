"""The embedded data set: scikit-learn's 1,797 real handwritten digits, placed on a larger, noisy canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from learngene_bench.config import Augmentation, Section
from learngene_bench.datasets import Dataset, DatasetFacts, Images, Splits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 8
IMAGES = 1797
CLASSES = 10
LEAST_TRAINING = 10 * CLASSES


class DigitsOptions(Section):
    # Even, as training shifts a digit equally far to both sides of the centre: an odd margin would cut some digits.
    canvas: int = Field(12, ge=SIDE, multiple_of=2, description="side of the canvas, pixels; the digits are 8 x 8")
    noise: float = Field(0.4, ge=0, description="standard deviation of the noise, white being 1")
    placements: int = Field(4, ge=1, description="places at which each validation and test digit is shown")
    test_digits: int = Field(360, ge=CLASSES)
    validation_digits: int = Field(180, ge=CLASSES)

    @model_validator(mode="after")
    def _some_to_train(self) -> DigitsOptions:
        left = IMAGES - self.test_digits - self.validation_digits
        if left < LEAST_TRAINING:
            raise ValueError(
                f"test_digits and validation_digits leave {max(left, 0)} of {IMAGES} digits for training,"
                f" at least {LEAST_TRAINING} are needed"
            )
        return self


class Digits(Dataset):
    """Optical recognition of handwritten digits (E. Alpaydin and C. Kaynak, UCI, 1998; scikit-learn's test part).

    Centred 8 x 8 digits saturate at once. Placed anywhere on a canvas and under noise, the same real digits leave room
    between methods and make position matter. A training digit is placed and disturbed anew each time it is seen; every
    test digit is shown at `placements` fixed places under fixed noise. The split into training, validation and test
    *digits* is fixed and stratified, so no test digit is ever seen in training, at any place.
    """

    Options = DigitsOptions
    options: DigitsOptions

    def facts(self) -> DatasetFacts:
        own = self.options
        return DatasetFacts(
            classes=CLASSES,
            channels=1,
            image_size=own.canvas,
            train_images=IMAGES - own.test_digits - own.validation_digits,
            validation_images=own.validation_digits * own.placements,
            test_images=own.test_digits * own.placements,
        )

    def fingerprint(self) -> str:
        return f"scikit-learn digits, {IMAGES} images; split and places by seed 0"

    def load(self) -> Splits:
        import numpy as np
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        own = self.options
        bunch = load_digits()
        digits = np.round(bunch.images * (255 / 16)).astype(np.uint8)
        labels = bunch.target.astype(np.int64)
        rest, test = train_test_split(np.arange(IMAGES), test_size=own.test_digits, stratify=labels, random_state=0)
        train, validation = train_test_split(
            rest, test_size=own.validation_digits, stratify=labels[rest], random_state=0
        )
        centred = self._place(digits[train], np.full((len(train), 2), self._margin // 2))
        seen = self._disturb(centred, np.random.default_rng(0)) / 255.0
        return Splits(
            train=Images(centred, labels[train]),
            validation=self._shown(digits[validation], labels[validation], np.random.default_rng(1)),
            test=self._shown(digits[test], labels[test], np.random.default_rng(2)),
            mean=(float(seen.mean()),),
            std=(float(seen.std()),),
            task=Augmentation(shift=self._margin // 2, noise=own.noise),
        )

    @property
    def _margin(self) -> int:
        return self.options.canvas - SIDE

    def _shown(self, digits: NDArray[np.uint8], labels: NDArray[np.int64], random: np.random.Generator) -> Images:
        """Each digit at `placements` random places, under noise."""
        digits, labels = digits.repeat(self.options.placements, axis=0), labels.repeat(self.options.placements)
        corners = random.integers(0, self._margin + 1, size=(len(digits), 2))
        return Images(self._disturb(self._place(digits, corners), random), labels)

    def _disturb(self, images: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
        """Adds noise and clips to what an image can hold, as training batches are (`augment.py`)."""
        import numpy as np

        noisy = images / 255.0 + self.options.noise * random.standard_normal(images.shape)
        return (noisy.clip(0, 1) * 255).round().astype(np.uint8)

    def _place(self, digits: NDArray[np.uint8], corners: NDArray[np.int64]) -> NDArray[np.uint8]:
        import numpy as np

        canvas = np.zeros((len(digits), 1, self.options.canvas, self.options.canvas), np.uint8)
        for image, digit, (top, left) in zip(canvas, digits, corners, strict=True):
            image[0, top : top + SIDE, left : left + SIDE] = digit
        return canvas
