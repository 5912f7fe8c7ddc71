"""Savings of growth: FLOPs up to an equal result, by hand; which functions are kept."""

from __future__ import annotations

from typing import Any

import pytest

from learngene_bench.results import load, make_tables
from learngene_bench.results.tables.growth_report import growth_reports
from learngene_bench.schema.cost import CellCost, Cost

START = {"epoch": 0.0, "iterations": 0, "loss": None}


def spent(source: float, finetuning: float) -> dict[str, Any]:
    cost = CellCost(ancestors=Cost(flops=source), finetune=Cost(flops=finetuning, epochs=2.0))
    return cost.model_dump(mode="json")


def compared(difference: float) -> dict[str, Any]:
    return {"source_comparison": {"images": 180, "difference": difference, "magnitude": 2.0}}


@pytest.fixture
def grown(runs: Any) -> Any:
    """Learning curves of three points, after 0, 1 and 2 epochs; the second lies half way."""
    cells = [
        runs.done(runs.cell("he", 8), 80.0, 10.0, cost=spent(0, 100)),
        runs.done(runs.cell("lemon", 8), 92.0, 85.0, cost=spent(300, 100), **compared(2e-7)),
        runs.done(runs.cell("stack", 8), 79.0, 31.0, cost=spent(300, 100), **compared(1.8)),
        runs.done(
            runs.cell("direct-pt", 8), 88.0, 88.0, cost=spent(600, 0), curve=[START | {"metrics": {"top1": 88.0}}]
        ),
    ]
    runs.plan(cells, grid="growth", axis="depth and width", references=["he", "direct-pt"])
    return runs


def test_flops_to_an_equal_result_with_and_without_the_source(grown: Any) -> None:
    results = load([grown.folder])
    (table,) = growth_reports(make_tables(results), results)
    assert "micro, depth and width 8 × 48" in table.title
    assert [column.text for column in table.columns] == [
        "From source difference",
        "Saved to He-Init target",
        "Saved to He-Init with gene",
        "Saved to Direct PT target",
        "Saved to Direct PT with gene",
    ]
    texts = {row.label: [cell.text for cell in row.cells] for row in table.rows}
    assert texts == {
        "He-Init": ["—", "", "", "<+83 %", "<+83 %"],  # never at 88: all of its 100 of 600
        "lemon": ["kept", "+100 %", "−200 %", "+92 %", "+42 %"],  # at 80 at once; at 88.5 after 50
        "stack": ["0.90", "<0 %", "<−300 %", "<+83 %", "<+33 %"],
        "Direct PT": ["—", "—", "—", "", ""],
    }
    (row,) = [row for row in table.data if (row["method"], row["reference"]) == ("lemon", "direct-pt")]
    assert (row["saved_target"], row["saved_with_gene"]) == (pytest.approx(1 - 50 / 600), pytest.approx(1 - 350 / 600))
    assert (row["difference"], row["reached"]) == (1e-7, True)


def test_grids_without_a_source_model_have_no_such_table(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("he", 8), 80.0)], grid="depth", references=["he"])
    results = load([runs.folder])
    assert growth_reports(make_tables(results), results) == []
