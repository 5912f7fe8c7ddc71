"""Figures of unknown protocol: printed with their caveat, beside the measured one of their task, where asked."""

from __future__ import annotations

from typing import Any

import pytest

from learngene_bench.results import load
from learngene_bench.results.formats import reporting
from learngene_bench.tasks.kinds.segmentation import MeanIntersectionOverUnion
from learngene_bench.util.errors import UserError

CAVEAT = "reported by an aggregator, protocol unknown"
MIOU = {
    "metric_specs": {"miou": MeanIntersectionOverUnion.spec.model_dump(mode="json")},
    "primary_metric": "miou",
}


def segmented(runs: Any, task: str) -> Any:
    cells = []
    for method, value in (("he", 21.5), ("wave", 30.25)):
        curve = [
            {"epoch": float(epoch), "iterations": epoch, "loss": None, "metrics": {"miou": shown}}
            for epoch, shown in enumerate((1.0, value))
        ]
        measured = {"metrics": {"miou": value}, "initial_metrics": {"miou": 1.0}, "curve": curve, **MIOU}
        cells.append(runs.done(runs.cell(method, 6, task=task), value, **measured))
    runs.plan(cells, grid="segmentation", axis="task")
    return load([runs.folder])


def test_the_figure_is_printed_with_its_caveat_and_only_where_asked(runs: Any) -> None:
    results = segmented(runs, "ade20k")
    for kind in ("table", "markdown", "latex", "html", "json", "csv-wide"):
        assert "33.84" not in reporting.FORMATS[kind](reporting.make(results))
    (table,) = reporting.make(results, compare=True).derived
    he, wave = table.rows
    assert [cell.value for cell in (*he.cells, *wave.cells)] == [21.5, None, 30.25, 33.84]
    assert [table.footnotes[number - 1] for number in wave.footnotes] == [CAVEAT]
    assert not he.footnotes
    for kind in ("table", "markdown", "latex", "html", "json", "csv"):
        text = " ".join(reporting.FORMATS[kind](reporting.make(results, compare=True)).split())
        assert "33.8" in text, kind
        assert CAVEAT in text, kind


def test_other_tasks_have_no_such_figure(runs: Any) -> None:
    with pytest.raises(UserError, match="--compare published needs what the paper prints"):
        reporting.make(segmented(runs, "voc2012"), compare=True)
