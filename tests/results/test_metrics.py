"""Metrics that are not the primary one, of other units and directions, in every table and format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from learngene_bench.cli.main import run_command
from learngene_bench.results import load, make_tables, statistics_reports
from learngene_bench.results.formats import reporting
from learngene_bench.results.tables.costs import cost_tables
from learngene_bench.results.tables.inference import inference
from learngene_bench.results.tables.learning import size_curves
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.samples import samples
from learngene_bench.schema.metric import MetricSpec
from learngene_bench.tasks.kinds.classification import Top1

NLL = MetricSpec(name="nll", title="Negative log-likelihood", unit="nats", bounds=(0.0, None), higher_is_better=False)
SPECS = {"top1": Top1.spec.model_dump(mode="json"), "nll": NLL.model_dump(mode="json")}

LOSSES = {"he": [1.2, 1.25, 1.3], "mimetic": [1.0, 1.1, 1.05], "wave": [0.5, 0.52, 0.51], "direct-pt": [0.1, 0.1, 0.1]}


@pytest.fixture
def losses(runs: Any) -> Any:
    """Methods of which the one with the lowest loss has the lowest accuracy as well."""
    cells = []
    for place, (method, values) in enumerate(LOSSES.items()):
        for depth in (4, 6):
            for seed, value in enumerate(values):
                cells.append(measured(runs, runs.cell(method, depth, seed), 90.0 - place, value, 2.5))
    runs.plan(cells)
    return runs


def measured(runs: Any, cell: dict[str, Any], top1: float, nll: float, nll_initial: float) -> dict[str, Any]:
    """A cell that is done, with a learning curve of both metrics."""
    values = [(10.0, nll_initial), ((10 + top1) / 2, (nll + nll_initial) / 2), (top1, nll)]
    curve = [
        {"epoch": float(epoch), "iterations": epoch, "loss": None, "metrics": dict(zip(SPECS, both, strict=True))}
        for epoch, both in enumerate(values)
    ]
    found: dict[str, Any] = runs.done(
        cell,
        top1,
        metrics={"top1": top1, "nll": nll},
        initial_metrics={"top1": 10.0, "nll": nll_initial},
        metric_specs=SPECS,
        curve=curve,
    )
    return found


def only(runs: Any, metric: str | None = None) -> MetricTable:
    (table,) = make_tables(load([runs.folder]), metric)
    return table


def highlights(table: MetricTable) -> Mapping[str, str]:
    return {row.label: row.entries[0].highlight for row in table.rows}


def test_the_primary_metric_is_printed_when_none_is_asked_for(losses: Any) -> None:
    assert only(losses).title == "Top-1 accuracy (%) after fine-tuning, by depth"
    assert only(losses, "nll").title == "Negative log-likelihood (nats) after fine-tuning, by depth"
    assert only(losses, "nll_initial").title.startswith("Negative log-likelihood (nats) as initialized")


def test_numbers_have_the_decimals_of_their_metric(losses: Any) -> None:
    text = reporting.FORMATS["markdown"](reporting.make(load([losses.folder]), metric="nll"))
    assert "| **0.51** ±0.01 |" in text
    assert "90.0" not in text


def test_the_lowest_is_the_best_where_lower_is_better(losses: Any) -> None:
    expected = {"He-Init": "", "Mimetic": "second", "WAVE": "best", "Direct PT": ""}
    assert highlights(only(losses, "nll")) == expected
    # Accuracies are the same for all seeds: each difference is significant.
    assert highlights(only(losses)) == {"He-Init": "best", "Mimetic": "second", "WAVE": "", "Direct PT": ""}


def test_with_one_seed_the_lowest_is_the_best_too(runs: Any) -> None:
    cells = [measured(runs, runs.cell(method), 50.0, values[0], 2.5) for method, values in LOSSES.items()]
    runs.plan(cells)
    assert highlights(only(runs, "nll")) == {"He-Init": "", "Mimetic": "second", "WAVE": "best", "Direct PT": ""}
    text = reporting.FORMATS["markdown"](reporting.make(load([runs.folder]), metric="nll"))
    assert "Bold: lowest of its column" in text


def test_statistics_know_the_direction(losses: Any) -> None:
    (sample,) = samples(only(losses, "nll"))
    found = inference(sample)
    assert found is not None
    assert found.best.label == "WAVE"
    assert {method.row.label: method.rank for method in found.methods} == {"WAVE": 1, "Mimetic": 2, "He-Init": 3}
    pair = found.pairs[0]
    assert (pair.first.label, pair.second.label, pair.improvement) == ("WAVE", "Mimetic", 1.0)
    assert pair.difference == pytest.approx(0.51 - 1.05)
    profile = statistics_reports([sample.table])[-1]
    assert {column.span for column in profile.columns} == {"Below"}
    fractions = {row.label: [cell.value for cell in row.cells] for row in profile.rows}
    assert all(a >= b for a, b in zip(fractions["WAVE"], fractions["He-Init"], strict=True))
    assert fractions["WAVE"][-1] == 1.0


def test_the_pareto_front_and_the_learning_curves_know_the_direction(losses: Any) -> None:
    results = load([losses.folder])
    tables = make_tables(results, "nll")
    (costs,) = cost_tables(tables, results)
    assert [method.row.method for method in costs.pareto_front(1)] == ["direct-pt"]  # nothing costs any FLOPs here
    (curves,) = size_curves(tables, results)
    wave = next(method for method in curves.rows if method.row.method == "wave")
    he = next(row for row in curves.references if row.method == "he")
    goal = he.entries[0].mean
    assert goal == pytest.approx(1.25)
    assert wave.curves[0].epochs_to_reach(goal) == 2
    assert wave.curves[0].epochs_to_reach(2.5) == 0
    assert wave.curves[0].epochs_to_reach(0.1) is None


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_value_outside_the_bounds_is_a_missing_seed(runs: Any, value: float) -> None:
    runs.plan([measured(runs, runs.cell("wave"), 50.0, value, 2.5)])
    entry = only(runs, "nll").rows[0].entries[0]
    assert (entry.state, entry.mean) == ("failed", None)
    assert only(runs).rows[0].entries[0].mean == 50.0


def test_a_record_without_the_metric_is_a_missing_seed(runs: Any) -> None:
    runs.plan([measured(runs, runs.cell("wave"), 50.0, 1.0, 2.5), runs.done(runs.cell("he"), 80.0)])
    he, wave = only(runs, "nll").rows
    assert (he.entries[0].state, wave.entries[0].mean) == ("failed", 1.0)


def test_every_format_prints_it_and_the_commands_are_told_apart(losses: Any) -> None:
    report = reporting.make(load([losses.folder]), metric="nll", computed=reporting.COMPUTED)
    for format, write in reporting.FORMATS.items():
        if format != "csv":
            assert "0.51" in write(report), format
    assert r"\newcommand{\lgbenchDepthNllMicroWaveFour}{0.51}" in reporting.FORMATS["latex-numbers"](report)
    reporting.print_report(report, Console(quiet=True))


def test_the_command_names_the_metrics_there_are(losses: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", "--runs", str(losses.folder), "--metric", "nll", "--table", "cost"]) == 0
    assert "likelihood" in capsys.readouterr().out
    assert run_command(["report", "--runs", str(losses.folder), "--metric", "accuracy"]) == 2
    valid = "(valid: nll, nll_initial, top1, top1_initial)"
    assert capsys.readouterr().err == f"lgbench: unknown metric 'accuracy' {valid}\n"
    assert run_command(["report", "--runs", str(losses.folder), "--metric", "nll", "--compare", "published"]) == 2
    assert "--metric top1" in capsys.readouterr().err
