"""Accuracy over total compute: what is shared, what it costs to reach a value, and from how many targets on it pays."""

from __future__ import annotations

import csv
import io
import random
from typing import Any

import pytest
from scipy import stats

from learngene_bench.cli.main import run_command
from learngene_bench.results import load, make_tables, plots
from learngene_bench.results.formats import reporting
from learngene_bench.results.plots.page import Page
from learngene_bench.results.statistics.break_even import BreakEven, break_even, undecided
from learngene_bench.results.tables.compute import ComputeChoice, MethodCompute, size_computes
from learngene_bench.results.tables.compute_report import even_text
from learngene_bench.results.tables.costs import cost_tables

PHASES = ("ancestors", "prepare", "initialize", "finetune")
INFINITE = float("inf")


@pytest.fixture
def costly(runs: Any) -> Any:
    """Two depths, three seeds, whose learning curves are straight lines from the first value to the last.

    FLOPs: he 100 for a target; wave 1,000 once, and 200 for each target; direct-pt 400 for each target.
    """
    cells = []
    for seed in range(3):
        for depth in (4, 6):
            for method, start, end, gene, flops in (
                ("he", 10.0, 50.0 + seed, "", (0, 0, 0, 100)),
                ("wave", 70.0, 90.0 + seed, f"wave {seed}", (400, 600, 100, 100)),
                ("direct-pt", 88.0, 88.0, f"pt {seed} {depth}", (400, 0, 0, 0)),
            ):
                parts = zip(PHASES, flops, strict=True)
                cost = {p: {"epochs": 2.0 if f else 0.0, "flops": f, "seconds": f / 50} for p, f in parts}
                inputs = {"gene": runs.gene(gene, 1)} if gene else {}
                cell = runs.cell(method, depth, seed)
                start_alone = [{"epoch": 0.0, "iterations": 0, "loss": None, "metrics": {"top1": end}}]
                single = {"curve": start_alone} if method == "direct-pt" else {}
                cells.append(runs.done(cell, end, start, cost=cost, inputs=inputs, **single))
    runs.plan(cells)
    return runs


def rows_of(runs: Any) -> dict[str, MethodCompute]:
    results = load([runs.folder])
    (found,) = size_computes(make_tables(results), results, "flops")
    assert not found.excluded
    return {method.row.method: method for method in found.rows}


def test_what_targets_share_is_divided_among_them(costly: Any) -> None:
    found = {name: [row.mean.before(n) for n in (1, 10)] for name, row in rows_of(costly).items()}
    assert found == {"he": [0, 0], "wave": [1100, 200], "direct-pt": [400, 400]}


def test_totals_are_those_of_the_cost_table(costly: Any) -> None:
    results = load([costly.folder])
    (costs,) = cost_tables(make_tables(results), results)
    rows = rows_of(costly)
    for method in costs.methods:
        for n in (1, 2, 7):
            total = method.total("flops", n)
            assert total is not None
            assert rows[method.row.method].mean.total(n) == pytest.approx(total / n)


def test_targets_may_be_finetuned_for_different_lengths(runs: Any) -> None:
    """As the tasks of a transfer grid are: no target is cut to the length of the shortest."""
    cells = []
    for depth, epochs in ((4, 2), (6, 4)):
        cost = {phase: {"epochs": 0.0, "flops": 0, "seconds": 0} for phase in PHASES[:3]}
        cost["finetune"] = {"epochs": float(epochs), "flops": 50 * epochs, "seconds": 1}
        values = [10.0 + 80.0 * epoch / epochs for epoch in range(epochs + 1)]
        curve = [
            {"epoch": float(epoch), "iterations": epoch, "loss": None, "metrics": {"top1": value}}
            for epoch, value in enumerate(values)
        ]
        cells.append(runs.done(runs.cell("he", depth, 0), values[-1], values[0], cost=cost, curve=curve))
    runs.plan(cells)
    mean = rows_of(runs)["he"].mean
    assert mean.values == (10.0, 50.0, 90.0)
    assert mean.tuned == (0.0, 75.0, 150.0)


def test_a_value_is_reached_on_a_straight_line_between_two_points(costly: Any) -> None:
    rows = rows_of(costly)  # the mean of he rises from 10 to 51 in 100 FLOPs, that of wave from 70 to 91
    assert rows["he"].to_reach(30.5, 1) == pytest.approx(50)
    assert rows["he"].to_reach(51.0, 10) == pytest.approx(100)
    assert rows["he"].to_reach(51.1, 1) is None
    assert rows["wave"].to_reach(86.8, 10) == pytest.approx(200 + 80)
    assert rows["wave"].to_reach(30.0, 10) == pytest.approx(200)
    assert rows["direct-pt"].to_reach(88.0, 3) == pytest.approx(400)


def test_a_budget_buys_the_value_that_costs_it(costly: Any) -> None:
    rows = rows_of(costly)
    for goal in (71.0, 80.0, 90.9):
        cost = rows["wave"].to_reach(goal, 10)
        assert cost is not None
        assert rows["wave"].mean.value_for(cost, 10) == pytest.approx(goal)
    assert rows["wave"].mean.value_for(199, 10) is None
    assert rows["wave"].mean.value_for(1e9, 10) == pytest.approx(91)


