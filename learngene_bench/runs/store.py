"""The runs folder: where stages keep their files, and how their state is read from them.

    runs/<kind>/<first 20 digits of the address>/
        config.json       what the stage is; written before it starts
        progress.json     how far it is
        checkpoints/      to continue from; removed at the end
        tensors.safetensors, model.safetensors   an ancestor or gene; a cell's model after fine-tuning
        decoder.safetensors    parameters that the cell's task kind added to the model, if it adds any
        predictions.npz   what a cell's model predicts for each image that it is measured on (`schema.predictions`)
        evaluations/      what its model was measured on later: NAME.json, and NAME.npz with predictions
        initial_weights.json   statistics of each tensor of a cell before fine-tuning; large, so no part of the record
        result.json       written last, atomically: the stage is done if and only if it exists
        failed.json       the error of the last attempt
        log.txt           what the worker printed

State is never asked of a scheduler. The process that computes a stage holds its lease (`lease.py`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from learngene_bench.planning.plan import Stage
from learngene_bench.runs.lease import Lease, acquire, current_lease
from learngene_bench.schema.base import read, read_if_there, write
from learngene_bench.schema.constants import FOLDER_DIGITS, StageKind
from learngene_bench.schema.evaluation import EVALUATIONS
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.predictions import PREDICTIONS
from learngene_bench.schema.progress import Progress
from learngene_bench.schema.record import RECORDS, AncestorRecord, CellRecord, Failure, GeneRecord, Record
from learngene_bench.schema.stage import Execution, StageFile
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import read_bytes, write_text

_Record = TypeVar("_Record", AncestorRecord, GeneRecord, CellRecord)


class State(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class StageFolder:
    """The files of one stage."""

    path: Path
    address: str

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def failed(self) -> Path:
        return self.path / "failed.json"

    @property
    def progress(self) -> Path:
        return self.path / "progress.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def tensors(self) -> Path:
        return self.path / "tensors.safetensors"

    @property
    def model(self) -> Path:
        """The file of a cell's weights after fine-tuning, by timm's names."""
        return self.path / "model.safetensors"

    @property
    def decoder(self) -> Path:
        """The file of what the task kind added to a cell's model, after fine-tuning; absent if it adds nothing."""
        return self.path / "decoder.safetensors"

    @property
    def predictions(self) -> Path:
        """The file of what a cell's model predicts for each image; absent for tasks in which an image has no class."""
        return self.path / PREDICTIONS

    @property
    def evaluations(self) -> Path:
        """The folder of what a cell's model was measured on after its record was written."""
        return self.path / EVALUATIONS

    @property
    def initial_weights(self) -> Path:
        return self.path / "initial_weights.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def state(self) -> State:
        try:
            names = os.listdir(self.path)
        except FileNotFoundError:
            return State.WAITING
        except NotADirectoryError as error:
            raise UserError(
                f"{self.path.parent.parent}: not a folder of runs, but a file (or a file is in it)"
            ) from error
        if self.result.name in names:
            return State.DONE
        if self.config.name not in names:
            return State.WAITING
        last = current_lease(self.path, names)
        if last and last.is_held():
            return State.RUNNING
        if self.failed.name in names:
            return State.FAILED
        begun = {self.checkpoints.name, self.progress.name} & set(names)
        return State.INTERRUPTED if begun else State.WAITING

    def acquire(self) -> AbstractContextManager[bool]:
        """Takes the stage for this process; yields False if another process holds it.

        Raises:
            UserError: the folder is a link, or cannot be written to.
        """
        self._check_own()
        return acquire(self.path)

    def _check_own(self) -> None:
        """Raises `UserError` if the folder is a link: what is written and deleted would be somewhere else."""
        if self.path.is_symlink():
            raise UserError(f"{self.path}: a symbolic link, which is not followed; put the folder itself there")

    def current_lease(self) -> Lease | None:
        """Returns the lease of the process that computes the stage, or computed it last."""
        return current_lease(self.path)

    def read_config(self) -> StageFile:
        """Raises `DamagedFile` if the configuration is not of the address that it names."""
        return read(StageFile, self.config)

    def read_record(self, kind: type[_Record]) -> _Record:
        """Reads the record of a finished stage, of this kind."""
        return read(kind, self.result)

    def read_any_record(self, kind: StageKind) -> Record:
        """Reads the record of a finished stage of this kind."""
        return read(RECORDS[kind], self.result)

    def read_failure(self) -> Failure:
        return read(Failure, self.failed)

    def read_failure_if_there(self) -> Failure | None:
        """Reads why the last attempt failed; None where another process has begun the next one meanwhile."""
        return read_if_there(Failure, self.failed)

    def read_progress(self) -> Progress | None:
        """Reads how far the stage is; None when it has not said so yet."""
        try:
            return Progress.model_validate_json(read_bytes(self.progress))
        except (OSError, ValueError):
            return None

    def fail(self, label: str, error: str, traceback: str, *, died: bool = False) -> None:
        """Records that the last attempt went wrong; `Failure` says what the arguments are."""
        write(self.failed, Failure(address=self.address, label=label, error=error, traceback=traceback, died=died))

    def clear_failure(self) -> None:
        """Clears the failure so that the stage can be computed again.

        Deletes the checkpoints as well (they may be the cause), unless the process died.
        """
        self._check_own()
        if (failure := self.read_failure_if_there()) and not failure.died:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.failed.unlink(missing_ok=True)

    def finish(self, record: Record) -> None:
        """Writes the record, which makes the stage done, and removes what only an unfinished stage needs."""
        write(self.result, record)
        self.failed.unlink(missing_ok=True)
        self.progress.unlink(missing_ok=True)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        for leftover in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
            leftover.unlink(missing_ok=True)


