"""`TaskKind`: what a model is asked about an image, and so its head, its loss, its labels and its metrics.

A task kind is an entry point in the group `learngene_bench.tasks`. A data set says of which kind it is
(`DatasetFacts.kind`); everything else follows from that. Metrics are separate plugins that name the kinds they are for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from learngene_bench.contracts.metric import Metric, metrics_of
from learngene_bench.util.entry_points import Plugins
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Generator, Tensor, nn

    from learngene_bench.config.recipe import Recipe
    from learngene_bench.contracts.dataset import DatasetFacts

CLASSIFICATION = "classification"
"""The kind of data sets that name none."""


class TaskKind(ABC):
    """A kind of task. A subclass sets the class attributes and writes at least `loss`.

    Its module must not import torch at the top, as a plan asks it for the size of the head.

    Attributes:
        name: name of the entry point.
        primary_metric: the metric that progress and tables show first.
        mixes_labels: True if labels may be mixed and smoothed, so that recipes may ask for mixup, cutmix and label
            smoothing; `loss` then gets soft labels (B, classes).
        moves_labels: True if labels are maps of the image, which `move_labels` shifts and flips with it.
        distils: True if `distillation_loss` is there; methods that need a teacher are left out of tables otherwise.
        classifies: True if a network gives one class for each image, so that `classify` is there and cells keep what
            they predict for each test image.
    """

    name: ClassVar[str]
    primary_metric: ClassVar[str]
    mixes_labels: ClassVar[bool] = False
    moves_labels: ClassVar[bool] = False
    distils: ClassVar[bool] = False
    classifies: ClassVar[bool] = False

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Computes the training loss, a mean over the images.

        Args:
            outputs: what the network gives, (B, ...), possibly in bfloat16.
            targets: labels (B, ...), or soft labels (B, classes) where they are mixed.
            smoothing: label smoothing; 0 unless the kind mixes labels.
        """

    def distillation_loss(self, outputs: Tensor, teacher: Tensor) -> Tensor:
        """Computes what is added to the loss when a network is distilled, a mean over the images.

        Args:
            outputs: what the network gives, (B, ...).
            teacher: what the teacher gives for the same images, (B, ...).

        Raises:
            UserError: the kind has no such loss; a plan does not get here, as it asks `distils`.
        """
        raise UserError(f"the task kind {self.name!r} has no loss for distillation")

    def classify(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Predicts the class of each image of a batch; called where `classifies` is True.

        Args:
            outputs: what the network gives, (B, ...), possibly in bfloat16.

        Returns:
            The predicted classes (B,), as the metrics take them, and the probabilities of all classes (B, classes).

        Raises:
            UserError: the kind gives no class to an image; nobody gets here who asks `classifies`.
        """
        raise UserError(f"the task kind {self.name!r} gives no class to an image")

    def outputs(self, facts: DatasetFacts) -> int:
        """Returns the number of outputs of a model's head, which is the `classes` of its `ModelSpec`."""
        return facts.classes

    def adapt(self, model: nn.Module, facts: DatasetFacts, generator: Generator) -> nn.Module:
        """Returns the network that is trained and measured; the model itself by default.

        A kind that needs more than a head, such as a decoder, returns a module that holds the model. Its own
        parameters are drawn from the generator. Methods initialize the model only. A cell keeps the model in one file
        and what was added to it in another.

        Args:
            model: initialized, on the CPU.
        """
        return model

    def check_labels(self, labels: NDArray[Any], facts: DatasetFacts) -> None:  # noqa: B027 (no check by default)
        """Checks the labels (N, ...) of one split, once after they are loaded.

        Raises:
            UserError: they are not of the type and shape of this kind.
        """

    def move_labels(self, labels: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
        """Augments the labels of a batch as its images are; called where `moves_labels` is True.

        Args:
            labels: (B, ...).
            move: shifts and flips maps (B, C, height, width) of the images' size; zeros come in from outside.
        """
        return labels

    def chance(self, facts: DatasetFacts) -> float | None:
        """Returns the value of the primary metric that guessing reaches; None where it is not known."""
        return None

    def measured_how(self, facts: DatasetFacts) -> str:
        """Says how networks are measured, where there are several ways: for records and the notes of tables."""
        return ""

    def check_recipe(self, recipe: Recipe, name: str) -> None:
        """Checks that labels of this kind can be trained on by a recipe.

        Raises:
            UserError: they cannot; the line names the settings.
        """
        wrong = [field for field in ("mixup", "cutmix", "label_smoothing") if getattr(recipe, field)]
        if wrong and not self.mixes_labels:
            raise UserError(
                f"recipe {name}: labels of the task kind {self.name!r} cannot be mixed or smoothed: "
                f"set {' and '.join(wrong)} to 0"
            )
        if self.moves_labels and recipe.augmentation.one_by_one:
            raise UserError(
                f"recipe {name}: labels of the task kind {self.name!r} move with the image, which random_crop and "
                "auto_augment cannot do: leave both out"
            )

    def metrics(self) -> dict[str, Metric]:
        """Returns all metrics of this kind by name, the primary one first.

        Raises:
            UserError: the primary metric is missing, or a metric cannot be imported.
        """
        found = metrics_of(self.name)
        if self.primary_metric not in found:
            raise UserError(f"task kind {self.name!r}: its primary metric {self.primary_metric!r} is not announced")
        return {self.primary_metric: found[self.primary_metric], **found}


TASK_KINDS: Plugins[TaskKind] = Plugins("learngene_bench.tasks", "task kind", TaskKind)
"""All task kinds by name."""


@lru_cache
def task_kind(name: str = CLASSIFICATION) -> TaskKind:
    """Creates the task kind of this name.

    Raises:
        UserError: there is none, or it cannot be imported.
    """
    return TASK_KINDS.get(name)()
