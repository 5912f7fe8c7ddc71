from __future__ import annotations

import csv
import io
import json
import random
from itertools import combinations
from math import sqrt
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from scipy import stats

from learngene_bench.results import comparison_reports, comparisons, load, make_tables, markdown
from learngene_bench.results.formats.csv import csv as data_csv
from learngene_bench.results.formats.json import json as report_json
from learngene_bench.results.formats.terminal import terminal
from learngene_bench.results.statistics.paired import rank_correlation, ranks
from learngene_bench.results.tables import published
from learngene_bench.results.tables.comparison import ComparedRow, SizeComparison

HOSTILE = "=1+1 [red]|`x`*_<script>$&\\\x1b[31m\n2"


def compared(runs: Any) -> list[SizeComparison]:
    return comparisons(make_tables(load([runs.folder])))


def rows(comparison: SizeComparison) -> dict[str, ComparedRow]:
    return {row.row.label: row for row in comparison.rows}


def printed(found: list[SizeComparison], width: int) -> str:
    output = io.StringIO()
    terminal(comparison_reports(found), Console(file=output, width=width))
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def test_means_are_over_the_depths_that_both_have(budgets: Any) -> None:
    micro, s, *_ = compared(budgets)
    assert (micro.series.title, s.series.title) == ("DeiT-Ti", "DeiT-S")
    assert (micro.columns, micro.other_columns) == (("4", "6", "8"), ("2",))
    he, ligo, incomplete = (rows(micro)[label] for label in ("He-Init", "LiGO", "Auto-LG"))
    assert he.measured_mean == pytest.approx((82.2 + 83.2 + 84.2) / 3)
    assert he.published_mean == pytest.approx((34.7 + 40.6 + 43.7) / 3)
    assert he.difference == pytest.approx(83.2 - 119 / 3)
    assert (list(ligo.measured), ligo.published) == (["6", "8"], {"6": 59.0, "8": 60.2})
    assert ligo.remarks == ("without depth 4: a dash here and a dash in the paper",)
    assert (list(incomplete.published), incomplete.remarks) == (["4", "6"], ("without depth 8: incomplete here",))


def test_only_default_methods_of_the_paper_have_ranks(budgets: Any) -> None:
    micro = compared(budgets)[0]
    order = {label: (row.measured_rank, row.published_rank) for label, row in rows(micro).items() if row.measured_rank}
    assert order == {
        "He-Init": (6, 6),
        "Mimetic": (7, 7),
        "LiGO": (5, 2),
        "Share": (3.5, 4),
        "Auto-LG": (2, 5),
        "TELG": (3.5, 3),
        "WAVE": (1, 1),
    }
    assert rows(micro)["LiGO"].rank_difference == 3
    assert rows(micro)["SWS"].remarks == ("not in this table of the paper",)
    assert rows(micro)["WAVE (learn_scalers=false)"].remarks[0] == "a variant, which the paper does not have"
    assert rows(micro)["Direct PT"].published_mean is not None
    assert micro.unmeasured == ("ghn3", "weight-selection", "heru-lg")


def test_correlations_are_scipys_with_and_without_the_reference(budgets: Any) -> None:
    micro = compared(budgets)[0]
    chosen = [row for row in micro.rows if row.published]
    plain, reference, common = micro.correlations
    for correlation, used in ((plain, [row for row in chosen if row.measured_rank]), (reference, chosen)):
        here = [round(row.measured_mean or 0, 9) for row in used]
        there = [round(row.published_mean or 0, 9) for row in used]
        assert correlation.ranks.n == len(used)
        assert correlation.ranks.tau == pytest.approx(stats.kendalltau(here, there).statistic)
        assert correlation.ranks.rho == pytest.approx(stats.spearmanr(here, there).statistic)
    assert (plain.reference, reference.reference) == ((), ("Direct PT",))
    at_6 = [(row.measured["6"], row.published["6"]) for row in chosen if row.measured_rank]
    assert common.columns == ("6",)
    assert common.ranks.tau == pytest.approx(stats.kendalltau(*zip(*at_6, strict=True)).statistic)


def test_equal_means_are_a_tie_however_they_were_summed(runs: Any) -> None:
    """0.1 + 0.2 and 0.3 are one tie, not an order."""
    cells = []
    for method, accuracies in (("he", (0.1, 0.2, 0.3)), ("mimetic", (0.2, 0.2, 0.2)), ("wave", (50.0, 50.0, 50.0))):
        cells += [runs.done(runs.cell(method, 4, seed), accuracy) for seed, accuracy in enumerate(accuracies)]
    runs.plan(cells)
    (found,) = compared(runs)
    assert {label: row.measured_rank for label, row in rows(found).items()} == {
        "He-Init": 2.5,
        "Mimetic": 2.5,
        "WAVE": 1,
    }


def tau_b(first: list[int], second: list[int]) -> float:
    """Kendall's tau-b from its definition: pairs in one order and in the other, and pairs tied on a side."""
    agree = ties_first = ties_second = 0
    for i, j in combinations(range(len(first)), 2):
        a, b = first[i] - first[j], second[i] - second[j]
        agree += (a * b > 0) - (a * b < 0)
        ties_first += a == 0
        ties_second += b == 0
    pairs = len(first) * (len(first) - 1) / 2
    return agree / sqrt((pairs - ties_first) * (pairs - ties_second))