def stage_of(file: StageFile) -> Stage:
    """Returns the stage that a configuration describes, without an estimate of its operations."""
    return Stage(file.kind, file.label, file.config, file.inputs)


@dataclass(frozen=True)
class Runs:
    """A runs folder."""

    root: Path

    def folder(self, kind: str, address: str) -> StageFolder:
        return StageFolder(self.root / kind / address[:FOLDER_DIGITS], address)

    def stage_dir(self, stage: Stage) -> StageFolder:
        return self.folder(stage.kind, stage.address)

    def write_config(self, stage: Stage, execution: Execution) -> StageFolder:
        """Writes the stage's configuration, so that a worker can compute it from files alone."""
        folder = self.stage_dir(stage)
        document = StageFile(
            address=stage.address,
            label=stage.label,
            kind=stage.kind,
            config=stage.config,
            inputs=dict(stage.inputs),
            execution=execution,
        )
        write(folder.config, document)
        return folder

    def load_with_inputs(self, wanted: Iterable[tuple[str, str]]) -> dict[str, StageFile]:
        """Reads the configurations of these stages, by kind and address, and of all that they need; inputs first.

        Raises:
            DamagedFile: a configuration is missing or has been changed.
        """
        found: dict[str, StageFile] = {}

        def add(kind: str, address: str) -> None:
            if address in found:
                return
            folder = self.folder(kind, address)
            try:
                stage = folder.read_config()
            except FileNotFoundError:
                raise DamagedFile(f"{folder.config} is missing: it says how this {kind} is computed") from None
            for needed in stage.inputs.values():
                add(self.kind_of_input(needed), needed)
            found[address] = stage

        for kind, address in wanted:
            add(kind, address)
        return found

    def kind_of_input(self, address: str) -> StageKind:
        """Returns the kind of a stage that another one needs."""
        return "gene" if self.folder("gene", address).config.exists() else "ancestor"

    def manifests(self) -> list[Manifest]:
        """Reads all manifests, oldest first."""
        found = [read(Manifest, path) for path in sorted((self.root / "plans").glob("*.json"))]
        return sorted(found, key=lambda manifest: manifest.created)

    def check_writable(self) -> None:
        """Raises `UserError` if the folder cannot be made or written to."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.root}: no runs folder can be made here: {error.strerror}") from error
        probe = self.root / ".writable"
        write_text(probe, "")
        probe.unlink(missing_ok=True)
