"""Evaluation: all metrics of a network in one pass over a split, and the precision that networks run in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from learngene_bench import distributed
from learngene_bench.config.preset import Compute
from learngene_bench.contracts.metric import Metric
from learngene_bench.data.batch_augment import SplitImages


@torch.no_grad()
def evaluate(
    network: nn.Module, data: SplitImages, compute: Compute, metrics: Mapping[str, Metric], batch_size: int = 512
) -> dict[str, float]:
    """Measures a network on all images of a split, waiting for the device once, at the end.

    Several processes share the images out and add up their sums.

    Returns:
        The value of each metric, in the order of `metrics`.
    """
    training, world = network.training, distributed.world()
    network.eval()
    first, end = (rank * len(data) // world.size for rank in (world.rank, world.rank + 1))
    totals: dict[str, Tensor] = {}
    # A process without images runs on one all the same: only the metrics know the shapes of their sums.
    for images, labels in data.eval_batches(batch_size, *((first, end) if end > first else (0, 1))):
        with autocast(compute, data.device):
            outputs = network(images)
        for name, metric in metrics.items():
            total = metric.accumulate(outputs, labels)
            totals[name] = totals[name] + total if name in totals else total
    network.train(training)
    if end == first:
        totals = {name: torch.zeros_like(total) for name, total in totals.items()}
    return {name: metric.value(world.all_reduce_sum(totals[name]).cpu(), len(data)) for name, metric in metrics.items()}


@contextmanager
def autocast(compute: Compute, device: torch.device) -> Iterator[None]:
    """Runs networks in the precision that is set."""
    with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bfloat16"):
        yield
