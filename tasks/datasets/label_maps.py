"""Label maps in image files: decoded without a change of any label, and checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from learngene_bench.data.decoding import FORMATS, decoding
from learngene_bench.data.map_files import IGNORED
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IGNORED", "Meaning", "whole_labels"]


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
        known = np.zeros(256, np.bool_)
        known[[*self.numbers, *self.ignored]] = True
        if not known[numbers].all():
            strange = np.unique(numbers[~known[numbers]])
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


def whole_labels(path: Path, image: Path, meaning: Meaning) -> NDArray[np.uint8]:
    """Decodes the label map of an image.

    Raises:
        UserError: no image, colours in place of numbers, another size than the image's, an unknown label.
    """
    from PIL import Image

    with decoding(image), Image.open(image, formats=FORMATS) as pictured:
        wanted = pictured.size
    with decoding(path), Image.open(path, formats=FORMATS) as opened:
        mode, size = opened.mode, opened.size
        numbers = opened.copy()
    if mode not in ("L", "P"):
        raise UserError(
            f"{path}: its pixels are of the mode {mode}, not one byte each (L or P): convert colours to class numbers"
        )
    if size != wanted:
        raise UserError(f"{path}: {size[0]} x {size[1]} pixels, but its image has {wanted[0]} x {wanted[1]}")
    return meaning.read(np.asarray(numbers), path)
