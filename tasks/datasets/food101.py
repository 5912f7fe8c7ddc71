"""Food-101."""

from __future__ import annotations

from learngene_bench.tasks.datasets.archives import Archive
from learngene_bench.tasks.datasets.even import EvenImages
from learngene_bench.tasks.datasets.listed import File
from learngene_bench.tasks.datasets.official import Published, Split, as_it_is, files_of, reading


class Food101(EvenImages):
    """Dishes of 101 kinds (L. Bossard et al., 2014), read by torchvision's `Food101`; labels of training are noisy."""

    name = "food101"
    published = Published("Food-101", classes=101, train=75_750, test=25_250)
    held_out = 75
    archives = (
        Archive(
            "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            "md5:85eeb15f3717b99a5da872d97d918f87",
            "food-101.tar.gz",
            member="food-101",
            becomes="food-101",
        ),
    )

    def _files(self, split: Split) -> list[File]:
        from torchvision.datasets import Food101 as Reader

        self._there("food-101/images")
        labels = self._there(f"food-101/meta/{split}.json")
        with reading(labels):
            reader = Reader(self._root, split, loader=as_it_is)
        return files_of(self._root, reader)
