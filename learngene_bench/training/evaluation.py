"""Top-1 accuracy, and the precision that networks are run in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from learngene_bench import distributed
from learngene_bench.config.preset import Compute
from learngene_bench.data.batch_augment import SplitImages


@torch.no_grad()
def top1(network: nn.Module, data: SplitImages, compute: Compute, batch_size: int = 512) -> float:
    """Top-1 accuracy in percent on all images of a split, one wait for the device in all.

    Several processes share the images out.
    """
    training = network.training
    network.eval()
    correct = torch.zeros((), dtype=torch.int64, device=data.device)
    world = distributed.world()
    first, end = (rank * len(data) // world.size for rank in (world.rank, world.rank + 1))
    with autocast(compute, data.device):
        for images, labels in data.eval_batches(batch_size, first, end):
            correct += (network(images).argmax(-1) == labels).sum()
    network.train(training)
    return 100.0 * int(world.all_reduce_sum(correct)) / len(data)


@contextmanager
def autocast(compute: Compute, device: torch.device) -> Iterator[None]:
    with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bfloat16"):
        yield
