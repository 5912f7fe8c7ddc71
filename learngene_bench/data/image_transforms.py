"""What is done to one training image at a time: timm's random resized crop, flip, RandAugment and colour jitter."""

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

Wanted = tuple[int, int]
"""An image's place in the split, and what decides what is drawn for it."""


class OneByOne(torch.utils.data.Dataset[Tensor]):
    """The images of a split, each read and augmented by itself; what a `DataLoader` hands to its processes.

    Args:
        mean: per channel, of images scaled to 0..1: RandAugment fills with it what it moves in from outside.
    """

    def __init__(self, split: Split, augmentations: Sequence[Augmentation], mean: Sequence[float]) -> None:
        self.split = split
        self.own = [augmentation for augmentation in augmentations if augmentation.one_by_one]
        self.whole = any(augmentation.random_crop for augmentation in self.own)
        side = split.shape[-1]
        self.transforms = [step for settings in self.own for step in timm_transforms(settings, side, mean)]

    def __getitems__(self, wanted: Sequence[Wanted]) -> Tensor | str:
        """The uint8 images (N, C, H, W), or what is wrong with a file: raised, it would come with a traceback."""
        try:
            with global_numbers_lent():
                return torch.stack([self.augmented(place, number) for place, number in wanted])
        except UserError as error:
            return str(error)

    def augmented(self, place: int, number: int) -> Tensor:
        """One image (C, H, W), all that is random in it decided by `number`."""
        image = self.split.image(place, whole=self.whole)
        if self.transforms:
            draw_from(number)
            for transform in self.transforms:
                image = transform(image)
        return _tensor(image)


class Plain(OneByOne):
    """The same images as evaluation sees them; without augmentation nothing is random."""

    def __init__(self, split: Split) -> None:
        super().__init__(split, (), ())


def timm_transforms(settings: Augmentation, side: int, mean: Sequence[float]) -> list[Callable[[PILImage], PILImage]]:
    """The steps of `timm.data.create_transform` that these settings ask for, in timm's order."""
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
    return [mended(step) for step in (steps if settings.random_crop else steps[1:])]


def mended(step: Any) -> Any:
    """timm's RandAugment asks Pillow to keep no bit of a pixel, in one of some hundred images; Pillow 13 refuses."""
    for operation in getattr(step, "ops", ()):
        if operation.name.startswith("Posterize"):
            operation.aug_fn = _posterized
    return step


def _posterized(image: PILImage, bits: int, **named: Any) -> PILImage:
    """As Pillow did it before: with no bit kept all is black."""
    return posterize(image, bits, **named) if bits > 0 else image.point(lambda _: 0)


def draw_from(number: int) -> None:
    """Python's, numpy's and torch's global random numbers, from all of which timm draws, begin here."""
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(number)


@contextmanager
def global_numbers_lent() -> Iterator[None]:
    """Gives the global random numbers back as they were, to whoever else draws from them in this process."""
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
