"""Stanford Cars."""

from __future__ import annotations

from learngene_bench.tasks.datasets.listed import File
from learngene_bench.tasks.datasets.official import OfficialImages, Published, Split, as_it_is, files_of, reading

FOLDER = "stanford_cars"


class Cars196(OfficialImages):
    """Cars of 196 makes, models and years (J. Krause et al., 2013), read by torchvision's `StanfordCars`.

    Its authors no longer offer it for download: a folder that somebody prepared is needed.
    """

    name = "cars196"
    published = Published("Stanford Cars", classes=196, train=8144, test=8041)
    held_out = 4
    origin = "prepared folder"
    by_hand = (
        "Stanford Cars can no longer be downloaded from its authors. From a copy (such as Kaggle's"
        f" 'stanford-cars-dataset'), put the folders cars_train, cars_test and devkit (with cars_train_annos.mat and"
        f" cars_meta.mat) and the file cars_test_annos_withlabels.mat into {FOLDER}/ below data.root"
    )

    def _files(self, split: Split) -> list[File]:
        from torchvision.datasets import StanfordCars as Reader

        labels = "devkit/cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
        for needed in (f"cars_{split}", labels, "devkit/cars_meta.mat"):
            self._there(f"{FOLDER}/{needed}")
        with reading(self._root / FOLDER / labels):
            reader = Reader(self._root, split, loader=as_it_is)
        return files_of(self._root, reader)
