"""Parts of a training set that have as many images of every class as they can, a smaller part within a larger one.

The rule: images are put into a random order, drawn by a seed. The first image of every class comes first, then the
second of every class, and so on, until classes run out of images. A part is the beginning of that list. It has its
percentage of all images, rounded half up, and never less than one image of each class.

Only training images are drawn from: mean and standard deviation of the pixels, validation and test images stay those of
the whole data set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from learngene_bench.contracts.dataset import Split, Splits
from learngene_bench.data.splits import ImageFiles, Images
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

    from learngene_bench.schema.provenance import Part


def part_size(images: int, classes: int, share: float) -> int:
    """Returns the number of images of a part.

    Args:
        images: images of the whole training set.
        classes: number of its classes, each of which a part has at least one image of.
        share: percentage, above 0 and up to 100.
    """
    return min(images, max(classes, math.floor(images * share / 100 + 0.5)))


def draw(labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Draws a part of so many images.

    Args:
        labels: class indices (N,).

    Returns:
        Positions in the training set, ascending.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    turns = np.empty(len(labels), dtype=np.int64)
    turns[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    return np.sort(order[np.argsort(turns[order], kind="stable")][:size])


def with_part(splits: Splits, classes: int, part: Part) -> Splits:
    """Returns the splits with a part of the training images.

    Raises:
        UserError: a class has no training image, or images have no single class each.
    """
    labels = splits.train.labels
    if labels.ndim != 1:
        raise UserError("a share of the training images is drawn by their classes, and these have several labels each")
    if missing := sorted(set(range(classes)) - set(labels.tolist())):
        raise UserError(f"a share of the training images has some of every class, and class {missing[0]} has none")
    return replace(
        splits, train=_of_split(splits.train, draw(labels, part_size(len(labels), classes, part.share), part.seed))
    )


def _of_split(split: Split, positions: NDArray[np.int64]) -> Split:
    """Returns the images at these positions, kept where those of the split are."""
    if isinstance(split, Images):
        return Images(split.images[positions], split.labels[positions])
    if isinstance(split, ImageFiles):
        return replace(split, names=split.names[positions], labels=split.labels[positions])
    return _Positions(split, positions)


@dataclass(frozen=True)
class _Positions:
    """Some images of a split of any type."""

    split: Split
    positions: NDArray[np.int64]

    @property
    def labels(self) -> NDArray[Any]:
        labels: NDArray[Any] = self.split.labels[self.positions]
        return labels

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.split.shape

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return self.split.take(self.positions[indices])

    def image(self, index: int, *, whole: bool = False) -> PILImage:
        return self.split.image(int(self.positions[index]), whole=whole)
