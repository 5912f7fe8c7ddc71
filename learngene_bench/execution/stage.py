"""The common part of the three kinds of stages: configuration, data, device, and the context of a method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from learngene_bench import distributed
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.dataset import DatasetFacts, Splits
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.batch_augment import SplitImages
from learngene_bench.data.dataloader import loader_workers
from learngene_bench.execution.device import choose_device
from learngene_bench.execution.stage_data import planned_data
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.store import Runs
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.progress import Progress
from learngene_bench.schema.provenance import ComputedBy, Git, Provenance, TaskData
from learngene_bench.schema.record import Record
from learngene_bench.schema.stage import MethodIdentity
from learngene_bench.tracking.sender import StageTracking, tracking_of
from learngene_bench.training.context import MeteredContext
from learngene_bench.training.inputs import plain_images, source_data
from learngene_bench.util import provenance, source_code
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash, write_whole
from learngene_bench.util.rng import Role
from learngene_bench.version import PROTOCOL

RecordT = TypeVar("RecordT", bound=Record, covariant=True)


class StageComputation(ABC, Generic[RecordT]):
    """One stage: its configuration, made into objects. Data are loaded when they are first needed.

    Attributes:
        file: the stage's config.json.
        compute_settings: threads, precision and the like.
        writes: true if checkpoints and progress are written to the stage's folder.
    """

    kind: ClassVar[StageKind]

    def __init__(self, runs: Runs, address: str, registry: Registry, *, writes: bool = True) -> None:
        """Reads the configuration.

        Raises:
            DamagedFile: it has been changed.
            UserError: it asks for a GPU, and there is none.
        """
        self.started = provenance.now()
        self.runs, self.registry, self.writes = runs, registry, writes
        self.folder = runs.folder(self.kind, address)
        self.file = self.folder.read_config()
        self.compute_settings = self.file.compute
        self.num_workers = loader_workers(self.compute_settings)
        self.processes = distributed.world()
        self.device = choose_device(self.file.config.device)
        torch.set_num_threads(self.compute_settings.threads)
        torch.backends.cudnn.allow_tf32 = False  # torch's default for convolutions, which is no float32

    @abstractmethod
    def compute(self) -> RecordT | None:
        """Computes the stage and returns its record; None where another process leads, which writes it."""

    @property
    @abstractmethod
    def seed(self) -> int:
        """The seed of all that the stage draws."""

    @cached_property
    def source(self) -> tuple[DatasetFacts, Splits]:
        """The source task's data.

        Raises:
            UserError: they are not those that the plan found.
        """
        return planned_data(self.file.config.data, self.file.execution.data)

    @cached_property
    def track(self) -> StageTracking | None:
        """Tells the trackers that the configuration names what is measured, in the first process; None without any."""
        return tracking_of(self.file, self.runs.root) if self.writes and self.processes.is_rank0 else None

    @property
    def progress(self) -> Callable[[Progress], None] | None:
        """Writes how far the stage is.

        Not a method: through a bound one, what holds it (a method's context) could reach the test split.
        """
        return partial(_write_progress, self.folder.progress) if self.writes else None

    def record_head(self) -> dict[str, Any]:
        """Returns what every record begins with, and where it comes from."""
        return {
            "protocol": PROTOCOL,
            "address": self.file.address,
            "inputs": self.file.inputs,
            "provenance": Provenance(
                command=self.file.execution.command,
                versions=provenance.versions(),
                hardware=provenance.hardware(self.device.type, self.compute_settings.threads, self.processes.size),
                git=Git(**provenance.git()),
                code=ComputedBy(sha256=source_code.identity()["sha256"], submitted=self.file.execution.code),
                started=self.started,
                finished=provenance.now(),
                data=self.file.config.data,
                task=self.task,
            ),
        }

    @property
    def task(self) -> TaskData | None:
        """The downstream task that the stage is measured on; None for the source task."""
        return None

    def find_weights_file(self, sha256: str) -> Path:
        """Returns where a file of weights lies.

        Raises:
            UserError: it is not there any more, or has been changed.
        """
        path = Path(self.file.execution.files[sha256])
        try:
            found = file_hash(path)
        except OSError as error:
            raise UserError(f"file of weights {path}: {error.strerror}") from error
        if found != sha256:
            raise UserError(f"file of weights {path} changed since this was planned; run again")
        return path

    def create_method(self, identity: MethodIdentity, options: Mapping[str, Any]) -> Initializer:
        """Creates the method that the stage was planned with.

        Raises:
            UserError: the method has changed since.
        """
        registered = self.registry.get(identity.name)
        if (registered.kind.version, registered.source_hash) != (identity.version, identity.source_hash):
            raise UserError(f"method {identity.name!r} has changed since this run was planned; run again")
        return registered.create(dict(options))

    def make_context(
        self,
        role: Role,
        spec: ModelSpec,
        recipes: Mapping[str, Recipe],
        ancestors: Mapping[str, nn.Module] | None = None,
        flops: Mapping[str, float] | None = None,
        size_base: ModelSpec | None = None,
    ) -> MeteredContext:
        """Makes what a method may use.

        Args:
            role, spec: the target, or the model by which a gene is made.
            recipes: recipes that it said it trains by, by name.
            ancestors: trained models, by role.
            flops: floating-point operations of one image's forward pass, by the same roles.
            size_base: the base that a target belongs to.
        """
        facts, splits = self.source
        kind = task_kind(facts.kind)
        return MeteredContext(
            seed=self.seed,
            device=self.device,
            compute=self.compute_settings,
            base=self.file.config.base,
            spec=spec,
            role=role,
            recipes=recipes,
            ancestors=ancestors or {},
            ancestor_flops=flops or {},
            same_task=self.task is None,
            size_base=size_base,
            source=source_data(splits, kind.outputs(facts), recipes, self.device, self.num_workers, kind=kind),
            checkpoints=self.folder.checkpoints if self.writes else None,
            progress=self.progress,
            track=self.track,
        )

    def validation_images(self) -> SplitImages:
        """Returns the validation split of the source task, without augmentation."""
        _, splits = self.source
        return plain_images(splits.validation, splits, self.device, self.num_workers)


def _write_progress(path: Path, progress: Progress) -> None:
    # Twice a second: training does not wait for the disk.
    text = progress.model_dump_json()
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"), durable=False)
