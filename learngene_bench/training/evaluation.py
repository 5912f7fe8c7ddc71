"""Evaluation: metrics and predictions of a network in one pass over a split, and the precision that networks run in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from learngene_bench import distributed
from learngene_bench.config.preset import Compute
from learngene_bench.contracts.metric import Metric
from learngene_bench.contracts.task import TaskKind
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.schema.predictions import Predictions
from learngene_bench.util.errors import MethodFailure


class Measurement(NamedTuple):
    """All that one pass over a split tells of a network.

    Attributes:
        metrics: value by metric, in the order in which they were asked for.
        by_class: value of each class, in the order of their numbers, by those metrics that have such values; None for
            a class that does not occur.
        predictions: what the network predicts for each image, if that was asked for.
    """

    metrics: dict[str, float]
    by_class: dict[str, list[float | None]]
    predictions: Predictions | None = None


@torch.no_grad()
def evaluate(
    network: nn.Module,
    data: SplitImages,
    compute: Compute,
    metrics: Mapping[str, Metric],
    batch_size: int | None = None,
    predictions: PredictionsWanted | None = None,
) -> Measurement:
    """Measures a network on all images of a split, waiting for the device once, at the end.

    Several processes share the images out and add up their sums.

    Args:
        batch_size: images at a time; as many as memory has room for by default.
        predictions: what is kept of each image; None to keep nothing.

    Raises:
        MethodFailure: a metric is not finite, as after a training that diverges in its last step; no record holds it.
    """
    kept = _KeptOutputs(len(data), data.device, predictions) if predictions else None
    summed = {metric.shared_sum or name: metric for name, metric in metrics.items()}
    training, world = network.training, distributed.world()
    network.eval()
    first, end = (rank * len(data) // world.size for rank in (world.rank, world.rank + 1))
    totals: dict[str, Tensor] = {}
    place = first
    # A process without images runs on one all the same: only the metrics know the shapes of their sums.
    for images, labels in data.eval_batches(batch_size, *((first, end) if end > first else (0, 1))):
        with autocast(compute, data.device):
            outputs = network(images)
        for name, metric in summed.items():
            total = metric.accumulate(outputs, labels)
            totals[name] = totals[name] + total if name in totals else total
        if kept and end > first:
            kept.add(place, outputs, labels)
            place += len(labels)
    network.train(training)
    if end == first:
        totals = {name: torch.zeros_like(total) for name, total in totals.items()}
    totals = {name: world.all_reduce_sum(total).cpu() for name, total in totals.items()}
    measured = Measurement({}, {}, kept.gathered(world) if kept else None)
    for name, metric in metrics.items():
        total = totals[metric.shared_sum or name]
        measured.metrics[name] = value = metric.value(total, len(data))
        values = metric.by_class(total)
        if values is not None:
            measured.by_class[name] = values
        for number in (value, *(values or ())):
            if number is not None and not math.isfinite(number):
                raise MethodFailure(f"{name} is {number}, as where the outputs of a network are not finite")
    return measured


class PredictionsWanted(NamedTuple):
    """Choice of what is kept of each image.

    Attributes:
        kind: task kind, which gives one class to each image.
        classes: number of classes.
        probabilities: True to keep the probability of every class too.
    """

    kind: TaskKind
    classes: int
    probabilities: bool = False


class _KeptOutputs:
    """The predictions of this process, zeros at the places of the others': so their sum is that of all."""

    def __init__(self, images: int, device: torch.device, wanted: PredictionsWanted) -> None:
        self.wanted = wanted
        self.predicted, self.label = (torch.zeros(images, dtype=torch.int64, device=device) for _ in range(2))
        self.confidence = torch.zeros(images, device=device)
        self.probabilities: Tensor | None = None
        if wanted.probabilities:
            self.probabilities = torch.zeros(images, wanted.classes, dtype=torch.float16, device=device)

    def add(self, first: int, outputs: Tensor, labels: Tensor) -> None:
        """Adds a batch whose first image is the one of this number."""
        predicted, probabilities = self.wanted.kind.classify(outputs)
        rows = slice(first, first + len(labels))
        self.predicted[rows], self.label[rows] = predicted, labels
        self.confidence[rows] = probabilities.gather(1, predicted.unsqueeze(1)).squeeze(1).float()
        if self.probabilities is not None:
            self.probabilities[rows] = probabilities.half()

    def gathered(self, world: distributed.World) -> Predictions:
        def all_of(own: Tensor) -> NDArray[Any]:
            found: NDArray[Any] = world.all_reduce_sum(own).cpu().numpy()
            return found

        number = np.min_scalar_type(self.wanted.classes - 1)
        return Predictions(
            predicted=all_of(self.predicted).astype(number),
            confidence=all_of(self.confidence),
            label=all_of(self.label).astype(number),
            probabilities=None if self.probabilities is None else all_of(self.probabilities),
        )


@contextmanager
def autocast(compute: Compute, device: torch.device) -> Iterator[None]:
    """Runs networks in the precision that is set."""
    with torch.autocast(device.type, torch.bfloat16, enabled=compute.precision == "bfloat16"):
        yield
