"""What an initializer may use, and the meter of what it used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Recipe
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.expansion.materialised import MaterialisedModel
from learngene_bench.models.base_initialization import base_weights
from learngene_bench.models.spec import ModelSpec
from learngene_bench.training.custom_objective import CustomObjective
from learngene_bench.training.evaluation import top1
from learngene_bench.training.loop import train
from learngene_bench.training.run import Cost, Progress, TrainingRun, TrainResult
from learngene_bench.util.rng import RngStreams


@dataclass
class SourceData:
    """The source task as a method may see it: its training split, and a validation split taken from training data."""

    train: Mapping[str, SplitImages]
    """By recipe name, as recipes differ in their augmentation."""
    plain: SplitImages
    """The training split without augmentation."""
    validation: SplitImages
    classes: int


@dataclass
class Context:
    """Everything a method may use in `prepare` and `initialize`.

    Attributes:
        seed: decides every random number; see `generator` and `base_weights`.
        device: where training runs; models are handed over on the CPU.
        recipes: the preset's recipes that the method said it trains by, by name.
        ancestors: trained models, by the role the method gave them in its request; evaluation mode, on the CPU.
        same_task: whether the target will be tuned on the source task, so that the head can be inherited.
        cost: what was spent so far.
    """

    seed: int
    device: torch.device
    compute: Compute
    base: BaseInitialization
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    ancestors: Mapping[str, nn.Module] = field(default_factory=dict)
    ancestor_flops: Mapping[str, float] = field(default_factory=dict)
    same_task: bool = True
    source: SourceData | None = None
    checkpoints: Path | None = None
    progress: Progress | None = None
    cost: Cost = field(default_factory=Cost)
    curves: dict[str, list[dict[str, object]]] = field(default_factory=dict)

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator of this purpose's own stream."""
        return RngStreams(self.seed).generator("method", purpose)

    def base_weights(self, spec: ModelSpec) -> dict[str, Tensor]:
        """Every parameter of a new model of this spec under the preset's base initialization, drawn from the seed."""
        return base_weights(spec, self.base, RngStreams(self.seed).generator("weights"))

    def source_images(self, count: int) -> Tensor:
        """Training images of the source task in their stored order, normalised, not augmented: (count, C, H, W)."""
        if self.source is None:
            raise KeyError("there is no source data here")
        count = min(count, len(self.source.plain))
        images = [images.cpu() for images, _ in self.source.plain.eval_batches(min(count, 256), 0, count)]
        self.cost = self.cost + Cost(images=count)
        return torch.cat(images)

    def train(
        self,
        network: MaterialisedModel | CustomObjective,
        recipe: str,
        *,
        teacher: str | None = None,
    ) -> TrainResult:
        """Trains a network on the source task's training split; leaves it on the CPU, in evaluation mode.

        Call it once per recipe: the recipe's name also names the random streams and the checkpoint from which an
        interrupted run continues.

        Args:
            recipe: one of those that the method said it trains by.
            teacher: role of the ancestor to distil from; None for training on the labels alone.
        """
        if self.source is None or recipe not in self.recipes:
            raise KeyError(f"recipe {recipe!r}: this method did not say that it trains by it")
        if recipe in self.curves:
            raise KeyError(f"recipe {recipe!r}: a method trains by it once, and has done so")
        source = self.source
        network.to(self.device)
        distiller = self.ancestors[teacher].to(self.device).eval() if teacher else None
        phase = TrainingRun(
            name=recipe,
            streams=RngStreams(self.seed),
            compute=self.compute,
            classes=source.classes,
            evaluate=lambda trained: top1(trained, source.validation, self.compute),
            evaluate_every=5,
            checkpoint=self.checkpoints / f"{recipe}.pt" if self.checkpoints else None,
            teacher=distiller,
            teacher_flops=self.ancestor_flops[teacher] if teacher else 0.0,
            forward_flops=0.0 if isinstance(network, CustomObjective) else network.spec.forward_flops(),
            step_flops=0.0 if isinstance(network, CustomObjective) else network.step_flops(),
            progress=self.progress,
        )
        trained = train(network, source.train[recipe], self.recipes[recipe], phase)
        network.to("cpu").eval()
        self.cost = self.cost + trained.cost
        self.curves[recipe] = trained.curve
        return trained
