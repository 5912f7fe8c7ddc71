"""Evaluations and predictions of trained models: the optional part of a leaderboard, beside the records.

Both are optional: a record is complete without them. Tables of predictions, calibration and shifts are made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from learngene_bench.schema.base import read
from learngene_bench.schema.constants import FOLDER_DIGITS
from learngene_bench.schema.evaluation import EVALUATIONS as RUN_EVALUATIONS
from learngene_bench.schema.evaluation import EvaluationRecord, evaluation_name
from learngene_bench.schema.leaderboard import (
    EVALUATIONS,
    PREDICTIONS,
    evaluations_text,
    predictions_file,
    read_evaluations,
)
from learngene_bench.schema.predictions import PREDICTIONS as RUN_PREDICTIONS
from learngene_bench.schema.record import CellRecord, Tensors
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.util.files import read_bytes


@dataclass(frozen=True)
class Evaluated:
    """Evaluations and predictions of cells.

    Attributes:
        evaluations: by address.
        predictions: content of files of predictions, by the path in the leaderboard.
    """

    evaluations: Mapping[str, EvaluationRecord] = field(default_factory=dict)
    predictions: Mapping[str, bytes] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """Returns the content of each file, by name; none where there is nothing."""
        text = evaluations_text(self.evaluations.values())
        return {**({EVALUATIONS: text.encode()} if text else {}), **self.predictions}

    def merged(self, other: Evaluated) -> Evaluated:
        """Merges two collections; on conflict this one wins."""
        return Evaluated(
            {**other.evaluations, **self.evaluations},
            {**other.predictions, **self.predictions},
        )

    def restricted_to(self, cells: Mapping[str, CellRecord]) -> Evaluated:
        """Returns what belongs to these cells, by address, as they are in the leaderboard."""
        evaluations = {
            address: one
            for address, one in self.evaluations.items()
            if one.cell in cells and one.model == cells[one.cell].model.sha256
        }
        named = named_predictions(cells.values(), evaluations.values())
        return Evaluated(evaluations, {path: self.predictions[path] for path in named if path in self.predictions})


def named_predictions(
    cells: Iterable[CellRecord], evaluations: Iterable[EvaluationRecord]
) -> dict[str, tuple[Tensors, CellRecord | EvaluationRecord]]:
    """Returns the files of predictions that records name, by path in the leaderboard: size and hash, and the record.

    Those of shifted copies are not published: their metrics stand in the evaluation.
    """
    every: list[CellRecord | EvaluationRecord] = [*cells, *(one for one in evaluations if one.shift is None)]
    return {predictions_file(one.predictions.sha256): (one.predictions, one) for one in every if one.predictions}


def read_published(folder: Path) -> Evaluated:
    """Reads what a leaderboard holds.

    Raises:
        DamagedFile: a line does not read as what it was written as.
        UserError: a file cannot be read.
    """
    found = sorted((folder / PREDICTIONS).glob("[!.]*")) if (folder / PREDICTIONS).is_dir() else []
    predictions = {f"{PREDICTIONS}/{path.name}": _content(path) for path in found}
    return Evaluated(read_evaluations(folder), predictions)


def read_of_runs(root: Path, cells: Mapping[str, CellRecord]) -> Evaluated:
    """Reads what a runs folder holds of these cells, by address; errors are those of `read_published`.

    Raises:
        DamagedFile: a file is not what its record says.
    """
    evaluations: dict[str, EvaluationRecord] = {}
    predictions: dict[str, bytes] = {}
    for address, cell in cells.items():
        folder = root / "cell" / address[:FOLDER_DIGITS]
        for path in sorted((folder / RUN_EVALUATIONS).glob("[!.]*.json")):
            one = read(EvaluationRecord, path)
            if (one.cell, one.model, f"{evaluation_name(one.address)}.json") != (address, cell.model.sha256, path.name):
                raise DamagedFile(f"{path}: of another cell or of other weights than the record beside it")
            evaluations[one.address] = one
            if one.shift is None and one.predictions:
                _keep(predictions, path.with_suffix(".npz"), one.predictions)
        if cell.predictions:
            _keep(predictions, folder / RUN_PREDICTIONS, cell.predictions)
    return Evaluated(evaluations, predictions)


def _keep(predictions: dict[str, bytes], path: Path, recorded: Tensors) -> None:
    """Reads a file of predictions, if it is there."""
    if path.exists():
        predictions[predictions_file(recorded.sha256)] = _content(path)


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
