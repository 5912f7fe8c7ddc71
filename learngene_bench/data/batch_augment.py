"""Training batches: uint8 images, augmented and normalised in batches on the device that trains.

The random numbers of an image (its shift, its flip, ...) are drawn on the CPU whatever the device, a few numbers per
image, so that a batch is the same on CPU and GPU; only noise, a number per pixel, is drawn where the images are.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from learngene_bench.config.recipe import Augmentation
from learngene_bench.contracts.dataset import Split
from learngene_bench.contracts.task import TaskKind
from learngene_bench.data.sampler import AugmentationRng, ScheduledBatch
from learngene_bench.data.splits import Images


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation per channel of images scaled to 0..1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Normalises float images (B, C, H, W) in 0..1, in place: new memory takes longer than the arithmetic."""
        mean, std = (_to(torch.tensor(values), images).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return images.sub_(mean).div_(std)


BATCH_SIZE = 512
"""Images that are evaluated at a time."""
LABELS_OF_A_BATCH = 2**20
"""Most labels that are evaluated at a time: where every pixel has one, outputs are as large, times the classes."""

Batch = tuple[Tensor, Tensor]
"""Normalised images (B, C, H, W) and labels (B, ...), on the device that trains."""


class SplitImages(ABC):
    """A split as training and evaluation see it, wherever its images are kept.

    Args:
        augmentations: applied in turn to training batches.
        kind: task kind of the labels; needed only if labels move with their images.
    """

    def __init__(
        self,
        split: Split,
        normalization: Normalization,
        device: torch.device,
        augmentations: tuple[Augmentation, ...] = (),
        kind: TaskKind | None = None,
    ) -> None:
        self.count, self.shape = len(split), split.shape
        self.normalization, self.device, self.augmentations = normalization, device, augmentations
        self.kind = kind if kind and kind.moves_labels else None

    def __len__(self) -> int:
        return self.count

    @abstractmethod
    def batches(self, schedule: Iterable[ScheduledBatch], rng: AugmentationRng) -> Generator[Batch, None, None]:
        """Yields the scheduled batches, augmented. Close it when no more of them is needed.

        Args:
            schedule: read ahead by splits that are loaded by other processes.
        """

    @abstractmethod
    def eval_batches(self, batch_size: int | None = None, first: int = 0, end: int | None = None) -> Iterator[Batch]:
        """Yields the images from `first` to `end` in stored order, normalised but not augmented; all by default.

        Args:
            batch_size: images at a time; as many as memory has room for by default.
        """

    def inputs(self, count: int) -> Tensor:
        """Returns the first images as models see them, normalised, (count, C, H, W), on the CPU."""
        return torch.cat([images.cpu() for images, _ in self.eval_batches(min(count, 256), 0, count)])

    def augmented(
        self,
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
        noise: torch.Generator,
        inside: Tensor | None = None,
    ) -> Batch:
        """Normalises uint8 images after those augmentations that are done in batches; see `augment`.

        Labels that are maps of the image are shifted and flipped with it.

        Args:
            inside: 1 where images (B, 1, H, W) are, 0 where a normalised batch is to be 0; all of it by default.
        """
        images = images.float().div_(255)
        for augmentation in self.augmentations:
            settings = augmentation.batched
            move = Move.draw(len(images), settings, generator)
            images = augment(images, settings, generator, noise, move)
            if self.kind:
                labels = self.kind.move_labels(labels, move)
            inside = None if inside is None else move(inside)
        images = self.normalization(images)
        if inside is not None:
            images = images * inside
        for augmentation in self.augmentations:
            if augmentation.random_erasing and augmentation.erase_value == "noise":
                images = erase_to_noise(images, augmentation.random_erasing, generator, noise)
        return images, labels


class DeviceImages(SplitImages):
    """A split in the memory of a device: uint8 images (N, C, H, W) and their labels."""

    def __init__(
        self,
        split: Images,
        normalization: Normalization,
        device: torch.device,
        augmentations: tuple[Augmentation, ...] = (),
        kind: TaskKind | None = None,
    ) -> None:
        super().__init__(split, normalization, device, augmentations, kind)
        self.images = torch.from_numpy(split.images).to(device)
        self.labels = torch.from_numpy(split.labels).to(device)

    def batches(self, schedule: Iterable[ScheduledBatch], rng: AugmentationRng) -> Generator[Batch, None, None]:
        for scheduled in schedule:
            yield self.batch(scheduled.index, rng.cpu_generator, rng.noise)

    def batch(self, index: Tensor, generator: torch.Generator, noise: torch.Generator) -> Batch:
        """Returns the augmented, normalised images (B, C, H, W) and the labels at `index`, a CPU tensor."""
        index = index.to(self.device, non_blocking=True)
        return self.augmented(self.images[index], self.labels[index], generator, noise)

    def eval_batches(self, batch_size: int | None = None, first: int = 0, end: int | None = None) -> Iterator[Batch]:
        batch_size, end = batch_size or most_at_a_time(self.labels), len(self) if end is None else end
        for start in range(first, end, batch_size):
            rows = slice(start, min(start + batch_size, end))
            yield self.normalization(self.images[rows].float().div_(255)), self.labels[rows]


def most_at_a_time(labels: Tensor) -> int:
    """Returns how many images with labels of this shape, (N, ...), are evaluated at a time."""
    return max(1, min(BATCH_SIZE, LABELS_OF_A_BATCH // max(1, labels[:1].numel())))


@dataclass(frozen=True)
class Move:
    """Shifts and flips of the images of a batch.

    Attributes:
        margin: largest shift in pixels.
        offsets: first row and column of each image in the image padded by the margin, (B, 2); None for no shift.
        flipped: True for each image that is mirrored, (B,); None for no mirroring.
    """

    margin: int
    offsets: Tensor | None
    flipped: Tensor | None

    @staticmethod
    def draw(count: int, settings: Augmentation, generator: torch.Generator) -> Move:
        """Draws the moves of `count` images."""
        margin = settings.shift
        offsets = torch.randint(2 * margin + 1, (count, 2), generator=generator) if margin else None
        return Move(margin, offsets, torch.rand(count, generator=generator) < 0.5 if settings.flip else None)

    def __call__(self, images: Tensor) -> Tensor:
        """Moves images, or maps of them, (B, C, H, W); zeros come in from outside."""
        if self.offsets is not None:
            images = _shift(images, self.offsets, self.margin)
        if self.flipped is not None:
            images = torch.where(_to(self.flipped, images).view(-1, 1, 1, 1), images.flip(-1), images)
        return images


def augment(
    images: Tensor,
    settings: Augmentation,
    generator: torch.Generator,
    noise: torch.Generator,
    move: Move | None = None,
) -> Tensor:
    """Augments each image of a batch with random numbers of its own.

    Args:
        images: (B, C, H, W) in 0..1.
        generator: on the CPU; draws a few numbers per image.
        noise: on the images' device; draws a number per pixel.
        move: the images' moves if they are drawn already.
    """
    count = len(images)
    images = (move or Move.draw(count, settings, generator))(images)
    if settings.color_jitter:
        factors = 1 + settings.color_jitter * (2 * torch.rand(3, count, generator=generator) - 1)
        images = _color_jitter(images, _to(factors, images))
    if settings.random_erasing and settings.erase_value == "grey":
        images = _erase(images, torch.rand(5, count, generator=generator), settings.random_erasing)
    if settings.noise:
        drawn = torch.randn(images.shape, generator=noise, device=images.device, dtype=images.dtype)
        images = (images + settings.noise * drawn).clamp_(0, 1)
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

    timm's aspect ratios are .3 to 3.3. These always fit into a square image, so that no rectangle is drawn twice.

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
    return images.masked_fill(_inside(images, row, rows, column, columns), 0.5)


def erase_to_noise(images: Tensor, probability: float, generator: torch.Generator, noise: torch.Generator) -> Tensor:
    """timm's `RandomErasing`, mode 'pixel': fills a rectangle of some normalised images with normal noise, in place.

    Area 2 to 33 1/3 %, aspect ratio .3 to 1/.3; of ten rectangles drawn for an image, the first that is smaller than
    it in both directions. See `augment` for the arguments.
    """
    count = len(images)
    height, width = images.shape[-2:]
    whether, top, left = torch.rand(3, count, generator=generator)
    area, aspect = torch.rand(2, 10, count, generator=generator)
    ratio = torch.exp(math.log(0.3) * (1 - 2 * aspect))
    side = (0.02 + (1 / 3 - 0.02) * area) * height * width
    rows, columns = (side * ratio).sqrt().round(), (side / ratio).sqrt().round()
    fits = (rows < height) & (columns < width)
    # argmax of equal numbers is any of them; of these, the first is the largest.
    first = (fits * torch.arange(10, 0, -1).view(-1, 1)).argmax(0, keepdim=True)
    rows, columns = (sides.gather(0, first).squeeze(0) for sides in (rows, columns))
    row, column = (top * (height - rows + 1)).floor(), (left * (width - columns + 1)).floor()
    place = ((whether <= probability) & fits.any(0)).nonzero().squeeze(1)
    filling = torch.randn((len(place), *images.shape[1:]), generator=noise, device=images.device)
    bounds = [values[place] for values in (row, rows, column, columns)]
    place = _to(place, images)
    changed = torch.where(_inside(images, *bounds), filling.to(images.dtype), images[place])
    return images.index_copy_(0, place, changed)


def _inside(images: Tensor, row: Tensor, rows: Tensor, column: Tensor, columns: Tensor) -> Tensor:
    """Marks the pixels inside each image's rectangle, given by first row and column and sides, (B,) each, on the CPU.

    Rectangles are computed on the CPU whatever the device, as another rounding would erase another rectangle.
    """
    height, width = images.shape[-2:]
    bounds = _to(torch.stack((row, row + rows, column, column + columns)), images)
    first_row, end_row, first_column, end_column = bounds.unsqueeze(2)
    y, x = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    inside_rows = (y >= first_row) & (y < end_row)
    inside_columns = (x >= first_column) & (x < end_column)
    return (inside_rows.unsqueeze(2) & inside_columns.unsqueeze(1)).unsqueeze(1)
