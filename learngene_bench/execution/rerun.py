"""Computes the stages of a record once more, in a folder of their own, from the record's files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from learngene_bench.config.loader import parse_override
from learngene_bench.planning.plan import Stage
from learngene_bench.plugins.registry import Registry, dataset, settings_anywhere
from learngene_bench.runs.store import Runs, State, stage_of
from learngene_bench.schema.base import write
from learngene_bench.schema.provenance import SourceCode
from learngene_bench.schema.record import CellRecord
from learngene_bench.schema.stage import (
    AncestorConfig,
    CellConfig,
    GeneConfig,
    MethodIdentity,
    StageFile,
    TeacherConfig,
)
from learngene_bench.util import source_code
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import file_hash
from learngene_bench.version import PROTOCOL


@dataclass(frozen=True)
class LocalPaths:
    """Places of data and files on this machine, which a record does not know or knows for another machine.

    Attributes:
        data: options of the source task's data set that say where it lies.
        task_data: the same for the downstream task that the target is fine-tuned on.
        files: files of weights, by their SHA-256.
    """

    data: Mapping[str, Any]
    task_data: Mapping[str, Any]
    files: Mapping[str, str]


def parse_local_paths(settings: Sequence[str], checkpoints: Sequence[Path]) -> LocalPaths:
    """Reads what a person gives on the command line.

    Args:
        settings: `data.KEY=VALUE`, and `task.data.KEY=VALUE` for the data of a downstream task.

    Raises:
        UserError: another setting than one of the data, which would be another record; a file that is not there.
    """
    located: dict[str, dict[str, Any]] = {"data": {}, "task.data": {}}
    for text in settings:
        key, value = parse_override(text)
        section, _, option = key.rpartition(".")
        if section not in located:
            raise UserError(
                f"--set {text!r}: only data.KEY=VALUE or task.data.KEY=VALUE, to say where they lie; "
                f"all else is the record's"
            )
        located[section][option] = value
    files = {}
    for path in checkpoints:
        try:
            files[file_hash(path)] = str(path.resolve())
        except OSError as error:
            raise UserError(f"--checkpoint {path}: {error.strerror}") from error
    return LocalPaths(located["data"], located["task.data"], files)


@dataclass(frozen=True)
class _StageData:
    """A data set that a stage reads.

    Attributes:
        section: what `--set` calls it.
        identity: what the record says of it.
        settings: the recorded settings, with where it lay.
        local: where it lies here.
    """

    section: str
    identity: Mapping[str, Any]
    settings: Mapping[str, Any]
    local: Mapping[str, Any]

    @property
    def local_settings(self) -> dict[str, Any]:
        """The settings that read it here: options are the record's, its place is this machine's."""
        options = {name: value for name, value in self.identity.items() if name != "fingerprint"}
        return settings_anywhere({**self.settings, **self.local, **options})


class RerunPlan:
    """A cell to be computed once more.

    Attributes:
        stages: the configurations of the cell and of all that it needs, inputs first.
        kept: addresses of the stages that are taken as they are.
    """

    def __init__(
        self, source: Runs, address: str, paths: LocalPaths, command: Sequence[str], *, keep_inputs: bool
    ) -> None:
        """Reads the files.

        Args:
            source: a runs folder, or a leaderboard, which has no tensors.
            command: the command that the new records name.
            keep_inputs: whether the cell's gene is taken as it is.

        Raises:
            UserError: a file is missing or damaged.
        """
        self.source, self.paths, self.command = source, paths, tuple(command)
        self.stages = source.load_with_inputs([("cell", address)])
        self.cell = self.stages[address]
        self.kept = list(self.cell.inputs.values()) if keep_inputs else []
        if keep_inputs:
            self.stages = {name: self.stages[name] for name in (*self.kept, address)}

    def to_compute(self) -> dict[str, Stage]:
        """Returns the stages as an executor takes them, inputs first."""
        return {address: stage_of(file) for address, file in self.stages.items()}

    def check(self, registry: Registry) -> None:
        """Looks for what would keep this software, or this machine, from computing what was computed.

        Raises:
            UserError: another protocol or method, no or other data, a missing file of weights.
        """
        for address, stage in self.stages.items():
            if address not in self.kept:
                self._check_code(stage, registry)
                self._check_data(stage)
                self._check_weights(stage)

    def _check_code(self, stage: StageFile, registry: Registry) -> None:
        protocol = stage.config.protocol
        if protocol != PROTOCOL:
            raise UserError(
                f"{stage.label}: recorded under protocol {protocol}, this is {PROTOCOL}: {self._recorded_commit}"
            )
        if not isinstance(stage.config, GeneConfig | CellConfig):
            return
        method = stage.config.method
        if method.name not in registry.names() and method.source_hash:
            raise UserError(f"{stage.label}: {method.name} is defined in a file of its own, {_plugin(method)}")
        found = registry.get(method.name)
        if found.source_hash != method.source_hash:
            recorded = _plugin(method) if method.source_hash else "not by a plugin file"
            raise UserError(f"{stage.label}: recorded with another {method.name} than this, {recorded}")
        if found.kind.version != method.version:
            versions = f"version {method.version} of {method.name}, this is {found.kind.version}"
            raise UserError(f"{stage.label}: recorded with {versions}: {self._recorded_commit}")

    @cached_property
    def _recorded_commit(self) -> str:
        """The code that computes this record, in words."""
        record = self.source.folder("cell", self.cell.address).read_record(CellRecord)
        return f"the code that computed it is commit {record.provenance.git.commit or 'unknown'}"

    def _check_data(self, stage: StageFile) -> None:
        for data in self._data_of(stage):
            if fixed := sorted(data.local.keys() & data.identity.keys()):
                raise UserError(
                    f"--set {data.section}.{fixed[0]}: part of the record; only where the data lie may be another here"
                )
            try:
                fingerprint = dataset(data.local_settings).fingerprint()
            except UserError as error:
                raise UserError(
                    f"{error} (--set {data.section}.KEY=VALUE says where data of the record lie here)"
                ) from error
            recorded = data.identity["fingerprint"]
            if fingerprint != recorded:
                raise UserError(f"{stage.label}: recorded on other data ({recorded}) than these ({fingerprint})")

    def _check_weights(self, stage: StageFile) -> None:
        for needed in _weights_of(stage):
            if not Path(self._files(stage).get(needed, "")).is_file():
                raise UserError(
                    f"{stage.label}: begins with weights that are not here (--checkpoint FILE with SHA-256 {needed})"
                )

    def write_config(self, stage: StageFile, fresh: Runs) -> None:
        """Writes the stage's configuration, with what this machine has."""
        settings = {data.section: data.local_settings for data in self._data_of(stage)}
        execution = stage.execution.model_copy(
            update={
                "command": self.command,
                "code": SourceCode(**source_code.identity()),
                "executor": "local",
                "executor_options": {},
                "plugins": (),
                "track": (),
                "data": settings["data"],
                "task_data": settings.get("task.data"),
                "files": self._files(stage),
            }
        )
        folder = fresh.folder(stage.kind, stage.address)
        write(folder.config, stage.model_copy(update={"execution": execution}))

    def copy_kept(self, fresh: Runs) -> None:
        """Copies the stages that are taken as they are.

        Raises:
            UserError: one of them is not there.
        """
        for address in self.kept:
            kind = self.stages[address].kind
            before, after = self.source.folder(kind, address), fresh.folder(kind, address)
            if before.state() is not State.DONE or not before.tensors.exists():
                raise UserError(f"--keep-inputs: {before.tensors} is not there; without it they are computed again")
            after.path.mkdir(parents=True, exist_ok=True)
            for path in (before.config, before.tensors, before.result):
                shutil.copy2(path, after.path / path.name)

    def _data_of(self, stage: StageFile) -> Iterator[_StageData]:
        yield _StageData("data", stage.config.data, stage.execution.data, self.paths.data)
        if isinstance(stage.config, CellConfig) and stage.config.task:
            settings = stage.execution.task_data or {}
            yield _StageData("task.data", stage.config.task.data, settings, self.paths.task_data)

    def _files(self, stage: StageFile) -> dict[str, str]:
        return {**stage.execution.files, **self.paths.files}


def _plugin(method: MethodIdentity) -> str:
    return f"--plugin FILE with SHA-256 {method.source_hash} (of it and of what it imports, if it imports own modules)"


def _weights_of(stage: StageFile) -> list[str]:
    """The files, by SHA-256, that an ancestor is loaded from or a gene made of."""
    config = stage.config
    if isinstance(config, GeneConfig):
        return list(config.files.values())
    checkpoint: Path | str | None = None
    if isinstance(config, TeacherConfig):
        checkpoint = config.teacher.checkpoint
    elif isinstance(config, AncestorConfig) and config.weights:
        checkpoint = config.weights.checkpoint
    return [] if checkpoint is None else [str(checkpoint)]
