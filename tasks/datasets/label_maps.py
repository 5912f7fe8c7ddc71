"""Label maps in image files: decoded without a change of any label, checked, and cut as their images are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from learngene_bench.util.errors import UserError, one_line
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IGNORED = 255
"""Label of a pixel that is neither learned nor measured."""


class Meaning(NamedTuple):
    """Meaning of the numbers in a label file.

    Attributes:
        classes: number of classes.
        ignored: numbers that stand for no class.
        first: number of the first class: 1 where 0 stands for no class.
    """

    classes: int
    ignored: frozenset[int] = frozenset({IGNORED})
    first: int = 0

    def read(self, numbers: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
        """Returns class indices, 255 for no class.

        Raises:
            UserError: a number stands for nothing.
        """
        table = np.full(256, IGNORED, np.uint8)
        table[self.first : self.first + self.classes] = np.arange(self.classes)
        table[[*self.ignored]] = IGNORED
        known = {*range(self.first, self.first + self.classes), *self.ignored, *range(self.first)}
        if strange := sorted(set(np.unique(numbers).tolist()) - known):
            ignored = ", ".join(map(str, sorted({*self.ignored, *range(self.first)})))
            raise UserError(
                f"{path}: label {strange[-1]} in it, but the classes are {self.first} to "
                f"{self.first + self.classes - 1} (ignored: {ignored})"
            )
        return table[numbers]


def decoded_labels(path: Path, image: Path, meaning: Meaning, side: int) -> NDArray[np.uint8]:
    """Decodes the label map of an image: the centre square of both is the same part, labels by nearest neighbour.

    Raises:
        UserError: no image, colours in place of numbers, another size than the image's, an unknown label.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened, Image.open(image) as pictured:
            mode, size, wanted = opened.mode, opened.size, pictured.size
            numbers = opened.copy()
    except Exception as error:  # PIL's decoders raise errors of many kinds, not only its own
        raise UserError(f"{path}: does not decode: {one_line(error)}") from error
    if mode not in ("L", "P"):
        raise UserError(
            f"{path}: its pixels are of the mode {mode}, not one byte each (L or P): convert colours to class numbers"
        )
    if size != wanted:
        raise UserError(f"{path}: {size[0]} x {size[1]} pixels, but its image has {wanted[0]} x {wanted[1]}")
    labels = meaning.read(np.asarray(numbers), path)
    return _centre(labels, side)


def _centre(labels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Cuts the centre square as `decoding.centre` does, but takes the nearest label."""
    from PIL import Image

    image = Image.fromarray(labels)
    shorter = min(image.size)
    width, height = (side * length // shorter for length in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    resized = image.resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized.crop((left, top, left + side, top + side)))
