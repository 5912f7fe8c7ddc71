"""config.json: how a stage is computed, and its address.

The address of a stage is the SHA-256 of the canonical dump of its kind, its configuration and its inputs' addresses.
Everything that decides a result is a field of its configuration; what does not is in its `Execution`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from learngene_bench.config.preset import BaseInitialization, Compute, Precision, Split, Teacher
from learngene_bench.config.recipe import Recipe
from learngene_bench.config.section import later
from learngene_bench.schema.base import (
    Address,
    DataIdentity,
    Document,
    File,
    ModelDescription,
    Sha256,
    Text,
)
from learngene_bench.schema.constants import DeviceKind, StageKind
from learngene_bench.schema.parameter_group import ParameterGroup
from learngene_bench.schema.provenance import SourceCode, TaskData
from learngene_bench.schema.subject import CellDescription
from learngene_bench.util.files import address_of


class StageConfig(Document):
    """Common part of the configurations of all stages: everything here decides the result.

    Attributes:
        protocol: version of the suite's protocol.
        data: data set of the source task.
        device: kind of device that computes: GPUs do not add in the order of CPUs.
        processes: processes that train one model together.
        threads: CPU threads of one process; the order of sums depends on it.
        precision: precision of matrix products.
        compile: true if models are compiled.
        base: base initialization.
    """

    protocol: int
    data: DataIdentity
    device: DeviceKind
    processes: int = 1
    threads: int
    precision: Precision
    compile: bool
    base: BaseInitialization


class TeacherConfig(StageConfig):
    """Configuration of the teacher that condensation distils from, an ancestor of any architecture.

    Attributes:
        teacher: how it is trained or loaded; `checkpoint` is the SHA-256 of the file.
    """

    teacher: Teacher


class LoadedWeights(Document):
    """Source of the weights of an ancestor that is not trained; one of the two is given.

    Attributes:
        timm: name of a timm model.
        checkpoint: SHA-256 of a file of weights.
    """

    timm: Text | None
    checkpoint: Sha256 | None


class AncestorConfig(StageConfig):
    """Configuration of an ancestor of the targets' own family: trained by a recipe, or loaded.

    Attributes:
        spec: the model.
        recipe: how it is trained; null where it is loaded.
        weights: where it is loaded from; null where it is trained.
        seed: seed of its training; null where it is loaded.
    """

    spec: ModelDescription
    recipe: Recipe | None = None
    weights: LoadedWeights | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _trained_or_loaded(self) -> AncestorConfig:
        if (self.recipe is None) == (self.weights is None):
            raise ValueError("an ancestor has either a recipe or weights")
        return self


class MethodIdentity(Document):
    """Identity of a method, as far as it decides numbers.

    Attributes:
        name: name of the method.
        version: its version.
        source_hash: hash of a plugin file and of the modules that it imports; the file's SHA-256 where it imports only
            what the suite has; null for a method of the suite or of an installed package.
    """

    name: Text
    version: int
    source_hash: Sha256 | None


class GeneConfig(StageConfig):
    """Configuration of a gene: what a method's `prepare` is given.

    Attributes:
        method: the method.
        spec: the model that is trained, or read, to make the gene.
        settings: whatever else shapes the gene.
        recipes: recipes that `prepare` trains by, by name.
        files: SHA-256 of each file that `prepare` reads, by role.
        seed: seed of the gene; null where the gene is a file, which is the same for all seeds.
    """

    method: MethodIdentity
    spec: ModelDescription
    settings: dict[str, Any]
    recipes: dict[str, Recipe]
    files: dict[str, Sha256] = Field(default_factory=dict)
    seed: int | None = None


class CellConfig(StageConfig):
    """Configuration of a cell: a target that a method initializes, and how it is fine-tuned and measured.

    Attributes:
        method: the method.
        options: its options; a file stands there by its SHA-256.
        target: the model that is initialized.
        size_base: the model of full depth of the target's size, on the source task; or the grid's source model, for a
            method that takes its weights from its base.
        recipes: recipes that `initialize` trains by, by name.
        finetuning: how the initialized target is trained; null where the gene is the finished model.
        parameter_groups: parameters that it is trained at other rates, as the method says; absent for none.
        evaluation_split: images that metrics are measured on.
        task: downstream task that the target is fine-tuned and measured on; null for the source task.
        seed: seed of what is drawn for the target and its fine-tuning; also of the gene, unless `gene_seed` is there.
        gene_seed: seed of the gene and of its ancestors, where that is another one.
    """

    method: MethodIdentity
    options: dict[str, Any]
    target: ModelDescription
    size_base: ModelDescription
    recipes: dict[str, Recipe]
    finetuning: Recipe | None
    parameter_groups: tuple[ParameterGroup, ...] = later((), protocol=3)
    evaluation_split: Split
    task: TaskData | None = None
    seed: int
    gene_seed: int | None = Field(None, exclude_if=lambda seed: seed is None)


Config: TypeAlias = TeacherConfig | AncestorConfig | GeneConfig | CellConfig
"""The configuration of a stage of any kind."""


def _kind_of_config(config: Any) -> str:
    """Tells configurations apart by a field that only one kind has, so that an error is that of the right kind."""
    fields = config if isinstance(config, Mapping) else getattr(config, "__dict__", {})
    kinds = {"teacher": "teacher", "target": "cell", "method": "gene"}
    return next((kind for field, kind in kinds.items() if field in fields), "ancestor")


def stage_address(kind: StageKind, config: StageConfig, inputs: Mapping[str, str]) -> str:
    """Returns the address of a stage: the SHA-256 of the canonical dump of everything that decides its result."""
    return address_of({"kind": kind, "config": config.model_dump(mode="json"), "inputs": dict(inputs)})


class Execution(Document):
    """Information that a worker needs and that results do not depend on.

    Attributes:
        command: the command that asked for the stage, word by word.
        code: code of the suite that asked for it; null where it is not known.
        executor: name of the executor that was asked to compute it.
        executor_options: options of the executor, except defaults.
        plugins: files with initializers that were given as `--plugin`.
        checkpoint_seconds: seconds between two checkpoints.
        num_workers: processes that load images, beside each that trains; null for its cores.
        keep_probabilities: true if the probability of every class is kept with the predictions; absent if not.
        data: settings of the source task's data set, with where it lies.
        task_data: likewise of the downstream task; null for the source task.
        files: path of each file of weights, by its SHA-256.
        description: what a cell's record says of it beside its numbers; null for other stages.
        track: trackers that are told its learning curves; absent for none.
    """

    command: tuple[Text, ...]
    code: SourceCode | None = None
    executor: Text = "local"
    executor_options: dict[str, Any] = Field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    checkpoint_seconds: float
    num_workers: int | None = None
    keep_probabilities: bool = Field(False, exclude_if=lambda kept: not kept)
    data: dict[str, Any]
    task_data: dict[str, Any] | None = None
    files: dict[Sha256, str] = Field(default_factory=dict)
    description: CellDescription | None = None
    track: tuple[Text, ...] = Field((), exclude_if=lambda names: not names)


class StageFile(File):
    """config.json: all that a worker needs to compute a stage.

    Attributes:
        address: address of the stage, which is that of `kind`, `config` and `inputs`.
        label: what a person calls the stage.
        kind: kind of the stage.
        config: everything that decides the result, except the inputs.
        inputs: addresses of the stages that it needs, by role.
        execution: what the result does not depend on.
    """

    address: Address
    label: Text
    kind: StageKind
    config: Annotated[
        Annotated[TeacherConfig, Tag("teacher")]
        | Annotated[AncestorConfig, Tag("ancestor")]
        | Annotated[GeneConfig, Tag("gene")]
        | Annotated[CellConfig, Tag("cell")],
        Discriminator(_kind_of_config),
    ]
    inputs: dict[str, Address]
    execution: Execution

    @model_validator(mode="after")
    def _of_its_address(self) -> StageFile:
        kind = "ancestor" if isinstance(self.config, TeacherConfig) else _kind_of_config(self.config)
        if kind != self.kind:
            raise ValueError(f"the configuration of a stage of kind {kind}, not {self.kind}")
        if stage_address(self.kind, self.config, self.inputs) != self.address:
            raise ValueError("changed since it was written")
        return self

    @property
    def compute(self) -> Compute:
        """The settings of a preset's section `compute` that this stage is computed with."""
        return Compute(
            device=self.config.device,
            threads=self.config.threads,
            precision=self.config.precision,
            compile=self.config.compile,
            checkpoint_seconds=self.execution.checkpoint_seconds,
            num_workers=self.execution.num_workers,
            keep_probabilities=self.execution.keep_probabilities,
        )
