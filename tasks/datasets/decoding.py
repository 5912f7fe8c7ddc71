"""From image files to arrays: every image of a split by several threads, the same as torchvision would see it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from learngene_bench.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

IMAGES_PER_TASK = 256
"""Images that a thread decodes at a time: a million small tasks would cost more than the decoding."""


def decode_all(
    paths: Sequence[Path], side: int, channels: int, tell: Callable[[int], object] = lambda done: None
) -> NDArray[np.uint8]:
    """The images as one array of shape (N, channels, side, side).

    Args:
        tell: called with the number of images done so far.

    Raises:
        UserError: an image does not decode; of several the first of the list.
    """
    import numpy as np

    images = np.empty((len(paths), channels, side, side), np.uint8)
    for start, decoded in _pieces(paths, side, channels):
        images[start : start + len(decoded)] = decoded
        tell(start + len(decoded))
    return images


def describe(side: int, channels: int) -> str:
    """All but the files that decides what `decode_all` makes: another version of a decoder may round otherwise."""
    import platform

    from PIL import __version__, features

    decoders = [f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo", "webp", "zlib", "libtiff")]
    return f"square {side}, {channels} channels, version 1; Pillow {__version__}, {decoders}, {platform.machine()}"


def check_all(paths: Sequence[Path], side: int, channels: int, tell: Callable[[int], object]) -> None:
    """Decodes the images and keeps none of them; see `decode_all`."""
    for start, decoded in _pieces(paths, side, channels):
        tell(start + len(decoded))


def _pieces(paths: Sequence[Path], side: int, channels: int) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    import numpy as np
    from PIL import Image

    # Left to the first image of a rare format, this is a race: of two threads, one finds no decoder.
    Image.init()

    def piece(start: int) -> tuple[int, NDArray[np.uint8]]:
        some = paths[start : start + IMAGES_PER_TASK]
        return start, np.stack([decode(path, side, channels) for path in some])

    starts = range(0, len(paths), IMAGES_PER_TASK)
    with ThreadPoolExecutor(_cores()) as pool:
        try:
            yield from pool.map(piece, starts)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def decode(path: Path, side: int, channels: int) -> NDArray[np.uint8]:
    """One image as an array (channels, side, side).

    Images are made RGB or grey, their shorter side is resized to `side` (bicubic, antialiased), and the centre is cut
    out, with the rounding of torchvision's `Resize` and `CenterCrop`.

    Raises:
        UserError: naming the file, if it does not decode.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            # PIL would clip 16-bit and floating-point pixels at 255, which makes most of them white.
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"pixels of more than 8 bits (mode {image.mode}); convert it to 8 bits")
            return squared(image, side, channels)
    # On damaged files PIL's decoders raise errors of many kinds, not only its own.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error).replace(f" {str(path)!r}", "") or type(error).__name__
        raise UserError(f"{path}: does not decode: {' '.join(reason.split())}") from error


def squared(image: Image.Image, side: int, channels: int) -> NDArray[np.uint8]:
    """The centre of an image as an array (channels, side, side); see `decode`."""
    import numpy as np

    square = _centre(image.convert("RGB" if channels == 3 else "L"), side)
    return np.asarray(square).reshape(side, side, channels).transpose(2, 0, 1)


def _centre(image: Image.Image, side: int) -> Image.Image:
    """The centre square at this size, rounded as torchvision's `Resize` and `CenterCrop` round."""
    from PIL import Image

    shorter = min(image.size)
    width, height = (side * length // shorter for length in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return resized.crop((left, top, left + side, top + side))


def mean_and_std(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, images scaled to 0..1.

    From the counts of the 256 values, so that no array of floats is made and the result depends on no order of sums.
    """
    import numpy as np

    counts = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images), IMAGES_PER_TASK):
        for channel, count in enumerate(counts):
            count += np.bincount(images[start : start + IMAGES_PER_TASK, channel].ravel(), minlength=256)
    values, total = np.arange(256) / 255, counts.sum(1)
    mean = counts @ values / total
    std = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(1) / total)
    # A channel that is the same everywhere has no scale; a step of 8 bits keeps the normalised images finite.
    return tuple(mean.tolist()), tuple(std.clip(1 / 255).tolist())


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
