"""Computes an ancestor: a network that is trained or loaded, and whose weights are the result."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

from torch import nn

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.dataset import DatasetFacts
from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.contracts.task import TaskKind, task_kind
from learngene_bench.execution.stage import StageComputation
from learngene_bench.runs.tensors import describe_file, load_tensors, save_tensors
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.cost import AncestorCost
from learngene_bench.schema.record import AncestorRecord, Evaluation
from learngene_bench.schema.stage import AncestorConfig, LoadedWeights, TeacherConfig
from learngene_bench.training.ancestors import build_teacher, forward_flops, load_checkpoint, load_from_timm
from learngene_bench.training.evaluation import evaluate
from learngene_bench.training.inputs import new_model, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import EVALUATE_EVERY, TrainingRun
from learngene_bench.util.rng import RngStreams

NEAR_CHANCE = 0.15
"""Part of the way from guessing to the best value below which a loaded network is doubted."""


class AncestorStage(StageComputation[AncestorRecord]):
    """A teacher of any architecture, or a model of the targets' family."""

    kind: ClassVar[StageKind] = "ancestor"

    @property
    def config(self) -> AncestorConfig | TeacherConfig:
        config = self.file.config
        assert isinstance(config, AncestorConfig | TeacherConfig)
        return config

    @property
    def seed(self) -> int:
        return self.config.teacher.seed if isinstance(self.config, TeacherConfig) else self.config.seed or 0

    @property
    def recipe(self) -> Recipe | None:
        """The recipe that the network is trained by; None where its weights are loaded."""
        if isinstance(self.config, AncestorConfig):
            return self.config.recipe
        teacher = self.config.teacher
        return None if teacher.is_loaded else teacher.recipe

    def compute(self) -> AncestorRecord | None:
        network, flops = self.build()
        if self.recipe is None:
            self._load_weights(network)
        facts, splits = self.source
        kind = task_kind(facts.kind)
        metrics, validation = kind.metrics(), self.validation_images()
        measure = partial(evaluate, data=validation, compute=self.compute_settings, metrics=metrics)
        adapted = network
        if isinstance(self.config, AncestorConfig):  # a teacher is built for its task
            streams = RngStreams(self.seed).drawn_for("ancestor", spec_from_dict(self.config.spec).identity())
            adapted = kind.adapt(network, facts, streams.generator("adapt"))
        adapted.to(self.device)
        trained = TrainResult()
        if self.recipe is not None:
            run = TrainingRun(
                name="pretraining" if isinstance(self.config, AncestorConfig) else "teacher",
                streams=RngStreams(self.seed),
                compute=self.compute_settings,
                classes=kind.outputs(facts),
                kind=kind,
                evaluate=measure,
                evaluate_every=EVALUATE_EVERY,
                checkpoint=self.folder.checkpoints / "pretraining.pt",
                forward_flops=flops,
                progress=self.progress,
                track=self.track,
            )
            images = training_images(splits, self.recipe, self.device, self.num_workers, kind)
            trained = train(adapted, images, self.recipe, run)
        measured = trained.curve[-1].metrics if trained.curve else measure(adapted).metrics
        if not self.processes.is_rank0:
            return None
        save_tensors(network.cpu().state_dict(), self.folder.tensors)
        return AncestorRecord(
            **self.record_head(),
            metrics=measured or {},
            metric_specs={name: metric.spec for name, metric in metrics.items()},
            primary_metric=kind.primary_metric,
            evaluation=Evaluation(split="validation", images=len(validation), how=kind.measured_how(facts)),
            curve=tuple(trained.curve),
            cost=AncestorCost(train=trained.cost),
            forward_flops=flops,
            tensors=describe_file(self.folder.tensors),
            warning=near_chance(kind, facts, measured or {}) if self.recipe is None else "",
        )

    def build(self) -> tuple[nn.Module, float]:
        """Builds the network before it is trained or loaded; also returns the operations of its forward pass."""
        if isinstance(self.config, TeacherConfig):
            facts, _ = self.source
            network = build_teacher(self.config.teacher, facts)
            return network, forward_flops(network, facts)
        spec = spec_from_dict(self.config.spec)
        drop_path = self.recipe.drop_path if self.recipe else 0.0
        return new_model(spec, self.config.base, self.seed, drop_path, role="ancestor"), spec.forward_flops()

    def load_finished(self) -> tuple[nn.Module, AncestorRecord]:
        """Loads the network with the weights that this stage left, in evaluation mode, and its record."""
        record = self.folder.read_record(AncestorRecord)
        network, _ = self.build()
        network.load_state_dict(load_tensors(self.folder, record.tensors))
        return network.eval(), record

    def _load_weights(self, network: nn.Module) -> None:
        """Fills a network that is not trained, from a file or from timm; a teacher of timm's is filled already."""
        source = self.config.teacher if isinstance(self.config, TeacherConfig) else self.config.weights
        assert source is not None
        if source.checkpoint is not None:
            owner = "teacher" if isinstance(self.config, TeacherConfig) else "ancestor"
            load_checkpoint(network, self.find_weights_file(str(source.checkpoint)), f"{owner}.checkpoint")
        elif isinstance(source, LoadedWeights) and source.timm is not None:
            load_from_timm(network, source.timm)


def near_chance(kind: TaskKind, facts: DatasetFacts, metrics: Mapping[str, float]) -> str:
    """Returns a warning if a loaded network does little better than guessing; empty if it does, or nobody knows.

    Little is less than `NEAR_CHANCE` of the way from guessing to the best value (Cohen's kappa, for classification).
    """
    spec = kind.metrics()[kind.primary_metric].spec
    chance, best, found = kind.chance(facts), spec.bounds[1 if spec.higher_is_better else 0], metrics[spec.name]
    if chance is None or best is None or (found - chance) / (best - chance) >= NEAR_CHANCE:
        return ""
    return (
        f"{spec.title} {found:.{spec.decimals}f} is near chance ({chance:.{spec.decimals}f}): the weights do not fit "
        "this task. Labels in another order (for class folders: data.label_order), a head of other classes, or another "
        "normalization (data.normalization) look like this"
    )
