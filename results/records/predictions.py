"""Reads what models predict for each image, from the files beside records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from learngene_bench.results.records.evaluations import evaluations_of
from learngene_bench.results.records.types import Record
from learngene_bench.schema.evaluation import EvaluationRecord, evaluation_name
from learngene_bench.schema.leaderboard import RECORDS, is_leaderboard, predictions_file
from learngene_bench.schema.predictions import PREDICTIONS, Predictions, read_predictions
from learngene_bench.schema.record import Evaluation, Tensors

_FILES_IN_MEMORY = 1024
"""Files that are kept for the next table; those of ImageNet's 50,000 images have half a megabyte."""


@dataclass(frozen=True)
class KeptPredictions:
    """The predictions of a model.

    Attributes:
        evaluation: images that they are of.
    """

    predictions: Predictions
    evaluation: Evaluation


def predictions_of(record: Record) -> KeptPredictions | None:
    """Returns what a cell's model predicts for the images that it was measured on.

    Returns:
        None if nothing was kept, neither with the record nor by an evaluation after it, or only the record is here, as
        in most leaderboards.

    Raises:
        DamagedFile: the file is not what its record says.
    """
    result = record.result
    folder = record.path.parent
    if result.predictions:
        published = record.path.name == RECORDS
        path = folder / (predictions_file(result.predictions.sha256) if published else PREDICTIONS)
        if found := _read(path, result.predictions, result.evaluation):
            return found
    evaluations = evaluations_of(record)
    return evaluated_predictions(evaluations.folder, evaluations.plain) if evaluations.plain else None


def evaluated_predictions(folder: Path, record: EvaluationRecord) -> KeptPredictions | None:
    """Returns the predictions that an evaluation kept; None if it kept none. Errors are those of `predictions_of`."""
    if record.predictions is None:
        return None
    named = f"{evaluation_name(record.address)}.npz"
    path = folder / (predictions_file(record.predictions.sha256) if is_leaderboard(folder) else named)
    return _read(path, record.predictions, record.evaluation)


def _read(path: Path, recorded: Tensors, evaluation: Evaluation) -> KeptPredictions | None:
    found = _predictions(path, recorded, evaluation.images)
    return KeptPredictions(found, evaluation) if found else None


@lru_cache(_FILES_IN_MEMORY)
def _predictions(path: Path, recorded: Tensors, images: int) -> Predictions | None:
    try:
        return read_predictions(path, recorded, images)
    except (FileNotFoundError, NotADirectoryError):
        return None