def test_rank_statistics_with_ties_agree_with_the_definition_and_with_scipy() -> None:
    generator = random.Random(0)
    for n in (3, 5, 11):
        first, second = ([generator.randrange(4) for _ in range(n)] for _ in range(2))
        first[:2], second[:2] = [0, 1], [1, 0]
        found = rank_correlation(first, second)
        assert (
            found.tau == pytest.approx(tau_b(first, second)) == pytest.approx(stats.kendalltau(first, second).statistic)
        )
        assert found.rho == pytest.approx(stats.spearmanr(first, second).statistic)
        assert ranks(first) == pytest.approx(stats.rankdata([-value for value in first]))


@pytest.mark.parametrize(("first", "second"), [([], []), ([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3])])
def test_what_has_no_order_has_no_correlation(first: list[float], second: list[float]) -> None:
    found = rank_correlation(first, second)
    assert (found.tau, found.rho, found.n) == (None, None, len(first))


def test_too_few_or_equal_means_are_said_in_words(runs: Any) -> None:
    runs.plan([runs.done(runs.cell(method), 50.0) for method in ("he", "wave")])
    assert "No rank correlation of fewer than three methods (n = 2 methods)." in printed(compared(runs), 110)
    runs.plan([runs.done(runs.cell("mimetic"), 50.0)])
    assert "No rank correlation where all means are equal (n = 3 methods)." in printed(compared(runs), 110)


def test_nothing_measured_yet(runs: Any) -> None:
    runs.plan([runs.cell("he"), runs.cell("wave")])
    (found,) = compared(runs)
    assert {row.remarks for row in found.rows} == {("without depth 4: incomplete here",)}
    assert "fewer than three methods (n = 0 methods)" in printed([found], 110)
    assert data_csv(comparison_reports([found])).count("\n") == 3


def test_no_depth_in_common(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("he", depth), 50.0) for depth in (2, 3)])
    (found,) = compared(runs)
    sentence = "Table 1 of the WAVE paper (arXiv 2406.17503) has depth 4, 6, 8, 10, 12 and this table depth 2, 3."
    assert sentence in printed([found], 140)
    assert sentence.replace("(", "").split("arXiv")[0] in markdown(comparison_reports([found])).replace("(", "")
    assert found.correlations[0].ranks.n == 0


def test_the_scale_is_that_of_the_paper_only_with_its_preset(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("wave"), 60.0)])
    assert "The scales differ" in printed(compared(runs), 110)
    runs.plan([runs.cell("wave")], preset="imagenet", created="2027-01-01T00:00:00Z")
    assert "The scales differ" not in printed(compared(runs), 110)


def test_widths(runs: Any) -> None:
    widths = {"he": 49.0, "telg": 60.0, "wave": 65.0, "ligo": 63.0, "direct-pt": 70.0}
    cells = [
        runs.done(runs.cell(method, 6, target={"width": width}, size="s"), accuracy + width / 1000)
        for method, accuracy in widths.items()
        for width in (384, 400, 1152)
    ]
    runs.plan(cells, axis="width")
    (found,) = compared(runs)
    assert (found.series.table, found.columns, found.other_columns) == (2, ("384", "1152"), ("400",))
    assert rows(found)["LiGO"].published == {"384": 63.6, "1152": 70.0}
    assert rows(found)["TELG"].remarks == rows(found)["Direct PT"].remarks == ("not in this table of the paper",)
    assert [correlation.ranks.n for correlation in found.correlations] == [3]


def test_tasks(runs: Any) -> None:
    cells = [
        runs.done(runs.cell(method, 6, task=task, size=size), accuracy)
        for method, accuracy in (("he", 50.0), ("share", 80.0), ("wave", 81.0))
        for task in ("cifar10", "mine", "flowers102")
        for size in ("micro", "s")
    ]
    runs.plan(cells, axis="task")
    micro, s = compared(runs)
    assert (micro.series.title, s.series.title) == ("DeiT-Ti", "DeiT-S")
    assert rows(micro)["He-Init"].published == {"cifar10": 92.4, "flowers102": 53.9}
    assert rows(s)["He-Init"].published == {"cifar10": 94.0, "flowers102": 57.2}
    assert micro.other_columns == ("mine",)


@pytest.mark.parametrize("axis", ["depth", "width", "task"])
def test_series_hold_the_published_tables(axis: str) -> None:
    name = {"task": "transfer"}.get(axis, axis)
    expected = sum(row.get("dataset") != "average" for row in published.table(name))
    sizes = {"depth": ("ti", "s", "b"), "width": ("any",), "task": ("ti", "s")}[axis]
    found = [published.series(axis, size) for size in sizes]
    assert sum(len(values) for series in found for values in series.values.values()) == expected
    assert published.series(axis, "micro") == found[0]


def test_hostile_names(runs: Any) -> None:
    names = {"title": HOSTILE, "task": HOSTILE, "size": HOSTILE}
    cells = [runs.done(runs.cell(method, depth, **names), 50.0) for method in ("wave", "evil\x1b|") for depth in (4, 5)]
    runs.plan(cells, setting_description=HOSTILE, preset=HOSTILE)
    found = compared(runs)
    text = markdown(comparison_reports(found))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\\\", "").replace("\\|", "").count("|") for line in lines}) == 1
    assert "<script>" not in text.replace("\\<", "")
    assert "\x1b" not in text + printed(found, 200)
    assert "[red]|`x`*_<script>$&\\" in printed(found, 200)
    csv_rows = list(csv.DictReader(io.StringIO(data_csv(comparison_reports(found)))))
    assert len(csv_rows) == 2
    assert not any(text.startswith(("=", "+", "@")) for row in csv_rows for text in row.values())
    json.loads(report_json(comparison_reports(found), []))


@pytest.mark.parametrize("width", [110, 60, 40])
def test_no_width_cuts_a_number(budgets: Any, width: int) -> None:
    text = printed(compared(budgets), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert text.count("83.2   39.7") == 1
