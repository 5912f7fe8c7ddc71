"""A small folder of images, and a recipe that augments them by all means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from learngene_bench.config.recipe import Augmentation, RandomCrop, Recipe
from learngene_bench.contracts.dataset import Dataset
from learngene_bench.plugins.registry import dataset

SIDE, CLASSES = 12, 3
CPU = torch.device("cpu")
DEIT = Augmentation(
    random_crop=RandomCrop(),
    flip=True,
    auto_augment="rand-m9-mstd0.5-inc1",
    color_jitter=0.4,
    random_erasing=0.25,
    erase_value="noise",
)
EVERYTHING = Recipe(
    epochs=2,
    batch_size=7,
    learning_rate=3e-3,
    mixup=0.8,
    cutmix=1.0,
    label_smoothing=0.1,
    drop_path=0.2,
    augmentation=DEIT,
    repeated_augmentation=3,
    drop_last=False,
)


def picture(number: int, width: int, height: int) -> Image.Image:
    """Smooth colours with a few edges, so that crops, rotations and colour changes all show."""
    generator = np.random.default_rng(number)
    small = Image.fromarray(generator.integers(0, 256, (3, 4, 3)).astype(np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def write_images(root: Path) -> Path:
    """Writes 24 images of many shapes, of which 6 are for validation, and 6 for the test."""
    for split, count in {"train": 8, "val": 2}.items():
        for label in range(CLASSES):
            for i in range(count):
                path = root / split / f"class {label}" / f"{i}.{'jpeg' if i % 2 else 'png'}"
                path.parent.mkdir(parents=True, exist_ok=True)
                picture(label * 100 + i, 17 + 3 * i, 31 - 2 * i).save(path)
    return root


def folder(root: Path, **options: Any) -> Dataset:
    settings = {"name": "imagefolder", "root": str(root), "image_size": SIDE, "validation_fraction": 0.25}
    return dataset({**settings, "stream": True, **options})
