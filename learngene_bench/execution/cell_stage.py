"""Computes a cell: initializes a target, fine-tunes it by the common recipe, and measures it on the held-out split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.dataset import DatasetFacts, Splits
from learngene_bench.contracts.family import ModelSpec, spec_from_dict
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.task import TaskKind, task_kind
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.data.subsets import with_part
from learngene_bench.execution.ancestor_stage import AncestorStage
from learngene_bench.execution.stage import StageComputation
from learngene_bench.execution.stage_data import check_labels, planned_data, task_data
from learngene_bench.runs.tensors import check_hash, describe, describe_file, save_tensors
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.cost import CellCost, Cost, GeneCost
from learngene_bench.schema.predictions import Predictions
from learngene_bench.schema.provenance import TaskData
from learngene_bench.schema.record import (
    CellRecord,
    Evaluation,
    FinetunedModel,
    GeneRecord,
    InitialWeights,
    SourceComparison,
    View,
)
from learngene_bench.schema.stage import CellConfig
from learngene_bench.training.evaluation import PredictionsWanted, evaluate
from learngene_bench.training.inputs import new_model, plain_images, training_images
from learngene_bench.training.loop import train
from learngene_bench.training.optimizer import grouped
from learngene_bench.training.run import TrainingRun
from learngene_bench.util.errors import MethodFailure
from learngene_bench.util.files import file_hash, write_bytes, write_json
from learngene_bench.util.rng import RngStreams


@dataclass(frozen=True)
class InitializedTarget:
    """A target as its method initialized it.

    Attributes:
        model: the target, on the CPU.
        gene_cost: what its gene cost.
        cost: what `initialize` cost.
        base_tensors: names of the tensors that the method left at their base initialization.
        gene_sha256: hash of the gene's file; None without a gene.
    """

    model: nn.Module
    gene_cost: GeneCost
    cost: Cost
    base_tensors: tuple[str, ...]
    gene_sha256: str | None


class CellStage(StageComputation[CellRecord]):
    """One measurement."""

    kind: ClassVar[StageKind] = "cell"

    @property
    def config(self) -> CellConfig:
        assert isinstance(self.file.config, CellConfig)
        return self.file.config

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def task(self) -> TaskData | None:
        return self.config.task

    @property
    def target(self) -> ModelSpec:
        return spec_from_dict(self.config.target)

    def compute(self) -> CellRecord | None:
        initialized = self.initialize()
        model = initialized.model
        initial = describe({name: parameter.detach() for name, parameter in model.named_parameters()})
        facts, splits = planned_data(*task_data(self.config, self.file.execution))
        if self.task and self.task.part:
            splits = with_part(splits, facts.classes, self.task.part)
        held_out = self._held_out(splits, facts)
        source_comparison = self._compare_with_source(model)
        kind = task_kind(facts.kind)
        metrics = kind.metrics()
        network = adapted(model, self.config, facts).to(self.device)
        # Where the gene is the finished model, it is measured as it is.
        recipe = self.config.finetuning or Recipe(iterations=0, batch_size=1, learning_rate=1.0)
        run = TrainingRun(
            name="finetuning",
            streams=RngStreams(self.seed),
            compute=self.compute_settings,
            classes=kind.outputs(facts),
            kind=kind,
            evaluate=partial(evaluate, data=held_out, compute=self.compute_settings, metrics=metrics),
            evaluate_every=recipe.evaluate_every,
            measure_start=True,
            checkpoint=self.folder.checkpoints / "finetuning.pt",
            forward_flops=self.target.forward_flops(),
            parameter_groups=grouped(model, self.config.parameter_groups),
            progress=self.progress,
            track=self.track,
        )
        images = training_images(splits, recipe, self.device, self.num_workers, kind)
        trained = train(network, images, recipe, run)
        predictions = self._predictions(network, held_out, kind, facts)
        if not self.processes.is_rank0:
            return None
        save_tensors(model.cpu().state_dict(), self.folder.model)
        added = {name: tensor.cpu() for name, tensor in added_tensors(network, model).items()}
        if added:
            save_tensors(added, self.folder.decoder)
        if predictions:
            write_bytes(self.folder.predictions, predictions.content())
        write_json(self.folder.initial_weights, initial["tensors"])
        description = self.file.execution.description
        assert description is not None, "a cell's configuration describes it"
        return CellRecord(
            **self.record_head(),
            **{name: getattr(description, name) for name in type(description).model_fields},
            metrics=trained.curve[-1].metrics or {},
            initial_metrics=trained.curve[0].metrics or {},
            metric_specs={name: metric.spec for name, metric in metrics.items()},
            primary_metric=kind.primary_metric,
            evaluation=Evaluation(
                split=self.config.evaluation_split,
                images=len(held_out),
                how=kind.measured_how(facts),
                views=facts.views,
            ),
            curve=tuple(trained.curve),
            cost=CellCost(
                ancestors=initialized.gene_cost.ancestors,
                prepare=initialized.gene_cost.prepare,
                initialize=initialized.cost,
                finetune=trained.cost,
            ),
            initial_weights=InitialWeights(sha256=initial["sha256"]),
            source_comparison=source_comparison,
            base_tensors=initialized.base_tensors,
            gene_sha256=initialized.gene_sha256,
            class_metrics=by_name(trained.class_metrics, facts.class_names) or None,
            model=FinetunedModel(
                sha256=file_hash(self.folder.model),
                mean=tuple(splits.mean),
                std=tuple(splits.std),
                decoder=file_hash(self.folder.decoder) if added else None,
                class_names=facts.class_names,
                view=view_of(facts),
            ),
            predictions=describe_file(self.folder.predictions) if predictions else None,
        )

    def initialize(self) -> InitializedTarget:
        """Initializes the target as its method does.

        Raises:
            MethodFailure: it has weights that are not finite.
        """
        method = self.create_method(self.config.method, self.config.options)
        gene, gene_cost, sha256 = None, GeneCost(), None
        if "gene" in self.file.inputs:
            gene, record = self._load_gene(self.file.inputs["gene"])
            gene_cost, sha256 = record.cost, record.tensors.sha256
        drop_path = self.config.finetuning.drop_path if self.config.finetuning else 0.0
        model = new_model(self.target, self.config.base, self.seed, drop_path)
        base = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        context = self.make_context(
            "target", self.target, self.config.recipes, size_base=spec_from_dict(self.config.size_base)
        )
        with context.seeded_globally():
            method.initialize(model, self.target, gene, context)
        for name, parameter in model.named_parameters():
            if not parameter.isfinite().all():
                raise MethodFailure(f"initialize() left numbers in {name} that are not finite")
        left = tuple(name for name, parameter in model.named_parameters() if torch.equal(parameter, base[name]))
        return InitializedTarget(model, gene_cost, context.cost, left, sha256)

    def _compare_with_source(self, model: nn.Module) -> SourceComparison | None:
        """Compares the target as initialized with the trained model that it comes from, where the grid names one."""
        if "source" not in self.file.inputs:
            return None
        source, _ = AncestorStage(self.runs, self.file.inputs["source"], self.registry).load_finished()
        return compared_outputs(model.to(self.device), source.to(self.device), self.validation_images())

    def _load_gene(self, address: str) -> tuple[Gene, GeneRecord]:
        folder = self.runs.folder("gene", address)
        record = folder.read_record(GeneRecord)
        check_hash(folder, record.tensors)
        return Gene.load(folder.tensors), record

    def _held_out(self, splits: Splits, facts: DatasetFacts) -> SplitImages:
        """The split that numbers are reported on; only `compute` calls this, after the method is through."""
        split = splits.test if self.config.evaluation_split == "test" else splits.validation
        check_labels(split, facts)
        return plain_images(split, splits, self.device, self.num_workers)

    def _predictions(
        self, network: nn.Module, held_out: SplitImages, kind: TaskKind, facts: DatasetFacts
    ) -> Predictions | None:
        """Predicts the class of each image by the trained network; None for a task in which an image has no class."""
        if not kind.classifies:
            return None
        wanted = PredictionsWanted(kind, kind.outputs(facts), self.compute_settings.keep_probabilities)
        return evaluate(network, held_out, self.compute_settings, {}, predictions=wanted).predictions


@torch.no_grad()
def compared_outputs(model: nn.Module, source: nn.Module, images: SplitImages) -> SourceComparison:
    """Compares what two models compute of the same images, in full precision."""
    training = model.training
    model.eval()
    difference, magnitude = 0.0, 0.0
    for batch, _ in images.eval_batches():
        expected = source(batch)
        difference = max(difference, (model(batch) - expected).abs().max().item())
        magnitude = max(magnitude, expected.abs().max().item())
    model.train(training)
    return SourceComparison(images=len(images), difference=difference, magnitude=magnitude)


def view_of(facts: DatasetFacts) -> View | None:
    """Returns the part of an image that a model of these data is measured on."""
    centre = facts.centre
    return View(shorter_side=centre.shorter_side, side=facts.image_size, crop=centre.crop) if centre else None


def adapted(model: nn.Module, config: CellConfig, facts: DatasetFacts) -> nn.Module:
    """Returns the network of a cell's task: its model, and what the task kind adds to it, drawn from the seed."""
    streams = RngStreams(config.seed).drawn_for("target", spec_from_dict(config.target).identity())
    return task_kind(facts.kind).adapt(model, facts, streams.generator("adapt"))


def added_tensors(network: nn.Module, model: nn.Module) -> dict[str, torch.Tensor]:
    """Returns the parameters and buffers of a network that are not those of the model in it."""
    model_tensors = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    return {
        name: tensor.detach()
        for name, tensor in network.state_dict(keep_vars=True).items()
        if id(tensor) not in model_tensors
    }


def by_name(
    class_metrics: Mapping[str, Sequence[float | None]], names: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Names the classes that values stand for; their numbers are the names of those that have none."""
    return {
        metric: {names[label] if names else str(label): value for label, value in enumerate(values)}
        for metric, values in class_metrics.items()
    }
