"""The data of a stage: read from where its settings say, and checked to be what its plan found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from learngene_bench.contracts.dataset import DatasetFacts, Split, Splits
from learngene_bench.contracts.task import task_kind
from learngene_bench.data.map_files import MapFiles
from learngene_bench.plugins.registry import dataset
from learngene_bench.schema.stage import CellConfig, Execution
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import canonical


def task_data(config: CellConfig, execution: Execution) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the data that a cell's target is fine-tuned and measured on: as planned, and its settings."""
    if config.task is None:
        return config.data, execution.data
    assert execution.task_data is not None, "a cell of a downstream task has settings for its data"
    return config.task.data, execution.task_data


def planned_data(planned: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[DatasetFacts, Splits]:
    """Loads the data of these settings.

    Raises:
        UserError: they are not those that the plan found.
    """
    facts, splits, fingerprint = load_data(canonical(settings))
    if fingerprint != planned["fingerprint"]:
        raise UserError(f"the images of {planned['name']} changed since this was planned; run again")
    return facts, splits


@lru_cache(maxsize=4)
def load_data(settings: str) -> tuple[DatasetFacts, Splits, str]:
    """Loads a data set, with its fingerprint, and keeps it for the next stage of this process.

    The test split is not looked at: whoever measures on it checks its labels, and nobody else has seen them.

    Args:
        settings: settings of the data set, as canonical JSON.

    Raises:
        UserError: the data cannot be read, or have labels that their task kind has no use for.
    """
    data = dataset(json.loads(settings))
    facts, splits = data.facts(), data.load()
    check_labels(splits.train, facts)
    check_labels(splits.validation, facts)
    return facts, splits, data.fingerprint()


def check_labels(split: Split, facts: DatasetFacts) -> None:
    """Raises `UserError` if a split has labels that the task kind of its data has no use for."""
    if not isinstance(split, MapFiles):  # whose labels are checked as they are decoded
        task_kind(facts.kind).check_labels(split.labels, facts)
