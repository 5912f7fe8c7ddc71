"""The embedded data set: scikit-learn's 1,797 real handwritten digits, and three downstream tasks made of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from pydantic import Field, model_validator

from learngene_bench.contracts.dataset import Dataset, Shift
from learngene_bench.tasks.datasets.placed import NOISY, ROTATED, Counts, Pictures, PlacedOptions, PlacedPictures
from learngene_bench.util.lazy import np

IMAGES = 1797
CLASSES = 10
LEAST_TRAINING = 10 * CLASSES


class DigitsOptions(PlacedOptions):
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


class Digits(PlacedPictures):
    """Optical recognition of handwritten digits (E. Alpaydin and C. Kaynak, UCI, 1998; scikit-learn's test part).

    The split into training, validation and test *digits* is fixed and stratified, so no test digit is ever seen in
    training, at any place.
    """

    Options = DigitsOptions
    options: DigitsOptions
    classes: ClassVar[int] = CLASSES

    @property
    def counts(self) -> Counts:
        options = self.options
        return Counts(
            IMAGES - options.test_digits - options.validation_digits, options.validation_digits, options.test_digits
        )

    def fingerprint(self) -> str:
        return f"scikit-learn digits, {IMAGES} images; split and places by seed 0"

    def shifts(self) -> tuple[Shift, ...]:
        return ROTATED, NOISY

    def pictures(self) -> tuple[Pictures, Pictures, Pictures]:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        options = self.options
        bunch = load_digits()
        digits = np.round(bunch.images * (255 / 16)).astype(np.uint8)
        labels = bunch.target.astype(np.int64)
        rest, test = train_test_split(np.arange(IMAGES), test_size=options.test_digits, stratify=labels, random_state=0)
        train, validation = train_test_split(
            rest, test_size=options.validation_digits, stratify=labels[rest], random_state=0
        )
        return (
            Pictures(digits[train], labels[train]),
            Pictures(digits[validation], labels[validation]),
            Pictures(digits[test], labels[test]),
        )


def split_mismatch(options: DigitsOptions, source: Dataset) -> str | None:
    """The reason why test digits of a task made of digits may be training digits of the source; None if they are not.

    Args:
        options: those of the task; both tasks split the digits by the same seed.
    """
    if isinstance(source, Digits):
        for split in ("test_digits", "validation_digits"):
            here, there = getattr(options, split), getattr(source.options, split)
            if here != there:
                return f"{split} is {here} here and {there} at the source, which trains on the others"
    return None


class RemadeDigits(Digits):
    """Another task on the same digits, for transfer from `digits`.

    The split into digits is that of `digits` with the same `test_digits` and `validation_digits`: what is a test digit
    here was in no training, neither of the source nor of this task. The training digits are the source's own, with
    other labels or other pixels; so this measures how knowledge carries over to another question, not to other writers.
    """

    def fingerprint(self) -> str:
        return f"{super().fingerprint()}; {self._remade_as}"

    def overlap_with(self, source: Dataset) -> str | None:
        return split_mismatch(self.options, source)

    def pictures(self) -> tuple[Pictures, Pictures, Pictures]:
        train, validation, test = (self._remade(part, seed) for seed, part in enumerate(super().pictures()))
        return train, validation, test

    _remade_as: ClassVar[str]
    """Says what is done to the digits; the text must change whenever that does, as it is part of addresses."""

    @abstractmethod
    def _remade(self, digits: Pictures, seed: int) -> Pictures:
        """Makes the digits of one split for this task; everything random is drawn from the seed."""


class DigitsParity(RemadeDigits):
    """Parity: is the digit odd? The pixels of `digits`, two classes: even, odd."""

    classes = 2
    _remade_as = "even or odd"

    def _remade(self, digits: Pictures, seed: int) -> Pictures:
        return digits._replace(labels=digits.labels % 2)


class DigitsTurned(RemadeDigits):
    """Rotation: is the digit turned by 0, 1, 2 or 3 quarter turns counterclockwise? Drawn once for each digit.

    The task of S. Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations (ICLR 2018), with
    one turn for each image in place of all four. No model reaches 100 %: a 0 or 8 looks the same after two turns, and
    a turned 6 is a 9.
    """

    classes = 4
    _remade_as = "turned by quarters, by seeds 0, 1, 2"

    def shifts(self) -> tuple[Shift, ...]:
        """Without rotation, which is what this task asks for."""
        return (NOISY,)

    def _remade(self, digits: Pictures, seed: int) -> Pictures:
        turns = np.random.default_rng(seed).integers(0, 4, len(digits.labels))
        pixels = np.stack([np.rot90(picture, turn) for picture, turn in zip(digits.pixels, turns, strict=True)])
        return Pictures(pixels, turns)


class DigitsInverted(RemadeDigits):
    """Inverted digits: dark on a white card of 8 x 8, which lies anywhere on the black canvas."""

    _remade_as = "dark on white cards"
    ground = 255

    def _remade(self, digits: Pictures, seed: int) -> Pictures:
        return digits._replace(pixels=255 - digits.pixels)
