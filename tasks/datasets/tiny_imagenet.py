"""Tiny ImageNet, as it was published."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from learngene_bench.tasks.datasets.archives import Archive
from learngene_bench.tasks.datasets.even import EvenImages, EvenOptions
from learngene_bench.tasks.datasets.imagefolder import image_files
from learngene_bench.tasks.datasets.listed import File, file_below
from learngene_bench.tasks.datasets.official import Published, Split, reading
from learngene_bench.util.errors import UserError

FOLDER = "tiny-imagenet-200"


class TinyImageNetOptions(EvenOptions):
    image_size: int = Field(64, ge=1, description="side of the square images that networks see, pixels")


class TinyImageNet(EvenImages):
    """200 classes of ImageNet at 64 x 64 pixels (Stanford's course CS231n, 2015), in its original layout.

    `wnids.txt` names the classes, of which labels are the alphabetical order; `train/WNID/images/*.JPEG` are the
    training images. `val/images/*.JPEG`, whose classes are in `val/val_annotations.txt`, is the test split, as the
    classes of `test/` were never published.
    """

    Options = TinyImageNetOptions
    name = "tiny-imagenet"
    published = Published("Tiny ImageNet", classes=200, train=100_000, test=10_000)
    held_out = 50
    archives = (
        Archive(
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "md5:90528d7ca1a48142e341f4ef8d21d0de",
            "tiny-imagenet-200.zip",
            member=FOLDER,
            becomes=FOLDER,
        ),
    )

    def _files(self, split: Split) -> list[File]:
        names = self._there(f"{FOLDER}/wnids.txt")
        with reading(names):
            labels = {name: label for label, name in enumerate(sorted(names.read_text(encoding="utf-8").split()))}
        return self._training_files(labels) if split == "train" else self._test_files(labels)

    def _training_files(self, labels: dict[str, int]) -> list[File]:
        files: list[File] = []
        for name, label in labels.items():
            folder = f"{FOLDER}/train/{name}/images"
            files += image_files(self._there(folder), folder, label)
        return files

    def _test_files(self, labels: dict[str, int]) -> list[File]:
        annotations: Path = self._there(f"{FOLDER}/val/val_annotations.txt")
        with reading(annotations):
            lines = annotations.read_text(encoding="utf-8").splitlines()
        files = []
        for number, line in enumerate(lines, start=1):
            image, name, *_ = [*line.split(), "", ""]
            if name not in labels:
                raise UserError(f"{annotations}: line {number}: {name or 'nothing'!r} is no class of wnids.txt")
            files.append(file_below(self._root, f"{FOLDER}/val/images/{image}", labels[name]))
        return files
