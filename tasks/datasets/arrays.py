"""Decodes image files into arrays with several threads, and measures the mean and deviation of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from learngene_bench.data.decoding import decoded_square
from learngene_bench.util.errors import Faults
from learngene_bench.util.hardware import usable_cores
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as PILImage

T = TypeVar("T")

Moments = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""
IMAGES_PER_TASK = 256
"""Number of images that a thread decodes at a time; a million small tasks would cost more than decoding."""


class Square(NamedTuple):
    """The square that is decoded of every image; see `learngene_bench.data.decoding`."""

    side: int
    channels: int
    crop: float = 1.0


def decode_all(paths: Sequence[Path], square: Square) -> NDArray[np.uint8]:
    """Decodes the images into one array of shape (N, channels, side, side).

    Raises:
        UserError: an image does not decode; of several the first of the list.
    """
    images = np.empty((len(paths), square.channels, square.side, square.side), np.uint8)
    for start, decoded in _pieces(paths, square):
        images[start : start + len(decoded)] = decoded
    return images


def check_all(paths: Sequence[Path], square: Square, progress: Callable[[int], object], faults: Faults) -> None:
    """Decodes the images and keeps none of them; those that do not decode are added to the faults.

    Args:
        progress: called with the number of images done so far.
    """

    def check(start: int) -> Faults:
        found = Faults()
        for path in paths[start : start + IMAGES_PER_TASK]:
            with found.collected():
                decoded_square(path, square.channels, square.side, square.crop)
        return found

    done = 0
    for found in _side_by_side(check, len(paths)):
        faults.lines += found.lines
        done = min(done + IMAGES_PER_TASK, len(paths))
        progress(done)


def _pieces(paths: Sequence[Path], square: Square) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    def piece(start: int) -> tuple[int, NDArray[np.uint8]]:
        some = paths[start : start + IMAGES_PER_TASK]
        return start, np.stack(
            [as_array(decoded_square(path, square.channels, square.side, square.crop)) for path in some]
        )

    return _side_by_side(piece, len(paths))


def _side_by_side(work: Callable[[int], T], images: int) -> Iterator[T]:
    """Yields what the work makes of the images from each start on, in their order; with a thread for each core."""
    from PIL import Image

    # Left to the first image of a rare format, this is a race: of two threads, one finds no decoder.
    Image.init()
    with ThreadPoolExecutor(len(usable_cores())) as pool:
        try:
            yield from pool.map(work, range(0, images, IMAGES_PER_TASK))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def as_array(image: PILImage) -> NDArray[np.uint8]:
    """Returns a grey or RGB image as an array (channels, height, width)."""
    return np.asarray(image).reshape(image.height, image.width, -1).transpose(2, 0, 1)


def describe(square: Square) -> str:
    """Names everything but the files that decides what `decode_all` makes: another decoder may round otherwise."""
    import platform

    from PIL import __version__, features

    decoders = [f"{name} {features.version(name)}" for name in ("jpg", "libjpeg_turbo", "webp", "zlib", "libtiff")]
    return f"{square}, version 1; Pillow {__version__}, {decoders}, {platform.machine()}"


def measured_on_disk(paths: Sequence[Path], square: Square) -> Moments:
    """Measures mean and standard deviation of images that do not fit into memory: decodes all and keeps none."""
    return _moments(sum((_counts(decoded) for _, decoded in _pieces(paths, square)), start=_no_counts(square.channels)))


def measured(images: NDArray[np.uint8]) -> Moments:
    """Measures mean and standard deviation of each channel, with images scaled to 0..1."""
    starts = range(0, len(images), IMAGES_PER_TASK)
    pieces = (images[start : start + IMAGES_PER_TASK] for start in starts)
    return _moments(sum((_counts(piece) for piece in pieces), start=_no_counts(images.shape[1])))


def _counts(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Counts each of the 256 values in each channel: (channels, 256)."""
    return np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])


def _no_counts(channels: int) -> NDArray[np.int64]:
    return np.zeros((channels, 256), np.int64)


def _moments(counts: NDArray[np.int64]) -> Moments:
    """Computes mean and deviation from counts: needs no array of floats, and does not depend on the order of sums."""
    values, total = np.arange(256) / 255, counts.sum(1)
    mean = counts @ values / total
    std = np.sqrt((counts * (values - mean[:, None]) ** 2).sum(1) / total)
    # A channel that is the same everywhere has no scale; a step of 8 bits keeps the normalised images finite.
    return tuple(mean.tolist()), tuple(std.clip(1 / 255).tolist())
