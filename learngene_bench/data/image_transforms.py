"""Augments one training image at a time: timm's random resized crop, flip, RandAugment and colour jitter."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.Image import Image as PILImage
from timm.data import create_transform
from timm.data.auto_augment import posterize
from torch import Tensor

from learngene_bench.config.recipe import Augmentation, RandomCrop
from learngene_bench.contracts.dataset import Split
from learngene_bench.util.errors import UserError

ImageRequest = tuple[int, int]
"""An image's position in the split, and the seed of what is drawn for it."""


class TransformDataset(torch.utils.data.Dataset[Tensor]):
    """The images of a split, each read and augmented by itself; what a `DataLoader` hands to its processes.

    Args:
        mean: per channel, of images scaled to 0..1. RandAugment fills with it what it moves in from outside.
    """

    def __init__(self, split: Split, augmentations: Sequence[Augmentation], mean: Sequence[float]) -> None:
        self.split = split
        per_image = [augmentation for augmentation in augmentations if augmentation.one_by_one]
        self.whole = any(augmentation.random_crop for augmentation in per_image)
        side = split.shape[-1]
        self.transforms = [step for settings in per_image for step in timm_transforms(settings, side, mean)]

    def __getitems__(self, requests: Sequence[ImageRequest]) -> Any:
        """Returns what was made of the requests, or what is wrong with a file: raised, it would bring a traceback."""
        try:
            with preserve_rng_state():
                return self.together([self.augmented(position, seed) for position, seed in requests])
        except UserError as error:
            return str(error)

    def together(self, images: list[Any]) -> Any:
        """Joins images (C, H, W) to (N, C, H, W)."""
        return torch.stack(images)

    def augmented(self, position: int, seed: int) -> Tensor:
        """Returns one image (C, H, W), all that is random in it decided by `seed`."""
        image = self.split.image(position, whole=self.whole)
        if self.transforms:
            seed_all(seed)
            for transform in self.transforms:
                image = transform(image)
        return _tensor(image)


class EvalDataset(TransformDataset):
    """The same images as evaluation sees them; without augmentation nothing is random."""

    def __init__(self, split: Split) -> None:
        super().__init__(split, (), ())


def timm_transforms(settings: Augmentation, side: int, mean: Sequence[float]) -> list[Callable[[PILImage], PILImage]]:
    """Returns the steps of `timm.data.create_transform` that these settings ask for, in timm's order."""
    crop = settings.random_crop or RandomCrop()
    first, second, _ = create_transform(
        side,
        is_training=True,
        separate=True,
        scale=crop.scale,
        ratio=crop.ratio,
        interpolation=crop.interpolation,
        hflip=0.5 if settings.flip else 0.0,
        color_jitter=settings.color_jitter,
        auto_augment=settings.auto_augment,
        mean=tuple(mean),
    )
    steps: list[Any] = [*first.transforms, *second.transforms]
    return [fix_posterize(step) for step in (steps if settings.random_crop else steps[1:])]


def fix_posterize(step: Any) -> Any:
    """Works around a timm bug: RandAugment sometimes calls posterize with 0 bits, which Pillow >= 13 rejects.

    Sets the function of the posterize operations of this one transform, an object made above; timm's modules stay as
    they are.
    """
    for operation in getattr(step, "ops", ()):
        if operation.name.startswith("Posterize"):
            operation.aug_fn = _posterize
    return step


def _posterize(image: PILImage, bits: int, **options: Any) -> PILImage:
    """Posterizes as earlier versions of Pillow did: with 0 bits all is black."""
    return posterize(image, bits, **options) if bits > 0 else image.point(lambda _: 0)


def seed_all(seed: int) -> None:
    """Seeds the global generators of Python, numpy and torch, from all of which timm draws."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)


@contextmanager
def preserve_rng_state() -> Iterator[None]:
    """Restores the global generators afterwards, for whoever else draws from them in this process."""
    pythons, numpys, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002
        torch.set_rng_state(torchs)


def _tensor(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image))
    return pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
