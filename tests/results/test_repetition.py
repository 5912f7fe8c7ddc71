"""A record and its repetition, without computing anything."""

from __future__ import annotations

from typing import Any

import pytest

from learngene_bench.results.records.repetition import Repetition, compare
from learngene_bench.schema.record import CellRecord


def record(runs: Any, **changes: Any) -> CellRecord:
    return CellRecord.model_validate(runs.record(runs.cell("he"), 80.0, **changes), strict=False)


def with_top5(found: CellRecord) -> CellRecord:
    """The same, measured by a suite that knows one more metric."""
    top1 = found.metric_specs["top1"]
    curve = [point.model_copy(update={"metrics": {**(point.metrics or {}), "top5": 95.0}}) for point in found.curve]
    specs = {"top1": top1, "top5": top1.model_copy(update={"name": "top5", "title": "Top-5 accuracy"})}
    metrics = {"metrics": {**found.metrics, "top5": 95.0}, "initial_metrics": {**found.initial_metrics, "top5": 95.0}}
    return found.model_copy(update={"curve": tuple(curve), "metric_specs": specs, **metrics})


def different(repetition: Repetition) -> list[str]:
    return [value.name for value in repetition.numbers if not value.same]


def test_another_metric_in_the_repetition_is_no_difference(runs: Any) -> None:
    recorded = record(runs)
    assert different(compare(recorded, recorded)) == []
    assert different(compare(recorded, with_top5(recorded))) == []


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_point_of_the_learning_curve_that_differs_is_said(runs: Any, at: int) -> None:
    recorded = record(runs)
    curve = list(recorded.curve)
    curve[at] = curve[at].model_copy(update={"metrics": {"top1": 1.0}})
    repeated = recorded.model_copy(update={"curve": tuple(curve)})
    (found,) = [value for value in compare(recorded, repeated).numbers if not value.same]
    assert found.name == "learning curve"
    assert found.remark.startswith(f"from epoch {at}: ")
