"""The data of a stage: as its settings say where they lie, and as its plan knew them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from learngene_bench.contracts.dataset import DatasetFacts, Splits
from learngene_bench.plugins.registry import dataset
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import canonical


def task_data(config: Mapping[str, Any], execution: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a cell's target is tuned and measured on, the source task or a downstream one: as planned, and its settings.

    Args:
        config, execution: of the cell's `config.json`.
    """
    if "task" in config:
        return config["task"]["data"], execution["task_data"]
    return config["data"], execution["data"]


def planned_data(planned: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[DatasetFacts, Splits]:
    """The data of these settings.

    Raises:
        UserError: they are not those that the plan found.
    """
    facts, splits, fingerprint = load_data(canonical(settings))
    if fingerprint != planned["fingerprint"]:
        raise UserError(f"the images of {planned['name']} changed since this was planned; run again")
    return facts, splits


@lru_cache(maxsize=4)
def load_data(settings: str) -> tuple[DatasetFacts, Splits, str]:
    """The data set of these settings (canonical JSON) and its fingerprint, kept for the next stage of this process."""
    data = dataset(json.loads(settings))
    return data.facts(), data.load(), data.fingerprint()
