"""Wraps timm's mixup and cutmix so that their random numbers can be saved and restored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from timm.data import Mixup
from torch import Tensor

from learngene_bench.config.recipe import Recipe


class ResumableMixup:
    """timm's `Mixup` with a random state of its own.

    timm draws from numpy's global generator. This wrapper swaps its own state in during each call and restores the
    global state afterwards; nothing of timm is changed.

    Args:
        seed: seed of everything that is drawn.
    """

    def __init__(self, recipe: Recipe, classes: int, seed: int) -> None:
        self.mix = Mixup(
            mixup_alpha=recipe.mixup,
            cutmix_alpha=recipe.cutmix,
            label_smoothing=recipe.label_smoothing,
            num_classes=classes,
        )
        self.random = np.random.RandomState(seed % 2**32)

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes each image with one other image of the batch.

        Args:
            images: (B, C, H, W). Image i is mixed with image B - 1 - i; the last image of an odd batch is dropped, as
                timm mixes even batches only.
            labels: class indices (B,).

        Returns:
            The images, and the shares (B, classes) of their classes.
        """
        even = len(images) - len(images) % 2
        outer = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self.random.get_state())  # noqa: NPY002
        try:
            return self.mix(images[:even], labels[:even])
        finally:
            self.random.set_state(np.random.get_state())  # noqa: NPY002
            np.random.set_state(outer)  # noqa: NPY002

    def state(self) -> list[Any]:
        """Returns the random state, for a checkpoint that is read with `weights_only=True`."""
        name, keys, *rest = self.random.get_state(legacy=True)
        return [name, torch.from_numpy(np.asarray(keys, np.int64)), *rest]

    def restore(self, state: list[Any]) -> None:
        """Continues from a state that `state` returned."""
        name, keys, *rest = state
        self.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
