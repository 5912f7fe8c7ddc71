"""Evaluation: all metrics of a network in one pass over a split, and the precision that networks run in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from learngene_bench import distributed
from learngene_bench.config.preset import Compute
from learngene_bench.contracts.metric import Metric
from learngene_bench.data.batch_augment import SplitImages

BATCH_SIZE = 512
"""Images that are evaluated at a time."""
LABELS_OF_A_BATCH = 2**22
"""Most labels that are evaluated at a time: where every pixel has one, outputs are as large, times the classes."""


def evaluate(
    network: nn.Module,
    data: SplitImages,
    compute: Compute,
    metrics: Mapping[str, Metric],
    batch_size: int | None = None,
) -> dict[str, float]:
    """Measures a network on all images of a split, waiting for the device once, at the end.

    Several processes share the images out and add up their sums.

    Args:
        batch_size: images at a time; as many as memory has room for by default.

    Returns:
        The value of each metric, in the order of `metrics`.
    """
    totals = _totals(network, data, compute, metrics, batch_size)
    return {name: metric.value(totals[_sum_name(name, metric)], len(data)) for name, metric in metrics.items()}


def evaluate_classes(
    network: nn.Module, data: SplitImages, compute: Compute, metrics: Mapping[str, Metric], names: Sequence[str] = ()
) -> dict[str, dict[str, float | None]] | None:
    """Measures each class, by those metrics that have a value for it; see `evaluate`.

    Args:
        names: names of the classes; their numbers are their names by default.

    Returns:
        Value by class, by metric; None if no metric has such values, in which case no image is looked at.
    """
    chosen = {name: metric for name, metric in metrics.items() if type(metric).by_class is not Metric.by_class}
    if not chosen:
        return None
    totals = _totals(network, data, compute, chosen)
    found = {name: metric.by_class(totals[_sum_name(name, metric)]) or [] for name, metric in chosen.items()}
    return {
        name: {names[label] if names else str(label): value for label, value in enumerate(values)}
        for name, values in found.items()
    }


def _sum_name(name: str, metric: Metric) -> str:
    return metric.shared_sum or name


@torch.no_grad()
def _totals(
    network: nn.Module,
    data: SplitImages,
    compute: Compute,
    metrics: Mapping[str, Metric],
    batch_size: int | None = None,
) -> dict[str, Tensor]:
    """Sums over all images of a split and all processes, by the name of the sum, on the CPU."""
    summed = {_sum_name(name, metric): metric for name, metric in metrics.items()}
    batch_size = batch_size or max(1, min(BATCH_SIZE, LABELS_OF_A_BATCH // data.labels[0].numel()))
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
    return {name: world.all_reduce_sum(total).cpu() for name, total in totals.items()}


@contextmanager
def autocast(compute: Compute, device: torch.device) -> Iterator[None]:
    """Runs networks in the precision that is set."""
    with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bfloat16"):
        yield
