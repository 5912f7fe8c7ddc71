"""A data set in one file."""

from __future__ import annotations

from pydantic import Field

from learngene_bench import Dataset, DatasetFacts, Section, Splits
from learngene_bench.data.splits import Images


class StripesOptions(Section):
    contrast: int = Field(60, ge=1, le=255, description="difference between light and dark stripes")


class Stripes(Dataset):
    """Do the stripes under the noise run across or down?"""

    Options = StripesOptions
    options: StripesOptions

    def facts(self) -> DatasetFacts:
        return DatasetFacts(
            classes=2, channels=1, image_size=12, train_images=320, validation_images=64, test_images=96
        )

    def fingerprint(self) -> str:
        return "stripes, version 1"  # another text whenever the images change; the options count by themselves

    def load(self) -> Splits:
        train, validation, test = (self._draw(count, seed) for seed, count in enumerate((320, 64, 96)))
        scaled = train.images / 255
        return Splits(train, validation, test, mean=(float(scaled.mean()),), std=(float(scaled.std()),))

    def _draw(self, count: int, seed: int) -> Images:
        import numpy as np  # not above: `lgbench list` imports this module and must start at once

        random = np.random.default_rng(seed)
        labels = np.arange(count) % 2
        across = np.arange(12)[:, None] % 2 * np.ones((12, 12)) * self.options.contrast
        images = np.where(labels[:, None, None], across, across.T) + random.integers(0, 200, (count, 12, 12))
        return Images(images.clip(0, 255).astype(np.uint8)[:, None], labels)
