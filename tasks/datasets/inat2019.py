"""iNaturalist 2019."""

from __future__ import annotations

import json
from functools import cached_property

from learngene_bench.tasks.datasets.archives import Archive
from learngene_bench.tasks.datasets.listed import File
from learngene_bench.tasks.datasets.official import OfficialImages, Published, Split, as_it_is, files_of, reading

URL = "https://ml-inat-competition-datasets.s3.amazonaws.com/2019"


class INat2019(OfficialImages):
    """Plants and animals of 1,010 species (iNaturalist competition at FGVC6, 2019), 74 GB.

    Read by torchvision's `INaturalist`, which puts the archive's `train_val2019/` at `2019/` and lists the training and
    validation images of the competition together. Which of them are the 3,030 validation images, here the test split
    as in the paper's Table 9, is in the authors' `val2019.json`, which torchvision neither downloads nor reads.
    """

    name = "inat2019"
    published = Published("iNaturalist 2019", classes=1010, train=265_213, test=3030)
    held_out = 3
    archives = (
        Archive(
            f"{URL}/val2019.json.tar.gz",
            "md5:5cc5509b0fe495f1c8c1362612448497",
            "val2019.json.tar.gz",
            member="val2019.json",
            becomes="val2019.json",
        ),
        Archive(
            f"{URL}/train_val2019.tar.gz",
            "md5:c60a6e2962c9b8ccbd458d12c8582644",
            "2019.tgz",
            member="train_val2019",
            becomes="2019",
        ),
    )

    def _files(self, split: Split) -> list[File]:
        test = self._test_names
        return [file for file in self._all_files if (file.name in test) == (split == "test")]

    @cached_property
    def _all_files(self) -> list[File]:
        from torchvision.datasets import INaturalist as Reader

        folder = self._there("2019")
        with reading(folder):
            reader = Reader(self._root, "2019", loader=as_it_is)
        return files_of(self._root, reader)

    @cached_property
    def _test_names(self) -> set[str]:
        path = self._there("val2019.json")
        with reading(path):
            images = json.loads(path.read_text(encoding="utf-8"))["images"]
            return {image["file_name"].replace("train_val2019/", "2019/", 1) for image in images}
