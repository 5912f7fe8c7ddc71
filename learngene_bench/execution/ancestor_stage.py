"""Computes an ancestor: a network that is trained or loaded, and whose weights are the result."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import nn

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.execution.stage import Stage
from learngene_bench.execution.training_record import curve_points
from learngene_bench.runs.tensors import describe_file, load_tensors, save_tensors
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.cost import AncestorCost, Cost
from learngene_bench.schema.metric import TOP1, CurvePoint
from learngene_bench.schema.record import AncestorRecord, Evaluation
from learngene_bench.schema.stage import AncestorConfig, LoadedWeights, TeacherConfig
from learngene_bench.training.ancestors import build_teacher, forward_flops, load_checkpoint, load_from_timm
from learngene_bench.training.evaluation import top1
from learngene_bench.training.inputs import new_model, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.rng import RngStreams


class AncestorStage(Stage[AncestorRecord]):
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
        return None if teacher.pretrained or teacher.checkpoint is not None else teacher.recipe

    def compute(self) -> AncestorRecord | None:
        network, flops = self.build()
        cost, curve = Cost(), tuple[CurvePoint, ...]()
        if self.recipe is not None:
            cost, curve = self._train(network, self.recipe, flops)
        else:
            self._load_weights(network)
        validation = self.validation_images()
        measured = curve[-1].metrics if curve else None
        if measured is None:
            measured = {"top1": top1(network.to(self.device), validation, self.compute_settings)}
        if not self.processes.is_rank0:
            return None
        save_tensors(network.cpu().state_dict(), self.folder.tensors)
        return AncestorRecord(
            **self.record_head(),
            metrics=measured,
            metric_specs={"top1": TOP1},
            primary_metric="top1",
            evaluation=Evaluation(split="validation", images=len(validation)),
            curve=curve,
            cost=AncestorCost(train=cost),
            forward_flops=flops,
            tensors=describe_file(self.folder.tensors),
        )

    def build(self) -> tuple[nn.Module, float]:
        """Builds the network before it is trained or loaded; also returns the operations of its forward pass."""
        if isinstance(self.config, TeacherConfig):
            facts, _ = self.source
            network = build_teacher(self.config.teacher, facts)
            return network, forward_flops(network, facts)
        spec = spec_from_dict(self.config.spec)
        drop_path = self.recipe.drop_path if self.recipe else 0.0
        return new_model(spec, self.config.base, self.seed, drop_path), spec.forward_flops()

    def load_finished(self) -> tuple[nn.Module, AncestorRecord]:
        """Loads the network with the weights that this stage left, in evaluation mode, and its record."""
        record = self.folder.read_record(AncestorRecord)
        network, _ = self.build()
        network.load_state_dict(load_tensors(self.folder, record.tensors))
        return network.eval(), record

    def _train(self, network: nn.Module, recipe: Recipe, flops: float) -> tuple[Cost, tuple[CurvePoint, ...]]:
        facts, splits = self.source
        run = TrainingRun(
            name="pretraining",
            streams=RngStreams(self.seed),
            compute=self.compute_settings,
            classes=facts.classes,
            evaluate=lambda trained: top1(trained, self.validation_images(), self.compute_settings),
            evaluate_every=5,
            checkpoint=self.folder.checkpoints / "pretraining.pt",
            forward_flops=flops,
            progress=self.progress,
        )
        images = training_images(splits, recipe, self.device, self.num_workers)
        trained = train(network.to(self.device), images, recipe, run)
        return trained.cost, curve_points(trained.curve)

    def _load_weights(self, network: nn.Module) -> None:
        """Fills a network that is not trained, from a file or from timm; a teacher of timm's is filled already."""
        if isinstance(self.config, TeacherConfig):
            source = LoadedWeights(timm=None, checkpoint=_text(self.config.teacher.checkpoint))
        else:
            assert self.config.weights is not None
            source = self.config.weights
        if source.checkpoint is not None:
            load_checkpoint(network, self.find_weights_file(source.checkpoint))
        elif source.timm is not None:
            load_from_timm(network, source.timm)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
