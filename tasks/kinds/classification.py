"""Image classification: one class for each image, and its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.contracts.metric import Metric
from learngene_bench.contracts.task import CLASSIFICATION, TaskKind
from learngene_bench.schema.metric import MetricSpec
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


class Classification(TaskKind):
    """Labels are class indices (N,), the network gives logits (B, classes), the loss is the cross entropy."""

    name = CLASSIFICATION
    primary_metric = "top1"
    mixes_labels = True
    distils = True
    classifies = True

    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        return torch.nn.functional.cross_entropy(outputs.float(), targets, label_smoothing=smoothing)

    def distillation_loss(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        """KL(teacher || student) of logits (B, classes) at temperature 1, averaged over the batch (Eq. 6).

        TELG's released loss divides by batch times classes (`losses.py`), which would make this term 1000 times
        smaller than the cross entropy on ImageNet; averaging over the batch is a choice of this suite.
        """
        student, wanted = (torch.nn.functional.log_softmax(logits.float(), -1) for logits in (outputs, teacher))
        return torch.nn.functional.kl_div(student, wanted, reduction="batchmean", log_target=True)

    def classify(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Softmax of logits (B, classes); the class is that of the greatest logit, as for `top1`."""
        return outputs.argmax(-1), outputs.float().softmax(-1)

    def chance(self, facts: DatasetFacts) -> float:
        return 100.0 / facts.classes

    def check_labels(self, labels: NDArray[Any], facts: DatasetFacts) -> None:
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise UserError(f"labels of a classification are integers (N,), not {labels.dtype} {labels.shape}")
        if len(labels) and not 0 <= labels.min() <= labels.max() < facts.classes:
            raise UserError(f"labels are {labels.min()} to {labels.max()}, but there are {facts.classes} classes")


class Top1(Metric):
    """Percentage of images whose greatest logit is that of their class."""

    spec = MetricSpec(
        name="top1", title="Top-1 accuracy", unit="%", bounds=(0.0, 100.0), decimals=1, counts_images=True
    )
    task_kinds: ClassVar[tuple[str, ...]] = (CLASSIFICATION,)

    def accumulate(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs.argmax(-1) == targets).sum()

    def value(self, total: Tensor, images: int) -> float:
        return 100.0 * int(total) / images


class Top5(Metric):
    """Percentage of images whose class is among the five greatest logits; among all of them if there are fewer."""

    spec = MetricSpec(
        name="top5", title="Top-5 accuracy", unit="%", bounds=(0.0, 100.0), decimals=1, counts_images=True
    )
    task_kinds: ClassVar[tuple[str, ...]] = (CLASSIFICATION,)

    def accumulate(self, outputs: Tensor, targets: Tensor) -> Tensor:
        greatest = outputs.topk(min(5, outputs.shape[-1]), sorted=False).indices
        return (greatest == targets.unsqueeze(-1)).sum()

    def value(self, total: Tensor, images: int) -> float:
        return 100.0 * int(total) / images


class NegativeLogLikelihood(Metric):
    """Mean negative logarithm of the probability of an image's class, in nats: the loss without smoothing."""

    spec = MetricSpec(
        name="nll",
        title="Negative log-likelihood",
        unit="nats",
        bounds=(0.0, None),
        higher_is_better=False,
        decimals=3,
    )
    task_kinds: ClassVar[tuple[str, ...]] = (CLASSIFICATION,)

    def accumulate(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = torch.nn.functional.cross_entropy(outputs.float(), targets, reduction="none")
        return losses.double().sum()

    def value(self, total: Tensor, images: int) -> float:
        return float(total) / images
