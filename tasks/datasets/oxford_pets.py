"""Oxford-IIIT Pet: photographs of cats and dogs, and which pixels are the animal (Parkhi et al., 2012)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.tasks.datasets.archives import Archive
from learngene_bench.tasks.datasets.label_maps import Meaning
from learngene_bench.tasks.datasets.official import Published
from learngene_bench.tasks.datasets.official_maps import OfficialMapOptions, OfficialMaps

URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
PET, BACKGROUND, BORDER = 1, 2, 3


class OxfordPetsOptions(OfficialMapOptions):
    border: Literal["class", "ignored"] = Field(
        "class",
        description="pixels of the animals' outlines, which belong to neither: a class of their own, or ignored",
    )


class OxfordPets(OfficialMaps):
    """3,680 training and 3,669 test images, of which every pixel is pet, background or border.

    The archives and the folders are those of torchvision's `OxfordIIITPet`; the breeds are not used.
    """

    Options: ClassVar[type[Section]] = OxfordPetsOptions
    name = "oxford-pets"
    published = Published("Oxford-IIIT Pet", classes=3, train=3680, test=3669)
    held_out = 370
    class_names = ("pet", "background", "border")
    archives = tuple(
        Archive(
            f"{URL}/{folder}.tar.gz",
            checksum,
            f"oxford-iiit-pet/{folder}.tar.gz",
            member=folder,
            becomes=f"oxford-iiit-pet/{folder}",
        )
        for folder, checksum in {
            "images": "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
            "annotations": "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
        }.items()
    )

    @property
    def _class_names(self) -> tuple[str, ...]:
        return self.class_names[: len(self._meaning.numbers)]

    @property
    def _meaning(self) -> Meaning:
        assert isinstance(self.options, OxfordPetsOptions)
        if self.options.border == "ignored":
            return Meaning((PET, BACKGROUND), frozenset({BORDER}))
        return Meaning((PET, BACKGROUND, BORDER), frozenset())

    def _folders(self, split: str) -> tuple[Path, Path]:
        folder = self._root / "oxford-iiit-pet"
        return folder / "images", folder / "annotations" / "trimaps"

    def _images(self, split: str, images: Path) -> list[Path]:
        names = self._listed(images.parent / "annotations" / {"train": "trainval.txt", "val": "test.txt"}[split])
        return sorted(images / f"{name}.jpg" for name in names)
