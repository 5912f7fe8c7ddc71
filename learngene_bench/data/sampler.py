"""Computes the batch of any training step from the step's number alone, so that training can resume at any step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from learngene_bench.config.recipe import Recipe
from learngene_bench.distributed import Shard
from learngene_bench.util.rng import RngStreams


@dataclass(frozen=True)
class ScheduledBatch:
    """This process's images of one training step.

    Attributes:
        index: positions in the split, (B,), on the CPU; a position may come several times.
        epoch: pass over the split, from 0.
        first: place in the epoch of the first of these images.
    """

    index: Tensor
    epoch: int
    first: int


@dataclass(frozen=True)
class AugmentationRng:
    """The random numbers that augmentation draws while one network is trained.

    Attributes:
        cpu_generator: on the CPU; draws a few numbers for each image of a batch.
        noise: on the training device; draws a number for each pixel of a batch.
        phase: name of the training, as of its recipe.
    """

    cpu_generator: Generator
    noise: Generator
    streams: RngStreams
    phase: str

    @staticmethod
    def of(streams: RngStreams, phase: str, device: str) -> AugmentationRng:
        """Returns the generators at their start."""
        cpu_generator = streams.generator(phase, "augmentation")
        return AugmentationRng(cpu_generator, streams.generator(phase, "noise", device=device), streams, phase)

    def image_seed(self, epoch: int, place: int) -> int:
        """Returns the seed of everything drawn for one image: the same in any process and in any order."""
        return self.streams.seed_for(self.phase, "image", epoch, place)


class BatchSchedule:
    """The batches of all epochs, of which each of several processes takes its shard.

    In each epoch the split comes in a new random order, the same for all processes. Under repeated augmentation each
    image comes several times in a row, and as many fewer images come, as in DeiT's `samplers.py` (Hoffer et al. 2020).

    Args:
        images: images in the split.
        rank: this process among the `size` processes that train one network.

    Raises:
        UserError: a batch has too few images for so many processes.
    """

    def __init__(
        self, images: int, recipe: Recipe, streams: RngStreams, phase: str, rank: int = 0, size: int = 1
    ) -> None:
        self.images, self.recipe, self.streams, self.phase = images, recipe, streams, phase
        self.steps, self.steps_per_epoch = recipe.steps(images), recipe.steps_per_epoch(images)
        self.batch_size, self.last_batch_size = recipe.batch_sizes(images)
        multiple = 2 if recipe.mixup or recipe.cutmix else 1
        self._shards = {
            batch_size: Shard.of(batch_size, rank, size if self.steps else 1, multiple)
            for batch_size in (self.batch_size, self.last_batch_size)
        }
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def shard(self, step: int) -> Shard:
        """Returns this process's rows of a step's batch."""
        is_last = step % self.steps_per_epoch == self.steps_per_epoch - 1
        return self._shards[self.last_batch_size if is_last else self.batch_size]

    def batch(self, step: int) -> ScheduledBatch:
        """Returns this process's images of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = self.streams.generator(self.phase, "order", epoch)
            order = torch.randperm(self.images, generator=generator)
            self._epoch, self._order = epoch, order.repeat_interleave(self.recipe.repeated_augmentation)
        shard, start = self.shard(step), position * self.batch_size
        return ScheduledBatch(self._order[start + shard.first : start + shard.end], epoch, start + shard.first)

    def images_before(self, step: int) -> int:
        """Counts the images of all processes in the steps before this one, an image each time it comes."""
        return self.recipe.images_before(step, self.images)
