"""Caltech-UCSD Birds-200-2011."""

from __future__ import annotations

from pathlib import Path

from learngene_bench.tasks.datasets.archives import Archive
from learngene_bench.tasks.datasets.listed import File, file_below
from learngene_bench.tasks.datasets.official import OfficialImages, Published, Split, reading
from learngene_bench.util.errors import UserError

FOLDER = "CUB_200_2011"


class Cub200(OfficialImages):
    """Birds of 200 species (C. Wah et al., 2011), in the layout of its own archive, with its authors' split.

    `images.txt` (number, path), `image_class_labels.txt` (number, class from 1), `train_test_split.txt` (number, 1 for
    training) and `classes.txt` (class, name), a line for each image or class.
    """

    name = "cub200"
    published = Published("CUB-200-2011", classes=200, train=5994, test=5794)
    held_out = 3
    archives = (
        Archive(
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            "md5:97eceeb196236b17998738112f37df78",
            "CUB_200_2011.tgz",
            member=FOLDER,
            becomes=FOLDER,
        ),
    )

    def _files(self, split: Split) -> list[File]:
        paths, labels, training = (
            self._column(name) for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt")
        )
        classes = self._column("classes.txt")
        files = []
        for number, path in paths.items():
            label = labels.get(number, "")
            if label not in classes or not path.startswith(f"{classes[label]}/"):
                place = self._root / FOLDER / "image_class_labels.txt"
                raise UserError(f"{place}: image {number}, {path}, is in no folder of class {label or '?'}")
            if (training.get(number) == "1") == (split == "train"):
                with reading(self._root / FOLDER / "classes.txt"):
                    index = int(label) - 1
                files.append(file_below(self._root, f"{FOLDER}/images/{path}", index))
        return files

    def _column(self, name: str) -> dict[str, str]:
        """Reads the second word of every line of a list, by the first."""
        path: Path = self._there(f"{FOLDER}/{name}")
        with reading(path):
            lines = path.read_text(encoding="utf-8").splitlines()
            return dict(line.split(maxsplit=1) for line in lines if line.strip())
