"""Images per second from files to augmented, normalised batches: streamed by the suite, and by timm's `create_loader`.

    python benchmarks/streaming.py [--folder DIR] [--image-size 224] [--batch-size 128] [--loaders 2] [--rounds 5]

Both with DeiT's augmentation (random resized crop, flip, RandAugment, erasing to noise), the same number of processes,
the same files in the page cache. Whole epochs, one of each loader in turn, from the start of the processes to the last
batch; the ratio is taken within each round, as another program on the machine slows both. The claim under test: that an
image's random numbers depend on its place in the epoch alone costs little. Without `--folder`, a folder of images in
folders by class, JPEGs of ImageNet's usual size are made for the time of the run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from timing import Ratio, alternate, ratio
from timm.data import ImageDataset, create_loader
from timm.data.readers.img_extensions import add_img_extensions

from learngene_bench.config.recipe import Augmentation, RandomCrop, Recipe
from learngene_bench.data.batch_augment import Normalization
from learngene_bench.data.dataloader import StreamedImages
from learngene_bench.data.image_transforms import fix_posterize
from learngene_bench.data.sampler import AugmentationRng, BatchSchedule
from learngene_bench.data.splits import ImageFiles
from learngene_bench.util.hardware import usable_cores
from learngene_bench.util.rng import RngStreams

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
POLICY = "rand-m9-mstd0.5-inc1"
DEIT = Augmentation(random_crop=RandomCrop(), flip=True, auto_augment=POLICY, random_erasing=0.25, erase_value="noise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=int, default=1000, help="largest number of images to read or to make")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--loaders", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        if arguments.folder is None:
            arguments.folder = Path(made)
            make_images(arguments.folder, arguments.images)
        compare(arguments)


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures an epoch of 128 JPEGs of ImageNet's size at 224 pixels, one process for each core."""
    torch.set_num_threads(1)
    loaders = len(usable_cores())
    with tempfile.TemporaryDirectory() as made:
        make_images(Path(made), 128)
        arguments = argparse.Namespace(folder=Path(made), image_size=224, batch_size=32, loaders=loaders)
        dataset = ImageDataset(made)
        ours, timms = suite(dataset, arguments), by_timm(dataset, arguments)
        ways = {"streamed": lambda: epoch(ours), "timm's create_loader": lambda: epoch(timms)}
        taken = alternate(ways, seconds=seconds, warmup=1)
    note = f"an epoch of 128 JPEGs of 500 x 375 to 224 pixels, DeiT's augmentation, {loaders} processes"
    yield ratio(taken, "streamed", "timm's create_loader", note)


def make_images(folder: Path, count: int) -> None:
    """Makes JPEGs of 500 x 375 pixels that compress to about 100 kB, like those of ImageNet."""
    random = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class {number % 10}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3)).astype(np.uint8))
        pixels = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC)) + random.normal(0, 12, (375, 500, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def compare(arguments: argparse.Namespace) -> None:
    add_img_extensions(".webp")
    dataset = ImageDataset(str(arguments.folder))
    # Both read the same files: some of each class, in timm's order.
    samples = dataset.reader.samples
    dataset.reader.samples = samples[:: max(1, len(samples) // arguments.images)][: arguments.images]
    ours, timms = suite(dataset, arguments), by_timm(dataset, arguments)
    sizes = [Path(path).stat().st_size for path, _ in dataset.reader.samples]
    about = f"{len(sizes)} files of {statistics.median(sizes) / 1000:.0f} kB, {arguments.image_size} pixels"
    work = f"batches of {arguments.batch_size}, {arguments.loaders} loaders"
    print(f"torch {torch.__version__}, timm {timm.__version__}, {about}, {work}")
    epoch(ours), epoch(timms)  # fills the page cache
    rates = [(epoch(ours), epoch(timms)) for _ in range(arguments.rounds)]
    for name, own in zip(("suite", "timm"), zip(*rates, strict=True), strict=True):
        print(
            f"{name:6} {statistics.median(own):7.0f} images/s (median of {len(own)}; {min(own):.0f} to {max(own):.0f})"
        )
    ratios = [one / other for one, other in rates]
    print(f"ratio  {statistics.median(ratios):7.2f} (median; {min(ratios):.2f} to {max(ratios):.2f})")


def suite(dataset: ImageDataset, arguments: argparse.Namespace) -> object:
    paths, labels = zip(*dataset.reader.samples, strict=True)
    names = np.array([str(Path(path).relative_to(arguments.folder)).encode() for path in paths])
    size = arguments.image_size
    files = ImageFiles(arguments.folder, names, np.array(labels), 3, size, whole=True)
    data = StreamedImages(files, Normalization(MEAN, STD), torch.device("cpu"), (DEIT,), num_workers=arguments.loaders)
    recipe = Recipe(epochs=1, batch_size=arguments.batch_size, learning_rate=1, augmentation=DEIT)
    order = BatchSchedule(len(files), recipe, RngStreams(0), "benchmark")
    return lambda: data.batches(
        map(order.batch, range(order.steps)), AugmentationRng.of(RngStreams(0), "benchmark", "cpu")
    )


def by_timm(dataset: ImageDataset, arguments: argparse.Namespace) -> object:
    loader = create_loader(
        dataset,
        (3, arguments.image_size, arguments.image_size),
        arguments.batch_size,
        is_training=True,
        scale=(0.08, 1.0),
        auto_augment=POLICY,
        interpolation="bicubic",
        re_prob=0.25,
        re_mode="pixel",
        mean=MEAN,
        std=STD,
        num_workers=arguments.loaders,
        device=torch.device("cpu"),
        persistent_workers=False,
    )
    for step in dataset.transform.transforms:
        fix_posterize(step)
    return lambda: iter(loader)


def epoch(batches: object) -> float:
    """Measures images per second."""
    started, images = time.perf_counter(), 0
    for shown, _ in batches():  # type: ignore[operator]
        images += len(shown)
    return images / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
