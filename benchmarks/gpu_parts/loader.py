"""The rate at which images come, against the rate at which a step takes them: is training bound by loading?"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from streaming import DEIT, MEAN, STD, make_images
from supervised import Report
from timing import alternate, seconds_of
from training_steps import SuiteStep

from gpu_parts.plan import Settings
from gpu_parts.sizes import batch_of, deit, tiny_imagenet
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.dataloader import StreamedImages
from learngene_bench.data.sampler import AugmentationRng, BatchSchedule
from learngene_bench.data.splits import ImageFiles, Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.hardware import usable_cores
from learngene_bench.util.rng import RngStreams

KEPT = Augmentation(flip=True, shift=4, color_jitter=0.4, random_erasing=0.25)
"""The augmentation of `tiny-imagenet`, whose images are kept on the device."""


def measure(settings: Settings, report: Report) -> None:
    for name, spec in tiny_imagenet(settings).items():
        report.tried(name, lambda: compare(name, "kept on the device", spec, None, settings, report))  # noqa: B023
    streamed = streamed_rate(settings, report)
    for size in ("DeiT-Ti", "DeiT-S", "DeiT-B"):
        name, spec, source = f"{size} 224", deit(size, settings), "JPEG files, DeiT's augmentation"
        report.tried(name, lambda: compare(name, source, spec, streamed, settings, report))  # noqa: B023


def compare(name: str, source: str, spec: ViTSpec, streamed: float | None, settings: Settings, report: Report) -> None:
    """Adds a finding; loading and training overlap where images are streamed, and not where they are kept.

    Args:
        streamed: images/s that come from files; None where they are kept on the device, which is measured here.
    """
    batch = batch_of(spec, settings) // 2
    loading = kept_rate(spec, batch, settings) if streamed is None else streamed
    training = step_rate(spec, batch, settings)
    bound = "loader" if loading < training else "step"
    values = {"images": source, "loaded/s": loading, "trained/s": training, "loaded over trained": loading / training}
    report.add(name, values, note=f"bound by the {bound}")


def step_rate(spec: ViTSpec, batch: int, settings: Settings) -> float:
    """Measures images/s of the step alone."""
    step = SuiteStep(spec, batch, settings.device)
    return batch / statistics.median(alternate({"step": step}, rounds=3, device=settings.device, times=4)["step"])


def kept_rate(spec: ViTSpec, batch: int, settings: Settings) -> float:
    """Measures images/s of batches that are augmented on the device."""
    pixels = np.random.default_rng(0).integers(0, 256, (16 * batch, *spec.image_shape()), dtype=np.uint8)
    split = Images(pixels, np.arange(len(pixels)) % spec.classes)
    data = DeviceImages(split, Normalization(MEAN, STD), torch.device(settings.device), (KEPT,))
    rng, index = AugmentationRng.of(RngStreams(0), "check", settings.device), torch.arange(batch)

    def work() -> None:
        data.batch(index, rng.cpu_generator, rng.noise)

    return batch / statistics.median(alternate({"batch": work}, rounds=3, device=settings.device, times=8)["batch"])


def streamed_rate(settings: Settings, report: Report) -> float:
    """Measures images/s of JPEG files of ImageNet's size, by a process for each core, after the first batches."""
    loaders, size = len(usable_cores()), settings.choose(224, 32)
    with tempfile.TemporaryDirectory() as folder:
        make_images(Path(folder), settings.choose(128, 32))
        files = sorted(Path(folder).rglob("*.jpg"))
        names = np.array([str(path.relative_to(folder)).encode() for path in files])
        split = ImageFiles(Path(folder), names, np.arange(len(files)) % 10, 3, size, whole=True)
        device = torch.device(settings.device)
        data = StreamedImages(split, Normalization(MEAN, STD), device, (DEIT,), num_workers=loaders)
        recipe = Recipe(epochs=settings.choose(160, 2), batch_size=16, learning_rate=1, augmentation=DEIT)
        order, rng = (
            BatchSchedule(len(files), recipe, RngStreams(0), "check"),
            AugmentationRng.of(RngStreams(0), "check", settings.device),
        )
        batches = data.batches(map(order.batch, range(order.steps)), rng)
        next(batches)
        end, images, started = min(8.0, report.seconds_left() / 3), 0, time.monotonic()
        for shown, _ in batches:
            images += len(shown)
            if time.monotonic() - started > end:
                break
        rate = images / seconds_since(started, settings.device)
        batches.close()
    report.add("JPEG files alone", {"loaded/s": rate, "processes": loaders, "pixels": size})
    return rate


def seconds_since(started: float, device: str) -> float:
    seconds_of(lambda: None, device)
    return time.monotonic() - started
