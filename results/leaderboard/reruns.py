"""Re-runs in a leaderboard: the line that tells of one, and the rules that such a line must keep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from learngene_bench.results.leaderboard.content import Content
from learngene_bench.results.leaderboard.rules import VERSIONS
from learngene_bench.results.records.repetition import Repetition
from learngene_bench.schema.provenance import SourceCode
from learngene_bench.schema.record import CellRecord, Record
from learngene_bench.schema.rerun import Difference, Rerun
from learngene_bench.util import provenance, source_code
from learngene_bench.util.errors import UserError


def rerun_of(by: str, label: str, recorded: CellRecord, repeated: Sequence[Record], repetition: Repetition) -> Rerun:
    """Returns the line on a re-run that came to an end.

    Args:
        by: name of the person.
        label: name of the cell.
        recorded: record of the cell.
        repeated: the new records, the cell's last.
        repetition: comparison of the cell's two records.
    """
    *_, cell = repeated
    assert isinstance(cell, CellRecord)
    origin = cell.provenance
    assert origin.code
    return Rerun(
        address=recorded.address,
        label=label,
        seed=recorded.cell.seed,
        by=by,
        date=origin.finished,
        seconds=sum(map(_seconds, repeated)),
        recorded=recorded.model.sha256,
        repeated=cell.model.sha256,
        differences=tuple(
            Difference(name=value.name, recorded=value.recorded, repeated=value.repeated, remark=value.remark)
            for value in repetition.numbers
            if not value.same
        ),
        obstacles=repetition.obstacles,
        versions=origin.versions,
        hardware=origin.hardware,
        code=SourceCode(commit=origin.git.commit, dirty=origin.git.dirty, sha256=origin.code.sha256),
    )


def failed_rerun(by: str, label: str, recorded: CellRecord, failure: str) -> Rerun:
    """Returns the line on a re-run that failed on this machine.

    Args:
        failure: the stage that failed and its error.
    """
    return Rerun(
        address=recorded.address,
        label=label,
        seed=recorded.cell.seed,
        by=by,
        date=provenance.now(),
        seconds=None,
        recorded=recorded.model.sha256,
        repeated=None,
        differences=(),
        failure=failure,
        obstacles=(),
        versions=provenance.versions(),
        hardware=provenance.machine(),
        code=SourceCode(**source_code.identity()),
    )


def check_reruns(content: Content, path: Path) -> None:
    """Checks that every re-run is of a record that is there, and that none is told twice.

    Args:
        path: the file of the re-runs, for errors.

    Raises:
        UserError: a rule is broken.
    """
    told: set[tuple[object, ...]] = set()
    for line in content.reruns:
        problem = _problem(line, content)
        if problem is None and line.finding in told:
            problem = "another line tells of the same numbers under the same name"
        if problem:
            raise UserError(f"{path} ({line.label}, by {line.by}): {problem}")
        told.add(line.finding)


def _problem(line: Rerun, content: Content) -> str | None:
    """Returns what is wrong with a line; None if nothing is."""
    stage = content.stages.get(line.address)
    record = stage.record if stage else None
    if stage is None or not isinstance(record, CellRecord):
        return f"there is no record of a cell {line.address}, so take this line out as well"
    if (line.label, line.seed) != (stage.label, record.cell.seed):
        return f"'label' and 'seed' are not those of the record, which is of {stage.label}"
    if line.recorded != record.model.sha256:
        return "it was compared with another record than there is now ('recorded' is not the hash of its weights)"
    for name in VERSIONS:
        if name not in line.versions:
            return f"'versions' lacks {name!r}"
    if not isinstance(line.hardware.get("cpu"), str):
        return "'hardware' lacks 'cpu'"
    return None


def _seconds(record: Record) -> float:
    """Returns the time between begin and end of a stage; of one that was interrupted, since it was last continued."""
    started, finished = map(datetime.fromisoformat, (record.provenance.started, record.provenance.finished))
    return max(0.0, (finished - started).total_seconds())
