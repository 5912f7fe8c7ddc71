"""Which images each step of a training sees: known by its number alone, so that a run can be continued anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from learngene_bench.config.recipe import Recipe
from learngene_bench.distributed import Part, World
from learngene_bench.util.rng import RngStreams


@dataclass(frozen=True)
class Batch:
    """The images of one step.

    Attributes:
        index: their places in the split, (B,), on the CPU; a place may come several times.
        epoch: which pass over the split this is, from 0.
        first: the place of the first of them in the epoch.
        part: those that are this process's.
    """

    index: Tensor
    epoch: int
    first: int
    part: Part


@dataclass(frozen=True)
class Draws:
    """The random numbers that augmentation draws in a phase of training.

    Attributes:
        small: on the CPU; a few numbers for each image of a batch.
        noise: on the training device; a number for each pixel of a batch.
    """

    small: Generator
    noise: Generator
    streams: RngStreams
    phase: str

    @staticmethod
    def of(streams: RngStreams, phase: str, device: str) -> Draws:
        small = streams.generator(phase, "augmentation")
        return Draws(small, streams.generator(phase, "noise", device=device), streams, phase)

    def of_image(self, epoch: int, place: int) -> int:
        """What decides all that is drawn for an image alone: the same in whichever process, and in whatever order."""
        return self.streams.seed_for(self.phase, "image", epoch, place)


class Order:
    """The batches of all epochs.

    In each epoch the split comes in a new random order. Under repeated augmentation each image comes several times in
    a row, and as many fewer images come, as in DeiT's `samplers.py` (Hoffer et al. 2020): there the repetitions of an
    image are dealt out to different processes, whose batches together are the batch of one process here.

    Args:
        images: of the split.
        world: the processes that share batches out.

    Raises:
        UserError: a batch is too small to be shared out.
    """

    def __init__(self, images: int, recipe: Recipe, streams: RngStreams, phase: str, world: World) -> None:
        self.images, self.recipe, self.streams, self.phase = images, recipe, streams, phase
        self.steps, self.steps_per_epoch = recipe.steps(images), recipe.steps_per_epoch(images)
        length = recipe.epoch_length(images)
        self.batch_size = min(recipe.batch_size, length)
        self.last = min(self.batch_size, length - (self.steps_per_epoch - 1) * self.batch_size)
        size = world.size if self.steps else 1
        # timm mixes a batch with its own reverse and refuses odd ones.
        pairs = bool(recipe.mixup or recipe.cutmix)
        self._parts = {
            drawn: Part.of(drawn, drawn - drawn % 2 if pairs else drawn, world.rank, size)
            for drawn in (self.batch_size, self.last)
        }
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def part(self, step: int) -> Part:
        """This process's part of a step's batch."""
        last = step % self.steps_per_epoch == self.steps_per_epoch - 1
        return self._parts[self.last if last else self.batch_size]

    def batch(self, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = self.streams.generator(self.phase, "order", epoch)
            order = torch.randperm(self.images, generator=generator)
            self._epoch, self._order = epoch, order.repeat_interleave(self.recipe.repeated_augmentation)
        first, part = position * self.batch_size, self.part(step)
        return Batch(self._order[first : first + part.drawn], epoch, first, part)

    def images_before(self, step: int) -> int:
        """Images seen in the steps before this one, an image counted each time."""
        epochs, position = divmod(step, self.steps_per_epoch)
        return epochs * ((self.steps_per_epoch - 1) * self.batch_size + self.last) + position * self.batch_size
