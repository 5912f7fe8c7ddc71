"""`Context`: everything a method may use in `prepare` and `initialize`.

The real one, which is also the meter of what was used, is `training.context.MeteredContext`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.metric import CurvePoint

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass
class TrainResult:
    """The result of one training run, beside the trained network.

    Attributes:
        curve: one point for each measurement.
        class_metrics: value of each class in the last measurement, by those metrics that have such values; None for a
            class that does not occur.
    """

    cost: Cost = field(default_factory=Cost)
    curve: list[CurvePoint] = field(default_factory=list)
    class_metrics: dict[str, list[float | None]] = field(default_factory=dict)


class Context(ABC):
    """The tools and data that a method is given.

    Attributes:
        seed: decides every random number; see `generator` and `base_weights`.
        device: where training runs; models are handed over on the CPU.
        base: the preset's base initialization.
        recipes: the preset's recipes that the method declared to train by, by name.
        ancestors: trained models, by the role the method gave them in its request; evaluation mode, on the CPU.
        ancestor_flops: operations of each ancestor's forward pass, per image.
        same_task: True if the target will be fine-tuned on the source task, so that the head can be inherited.
        size_base: the base that the target belongs to, as `Initializer.supports` is given it; None in `prepare`.
    """

    seed: int
    device: torch.device
    base: BaseInitialization
    recipes: Mapping[str, Recipe]
    ancestors: Mapping[str, nn.Module]
    ancestor_flops: Mapping[str, float]
    same_task: bool
    size_base: ModelSpec | None

    @abstractmethod
    def generator(self, purpose: str) -> torch.Generator:
        """Returns a CPU generator; every purpose has a random stream of its own, for each target and for the gene."""

    @abstractmethod
    def base_weights(self, spec: ModelSpec) -> dict[str, Tensor]:
        """Draws every parameter of a new model of this spec by the preset's base initialization, from the seed.

        In `prepare` this is a model that the gene is made by, independent of all ancestors and targets. In `initialize`
        it is a target: for the target's own spec, the numbers that `model` arrives with.
        """

    @abstractmethod
    def source_images(self, count: int) -> Tensor:
        """Returns training images of the source task, in their order, normalised, not augmented: (count, C, H, W)."""

    @abstractmethod
    def train(self, network: nn.Module, recipe: str, *, teacher: str | None = None) -> TrainResult:
        """Trains a network on the source task's training split; leaves it on the CPU, in evaluation mode.

        Call it once per recipe: the recipe's name also names the random streams and the checkpoint from which an
        interrupted run continues.

        Args:
            network: a `MaterialisedModel`, whose weights are computed from what trains; or a network that says itself
                how a batch trains it (`training.custom_objective`).
            recipe: one of those that the method declared to train by.
            teacher: role of the ancestor to distil from; None for training on the labels alone.
        """

    @abstractmethod
    def spend(self, cost: Cost) -> None:
        """Adds work that the method does by itself, such as passing images through an ancestor, to the meter."""
