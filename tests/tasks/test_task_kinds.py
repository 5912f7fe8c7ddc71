"""Task kinds and metrics: classification against plain loops, labels, and what plugins may get wrong."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from learngene_bench.config.preset import Compute
from learngene_bench.config.recipe import Augmentation, Recipe
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.contracts.metric import METRICS, Metric, metrics_of
from learngene_bench.contracts.task import TaskKind, task_kind
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.sampler import AugmentationRng, ScheduledBatch
from learngene_bench.data.splits import Images
from learngene_bench.schema.metric import MetricSpec
from learngene_bench.training.evaluation import PredictionsWanted, evaluate
from learngene_bench.util.errors import UserError
from learngene_bench.util.rng import RngStreams

CLASSES, IMAGES = 7, 45
PLAIN = Normalization((0.0,), (1.0,))


def facts(**changes: Any) -> DatasetFacts:
    return DatasetFacts(**{"classes": CLASSES, "channels": 1, "image_size": 4, **dict.fromkeys(SIZES, 10), **changes})


SIZES = ("train_images", "validation_images", "test_images")


class Fixed(nn.Module):
    """Gives each image the logits that its first pixel numbers."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: Tensor) -> Tensor:
        return self.logits[(images[:, 0, 0, 0] * 255).round().long()]


def numbered_images() -> DeviceImages:
    pixels = np.zeros((IMAGES, 1, 4, 4), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(IMAGES)
    return DeviceImages(Images(pixels, np.arange(IMAGES) % CLASSES), PLAIN, torch.device("cpu"))


@pytest.mark.parametrize("batch_size", [1, 8, 512])
def test_metrics_of_a_classification_are_those_of_a_plain_loop(batch_size: int) -> None:
    logits = torch.randn(IMAGES, CLASSES, generator=torch.Generator().manual_seed(0))
    first = fifth = nll = 0.0
    for row, target in zip(logits.double(), torch.arange(IMAGES) % CLASSES, strict=True):
        rank = sum(float(other) > float(row[target]) for other in row)
        first, fifth = first + (rank < 1), fifth + (rank < 5)
        nll -= math.log(math.exp(row[target]) / sum(math.exp(other) for other in row))
    wanted = PredictionsWanted(task_kind(), CLASSES, probabilities=True)
    measured, by_class, predictions = evaluate(
        Fixed(logits), numbered_images(), Compute(), task_kind().metrics(), batch_size, wanted
    )
    assert not by_class
    assert next(iter(measured)) == "top1"
    assert measured["top1"] == 100.0 * first / IMAGES
    assert measured["top5"] == 100.0 * fifth / IMAGES
    assert measured["nll"] == pytest.approx(nll / IMAGES, rel=1e-6)
    assert predictions is not None
    probabilities = np.exp(logits.double().numpy())
    probabilities /= probabilities.sum(1, keepdims=True)
    assert predictions.predicted.tolist() == probabilities.argmax(1).tolist()
    assert predictions.confidence == pytest.approx(probabilities.max(1), rel=1e-6)
    assert predictions.label.tolist() == (np.arange(IMAGES) % CLASSES).tolist()
    assert predictions.probabilities == pytest.approx(probabilities, rel=1e-3)


def test_top5_of_fewer_classes_is_all() -> None:
    assert METRICS.get("top5")().accumulate(torch.randn(6, 3), torch.zeros(6, dtype=torch.int64)) == 6


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (np.array([0, CLASSES]), "labels are 0 to 7, but there are 7 classes"),
        (np.array([-1, 2]), "labels are -1 to 2"),
        (np.array([0.5, 1]), r"labels of a classification are integers \(N,\), not float64"),
        (np.zeros((2, 4, 4), np.int64), r"not int64 \(2, 4, 4\)"),
    ],
)
def test_labels_of_another_kind_are_refused(labels: Any, error: str) -> None:
    task_kind().check_labels(np.array([0, CLASSES - 1], np.uint8), facts())
    with pytest.raises(UserError, match=error):
        task_kind().check_labels(labels, facts())


class Maps(TaskKind):
    """Labels are maps of the image, 0 outside."""

    name = "maps"
    primary_metric = "none"
    moves_labels = True

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        return outputs.mean()

    def move_labels(self, labels: Tensor, move: Any) -> Tensor:
        return move(labels.unsqueeze(1)).squeeze(1)


def test_labels_move_with_their_images() -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (IMAGES, 1, 6, 6)).astype(np.uint8)
    split = Images(pixels, pixels[:, 0].astype(np.int64))
    turns = (Augmentation(shift=2, flip=True), Augmentation(shift=1))
    rng = AugmentationRng.of(RngStreams(0), "x", "cpu")
    data = DeviceImages(split, PLAIN, torch.device("cpu"), turns, Maps())
    ((images, labels),) = data.batches([ScheduledBatch(torch.arange(IMAGES), 0, 0)], rng)
    assert torch.equal((images[:, 0] * 255).round().long(), labels)
    assert not torch.equal(labels, torch.from_numpy(split.labels))


def test_a_recipe_that_does_not_suit_a_kind_is_refused() -> None:
    recipe = Recipe(epochs=1, batch_size=8, learning_rate=1, mixup=0.8, label_smoothing=0.1)
    task_kind().check_recipe(recipe, "finetuning")
    with pytest.raises(UserError, match=r"recipe finetuning: .*'maps' cannot be .* set mixup and label_smoothing to 0"):
        Maps().check_recipe(recipe, "finetuning")
    cropped = Recipe(epochs=1, batch_size=8, learning_rate=1, augmentation=Augmentation(auto_augment="rand-m9"))
    with pytest.raises(UserError, match="move with the image"):
        Maps().check_recipe(cropped, "finetuning")


def test_a_kind_without_its_primary_metric_is_refused() -> None:
    with pytest.raises(UserError, match="task kind 'maps': its primary metric 'none' is not announced"):
        Maps().metrics()


def test_a_metric_has_the_name_of_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Misnamed(Metric):
        spec = MetricSpec(name="accuracy", title="Accuracy")
        task_kinds: ClassVar[tuple[str, ...]] = ("classification",)

        def accumulate(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return outputs.sum()

        def value(self, total: Tensor, images: int) -> float:
            return float(total)

    point = SimpleNamespace(value="misnamed:Misnamed", load=lambda: Misnamed)
    monkeypatch.setitem(METRICS.__dict__, "_points", {"acc": [point]})
    metrics_of.cache_clear()
    try:
        with pytest.raises(UserError, match="metric 'acc': its spec calls it 'accuracy'"):
            metrics_of("classification")
    finally:
        metrics_of.cache_clear()
