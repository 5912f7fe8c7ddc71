"""ImageNet-1K (ILSVRC 2012): known sizes, so that it can be planned on a laptop that does not hold it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from learngene_bench.contracts.dataset import DatasetFacts, ProgressCallback, Splits
from learngene_bench.tasks.datasets.imagefolder import ImageFolder, ImageFolderOptions
from learngene_bench.tasks.datasets.listed import File
from learngene_bench.util.errors import UserError

CLASSES, TRAIN_IMAGES, TEST_IMAGES = 1000, 1_281_167, 50_000
VALIDATION_PER_CLASS = 10


class ImageNetOptions(ImageFolderOptions):
    root: Path = Field(Path("imagenet"), description="the folder that holds train/ and val/, one folder per class")
    image_size: int = Field(224, ge=1, description="side of the square images that networks see, pixels")


class ImageNet(ImageFolder):
    """ImageNet-1K in the layout of torchvision's `ImageFolder`; `val/`, 50,000 images, is the test split.

    Ten training images of every class are set aside for validation, so 1,271,167 are trained on. Decoded at 224 pixels
    all of it would take 200 GB of memory, so that it is streamed.
    """

    Options = ImageNetOptions
    origin = "prepared folder"
    _may_lack_splits = False

    def label(self, name: str) -> str:
        return name

    def facts(self) -> DatasetFacts:
        validation = CLASSES * VALIDATION_PER_CLASS
        return DatasetFacts(
            CLASSES, self.options.channels, self.options.image_size, TRAIN_IMAGES - validation, validation, TEST_IMAGES
        )

    def fingerprint(self) -> str:
        return f"ILSVRC 2012, {VALIDATION_PER_CLASS} training images of each class for validation"

    def check_available(self) -> None:
        assert self._split_folders

    def load(self) -> Splits:
        self._check_counts()
        return super().load()

    def verify(self, progress: ProgressCallback) -> list[str]:
        self._check_counts()
        return super().verify(progress)

    def prepare(self, progress: ProgressCallback) -> list[str]:
        try:
            self._check_counts()
        except UserError as error:
            raise UserError(
                f"{error}; ImageNet cannot be downloaded without an account on image-net.org: unpack ILSVRC 2012 so "
                f"that there are {self._root}/train/SYNSET/IMAGE and {self._root}/val/SYNSET/IMAGE"
            ) from error
        return super().prepare(progress)

    def _check_counts(self) -> None:
        found, known = super().facts(), self.facts()
        if found != known:
            raise UserError(
                f"{self._root}: not ImageNet-1K as known: it has {found.classes} classes, "
                f"{found.train_images + found.validation_images} training and {found.test_images} test images, not "
                f"{CLASSES}, {TRAIN_IMAGES} and {TEST_IMAGES} (use data.name=imagefolder for a part of it)"
            )

    def _for_validation(self, files: list[File]) -> list[File]:
        return files[:VALIDATION_PER_CLASS]
