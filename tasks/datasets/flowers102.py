"""Oxford Flowers 102."""

from __future__ import annotations

from learngene_bench.tasks.datasets.archives import Archive
from learngene_bench.tasks.datasets.listed import File
from learngene_bench.tasks.datasets.official import OfficialImages, Published, Split, as_it_is, files_of, reading

URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"


class Flowers102(OfficialImages):
    """Flowers of 102 kinds (M.-E. Nilsback and A. Zisserman, 2008), read by torchvision's `Flowers102`.

    The authors' training and validation split, 10 + 10 images of each class, are the training split, as in the paper's
    Table 9; their test split is the larger one.
    """

    name = "flowers102"
    published = Published("Oxford Flowers 102", classes=102, train=2040, test=6149)
    held_out = 2
    archives = (
        Archive(
            f"{URL}/102flowers.tgz",
            "md5:52808999861908f626f3c1f4e79d11fa",
            "flowers-102/102flowers.tgz",
            member="jpg",
            becomes="flowers-102/jpg",
        ),
        Archive(f"{URL}/imagelabels.mat", "md5:e0620be6f572b9609742df49c70aed4d", "flowers-102/imagelabels.mat"),
        Archive(f"{URL}/setid.mat", "md5:a5357ecc9cb78c4bef273ce3793fc85c", "flowers-102/setid.mat"),
    )

    def _files(self, split: Split) -> list[File]:
        from torchvision.datasets import Flowers102 as Reader

        self._there("flowers-102/jpg")
        for archive in self.archives[1:]:
            self._there(archive.place)
            archive.check(self._root)
        parts = ("train", "val") if split == "train" else ("test",)
        with reading(self._root / "flowers-102" / "setid.mat"):
            readers = [Reader(self._root, part, loader=as_it_is) for part in parts]
        return [file for reader in readers for file in files_of(self._root, reader)]
