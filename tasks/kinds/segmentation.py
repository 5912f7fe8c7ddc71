"""Semantic segmentation: one class for each pixel, a decoder, and metrics of one confusion matrix over the split."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.contracts.metric import Metric
from learngene_bench.contracts.task import TaskKind
from learngene_bench.schema.metric import MetricSpec
from learngene_bench.tasks.datasets.label_maps import IGNORED
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import np, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Generator, Tensor, nn


class Segmentation(TaskKind):
    """Labels are class indices (N, height, width), uint8, 255 where a pixel is not to be looked at.

    The network gives logits (B, classes, height, width). Its decoder is one linear layer on each position of the
    model's last representation, drawn larger bilinearly (Strudel et al., Segmenter, 2021). That layer is the model's
    own head, of classes x D + classes parameters: it starts as the head of any other task does, and is kept with it.
    """

    name = "segmentation"
    primary_metric = "miou"
    moves_labels = True

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Cross entropy, a mean over the pixels of the batch that are not ignored; 0 if all are."""
        targets = targets.long()
        losses = torch.nn.functional.cross_entropy(outputs.float(), targets, ignore_index=IGNORED, reduction="sum")
        return losses / (targets != IGNORED).sum().clamp(min=1)

    def adapt(self, model: nn.Module, facts: DatasetFacts, generator: Generator) -> nn.Module:
        from learngene_bench.tasks.kinds.decoders import LinearDecoder

        return LinearDecoder(model, facts.image_size, _stride(facts))

    def check_labels(self, labels: NDArray[Any], facts: DatasetFacts) -> None:
        if labels.dtype != np.uint8 or labels.shape[1:] != (facts.image_size, facts.image_size):
            raise UserError(
                f"labels of a segmentation are uint8 (N, {facts.image_size}, {facts.image_size}), "
                f"not {labels.dtype} {labels.shape}"
            )
        if len(labels) and (labels == IGNORED).all():
            raise UserError(
                f"every pixel of a split is ignored ({IGNORED}), so there is nothing to train on or measure"
            )
        wrong = labels[(labels >= facts.classes) & (labels != IGNORED)]
        if len(wrong):
            raise UserError(
                f"labels are up to {wrong.max()}, but there are {facts.classes} classes ({IGNORED}: ignored)"
            )

    def measured_how(self, facts: DatasetFacts) -> str:
        side, windows = facts.image_size, facts.windows
        if windows is None:
            return f"squares of {side} x {side} pixels, one scale"
        return (
            f"whole images, shorter side {windows.shorter_side} pixels, windows of {side} x {side}, stride "
            f"{windows.stride}, one scale"
        )

    def move_labels(self, labels: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
        """Moves the labels; what comes in from outside is ignored."""
        return IGNORED - move((IGNORED - labels).unsqueeze(1)).squeeze(1)


def _stride(facts: DatasetFacts) -> int:
    return facts.windows.stride if facts.windows else facts.image_size


class MaskSegmentation(Segmentation):
    """The same with Segmenter's mask decoder, two Transformer blocks over positions and classes.

    The decoder is drawn for each cell. The model has no head; a cell keeps the decoder in a file of its own.
    """

    name = "segmentation-mask"

    def outputs(self, facts: DatasetFacts) -> int:
        return 0

    def adapt(self, model: nn.Module, facts: DatasetFacts, generator: Generator) -> nn.Module:
        from learngene_bench.tasks.kinds.decoders import MaskDecoder

        return MaskDecoder(model, facts.image_size, _stride(facts), facts.classes, generator)


class SegmentationMetric(Metric):
    """A function of the confusion matrix of all pixels of the split: (class, predicted class), ignored pixels apart.

    Logits of another size than the labels are resized to theirs: what counts are the labels as they are stored.
    """

    task_kinds: ClassVar[tuple[str, ...]] = (Segmentation.name, MaskSegmentation.name)
    shared_sum = "confusion matrix"

    def accumulate(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.shape[-2:] != targets.shape[-2:]:
            outputs = torch.nn.functional.interpolate(outputs.float(), list(targets.shape[-2:]), mode="bilinear")
        classes, targets = outputs.shape[1], targets.long()
        # Ignored pixels are counted too, apart: to leave them out, one would have to wait for the device.
        places = torch.where(targets == IGNORED, classes**2, targets * classes + outputs.argmax(1)).flatten()
        counts = torch.zeros(classes**2 + 1, dtype=torch.int64, device=places.device)
        return counts.scatter_add_(0, places, torch.ones_like(places))[:-1].view(classes, classes)


class MeanIntersectionOverUnion(SegmentationMetric):
    """Intersection over union, in percent, a mean over the classes that occur in the labels or the predictions."""

    spec = MetricSpec(name="miou", title="Mean IoU", unit="%", bounds=(0.0, 100.0))

    def value(self, total: Tensor, images: int) -> float:
        values = [value for value in self.by_class(total) if value is not None]
        return sum(values) / len(values)

    def by_class(self, total: Tensor) -> list[float | None]:
        hits = total.diagonal()
        return _percentages(hits, total.sum(0) + total.sum(1) - hits)


class MeanClassAccuracy(SegmentationMetric):
    """Percentage of a class's pixels that are predicted right, a mean over the classes that occur in the labels."""

    spec = MetricSpec(name="class-accuracy", title="Mean class accuracy", unit="%", bounds=(0.0, 100.0))

    def value(self, total: Tensor, images: int) -> float:
        values = [value for value in _percentages(total.diagonal(), total.sum(1)) if value is not None]
        return sum(values) / len(values)


class PixelAccuracy(SegmentationMetric):
    """Percentage of all pixels that are predicted right."""

    spec = MetricSpec(name="pixel-accuracy", title="Pixel accuracy", unit="%", bounds=(0.0, 100.0))

    def value(self, total: Tensor, images: int) -> float:
        return 100.0 * int(total.trace()) / int(total.sum())


def _percentages(parts: Tensor, wholes: Tensor) -> list[float | None]:
    return [
        100.0 * part / whole if whole else None for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)
    ]
