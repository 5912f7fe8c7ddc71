"""Published data sets with a label for each pixel: known counts and classes, their authors' split and folders."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import DatasetFacts, ProgressCallback
from learngene_bench.tasks.datasets.archives import Archive, checked, fetch_all
from learngene_bench.tasks.datasets.official import Published
from learngene_bench.tasks.datasets.segmentation_folder import (
    MapOptions,
    Pairs,
    SegmentationFolder,
    with_validation,
)
from learngene_bench.util.errors import Faults, UserError


class OfficialMapOptions(MapOptions):
    root: Path = Field(
        Path("data"), description="folder of the data, as torchvision's `root`; `lgbench data prepare` fills it"
    )
    image_size: int = Field(512, ge=1, description="side of the square images that networks see, pixels")
    validation_images: int | None = Field(
        None, ge=0, description="training images that are used for validation; about a tenth when absent"
    )


class OfficialMaps(SegmentationFolder):
    """A published data set with a label for each pixel; it can be planned where it does not lie.

    The authors' validation images, whose labels are published, are the test split (`val`). Validation images are taken
    from the training images by a hash of the file's name. With `validation_images = 0` all training images are trained
    on, as in papers, and there is no validation.
    """

    Options: ClassVar[type[Section]] = OfficialMapOptions
    options: OfficialMapOptions
    origin = "download"
    name: ClassVar[str]
    """Value of `data.name`."""
    published: ClassVar[Published]
    held_out: ClassVar[int]
    """Default number of validation images: about a tenth."""
    archives: ClassVar[tuple[Archive, ...]] = ()
    by_hand: ClassVar[str] = ""
    """Advice on how to get the data if they cannot be downloaded."""

    def label(self, name: str) -> str:
        return name

    def facts(self) -> DatasetFacts:
        known, taken = self.published, self._taken
        if taken >= known.train:
            raise UserError(f"validation_images = {taken} leaves none for training: {self.name} has {known.train}")
        return self._facts(known.train - taken, taken, known.test)

    def fingerprint(self) -> str:
        """Names the publication and its counts, so that it is known without the data; counts are checked later."""
        known = self.published
        return f"{known.title}, {known.train} + {known.test} images with a label map, {self._taken} for validation"

    @property
    def _taken(self) -> int:
        given = self.options.validation_images
        return self.held_out if given is None else given

    @cached_property
    def _pairs(self) -> Pairs:
        self.facts()
        train, test = self._pairs_of("train"), self._pairs_of("val")
        known = self.published
        for split, pairs, count in (("training", train, known.train), ("test", test, known.test)):
            if len(pairs) != count:
                raise UserError(
                    f"{self._root}: {len(pairs)} {split} images, but {known.title} has {count}"
                    " (use data.name=segmentation-folder for a part of it)"
                )
        return with_validation(train, self._taken, test)

    def check_available(self) -> None:
        assert self._pairs

    def prepare(self, progress: ProgressCallback) -> list[str]:
        # A new reader each time, as this one may remember a list that is not complete.
        done, pairs = fetch_all(self.archives, self._root, progress, lambda: type(self)(self.options)._pairs)
        return [*done, f"{len(pairs.train) + len(pairs.validation)} training and {len(pairs.test)} test images"]

    def _verified(self, progress: ProgressCallback, faults: Faults) -> list[str]:
        """Checks the archives that are still there, counts, and decodes every image and every annotation."""
        found = checked(self.archives, self._root, progress, faults)
        with faults.collected():
            found += super()._verified(progress, faults)
        return found

    def _how_to_get_it(self) -> str:
        return self.by_hand or f"`lgbench data prepare {self.name} --root {self._root}` brings {self.published.title}"

    def _listed(self, path: Path) -> list[str]:
        """Returns the first word of each line of a list of images."""
        if not path.is_file():
            raise UserError(f"{path}: not there; {self._how_to_get_it()}")
        try:
            return [line.split()[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from error
