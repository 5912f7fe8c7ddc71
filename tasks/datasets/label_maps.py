"""Label maps in image files: decoded without a change of any label, checked, and cut as their images are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from learngene_bench.data.decoding import decoding
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORED = 255
"""Label of a pixel that is neither learned nor measured."""


class Meaning(NamedTuple):
    """Meaning of the numbers in a label file.

    Attributes:
        numbers: number of each class, in the order of the classes.
        ignored: numbers that stand for no class, whatever `numbers` says of them.
    """

    numbers: Sequence[int]
    ignored: frozenset[int] = frozenset({IGNORED})

    def read(self, numbers: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
        """Returns class indices, 255 for no class.

        Raises:
            UserError: a number stands for nothing.
        """
        table = np.full(256, IGNORED, np.uint8)
        table[[*self.numbers]] = np.arange(len(self.numbers))
        table[[*self.ignored]] = IGNORED
        if strange := sorted(set(np.unique(numbers).tolist()) - {*self.numbers, *self.ignored}):
            raise UserError(
                f"{path}: label {strange[-1]} in it, but the classes are {_ranges(self.numbers)} "
                f"(ignored: {_ranges(self.ignored)})"
            )
        return table[numbers]


def _ranges(numbers: Iterable[int]) -> str:
    """Words numbers briefly: "0, 3 to 7, 255"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def decoded_labels(path: Path, image: Path, meaning: Meaning, side: int) -> NDArray[np.uint8]:
    """Decodes the centre square of an image's label map: the part that the image's own is, by nearest neighbour."""
    return _centre(whole_labels(path, image, meaning), side)


def whole_labels(path: Path, image: Path, meaning: Meaning) -> NDArray[np.uint8]:
    """Decodes the label map of an image.

    Raises:
        UserError: no image, colours in place of numbers, another size than the image's, an unknown label.
    """
    from PIL import Image

    with decoding(image), Image.open(image) as pictured:
        wanted = pictured.size
    with decoding(path), Image.open(path) as opened:
        mode, size = opened.mode, opened.size
        numbers = opened.copy()
    if mode not in ("L", "P"):
        raise UserError(
            f"{path}: its pixels are of the mode {mode}, not one byte each (L or P): convert colours to class numbers"
        )
    if size != wanted:
        raise UserError(f"{path}: {size[0]} x {size[1]} pixels, but its image has {wanted[0]} x {wanted[1]}")
    return meaning.read(np.asarray(numbers), path)


def _centre(labels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Cuts the centre square as `decoding.centre` does, but takes the nearest label."""
    from PIL import Image

    image = Image.fromarray(labels)
    shorter = min(image.size)
    width, height = (side * length // shorter for length in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    resized = image.resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized.crop((left, top, left + side, top + side)))
