"""CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from learngene_bench.contracts.dataset import ProgressCallback
from learngene_bench.data.decoded_cache import cached_array
from learngene_bench.data.decoding import centre
from learngene_bench.tasks.datasets import arrays
from learngene_bench.tasks.datasets.archives import Archive, checked
from learngene_bench.tasks.datasets.arrays import Square
from learngene_bench.tasks.datasets.even import EvenImages, EvenOptions
from learngene_bench.tasks.datasets.listed import File
from learngene_bench.tasks.datasets.official import Published, Split, reading
from learngene_bench.util.errors import Faults
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32


class CifarOptions(EvenOptions):
    image_size: int = Field(SIDE, ge=1, description="side of the square images that networks see, pixels")

    @model_validator(mode="after")
    def _in_memory(self) -> Self:
        if self.stream is True or self.training_view == "whole":
            raise ValueError("images of CIFAR are no files of their own, so they cannot be streamed")
        return self


class Cifar10(EvenImages):
    """Tiny images of 10 classes of things (A. Krizhevsky, 2009), 32 x 32 pixels, read by torchvision's `CIFAR10`.

    The authors' files are pickles, and a pickle can run any program. torchvision opens them only after comparing the
    MD5 checksum of each with its authors': so these are the authors' own files, as nobody knows how to make another
    file of a given MD5. Nothing else is unpickled in this suite.
    """

    Options = CifarOptions
    name = "cifar10"
    published = Published("CIFAR-10", classes=10, train=50_000, test=10_000)
    held_out = 500
    reader: ClassVar[str] = "CIFAR10"
    archives: ClassVar[tuple[Archive, ...]] = (
        Archive(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "md5:c58f30108f718f92721af3b95e74349a",
            "cifar-10-python.tar.gz",
            member="cifar-10-batches-py",
            becomes="cifar-10-batches-py",
        ),
    )

    _can_stream = False

    def _verified(self, progress: ProgressCallback, faults: Faults) -> list[str]:
        """Checks the archive and the files, and counts; pixels need no decoding."""
        found = checked(self.archives, self._root, progress, faults)
        self._there(self._checksums[0][0].partition("/")[0])  # without their folder, all of them are missing
        for place, checksum in self._checksums:
            with faults.collected():
                self._check(place, checksum)
        if not faults.lines:
            for split, files in self._listing._asdict().items():
                found.append(f"{split}: {len(files)} images of {len({file.label for file in files})} classes")
        return found

    def _files(self, split: Split) -> list[File]:
        """Lists images as if each were a file named by its number, so that they are split like files."""
        labels = self._read[split].targets
        return [File(f"{split}/{number:05}", 3 * SIDE**2, int(label)) for number, label in enumerate(labels)]

    def _pixels(self, files: Sequence[File], square: Square) -> NDArray[np.uint8]:
        if square == Square(SIDE, 3):
            return self._original(files).transpose(0, 3, 1, 2).copy()
        batches = [self._root / place for place, _ in self._checksums]
        how = f"{self.name}, {arrays.describe(square)}, {[file.name for file in files]}"
        shape = (len(files), square.channels, square.side, square.side)
        return cached_array(batches, how, shape, lambda: self._resized(files, square))

    def _original(self, files: Sequence[File]) -> NDArray[np.uint8]:
        """Returns the images (N, 32, 32, 3) of one of the authors' splits."""
        split = files[0].name.partition("/")[0] if files else "test"
        images: NDArray[np.uint8] = self._read[split].data
        return images[np.array([int(file.name.partition("/")[2]) for file in files], np.int64)]

    def _resized(self, files: Sequence[File], square: Square) -> NDArray[np.uint8]:
        from PIL import Image

        images = np.empty((len(files), square.channels, square.side, square.side), np.uint8)
        for row, pixels in enumerate(self._original(files)):
            image = Image.fromarray(pixels).convert("RGB" if square.channels == 3 else "L")
            images[row] = arrays.as_array(centre(image, square.side, square.crop))
        return images

    @cached_property
    def _read(self) -> dict[str, Any]:
        """Opens torchvision's data sets of both splits."""
        from torchvision import datasets

        kind = getattr(datasets, self.reader)
        folder = self._there(kind.base_folder)
        for place, checksum in self._checksums:
            self._check(place, checksum)
        with reading(folder):
            return {"train": kind(self._root, train=True), "test": kind(self._root, train=False)}

    def _check(self, place: str, checksum: str) -> None:
        """Raises `UserError` if one of the authors' files is missing, or has another checksum."""
        self._there(place)
        Archive("", checksum, place).check(self._root)

    @cached_property
    def _checksums(self) -> list[tuple[str, str]]:
        """Lists the authors' files with torchvision's checksums."""
        from torchvision import datasets

        kind = getattr(datasets, self.reader)
        files = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
        return [(f"{kind.base_folder}/{name}", f"md5:{md5}") for name, md5 in files]


class Cifar100(Cifar10):
    """Tiny images of 100 classes of things, 32 x 32 pixels; see `Cifar10`."""

    name = "cifar100"
    published = Published("CIFAR-100", classes=100, train=50_000, test=10_000)
    held_out = 50
    reader = "CIFAR100"
    archives = (
        Archive(
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            "md5:eb9058c3a382ffc7106e4002c42a8d85",
            "cifar-100-python.tar.gz",
            member="cifar-100-python",
            becomes="cifar-100-python",
        ),
    )
