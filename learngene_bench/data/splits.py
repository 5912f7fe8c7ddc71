"""Splits of a data set: labelled images in memory, or on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.data.decoding import decoded, decoded_square
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage


@dataclass(frozen=True)
class Images:
    """Labelled images in memory.

    Attributes:
        images: uint8, (N, C, H, W).
        labels: (N, ...), of the type and shape that the task kind asks for: class indices, int64 (N,), for
            classification.
    """

    images: NDArray[np.uint8]
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, (C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Returns the images at these indices, (N, C, H, W)."""
        return self.images[indices]

    def image(self, index: int, *, whole: bool = False) -> PILImage:
        """Returns one image. `whole` makes no difference here: an image in memory is all there is of it.

        Raises:
            UserError: it is neither grey nor RGB.
        """
        from PIL import Image

        pixels = self.images[index]
        if len(pixels) not in (1, 3):
            raise UserError(f"random_crop and auto_augment are for grey or RGB images, not for {len(pixels)} channels")
        return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


@dataclass(frozen=True)
class ImageFiles:
    """Labelled images that stay on disk, each decoded whenever it is seen.

    Attributes:
        names: paths within the root, (N,) byte strings: an array, which processes share without a copy.
        labels: (N, ...); see `Images`.
        crop: part of the resized image's shorter side that its centre square takes; see `decoding.centre`.
        whole: True if a random crop is taken from the whole image in its own resolution, not from the centre square.
    """

    root: Path
    names: NDArray[np.bytes_]
    labels: NDArray[Any]
    channels: int
    image_size: int
    crop: float = 1.0
    whole: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image, (C, H, W)."""
        return self.channels, self.image_size, self.image_size

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Returns the centre squares at these indices, (N, C, H, W). Raises `UserError` for a damaged file."""
        shape = (-1, self.image_size, self.image_size, self.channels)
        images = np.stack([np.asarray(self.image(index)) for index in indices])
        return images.reshape(shape).transpose(0, 3, 1, 2)

    def image(self, index: int, *, whole: bool = False) -> PILImage:
        """Returns the centre square of an image, or all of it if `whole` is asked for and these data have it.

        Raises:
            UserError: the file is damaged.
        """
        path = self.root / os.fsdecode(bytes(self.names[index]))
        if whole and self.whole:
            return decoded(path, self.channels)
        return decoded_square(path, self.channels, self.image_size, self.crop)
