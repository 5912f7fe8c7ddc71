"""records.jsonl and plans.jsonl: the files of a leaderboard, a line for each stage and a line for each plan.

A leaderboard may also hold what was found of trained models after their records were written: evaluations.jsonl, a line
for each evaluation, and predictions/HASH.npz, the file of predictions that a record or an evaluation names by its hash.

Lines are sorted, so the same content gives the same bytes and a diff shows what changed. Paths of the machine that
computed a stage are left out, and so are tracebacks, which are made of paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError, model_validator

from learngene_bench.schema.base import Address, File, OtherVersion, parse, problem
from learngene_bench.schema.constants import FOLDER_DIGITS, STAGE_KINDS, StageKind
from learngene_bench.schema.evaluation import EvaluationRecord
from learngene_bench.schema.manifest import Manifest
from learngene_bench.schema.record import AncestorRecord, CellRecord, Failure, GeneRecord, Record
from learngene_bench.schema.stage import StageFile
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import read_bytes

RECORDS, PLANS, EVALUATIONS = "records.jsonl", "plans.jsonl", "evaluations.jsonl"
PREDICTIONS = "predictions"
"""Name of the folder of the files of predictions."""

_Line = TypeVar("_Line", bound=File)


class PublishedStage(File):
    """A line of records.jsonl: how a stage is computed, and what became of it.

    Attributes:
        kind: kind of the stage.
        address: address of the stage.
        config: all that is needed to compute it again; null if it failed before that was written.
        record: its record; null if it failed.
        failure: why it has no record; null if it has one.
    """

    kind: StageKind
    address: Address
    config: StageFile | None = None
    record: Annotated[AncestorRecord | GeneRecord | CellRecord, Field(discriminator="kind")] | None = None
    failure: Failure | None = None

    @property
    def label(self) -> str:
        """Name of the stage for people."""
        named = self.config or self.failure
        return named.label if named else self.address

    @property
    def inputs(self) -> Mapping[str, str]:
        """Addresses of the stages that this one needs, by role."""
        return self.config.inputs if self.config else {}

    @model_validator(mode="after")
    def _describes_one_stage(self) -> PublishedStage:
        if (self.record is None) == (self.failure is None):
            raise ValueError("a stage has either a record or a failure")
        if self.record and not self.config:
            raise ValueError("its configuration is missing, without which nobody can repeat the record")
        for part in (self.config, self.record, self.failure):
            if part and part.address != self.address:
                raise ValueError(f"'address' is {part.address}, not {self.address}")
        if self.config and self.config.kind != self.kind:
            raise ValueError(f"the configuration is that of a stage of kind {self.config.kind}, not {self.kind}")
        if self.record and self.config:
            _check_record(self.record, self.config)
        return self


def _check_record(record: Record, config: StageFile) -> None:
    """Raises `ValueError` if a record is not that of its configuration."""
    if record.kind != config.kind:
        raise ValueError(f"'record.kind' is {record.kind}, not {config.kind} as in the configuration")
    if record.protocol != config.config.protocol:
        raise ValueError("'record.protocol' is not that of the configuration")
    if record.inputs != config.inputs:
        raise ValueError("'record.inputs' are not those of the configuration")


class PublishedPlan(File):
    """A line of plans.jsonl.

    Attributes:
        name: name of the plan's file in the runs folder, a hash of what the plan intends.
        plan: the plan.
    """

    name: str
    plan: Manifest

    @model_validator(mode="after")
    def _has_its_name(self) -> PublishedPlan:
        if self.name != self.plan.file_name:
            raise ValueError(f"changed since it was written (it would be called {self.plan.file_name})")
        return self


def is_leaderboard(folder: Path) -> bool:
    """Returns True if a folder holds a leaderboard, not a runs folder."""
    return (folder / RECORDS).is_file() or (folder / PLANS).is_file()


def publish_plan(manifest: Manifest) -> PublishedPlan:
    """Returns a plan without the folder that its command was typed in."""
    return PublishedPlan(name=manifest.file_name, plan=manifest.model_copy(update={"folder": None}))


def publish_stage(
    kind: StageKind, address: str, config: StageFile | None, record: Record | None, failure: Failure | None
) -> PublishedStage:
    """Returns a stage without paths and traceback.

    Raises:
        ValueError: the parts do not belong together, or one is missing.
    """
    if failure:
        failure = failure.model_copy(update={"traceback": None})
    config = config and _without_paths(config)
    try:
        return PublishedStage(kind=kind, address=address, config=config, record=record, failure=failure)
    except ValidationError as error:
        raise ValueError(problem(error)) from None


def _without_paths(config: StageFile) -> StageFile:
    """Leaves out where data and files lie: an address holds their fingerprints and hashes."""
    execution, task = config.execution, getattr(config.config, "task", None)
    changes: dict[str, Any] = {"data": _decisive(execution.data, config.config.data), "files": {}}
    if execution.task_data is not None:
        changes["task_data"] = _decisive(execution.task_data, task.data if task else {})
    return config.model_copy(update={"execution": execution.model_copy(update=changes)})


def _decisive(settings: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a data set that decide results."""
    return {name: value for name, value in settings.items() if name in identity}


