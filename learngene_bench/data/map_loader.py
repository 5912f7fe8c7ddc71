"""Loads images and their label maps: random squares of both for training, the whole images for evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from learngene_bench.config.recipe import Augmentation
from learngene_bench.contracts.task import TaskKind
from learngene_bench.data.batch_augment import Batch, Normalization, most_at_a_time
from learngene_bench.data.dataloader import LoadedImages
from learngene_bench.data.image_transforms import TransformDataset
from learngene_bench.data.joint_augment import joint_view
from learngene_bench.data.map_files import MapFiles
from learngene_bench.data.sampler import AugmentationRng


class MapImages(LoadedImages):
    """A split with a label for each pixel, of files that are decoded each time they are seen.

    Evaluation sees images of the same size that follow each other as one batch; sizes may differ between batches.
    """

    def __init__(
        self,
        split: MapFiles,
        normalization: Normalization,
        device: torch.device,
        augmentations: tuple[Augmentation, ...] = (),
        kind: TaskKind | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__(split, normalization, device, augmentations, kind, num_workers)
        self.split, self.training, self.plain = split, JointViews(split), WholeImages(split)
        channels, height, width = split.shape
        self.loaded_shape = channels + 2, height, width

    def finished(self, loaded: Tensor, index: Tensor, rng: AugmentationRng) -> Batch:
        images, labels, inside = loaded[:, :-2], loaded[:, -2], loaded[:, -1:].float()
        return self.augmented(images, labels, rng.cpu_generator, rng.noise, inside)

    def eval_batches(self, batch_size: int | None = None, first: int = 0, end: int | None = None) -> Iterator[Batch]:
        requests = [(position, 0) for position in range(first, len(self) if end is None else end)]
        with self._loaded(self.plain, self._chunks(requests)) as loaded:
            for pairs in _of_one_size(chain.from_iterable(loaded), batch_size):
                images, labels = (_stacked(each, self.device) for each in zip(*pairs, strict=True))
                yield self.normalization(images.float().div_(255)), labels

    def inputs(self, count: int) -> Tensor:
        squares = torch.from_numpy(self.split.take(np.arange(count)))
        return self.normalization(squares.float().div_(255))


def _stacked(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    """Stacks tensors on a device: those of pinned memory without a wait, which a stack made on the host would need."""
    stacked = torch.empty((len(tensors), *tensors[0].shape), dtype=tensors[0].dtype, device=device)
    for place, tensor in zip(stacked, tensors, strict=True):
        place.copy_(tensor, non_blocking=True)
    return stacked


class JointViews(TransformDataset):
    """Random squares: image, labels, and 1 where the image is, as channels of one uint8 image (C + 2, H, W)."""

    def __init__(self, split: MapFiles) -> None:
        channels, side, _ = split.shape
        self.empty = torch.zeros((channels + 2, side, side), dtype=torch.uint8)
        self.decode = split.whole
        self.view = partial(joint_view, side=side, shorter_side=split.shorter_side, settings=split.augmentation)

    def augmented(self, position: int, seed: int) -> Tensor:
        image, labels, (height, width) = self.view(*self.decode(position), generator=Generator().manual_seed(seed))
        made = self.empty.clone()
        made[:-2], made[-2] = image, labels
        made[-1, :height, :width] = 1
        return made


class WholeImages(TransformDataset):
    """Whole images (C, H, W), resized, and their label maps as they are stored."""

    def __init__(self, split: MapFiles) -> None:
        self.evaluated = split.evaluated

    def augmented(self, position: int, seed: int) -> Any:
        image, labels = self.evaluated(position)
        return pil_to_tensor(image), torch.from_numpy(labels)

    def together(self, images: list[Any]) -> list[Any]:
        return images


def _of_one_size(
    pairs: Iterator[tuple[Tensor, Tensor]], batch_size: int | None
) -> Iterator[Sequence[tuple[Tensor, Tensor]]]:
    """Groups neighbours whose images and labels have the same shapes, as many as are evaluated at a time."""
    group: list[tuple[Tensor, Tensor]] = []
    for image, labels in pairs:
        most = batch_size or most_at_a_time(labels.unsqueeze(0))
        if group and (len(group) >= most or (image.shape, labels.shape) != tuple(each.shape for each in group[0])):
            yield group
            group = []
        group.append((image, labels))
    if group:
        yield group
