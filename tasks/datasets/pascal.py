"""PASCAL VOC 2012 and PASCAL-Context: photographs with the class of each pixel, in the folders of VOCdevkit."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.tasks.datasets.archives import Archive
from learngene_bench.tasks.datasets.label_maps import Meaning
from learngene_bench.tasks.datasets.official import Published
from learngene_bench.tasks.datasets.official_maps import OfficialMapOptions, OfficialMaps

VOC_NAMES = """
background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike,
person, pottedplant, sheep, sofa, train, tvmonitor
"""
# The 59 frequent ones of PASCAL-Context's 459 names, in the order of their numbers there, which is the alphabet's. The
# usual preparation counts them in this order. Some lists of the 59 names have another order, which its files have not.
CONTEXT_NAMES = """
aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, building, bus, cabinet, car, cat, ceiling,
chair, cloth, computer, cow, cup, curtain, dog, door, fence, floor, flower, food, grass, ground, horse, keyboard, light,
motorbike, mountain, mouse, person, plate, platform, pottedplant, road, rock, sheep, shelves, sidewalk, sign, sky, snow,
sofa, table, track, train, tree, truck, tvmonitor, wall, water, window, wood
"""


class _VocDevkit(OfficialMaps):
    """Images and annotations of all splits in one folder each, and a list of names for each split."""

    folder: ClassVar[str]
    annotations: ClassVar[str]
    lists: ClassVar[str]

    def _folders(self, split: str) -> tuple[Path, Path]:
        folder = self._root / "VOCdevkit" / self.folder
        return folder / "JPEGImages", folder / self.annotations

    def _images(self, split: str, images: Path) -> list[Path]:
        names = self._listed(images.parent / "ImageSets" / self.lists / f"{split}.txt")
        return sorted(images / f"{name}.jpg" for name in names)


class Voc2012(_VocDevkit):
    """1,464 training and 1,449 test images, the authors' validation images; 255, the outlines, is ignored.

    The archive and the folders are those of torchvision's `VOCSegmentation`.
    """

    name = "voc2012"
    published = Published("PASCAL VOC 2012", classes=21, train=1464, test=1449)
    held_out = 150
    class_names = tuple(name.strip() for name in VOC_NAMES.split(","))
    folder, annotations, lists = "VOC2012", "SegmentationClass", "Segmentation"
    archives = (
        Archive(
            "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            "md5:6cd6e144f989b92b3379bac3b3de84fd",
            "VOCtrainval_11-May-2012.tar",
            member="VOCdevkit/VOC2012",
            becomes="VOCdevkit/VOC2012",
        ),
    )

    @property
    def _meaning(self) -> Meaning:
        return Meaning(range(21))


class PascalContextOptions(OfficialMapOptions):
    background: Literal["ignored", "class"] = Field(
        "ignored", description="pixels of no class: ignored, or a first class of their own, as Segmenter counts them"
    )


class PascalContext(_VocDevkit):
    """4,998 training and 5,105 test images, the authors' validation images; 0 stands for the background."""

    Options: ClassVar[type[Section]] = PascalContextOptions
    name = "pascal-context"
    origin = "prepared folder"
    published = Published("PASCAL-Context", classes=59, train=4998, test=5105)
    held_out = 500
    class_names = tuple(name.strip() for name in CONTEXT_NAMES.split(","))
    folder, annotations, lists = "VOC2010", "SegmentationClassContext", "SegmentationContext"
    by_hand = (
        "unpack VOC 2010 there, and make label maps and lists by mmsegmentation's tools/dataset_converters/"
        "pascal_context.py (docs/segmentation.md), or say where they are with data.root"
    )

    @property
    def _background(self) -> bool:
        assert isinstance(self.options, PascalContextOptions)
        return self.options.background == "class"

    @property
    def _class_names(self) -> tuple[str, ...]:
        return ("background", *self.class_names) if self._background else self.class_names

    @property
    def _meaning(self) -> Meaning:
        return Meaning(range(60), frozenset()) if self._background else Meaning(range(1, 60), frozenset({0}))