def stages_text(stages: Iterable[PublishedStage]) -> str:
    """Returns the text of records.jsonl: ancestors, genes, cells, each kind by label."""
    ordered = sorted(stages, key=lambda stage: (STAGE_KINDS.index(stage.kind), stage.label, stage.address))
    return lines_text(ordered)


def plans_text(plans: Iterable[PublishedPlan]) -> str:
    """Returns the text of plans.jsonl, the oldest plan first."""
    ordered = sorted(plans, key=lambda line: (line.plan.created, line.name))
    return lines_text(ordered)


def read_stages(folder: Path) -> dict[str, PublishedStage]:
    """Reads records.jsonl of a leaderboard, by address.

    Raises:
        DamagedFile: a line does not read as what it was written as, or two lines are of one stage.
        UserError: the file cannot be read, or is of another schema version.
    """
    found: dict[str, PublishedStage] = {}
    for number, stage in enumerate(read_lines(PublishedStage, folder / RECORDS), start=1):
        if found.setdefault(stage.address, stage) is not stage:
            raise DamagedFile(f"{folder / RECORDS}, line {number}: another line is of the same stage, {stage.label}")
    return found


def read_plans(folder: Path) -> dict[str, PublishedPlan]:
    """Reads plans.jsonl of a leaderboard, by name; errors are those of `read_stages`."""
    return {line.name: line for line in read_lines(PublishedPlan, folder / PLANS)}


def evaluations_text(evaluations: Iterable[EvaluationRecord]) -> str:
    """Returns the text of evaluations.jsonl: by cell; the images as they are come first, then shifts by name."""

    def order(line: EvaluationRecord) -> tuple[str, str, float, str]:
        name, level = (line.shift.name, line.shift.level) if line.shift else ("", 0.0)
        return line.cell, name, level, line.address

    ordered = sorted(evaluations, key=order)
    return lines_text(ordered)


def read_evaluations(folder: Path) -> dict[str, EvaluationRecord]:
    """Reads evaluations.jsonl of a leaderboard, by address; nothing if there is none.

    Raises:
        DamagedFile: a line does not read as what it was written as, or two lines are of one evaluation.
        UserError: the file cannot be read, or is of another schema version.
    """
    found: dict[str, EvaluationRecord] = {}
    for number, line in enumerate(read_lines(EvaluationRecord, folder / EVALUATIONS), start=1):
        if found.setdefault(line.address, line) is not line:
            raise DamagedFile(f"{folder / EVALUATIONS}, line {number}: another line is of the same evaluation")
    return found


def predictions_file(sha256: str) -> str:
    """Returns where a leaderboard holds the predictions with this hash, relative to its folder."""
    return f"{PREDICTIONS}/{sha256[:FOLDER_DIGITS]}.npz"


def lines_text(lines: Sequence[File]) -> str:
    """Returns documents as text, a line each."""
    return "".join(
        json.dumps(line.model_dump(mode="json"), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
        for line in lines
    )


def read_lines(kind: type[_Line], path: Path) -> list[_Line]:
    """Reads a file of documents of this type, a line each; none if there is no such file.

    Raises:
        DamagedFile: a line does not read as what it was written as.
        UserError: the file cannot be read, or is of another schema version.
    """
    try:
        lines = read_bytes(path).removesuffix(b"\n").split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines if lines != [b""] else [], start=1):
        try:
            found.append(parse(kind, line))
        except OtherVersion as error:
            raise UserError(f"{path}, line {number} {error}") from None
        except ValueError as error:
            raise DamagedFile(f"{path}, line {number} is damaged ({error})") from None
    return found
