"""timm's mixup and cutmix, with random numbers of their own that can be saved and restored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from timm.data import Mixup
from torch import Tensor

from learngene_bench.config.recipe import Recipe


class RepeatableMixup:
    """They draw from numpy's global stream, which is lent to them and given back.

    Args:
        number: decides what is drawn.
    """

    def __init__(self, recipe: Recipe, classes: int, number: int) -> None:
        self.mix = Mixup(
            mixup_alpha=recipe.mixup,
            cutmix_alpha=recipe.cutmix,
            label_smoothing=recipe.label_smoothing,
            num_classes=classes,
        )
        self.random = np.random.RandomState(number % 2**32)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes an even number of images (B, C, H, W) with their own reverse; labels (B,) become (B, classes)."""
        outer = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self.random.get_state())  # noqa: NPY002
        try:
            return self.mix(images, labels)
        finally:
            self.random.set_state(np.random.get_state())  # noqa: NPY002
            np.random.set_state(outer)  # noqa: NPY002

    def state(self) -> list[Any]:
        """For a checkpoint that is read with `weights_only=True`."""
        name, keys, *rest = self.random.get_state(legacy=True)
        return [name, torch.from_numpy(np.asarray(keys, np.int64)), *rest]

    def restore(self, state: list[Any]) -> None:
        name, keys, *rest = state
        self.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
