"""Cityscapes: street scenes with the class of each pixel, 19 classes (Cordts et al., 2016)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.tasks.datasets.label_maps import Meaning
from learngene_bench.tasks.datasets.official import Published
from learngene_bench.tasks.datasets.official_maps import OfficialMapOptions, OfficialMaps

NAMES = """
road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, person, rider, car,
truck, bus, train, motorcycle, bicycle
"""
IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each of the classes that are trained on and measured; there are ids 0 to 33."""
LABEL_IDS, TRAIN_IDS = "_gtFine_labelIds", "_gtFine_labelTrainIds"


class CityscapesOptions(OfficialMapOptions):
    root: Path = Field(Path("data/cityscapes"), description="the folder that holds leftImg8bit/ and gtFine/")


class Cityscapes(OfficialMaps):
    """2,975 training and 500 test images, the authors' validation images: the labels of their own test are not public.

    `*_gtFine_labelIds.png` are read, which the download has, or else `*_gtFine_labelTrainIds.png`, which
    cityscapesScripts makes of them. Both say the same.
    """

    Options: ClassVar[type[Section]] = CityscapesOptions
    name = "cityscapes"
    origin = "prepared folder"
    published = Published("Cityscapes", classes=19, train=2975, test=500)
    held_out = 300
    class_names = tuple(name.strip() for name in NAMES.split(","))
    by_hand = (
        "unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of https://www.cityscapes-dataset.com (a free"
        " account is needed) there, or say where they are with data.root"
    )

    @cached_property
    def _kind(self) -> str:
        """Suffix of the annotations: label ids, unless there are train ids alone."""
        folder = self._folders("train")[1]
        there = [kind for kind in (LABEL_IDS, TRAIN_IDS) if any(folder.rglob(f"*{kind}.png"))]
        return there[0] if there else LABEL_IDS

    @property
    def _meaning(self) -> Meaning:
        if self._kind == TRAIN_IDS:
            return Meaning(range(len(IDS)))
        return Meaning(IDS, frozenset(range(34)) - {*IDS})

    def _folders(self, split: str) -> tuple[Path, Path]:
        return self._root / "leftImg8bit" / split, self._root / "gtFine" / split

    def _annotation_name(self, name: str) -> str:
        return name.removesuffix("_leftImg8bit") + self._kind
