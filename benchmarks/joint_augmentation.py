"""Images and label maps per second, augmented together: by the suite, and by the same steps written plainly.

    python benchmarks/joint_augmentation.py [--folder DIR] [--image-size 512] [--images 64] [--rounds 5]

The plain way is that of a first draft: PIL resizes image and labels, numpy crops, counts classes, mirrors, changes
colours (the hue by PIL's HSV) and fills up, one image at a time. Both decode the same files from the page cache, in
this process, with one thread, and draw from the same ranges. One pass of each in turn; the ratio is taken within each
round, as another program on the machine slows both. The claim under test: training on random squares of image and
label map together is not slower than the plain way. Without `--folder`, a folder with images/ and annotations/ in one
folder each, photographs of ADE20K's usual size are made for the time of the run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from timing import Ratio, alternate, ratio

from learngene_bench.config.joint import JointAugmentation
from learngene_bench.data.map_files import MapFiles
from learngene_bench.data.map_loader import JointViews

CLASSES, IGNORED = 150, 255


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=int, default=64, help="largest number of images to read or to make")
    parser.add_argument("--image-size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        if arguments.folder is None:
            arguments.folder = Path(made)
            make_images(arguments.folder, arguments.images)
        compare(arguments)


def make_images(folder: Path, count: int) -> None:
    """Makes JPEGs of 683 x 512 pixels, and label maps of blobs of 150 classes."""
    random = np.random.default_rng(0)
    for kind in ("images", "annotations"):
        (folder / kind).mkdir()
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3)).astype(np.uint8))
        pixels = np.asarray(coarse.resize((683, 512), Image.Resampling.BICUBIC)) + random.normal(0, 12, (512, 683, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{number}.jpg", quality=90)
        blocks = Image.fromarray(random.integers(0, CLASSES, (6, 8)).astype(np.uint8))
        blocks.resize((683, 512), Image.Resampling.NEAREST).save(folder / "annotations" / f"{number}.png")


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures 12 images at 512 pixels, one thread."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        make_images(Path(made), 12)
        ways, _ = both_ways(Path(made), 12, 512)
        taken = alternate(ways, seconds=seconds, warmup=1)
    yield ratio(taken, "suite", "plain", "12 images and label maps augmented together at 512 pixels")


def both_ways(folder: Path, most: int, size: int) -> tuple[dict[str, Callable[[], None]], int]:
    """Returns a pass over all images in both ways, and the number of images."""
    images = sorted((folder / "images").glob("*.jpg"))[:most]
    pairs = [(image, folder / "annotations" / f"{image.stem}.png") for image in images]
    views = JointViews(MapFiles(pairs, read_labels, 3, size, size, JointAugmentation()))

    def suite() -> None:
        for position in range(len(pairs)):
            views.augmented(position, position)

    def plain() -> None:
        for position, pair in enumerate(pairs):
            plainly(*pair, size, np.random.default_rng(position))

    return {"suite": suite, "plain": plain}, len(pairs)


def compare(arguments: argparse.Namespace) -> None:
    ways, count = both_ways(arguments.folder, arguments.images, arguments.image_size)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, ", end="")
    print(f"{count} images, {arguments.image_size} pixels")
    taken = alternate(ways, rounds=arguments.rounds, warmup=1)  # the first round fills the page cache
    for name, times in taken.items():
        own = [count / each for each in times]
        print(
            f"{name:6} {statistics.median(own):7.1f} images/s (median of {len(own)}; {min(own):.1f} to {max(own):.1f})"
        )
    found = ratio(taken, "plain", "suite").by_round  # of times, so of rates the other way round
    print(f"ratio  {statistics.median(found):7.2f} (median; {min(found):.2f} to {max(found):.2f})")


def read_labels(annotation: Path, image: Path) -> NDArray[np.uint8]:
    return np.array(Image.open(annotation))


def plainly(image_file: Path, annotation: Path, side: int, random: np.random.Generator) -> torch.Tensor:
    """Does what `joint_view` does, as one would write it down first; returns image and labels as one tensor."""
    image, labels = Image.open(image_file).convert("RGB"), Image.open(annotation)
    factor = side * random.uniform(0.5, 2.0) / min(image.size)
    size = round(image.width * factor), round(image.height * factor)
    pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    numbers = np.asarray(labels.resize(size, Image.Resampling.NEAREST))
    for _ in range(11):
        top, left = (random.integers(0, max(0, length - side) + 1) for length in numbers.shape)
        crop = numbers[top : top + side, left : left + side]
        found, counts = np.unique(crop, return_counts=True)
        counts = counts[found != IGNORED]
        if len(counts) > 1 and counts.max() < 0.75 * counts.sum():
            break
    pixels, numbers = pixels[top : top + side, left : left + side], crop
    if random.random() < 0.5:
        pixels, numbers = pixels[:, ::-1], numbers[:, ::-1]
    pixels = changed_colours(pixels, random)
    missing = [(0, side - length) for length in numbers.shape]
    pixels = np.pad(pixels, [*missing, (0, 0)])
    numbers = np.pad(numbers, missing, constant_values=IGNORED)
    return torch.from_numpy(np.concatenate([pixels.transpose(2, 0, 1), numbers[None]]))


def changed_colours(pixels: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    """Changes brightness, contrast, saturation and hue as `PhotoMetricDistortion` of mmsegmentation."""

    def scaled(array: NDArray[np.uint8], factor: float, added: float = 0.0) -> NDArray[np.uint8]:
        return (array.astype(np.float32) * factor + added).clip(0, 255).astype(np.uint8)

    if random.random() < 0.5:
        pixels = scaled(pixels, 1.0, random.uniform(-32, 32))
    first = random.random() < 0.5
    if first and random.random() < 0.5:
        pixels = scaled(pixels, random.uniform(0.5, 1.5))
    if random.random() < 0.5:
        hsv = np.array(Image.fromarray(pixels).convert("HSV"))
        hsv[..., 1] = scaled(hsv[..., 1], random.uniform(0.5, 1.5))
        pixels = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
    if random.random() < 0.5:
        hsv = np.array(Image.fromarray(pixels).convert("HSV"))
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(random.uniform(-25.5, 25.5))) % 256
        pixels = np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))
    if not first and random.random() < 0.5:
        pixels = scaled(pixels, random.uniform(0.5, 1.5))
    return pixels


if __name__ == "__main__":
    main()