def test_a_method_breaks_even_where_its_gene_is_paid(costly: Any) -> None:
    """The cost is 1000 / n + 171.4 against 400, as 85 is reached after 71.4 FLOPs of fine-tuning."""
    rows = rows_of(costly)
    found = rows["wave"].breaks_even(rows["direct-pt"], 85.0)
    assert found is not None
    tuned = 100 * (85 - 70) / (91 - 70)
    assert found.first == pytest.approx(1000 / (300 - tuned))
    each = [100 * (85 - 70) / (end - 70) - 300 for end in (90, 91, 92)]
    assert found.interval is not None
    for end in found.interval:
        assert stats.ttest_1samp([1000 + end * one for one in each], 0).pvalue == pytest.approx(0.05)
    assert rows["he"].breaks_even(rows["direct-pt"], 85.0) is None


def test_to_be_as_good_as_a_row_is_a_matter_of_each_seed(costly: Any) -> None:
    rows = rows_of(costly)
    found = rows["wave"].breaks_even(rows["he"])
    assert found == BreakEven(INFINITE, INFINITE, None)  # its initialization alone costs what he costs in all


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_the_interval_is_where_a_paired_test_does_not_tell_the_costs_apart(seeds: int) -> None:
    source = random.Random(seeds)
    for _ in range(100):
        once = [source.gauss(source.choice([-50, 50]), source.choice([1, 30])) for _ in range(seeds)]
        each = [source.gauss(source.choice([-8, 8, 0]), source.choice([0.1, 5])) for _ in range(seeds)]

        def p(n: float, once: list[float] = once, each: list[float] = each) -> float:
            return float(stats.ttest_1samp([a + n * b for a, b in zip(once, each, strict=True)], 0).pvalue)

        parts = undecided(once, each)
        for n in (1.0, 1.5, 3.0, 7.0, 12.0, 50.0, 1e6):
            assert (p(n) >= 0.05) == any(part.lower <= n <= part.upper for part in parts)
        for end in (end for part in parts for end in part if 1 < end < INFINITE):
            assert p(end) == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize(
    ("once", "each", "text"),
    [
        ([100.0] * 3, [-8.0] * 3, "13"),
        ([100.0], [-10.0], "10"),
        ([-1.0, -1.0], [-1.0, -1.0], "at once"),
        ([1.0, 1.0], [1.0, 1.0], "never"),
        ([-100.0] * 2, [8.0] * 2, "up to 12"),
        ([100.0, 100.0, 100.0], [-9.0, -10.0, -11.0], "10 (9 to 14)"),
        ([100.0, 100.0, 100.0], [-1.0, -10.0, -19.0], "10 (4 to never)"),
        ([0.0, 0.0], [0.0, 0.0], "at once (at once to never)"),
    ],
)
def test_numbers_of_targets_are_words_and_whole_numbers(once: list[float], each: list[float], text: str) -> None:
    assert even_text(break_even(once, each)) == text


def test_tables_and_their_data(costly: Any) -> None:
    choice = ComputeChoice(counts=(1, 20), goal=85.0)
    made = reporting.make(load([costly.folder]), "compute", compute=choice)
    equal, reach = made.tables
    texts = {row.label: [cell.text for cell in row.cells] for row in equal.rows}
    assert texts["WAVE"] == ["91.0", "\u2014", "\u2014", "\u2014", "91.0"]
    assert texts["He-Init"] == ["51.0"] * 5
    he = next(row for row in equal.rows if row.label == "He-Init")
    assert [bool(cell.footnotes) for cell in he.cells] == [False, False, False, True, True]  # it costs a quarter
    texts = {row.label: [cell.text for cell in row.cells] for row in reach.rows}
    assert texts["He-Init"] == [">100", ">100", "", "never"]
    assert texts["WAVE"] == ["1.2k", "221", "at once", "5"]
    rows = list(csv.DictReader(io.StringIO(reporting.FORMATS["csv"](made))))
    (found,) = [row for row in rows if (row["method"], row["reference"], row["n"]) == ("wave", "direct-pt", "20")]
    assert float(found["to_reach"]) == pytest.approx(150 + 100 * 15 / 21)
    assert float(found["even_from"]) == pytest.approx(1000 / (300 - 100 * 15 / 21))
    assert {row["resource"] for row in rows} == {"flops"}


def test_seconds_come_with_a_warning(costly: Any) -> None:
    made = reporting.make(load([costly.folder]), "compute", compute=ComputeChoice(resource="seconds"))
    assert any("one idle machine" in note for table in made.tables for note in table.notes)


def test_the_figure_shows_each_number_of_targets(costly: Any, pages: list[Page], tmp_path: Any) -> None:
    plots.compute_of(ComputeChoice(counts=(1, 10)))(load([costly.folder]), tmp_path)
    for axes, before in zip(pages[0].figure.axes, (1100.0, 200.0), strict=True):
        he, wave, trained = (line.get_xydata().tolist() for line in axes.lines)
        assert he == [[50.0, 30.5], [100.0, 51.0]]  # a logarithmic axis has no zero
        assert wave == [[before, 70.0], [before + 50, 80.5], [before + 100, 91.0]]
        assert trained == [[400.0, 88.0]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["report", "--targets", "3"], "--targets, --goal and --resource are options of --table compute"),
        (["report", "--table", "compute", "--targets", "1,0"], "--targets: 0 is no number of targets"),
        (["report", "--table", "compute", "--goal", "nan"], "--goal nan: a value of the metric is needed"),
        (["plot", "front", "--resource", "seconds"], "are options of lgbench plot compute"),
    ],
)
def test_mistakes(costly: Any, words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*words, "--runs", str(costly.folder)]) == 2
    assert message in capsys.readouterr().err
