"""The context that methods are given: it trains for them, hands out source data, and meters both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.context import Context, TrainResult
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.task import TaskKind, task_kind
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.expansion.materialised import MaterialisedModel
from learngene_bench.models.weights import drawn_weights
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.progress import Progress
from learngene_bench.training.custom_objective import CustomObjective
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.loop import train
from learngene_bench.training.run import EVALUATE_EVERY, Track, TrainingRun
from learngene_bench.util.rng import RngStreams, Role, seed_globally


@dataclass
class SourceData:
    """The source task as a method may see it: its training split, and a validation split taken from training data.

    Attributes:
        train: the training split by recipe, as recipes differ in their augmentation.
        plain: the training split without augmentation.
        classes: outputs of a model's head.
    """

    train: Mapping[str, SplitImages]
    plain: SplitImages
    validation: SplitImages
    classes: int
    kind: TaskKind = field(default_factory=task_kind)


@dataclass
class MeteredContext(Context):
    """A `Context` that counts the work done through it.

    Attributes:
        spec: the model that is initialized, or by which a gene is made; with its role it names the random streams.
        checkpoints: folder that interrupted training continues from; None for no checkpoints.
        progress: receives how far training is.
        track: receives learning curves, for trackers.
        cost: the work so far.
        curves: learning curves by recipe.
    """

    seed: int
    device: torch.device
    compute: Compute
    base: BaseInitialization
    spec: ModelSpec
    role: Role = "target"
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    ancestors: Mapping[str, nn.Module] = field(default_factory=dict)
    ancestor_flops: Mapping[str, float] = field(default_factory=dict)
    same_task: bool = True
    size_base: ModelSpec | None = None
    source: SourceData | None = None
    checkpoints: Path | None = None
    progress: Callable[[Progress], None] | None = None
    track: Track | None = None
    cost: Cost = field(default_factory=Cost)
    curves: dict[str, list[CurvePoint]] = field(default_factory=dict)

    def generator(self, purpose: str) -> torch.Generator:
        return self._streams().generator("method", purpose)

    @contextmanager
    def seeded_globally(self) -> Iterator[None]:
        """Seeds torch's global generators, for a method that draws from them all the same; afterwards they go on."""
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            seed_globally(self._streams().seed_for("method", "global"), self.device)
            yield

    def _streams(self) -> RngStreams:
        return RngStreams(self.seed).drawn_for(self.role, self.spec.identity())

    def base_weights(self, spec: ModelSpec) -> dict[str, Tensor]:
        return drawn_weights(spec, self.base, self.seed, self.role)

    def source_images(self, count: int) -> Tensor:
        if self.source is None:
            raise KeyError("there is no source data here")
        count = min(count, len(self.source.plain))
        self.spend(Cost(images=count))
        return self.source.plain.inputs(count)

    def spend(self, cost: Cost) -> None:
        self.cost = self.cost + cost

    def train(self, network: nn.Module, recipe: str, *, teacher: str | None = None) -> TrainResult:
        if self.source is None or recipe not in self.recipes:
            raise KeyError(f"recipe {recipe!r}: this method did not say that it trains by it")
        if recipe in self.curves:
            raise KeyError(f"recipe {recipe!r}: a method trains by it once, and has done so")
        if not isinstance(network, MaterialisedModel | CustomObjective):
            raise TypeError(f"a MaterialisedModel or CustomObjective can be trained, not a {type(network).__name__}")
        source = self.source
        if isinstance(network, MaterialisedModel):
            network.set_drop_path(self.recipes[recipe].drop_path)
        network.to(self.device)
        distiller = self.ancestors[teacher].to(self.device).eval() if teacher else None
        phase = TrainingRun(
            name=recipe,
            streams=RngStreams(self.seed),
            compute=self.compute,
            classes=source.classes,
            kind=source.kind,
            evaluate=partial(evaluate, data=source.validation, compute=self.compute, metrics=source.kind.metrics()),
            evaluate_every=EVALUATE_EVERY,
            checkpoint=self.checkpoints / f"{recipe}.pt" if self.checkpoints else None,
            teacher=distiller,
            teacher_flops=self.ancestor_flops[teacher] if teacher else 0.0,
            forward_flops=0.0 if isinstance(network, CustomObjective) else network.spec.forward_flops(),
            step_flops=0.0 if isinstance(network, CustomObjective) else network.step_flops(),
            progress=self.progress,
            track=self.track,
        )
        trained = train(network, source.train[recipe], self.recipes[recipe], phase)
        network.to("cpu").eval()
        self.spend(trained.cost)
        self.curves[recipe] = trained.curve
        return trained
