"""A split whose images have a label for each pixel and stay on disk, each of its own size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.config.joint import JointAugmentation
from learngene_bench.data.decoding import centre, decoded, decoding, resized
from learngene_bench.util.lazy import np

IGNORED = 255
"""Label of a pixel that is neither learned nor measured."""

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage


@dataclass(frozen=True)
class MapFiles:
    """Images and label maps, decoded whenever they are seen, so that no split is too large for memory.

    Training sees random squares of them and evaluation the whole images (`data.map_loader`). To whatever else looks at
    a `Split`, they are their centre squares.

    Attributes:
        files: an image and its annotation each.
        read_labels: decodes an annotation, given with its image: uint8 (height, width) of the image, 255 for pixels
            that are ignored. Raises `UserError` for a file that is not as it should be.
        image_size: side of the squares that models see, pixels.
        shorter_side: shorter side that whole images are resized to, at least `image_size`.
        augmentation: of training squares.
    """

    files: Sequence[tuple[Path, Path]]
    read_labels: Callable[[Path, Path], NDArray[np.uint8]]
    channels: int
    image_size: int
    shorter_side: int
    augmentation: JointAugmentation

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one square, (C, H, W)."""
        return self.channels, self.image_size, self.image_size

    def whole(self, index: int) -> tuple[PILImage, NDArray[np.uint8]]:
        """Returns an image and its labels (height, width), both as large as they are stored.

        Raises:
            UserError: a file is damaged.
        """
        image, annotation = self.files[index]
        return decoded(image, self.channels), self.read_labels(annotation, image)

    def evaluated(self, index: int) -> tuple[PILImage, NDArray[np.uint8]]:
        """Returns an image as evaluation sees it, resized, and its labels as they are stored; see `whole`."""
        image, labels = self.whole(index)
        with decoding(self.files[index][0]):  # of some shapes even the resized image does not fit into memory
            return resized(image, self.shorter_side), labels

    @property
    def labels(self) -> Any:
        """Labels of the centre squares, uint8 (N, image_size, image_size), decoded when they are asked for."""
        return _SquareLabels(self)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Returns the centre squares at these indices, (N, C, H, W). Raises `UserError` for a damaged file."""
        images = np.stack([np.asarray(self.image(index)) for index in indices])
        return images.reshape(-1, *self.shape[1:], self.channels).transpose(0, 3, 1, 2)

    def image(self, index: int, *, whole: bool = False) -> PILImage:
        """Returns the centre square of an image, or all of it. Raises `UserError` for a damaged file."""
        image = decoded(self.files[index][0], self.channels)
        if whole:
            return image
        with decoding(self.files[index][0]):
            return centre(image, self.image_size)


@dataclass(frozen=True)
class _SquareLabels:
    """Stands for the array of all centre squares of labels."""

    split: MapFiles
    ndim = 3

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, chosen: Any) -> NDArray[np.uint8]:
        """Decodes the labels of one image, (H, W), or of several, (N, H, W)."""
        if np.ndim(chosen):
            return np.stack([self[index] for index in chosen])
        image, annotation = self.split.files[chosen]
        return centre_labels(self.split.read_labels(annotation, image), self.split.image_size)


def centre_labels(labels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Cuts the centre square as `decoding.centre` does, but takes the nearest label."""
    from PIL import Image

    image = Image.fromarray(labels)
    shorter = min(image.size)
    width, height = (side * length // shorter for length in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    nearest = image.resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(nearest.crop((left, top, left + side, top + side)))
