"""Training batches: uint8 images in memory, drawn, augmented and normalised in batches on their device.

The random numbers of an image (its shift, its flip, ...) are drawn on the CPU whatever the device, a few numbers per
image, so that a batch is the same on CPU and GPU; only noise, a number per pixel, is drawn where the images are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from learngene_bench.config import Augmentation
from learngene_bench.datasets import Images
from learngene_bench.distributed import Part


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation per channel of images scaled to 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Normalises float images (B, C, H, W) in 0..1."""
        mean, std = (_to(torch.tensor(values), images).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std


class DeviceImages:
    """A split in the memory of a device.

    Args:
        split: uint8 images (N, C, H, W) and their labels.
        augmentations: applied in turn to training batches.
    """

    def __init__(
        self,
        split: Images,
        normalization: Normalization,
        device: torch.device,
        augmentations: tuple[Augmentation, ...] = (),
    ) -> None:
        self.images = torch.from_numpy(split.images).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)
        self.normalization = normalization
        self.augmentations = augmentations

    def __len__(self) -> int:
        return len(self.labels)

    def batch(
        self, index: Tensor, generator: torch.Generator, noise: torch.Generator, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """The augmented, normalised images (B, C, H, W) and labels (B,) at `index`, a CPU tensor.

        Args:
            part: which of them are wanted; all when absent.
        """
        part = part or Part.whole(len(index))
        index = part.select(index).to(self.images.device, non_blocking=True)
        images = self.images[index].float().div_(255)
        for augmentation in self.augmentations:
            images = augment(images, augmentation, generator, noise, part)
        return self.normalization(images), self.labels[index]

    def in_order(self, batch_size: int, first: int = 0, end: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The images from `first` to `end`, all by default, normalised but not augmented, for evaluation."""
        end = len(self) if end is None else end
        for start in range(first, end, batch_size):
            some = slice(start, min(start + batch_size, end))
            yield self.normalization(self.images[some].float().div_(255)), self.labels[some]


def augment(
    images: Tensor,
    settings: Augmentation,
    generator: torch.Generator,
    noise: torch.Generator,
    part: Part | None = None,
) -> Tensor:
    """Draws each image of a batch anew.

    Args:
        images: (B, C, H, W) in 0..1.
        generator: on the CPU; a few numbers per image.
        noise: on the images' device; a number per pixel.
        part: which images of a batch these are; numbers are drawn for all of it. The whole batch when absent.
    """
    part = part or Part.whole(len(images))
    if settings.shift:
        offsets = torch.randint(2 * settings.shift + 1, (part.drawn, 2), generator=generator)
        images = _shift(images, part.select(offsets), settings.shift)
    if settings.flip:
        flipped = part.select(torch.rand(part.drawn, generator=generator) < 0.5)
        images = torch.where(_to(flipped, images).view(-1, 1, 1, 1), images.flip(-1), images)
    if settings.color_jitter:
        factors = 1 + settings.color_jitter * (2 * torch.rand(3, part.drawn, generator=generator) - 1)
        images = _color_jitter(images, _to(part.select(factors, 1), images))
    if settings.random_erasing:
        drawn = torch.rand(5, part.drawn, generator=generator)
        images = _erase(images, part.select(drawn, 1), settings.random_erasing)
    if settings.noise:
        shape = (part.drawn, *images.shape[1:])
        drawn = torch.randn(shape, generator=noise, device=images.device, dtype=images.dtype)
        images = (images + settings.noise * part.select(drawn)).clamp_(0, 1)
    return images


def _to(values: Tensor, like: Tensor) -> Tensor:
    """Moves a few numbers without waiting for the device, as `torch.tensor(..., device=...)` would at every batch."""
    return values.to(like.device, non_blocking=True)


def _shift(images: Tensor, offsets: Tensor, margin: int) -> Tensor:
    """Crops each image at its own offset (B, 2), in 0..2m, out of itself padded by a margin m of zeros."""
    height, width = images.shape[-2:]
    padded = F.pad(images, (margin, margin, margin, margin))
    rows = _to(offsets[:, 0], images).view(-1, 1) + torch.arange(height, device=images.device)
    columns = _to(offsets[:, 1], images).view(-1, 1) + torch.arange(width, device=images.device)
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    return padded[batch, :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2).contiguous()


def _color_jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Brightness, contrast and saturation, each image with its own factors (3, B), clipped to 0..1 after each."""
    brightness, contrast, saturation = (factor.view(-1, 1, 1, 1) for factor in factors)
    images = (images * brightness).clamp_(0, 1)
    images = torch.lerp(_grey(images).mean((1, 2, 3), keepdim=True), images, contrast).clamp_(0, 1)
    return torch.lerp(_grey(images), images, saturation).clamp_(0, 1)


def _grey(images: Tensor) -> Tensor:
    """Luma (ITU-R BT.601) of RGB images; the mean for other channel counts."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = _to(torch.tensor((0.299, 0.587, 0.114), dtype=images.dtype), images).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def _erase(images: Tensor, drawn: Tensor, probability: float) -> Tensor:
    """Sets a rectangle of some images to grey 1/2: area 2 to 33 %, aspect ratio 1/3 to 3.

    timm's ranges, but for its aspect ratios of .3 to 3.3: these always fit a square image, so that none is drawn twice.

    Args:
        drawn: (5, B) uniform numbers that choose whether, area, aspect, row and column.
    """
    height, width = images.shape[-2:]
    whether, area, aspect, top, left = drawn
    ratio = 3.0 ** (2 * aspect - 1)
    side = (0.02 + 0.31 * area) * height * width
    rows = (side * ratio).sqrt().round().clamp(1, height)
    columns = (side / ratio).sqrt().round().clamp(1, width)
    row = (top * (height - rows + 1)).floor()
    column = (left * (width - columns + 1)).floor()
    rows.masked_fill_(whether >= probability, 0)
    # On the CPU so far, whatever the device: rounding another power or root would erase another rectangle.
    bounds = _to(torch.stack((row, row + rows, column, column + columns)), images)
    first_row, end_row, first_column, end_column = bounds.unsqueeze(2)
    y, x = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    erased_rows = (y >= first_row) & (y < end_row)
    erased_columns = (x >= first_column) & (x < end_column)
    erased = erased_rows.unsqueeze(2) & erased_columns.unsqueeze(1)
    return images.masked_fill(erased.unsqueeze(1), 0.5)
