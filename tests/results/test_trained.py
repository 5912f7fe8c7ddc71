"""Numbers that a method trains while it initializes a target, in every table and format."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from rich.console import Console

from learngene_bench.results import load, make_tables, metric_reports
from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.csv import cells_csv
from learngene_bench.results.formats.latex import latex
from learngene_bench.results.formats.terminal import terminal
from learngene_bench.results.tables.cost_report import cost_reports
from learngene_bench.results.tables.learning_report import learning_reports
from learngene_bench.results.tables.report_table import ReportTable
from learngene_bench.schema.constants import PHASES
from learngene_bench.schema.cost import Cost

PARAMETERS, ITERATIONS = "Trained at initialization parameters", "Trained at initialization iterations"
COUNTS = {48: 1_200, 72: 250_000, 96: 3_100_000}


def cost(parameters: int, iterations: int) -> dict[str, Any]:
    spent = {phase: Cost() for phase in PHASES}
    spent["initialize"] = Cost(parameters=parameters, iterations=iterations)
    spent["finetune"] = Cost(parameters=80_000, iterations=38)
    return {phase: amounts.model_dump(mode="json") for phase, amounts in spent.items()}


@pytest.fixture
def widths(runs: Any) -> Any:
    """He-Init trains nothing, WAVE little at its own width and much beyond, LiGO always the same."""
    cells = []
    for width, count in COUNTS.items():
        for seed in range(2):
            for method, parameters, iterations in (("he", 0, 0), ("ligo", 60_000, 100), ("wave", count, 150)):
                cell = runs.cell(method, 6, seed, target={"width": width})
                cells.append(runs.done(cell, 80.0 + seed, cost=cost(parameters, iterations)))
    runs.plan(cells, grid="width", axis="width")
    return runs


def column(table: ReportTable, name: str) -> dict[str, str]:
    (place,) = [place for place, column in enumerate(table.columns) if column.text == name]
    return {row.label: row.cells[place].text for row in table.rows}


def trained(table: ReportTable) -> dict[str, tuple[str, str]]:
    parameters, iterations = column(table, PARAMETERS), column(table, ITERATIONS)
    return {label: (parameters[label], iterations[label]) for label in parameters}


def note(table: ReportTable) -> str:
    (found,) = [note for note in table.notes if note.startswith("Trained at initialization:")]
    return found


def metric_table(runs: Any) -> ReportTable:
    (table,) = metric_reports(make_tables(load([runs.folder])))
    return table


EXPECTED = {"He-Init": ("0", "0"), "LiGO": ("60.0k", "100"), "WAVE": ("1.2k–3.1M", "150")}
"""Least to most, where targets differ."""


def test_accuracies_stand_beside_what_was_trained_before_them(widths: Any) -> None:
    table = metric_table(widths)
    assert trained(table) == EXPECTED
    assert "numbers that the method itself trains" in note(table)
    (place,) = [place for place, column in enumerate(table.columns) if column.text == PARAMETERS]
    assert [row.cells[place].value for row in table.rows] == [0, 60_000, sum(COUNTS.values()) / 3]


def test_so_do_costs_and_learning_curves(widths: Any) -> None:
    results = load([widths.folder])
    tables = make_tables(results)
    summary, *_ = cost_reports(tables, results)
    assert trained(summary) == EXPECTED
    wave = next(row for row in summary.data if row["method"] == "wave")
    assert [wave[f"{phase}_parameters"] for phase in PHASES] == [0, 0, sum(COUNTS.values()) / 3, 80_000]
    (instinct,) = learning_reports(tables, results)
    assert column(instinct, PARAMETERS) == {label: parameters for label, (parameters, _) in EXPECTED.items()}
    for table in (summary, instinct):
        assert note(table)


def test_csv_has_what_every_phase_of_a_cell_trained(widths: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(cells_csv(load([widths.folder])))))
    for row in rows:
        counts = {"he": 0, "ligo": 60_000, "wave": COUNTS[int(row["width"])]}
        assert int(row["cost_initialize_parameters"]) == counts[row["method"]]
        assert (row["cost_finetune_parameters"], row["cost_prepare_parameters"]) == ("80000", "0")
    wide = list(csv.DictReader(io.StringIO(reporting.FORMATS["csv-wide"](reporting.make(load([widths.folder]))))))
    assert [float(row["micro initialize_parameters"]) for row in wide[:2]] == [0, 60_000]
    assert [float(row["micro initialize_iterations"]) for row in wide[:3]] == [0, 100, 150]


def test_nothing_is_known_of_records_that_did_not_count(runs: Any) -> None:
    """Records of protocol 2: iterations, and no parameters."""
    cells = [runs.done(runs.cell("wave", depth), 90.0, cost=cost(0, 150)) for depth in (4, 6)]
    runs.plan([*cells, runs.done(runs.cell("he"), 80.0, cost=cost(0, 0))])
    results = load([runs.folder])
    tables = make_tables(results)
    expected = {"He-Init": ("0", "0"), "WAVE": ("—", "150")}
    for table in (*metric_reports(tables), cost_reports(tables, results)[0]):
        assert trained(table) == expected
        assert "—: not recorded" in note(table)
    rows = list(csv.DictReader(io.StringIO(cells_csv(results))))
    assert {(row["method"], row["cost_initialize_parameters"]) for row in rows} == {("he", "0"), ("wave", "")}
    page = reporting.FORMATS["html"](reporting.make(results))
    assert '["initialize",0,150,0,0,0,"—"]' in page


def test_what_is_missing_is_counted(runs: Any) -> None:
    cells = [runs.cell("wave", depth) for depth in (4, 6)]
    runs.done(cells[0], 90.0, cost=cost(1_200, 150))
    runs.plan(cells)
    assert trained(metric_table(runs)) == {"WAVE": ("1/2", "1/2")}


def test_a_table_in_which_nothing_trains_has_no_such_column(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("he"), 80.0)])
    results = load([runs.folder])
    tables = make_tables(results)
    for table in (*metric_reports(tables), cost_reports(tables, results)[0]):
        assert not any("Trained" in text for text in (*table.notes, *(column.text for column in table.columns)))


def test_every_layout_shows_it_or_says_that_it_does_not(widths: Any) -> None:
    reports = metric_reports(make_tables(load([widths.folder])))
    assert r"\multicolumn{2}{c}{Trained at initialization}" in latex(reports)
    for width, left_out in ((60, "Trained at initialization (parameters, iterations)"), (80, ITERATIONS), (120, "")):
        output = io.StringIO()
        terminal(reports, Console(file=output, width=width))
        text = output.getvalue()
        assert max(map(len, text.splitlines())) <= width
        words = " ".join(text.split())
        assert (f"Left out on this narrow terminal: {left_out}." in words) == bool(left_out)
        assert ("1.2k–3.1M" in words) == (width > 60)
