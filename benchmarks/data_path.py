"""Images a second from files to augmented batches: this suite, cold and cached, against timm's loader.

    python benchmarks/data_path.py [--root DIR] [--image-size 32] [--batch 128] [--rounds 3] [--cores 2]

All read the same JPEG files (or those of DIR/train, DIR/val), mirror, jitter colours and erase at random with the same
strengths, and normalise. timm does so by `create_dataset` and `create_loader` with a process for each core; this suite
decodes with a thread for each core and augments with one thread, as presets do. Rounds alternate, so that a noisy
machine is noisy for all, and medians are compared; beside the rate stands the processor time of all processes, which
other programs on the machine disturb less.

    timm        an epoch, from listing the files to the last batch
    cold        the same with an empty cache: every image is read, decoded, kept, and shown once
    cached      the same in a process that finds them decoded
    next epoch  what any further epoch costs, which for timm is as much as its first

The system's own file cache is warm for all of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from timing import Ratio, alternate, ratio
from timm.data import create_dataset, create_loader

from learngene_bench.config.recipe import Augmentation
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.decoded_cache import VARIABLE
from learngene_bench.data.splits import Images
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.hardware import usable_cores

JITTER, ERASING = 0.4, 0.25
MADE = 12_000
"""Number of images to make if none are given."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a folder with train/CLASS/IMAGE and val/CLASS/IMAGE")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = f"{folder}/cache"
        root = arguments.root or _make_images(Path(folder) / "images")
        cache, size, batch = Path(folder) / "cache", arguments.image_size, arguments.batch
        rates: dict[str, list[Rate]] = {"timm": [], "cold": [], "cached": [], "next epoch": []}
        _timm_epoch(root, size, batch, arguments.cores)  # the system's file cache is filled
        for _ in range(arguments.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            rates["timm"].append(_rate(lambda: _timm_epoch(root, size, batch, arguments.cores)))
            rates["cold"].append(_rate(lambda: _epoch(_opened(root, size), batch)))
            rates["cached"].append(_rate(lambda: _epoch(_opened(root, size), batch)))
            data = _opened(root, size)
            rates["next epoch"].append(_rate(lambda: _epoch(data, batch)))  # noqa: B023
    print(f"{size} x {size}, batches of {batch}, {arguments.cores} cores, median of {arguments.rounds} rounds")
    slow, busy = (statistics.median(values) for values in zip(*rates["timm"], strict=True))
    for name, measured in rates.items():
        rate, work = (statistics.median(values) for values in zip(*measured, strict=True))
        spread = f"({min(measured).images:,.0f} to {max(measured).images:,.0f})"
        print(
            f"{name:12}{rate:10,.0f} images/s {spread:20} {rate / slow:6.2f} x timm"
            f"{work * 1e6:10.0f} us of processors per image, 1/{busy / work:.1f} of timm's"
        )


def ratios(seconds: float) -> Iterator[Ratio]:
    """Measures the time per image of 2,000 JPEGs of 32 pixels."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = f"{folder}/cache"
        root, cores = _make_images(Path(folder) / "images", 2000), len(usable_cores())

        def cold() -> int:
            shutil.rmtree(Path(folder) / "cache", ignore_errors=True)
            return _epoch(_opened(root, 32), 128)

        ways = {
            "cold": cold,
            "cached": lambda: _epoch(_opened(root, 32), 128),
            "timm": lambda: _timm_epoch(root, 32, 128, cores),
        }
        taken = alternate(ways, seconds=seconds, warmup=1)
        note = "an epoch of 2,000 JPEGs, files to augmented batches; timm has a process for each core"
        yield ratio(taken, "cold", "timm", note)
        yield ratio(taken, "cached", "timm", note)


class Rate(NamedTuple):
    """Measures images per second, and processor seconds per image."""

    images: float
    work: float


def _rate(epoch: Callable[[], int]) -> Rate:
    started, before = time.perf_counter(), sum(os.times()[:4])
    images = epoch()
    return Rate(images / (time.perf_counter() - started), (sum(os.times()[:4]) - before) / images)


def _timm_epoch(root: Path, size: int, batch: int, cores: int) -> int:
    """Returns the number of images that were seen."""
    loader = create_loader(
        create_dataset("", root=str(root / "train")),
        input_size=(3, size, size),
        batch_size=batch,
        is_training=True,
        use_prefetcher=False,  # which needs a GPU
        scale=(1.0, 1.0),
        ratio=(1.0, 1.0),
        hflip=0.5,
        color_jitter=JITTER,
        re_prob=ERASING,
        interpolation="bicubic",
        num_workers=cores,
        persistent_workers=False,
    )
    return sum(len(images) for images, _ in loader)


def _opened(root: Path, size: int) -> DeviceImages:
    splits = dataset({"name": "imagefolder", "root": str(root), "image_size": size}).load()
    assert isinstance(splits.train, Images), "smaller than memory"
    augmentation = Augmentation(flip=True, color_jitter=JITTER, random_erasing=ERASING)
    return DeviceImages(splits.train, Normalization(splits.mean, splits.std), torch.device("cpu"), (augmentation,))


def _epoch(data: DeviceImages, batch: int) -> int:
    """Returns the number of images that were seen."""
    generator, noise = torch.Generator().manual_seed(0), torch.Generator()
    order = torch.randperm(len(data), generator=generator)
    whole = len(data) // batch * batch  # the last, partial batch is dropped, as timm's loader drops it
    return sum(len(data.batch(index, generator, noise)[1]) for index in order[:whole].split(batch))


def _make_images(root: Path, count: int = MADE) -> Path:
    """Makes JPEGs of smooth colours in ten classes (noise would make larger files than photographs do)."""
    random = np.random.default_rng(0)
    for number in range(count + count // 10):
        split = "train" if number < count else "val"
        path = root / split / f"class {number % 10}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((32, 32), Image.Resampling.BICUBIC).save(path)
    return root


if __name__ == "__main__":
    main()
