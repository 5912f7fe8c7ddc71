"""Reads the evaluations that were made of a cell's trained model after its record was written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from learngene_bench.results.records.types import Record
from learngene_bench.schema.base import read_if_there
from learngene_bench.schema.evaluation import EVALUATIONS, EvaluationRecord, evaluation_name
from learngene_bench.schema.leaderboard import EVALUATIONS as PUBLISHED
from learngene_bench.schema.leaderboard import RECORDS, read_evaluations
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import readable

_CELLS_IN_MEMORY, _LEADERBOARDS_IN_MEMORY = 4096, 16

Key = tuple[str, float]
"""Name and level of a shift."""


@dataclass(frozen=True)
class Evaluations:
    """The evaluations of one cell.

    Attributes:
        folder: where the files of predictions lie.
        plain: of the images as they are; None if there is none.
        shifted: of shifted copies, by name and level of the shift.
        problems: what is wrong with files, in lines; these are left out.
    """

    folder: Path
    plain: EvaluationRecord | None
    shifted: Mapping[Key, EvaluationRecord]
    problems: tuple[str, ...]


def evaluations_of(record: Record) -> Evaluations:
    """Returns the evaluations of a cell; none if only its record is here.

    Raises:
        UserError: the evaluations of the leaderboard that the record is from cannot be read.
    """
    if record.path.name == RECORDS:
        found = _published(record.path.parent).get(record.address, [])
        return _sorted(record.path.parent, found, ())
    folder = record.path.parent / EVALUATIONS
    try:
        changed = folder.stat().st_mtime_ns
    except OSError:
        return Evaluations(folder, None, {}, ())
    return _evaluations(folder, changed, record.address, record.result.model.sha256)


@lru_cache(_CELLS_IN_MEMORY)
def _evaluations(folder: Path, changed: int, cell: str, model: str) -> Evaluations:
    """Reads a folder, again after it has changed."""
    records, problems = [], []
    with readable(folder):
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith("."))
    for name in names:
        try:
            found = read_if_there(EvaluationRecord, folder / name)
        except UserError as error:
            problems.append(str(error))
            continue
        if found is None:
            continue
        if (found.cell, found.model, f"{evaluation_name(found.address)}.json") != (cell, model, name):
            problems.append(f"{folder / name}: of another cell or of other weights than the record beside it")
        else:
            records.append(found)
    return _sorted(folder, records, tuple(problems))


def _published(folder: Path) -> Mapping[str, list[EvaluationRecord]]:
    """Reads the evaluations of a leaderboard, by cell."""
    try:
        changed = (folder / PUBLISHED).stat().st_mtime_ns
    except OSError:
        return {}
    return _by_cell(folder, changed)


@lru_cache(_LEADERBOARDS_IN_MEMORY)
def _by_cell(folder: Path, changed: int) -> Mapping[str, list[EvaluationRecord]]:
    """Reads evaluations.jsonl, again after it has changed."""
    found: dict[str, list[EvaluationRecord]] = {}
    for record in read_evaluations(folder).values():
        found.setdefault(record.cell, []).append(record)
    return found


def _sorted(folder: Path, records: Iterable[EvaluationRecord], problems: tuple[str, ...]) -> Evaluations:
    """Tells the evaluation of the images as they are from those of shifted copies."""
    plain, shifted = None, {}
    for record in records:
        if record.shift is None:
            plain = record
        else:
            shifted[record.shift.name, record.shift.level] = record
    return Evaluations(folder, plain, shifted, problems)
