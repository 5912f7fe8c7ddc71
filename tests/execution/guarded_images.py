"""Stripes whose test images refuse to be seen before a plan of what is selected exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from learngene_bench import Dataset, DatasetFacts, Section, Splits
from learngene_bench.data.splits import Images
from learngene_bench.schema.base import read
from learngene_bench.schema.manifest import Manifest


class SeenTooEarly(AssertionError):
    """Test images were looked at before the selection was over."""


class GuardedImages:
    """A split that can be used once the runs folder has a plan of the role "selected"."""

    def __init__(self, images: Images, runs: Path) -> None:
        self._images, self._runs = images, runs

    def __getattr__(self, name: str) -> Any:
        self._check(name)
        return getattr(self._images, name)

    def __len__(self) -> int:
        self._check("len")
        return len(self._images)

    def _check(self, name: str) -> None:
        plans = [read(Manifest, path) for path in (self._runs / "plans").glob("*.json")]
        if not any(plan.sweep and plan.sweep.role == "selected" for plan in plans):
            raise SeenTooEarly(f"{name} of the test images was asked for before anything was selected")


class GuardedOptions(Section):
    runs: Path = Field(description="runs folder that the plans are looked for in")
    permuted: bool = Field(False, description="permute the labels of the test images")


class GuardedStripes(Dataset):
    """Do the stripes under the noise run across or down?"""

    Options = GuardedOptions
    location = frozenset({"runs", "permuted"})  # so that both have the same addresses, and can be compared by them
    options: GuardedOptions

    def facts(self) -> DatasetFacts:
        return DatasetFacts(
            classes=2, channels=1, image_size=12, train_images=128, validation_images=64, test_images=96
        )

    def fingerprint(self) -> str:
        return "guarded stripes"

    def load(self) -> Splits:
        train, validation, test = (self._draw(count, seed) for seed, count in enumerate((128, 64, 96)))
        if self.options.permuted:
            test = Images(test.images, np.roll(test.labels, 1))  # every label is wrong
        guarded: Any = GuardedImages(test, self.options.runs)
        return Splits(train, validation, guarded, mean=(0.5,), std=(0.3,))

    def _draw(self, count: int, seed: int) -> Images:
        random = np.random.default_rng(seed)
        labels = np.arange(count) % 2
        across = np.arange(12)[:, None] % 2 * np.ones((12, 12)) * 60
        images = np.where(labels[:, None, None], across, across.T) + random.integers(0, 195, (count, 12, 12))
        return Images(images.astype(np.uint8)[:, None], labels)
