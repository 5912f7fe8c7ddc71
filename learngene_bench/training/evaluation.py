"""Evaluation: all metrics of a network in one pass over a split, and the precision that networks run in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from learngene_bench import distributed
from learngene_bench.config.preset import Compute
from learngene_bench.contracts.metric import Metric
from learngene_bench.data.batch_augment import SplitImages


class Measurement(NamedTuple):
    """All that one pass over a split tells of a network.

    Attributes:
        metrics: value by metric, in the order in which they were asked for.
        by_class: value of each class, in the order of their numbers, by those metrics that have such values; None for
            a class that does not occur.
    """

    metrics: dict[str, float]
    by_class: dict[str, list[float | None]]


@torch.no_grad()
def evaluate(
    network: nn.Module,
    data: SplitImages,
    compute: Compute,
    metrics: Mapping[str, Metric],
    batch_size: int | None = None,
) -> Measurement:
    """Measures a network on all images of a split, waiting for the device once, at the end.

    Several processes share the images out and add up their sums.

    Args:
        batch_size: images at a time; as many as memory has room for by default.
    """
    summed = {metric.shared_sum or name: metric for name, metric in metrics.items()}
    training, world = network.training, distributed.world()
    network.eval()
    first, end = (rank * len(data) // world.size for rank in (world.rank, world.rank + 1))
    totals: dict[str, Tensor] = {}
    # A process without images runs on one all the same: only the metrics know the shapes of their sums.
    for images, labels in data.eval_batches(batch_size, *((first, end) if end > first else (0, 1))):
        with autocast(compute, data.device):
            outputs = network(images)
        for name, metric in summed.items():
            total = metric.accumulate(outputs, labels)
            totals[name] = totals[name] + total if name in totals else total
    network.train(training)
    if end == first:
        totals = {name: torch.zeros_like(total) for name, total in totals.items()}
    totals = {name: world.all_reduce_sum(total).cpu() for name, total in totals.items()}
    measured = Measurement({}, {})
    for name, metric in metrics.items():
        total = totals[metric.shared_sum or name]
        measured.metrics[name] = metric.value(total, len(data))
        values = metric.by_class(total)
        if values is not None:
            measured.by_class[name] = values
    return measured


@contextmanager
def autocast(compute: Compute, device: torch.device) -> Iterator[None]:
    """Runs networks in the precision that is set."""
    with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bfloat16"):
        yield
