"""Published data sets whose classes have equal size, so that the counts of a part are known in advance."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field

from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.tasks.datasets.listed import File
from learngene_bench.tasks.datasets.official import OfficialImages, OfficialOptions


class EvenOptions(OfficialOptions):
    classes: int | None = Field(None, ge=2, description="number of classes to use, the first ones; all when absent")
    images_per_class: int | None = Field(
        None, ge=2, description="number of training images of each class, validation included; all when absent"
    )


class EvenImages(OfficialImages):
    """A published data set of equal classes, or a part of it: all of it must be there, some of it is used.

    Which training images a part has is decided by the hash of each file's name, so that a smaller part is in a larger.
    """

    Options = EvenOptions
    options: EvenOptions

    def facts(self) -> DatasetFacts:
        options, classes = self.options, len(self._classes)
        self._check_some_are_left(self._images_per_class)
        validation = classes * self._of_each_class
        train = classes * self._images_per_class - validation
        test = classes * (self.published.test // self.published.classes)
        return DatasetFacts(classes, options.channels, options.image_size, train, validation, test)

    def fingerprint(self) -> str:
        whole = super().fingerprint()
        classes, images = len(self._classes), self._images_per_class
        if (classes, images) == (self.published.classes, self._all_of_a_class):
            return whole
        return f"{whole}; of them the first {classes} classes, {images} training images of each"

    @property
    def _all_of_a_class(self) -> int:
        """Number of training images of a class as published."""
        return self.published.train // self.published.classes

    @property
    def _images_per_class(self) -> int:
        return min(self.options.images_per_class or self._all_of_a_class, self._all_of_a_class)

    @property
    def _of_each_class(self) -> int:
        """Number of validation images of a class: the same fraction for a part as for the whole."""
        if self.options.validation_per_class is not None:
            return self.options.validation_per_class
        return max(1, round(self.held_out * self._images_per_class / self._all_of_a_class))

    @cached_property
    def _classes(self) -> list[str]:
        return super()._classes[: self.options.classes]

    def _part(self, by_class: list[list[File]]) -> list[list[File]]:
        return [files[: self._images_per_class] for files in by_class[: len(self._classes)]]
