from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from learngene_bench.results import load, make_tables, markdown, metric_reports, plots
from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.terminal import terminal
from learngene_bench.results.plots.page import Page
from learngene_bench.results.tables.metric_table import MetricTable, SizeMean
from learngene_bench.results.tables.report_table import ReportCell, ReportTable
from learngene_bench.results.tables.tidy import to_frame
from learngene_bench.schema.constants import PHASES
from learngene_bench.schema.cost import Cost
from learngene_bench.util.errors import DamagedFile

ORDINARY, EQUAL = "5d1e" * 16, "ba1a" * 16
BUDGET = {"setting": EQUAL, "equal_budget": {"images": 15_680, "of": ORDINARY}}


def means(table: MetricTable, label: str, size: str = "micro") -> tuple[SizeMean, ...]:
    (row,) = [row for row in table.rows if row.label == label]
    return row.means[size]


def values(table: MetricTable, label: str, size: str = "micro") -> list[float | None]:
    return [mean.value for mean in means(table, label, size)]


def column(table: ReportTable, text: str) -> list[ReportCell]:
    (place,) = [place for place, column in enumerate(table.columns) if column.text == text]
    return [row.cells[place] for row in table.rows]


def printed(results: Any, width: int) -> str:
    output = io.StringIO()
    terminal(metric_reports(make_tables(results)), Console(file=output, width=width))
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def test_the_ordinary_table_has_the_means_of_its_sibling(budgets: Any) -> None:
    ordinary, equal = make_tables(load([budgets.folder]))
    assert (ordinary.source.setting, ordinary.equal_budget) == (ORDINARY, None)
    assert [budget.text for budget in ordinary.budgets] == ["15,680 images"]
    assert (equal.source.setting, equal.budgets) == (EQUAL, ())
    assert equal.title.endswith("at equal budget (15,680 images)")
    assert values(ordinary, "He-Init") == pytest.approx([82.7, 85.7])
    assert values(ordinary, "WAVE") == pytest.approx([92.7, 92.7])
    assert means(ordinary, "Auto-LG") == (SizeMean(None, 7, 8), SizeMean(None, 7, 8))
    assert not any(row.means for row in equal.rows)


def test_a_mean_over_some_columns_says_over_which(budgets: Any) -> None:
    ordinary, _ = make_tables(load([budgets.folder]))
    for label, size, over in (
        ("LiGO", "micro", "2, 6, 8"),
        ("LiGO", "s", "6"),
        ("WAVE (learn_scalers=false)", "micro", "4, 6"),
    ):
        for mean in means(ordinary, label, size):
            assert ordinary.footnotes[mean.footnotes[0] - 1] == f"mean over depth {over} only"


def test_a_mean_at_equal_budget_is_over_the_same_targets_and_seeds(runs: Any) -> None:
    ordinary = [runs.done(runs.cell("he", depth, seed), 80.0 + seed) for depth in (4, 6) for seed in range(2)]
    runs.plan(ordinary)
    more = [(depth, seed) for depth in (4, 6, 8) for seed in range(3)]
    runs.plan([runs.done(runs.cell("he", *place, version=1), 82.0 + place[1]) for place in more], **BUDGET)
    table, _ = make_tables(load([runs.folder]))
    assert means(table, "He-Init") == (SizeMean(80.5, 4, 4), SizeMean(82.5, 4, 4))
    fewer = [runs.done(runs.cell("he", *place, version=2), 82.0) for place in more[:4]]  # of depth 6 one seed only
    runs.plan(fewer, **BUDGET, created="2027-01-01T00:00:00Z")
    table, _ = make_tables(load([runs.folder]))
    assert means(table, "He-Init") == (SizeMean(80.5, 4, 4), SizeMean(None, 3, 4))


def test_what_has_no_plan_has_no_mean(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("he", size="mini"), 80.0), runs.done(runs.cell("wave"), 90.0)])
    runs.plan([runs.done(runs.cell("wave", version=1), 90.0)], **BUDGET)
    table, _ = make_tables(load([runs.folder]))
    assert means(table, "He-Init", "mini") == (SizeMean(80.0, 1, 1), SizeMean(None, 0, 0))
    assert means(table, "He-Init", "micro") == (SizeMean(None, 0, 0), SizeMean(None, 0, 0))


def test_several_siblings_have_a_column_each(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("he"), 80.0)])
    for version, images in ((1, 15_680), (2, 32_000)):
        budget = {"setting": str(version) * 64, "equal_budget": {"images": images, "of": ORDINARY}}
        runs.plan([runs.done(runs.cell("he", version=version), 80.0 + version)], **budget)
    results = load([runs.folder])
    assert values(make_tables(results)[0], "He-Init") == [80.0, 81.0, 82.0]
    assert "| Mean | Mean =15,680 | Mean =32,000 |" in markdown(metric_reports(make_tables(results)))


@pytest.mark.parametrize("other", [{"protocol": 9}, {"axis": "width"}])
def test_protocols_and_axes_are_no_siblings(runs: Any, other: dict[str, Any]) -> None:
    runs.plan([runs.done(runs.cell("he"), 80.0)])
    runs.plan([runs.cell("he", version=1)], **BUDGET, **other)
    assert [table.budgets for table in make_tables(load([runs.folder]))] == [(), ()]


def test_the_sibling_stands_after_its_table_whatever_came_first(own_budgets: Any) -> None:
    own_budgets.plan([own_budgets.cell("he", version=5)], setting="0" * 64, created="2026-11-01T00:00:00Z")
    settings = [table.source.setting for table in make_tables(load([own_budgets.folder]))]
    assert settings == ["0" * 64, ORDINARY, EQUAL]  # by its own age the sibling would be the second


def test_as_initialized_the_sibling_would_only_repeat_the_numbers(own_budgets: Any) -> None:
    results = load([own_budgets.folder])
    assert [table.source.setting for table in make_tables(results, "top1_initial")] == [ORDINARY]
    assert not make_tables(results, "top1_initial")[0].budgets
    assert [table.source.setting for table in make_tables(results.of_setting(EQUAL), "top1_initial")] == [EQUAL]
    own_budgets.plan([own_budgets.done(own_budgets.cell("sws", 12), 90.0)], **BUDGET)
    assert [table.source.setting for table in make_tables(load([own_budgets.folder]), "top1_initial")] == [
        ORDINARY,
        EQUAL,
    ]


def test_of_a_setting_its_sibling_is_kept(own_budgets: Any) -> None:
    own_budgets.plan([own_budgets.done(own_budgets.cell("he", version=5), 1.0, setting="0" * 64)], setting="0" * 64)
    results = load([own_budgets.folder]).of_setting(ORDINARY)
    assert {manifest.setting for manifest in results.manifests} == {ORDINARY, EQUAL}
    assert {cell.folder for manifest in results.manifests for cell in manifest.cells} >= set(results.records)
    assert 1.0 not in {record.metrics["top1"] for record in results.records.values()}


def test_cells_that_both_settings_share_have_a_row_in_each(budgets: Any) -> None:
    frame = to_frame(load([budgets.folder]))
    wave = frame[(frame.method == "wave") & (frame.variant == "")]
    assert wave.groupby("setting").size().to_dict() == {ORDINARY: 12, EQUAL: 12}
    assert set(wave[wave.setting == EQUAL].equal_budget) == {"15,680 images"}
    assert wave[wave.setting == ORDINARY].equal_budget.isna().all()


def test_records_without_a_plan_know_their_budget(runs: Any) -> None:
    runs.done(runs.cell("he"), 80.0)
    runs.done(runs.cell("he", version=1), 83.0, **BUDGET)
    ordinary, equal = make_tables(load([runs.folder]))
    assert values(ordinary, "He-Init") == [80.0, 83.0]
    assert "equal budget" in equal.title


def test_figures_say_which_budget(budgets: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []

    def keep_title(page: Page, folder: Path, name: str) -> list[Path]:
        titles.append(page.figure.texts[0].get_text())
        return []

    monkeypatch.setattr(Page, "save", keep_title)
    plots.accuracy(load([budgets.folder]), tmp_path)
    assert ["at equal budget (15,680 images)" in title for title in titles] == [False, True]


def test_no_width_cuts_a_mean(runs: Any) -> None:
    depths = range(2, 14)
    runs.plan([runs.done(runs.cell("wave", depth), 50.5) for depth in depths])
    runs.plan([runs.done(runs.cell("wave", depth, version=1), 60.5) for depth in depths], **BUDGET)
    results = load([runs.folder]).of_setting(ORDINARY)
    for width in (36, 47, 60, 83, 110):
        text = printed(results, width)
        assert max(cell_len(line) for line in text.splitlines()) <= width
        assert "…" not in text
        words = " ".join(text.split()).split("at equal budget")[0].split()
        assert [words.count(number) for number in ("50.5", "60.5", "=budget")] == [13, 1, 1]


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (3, "'equal_budget' is 3, not an object"),
        ({"images": 15_680}, "lacks 'equal_budget.of'"),
        ({"images": "15680", "of": ""}, "'equal_budget.images' is '15680', not a valid integer"),
        ({"of": EQUAL}, "'equal_budget': give either images or iterations"),
        ({"images": 15_680, "iterations": 245, "of": EQUAL}, "'equal_budget': give either images or iterations"),
        ({"images": 15_680, "of": ORDINARY}, "'equal_budget.of' is its own setting"),
    ],
)
def test_a_damaged_budget_is_named(runs: Any, budget: Any, reason: str) -> None:
    path = runs.plan([runs.cell("he")], equal_budget=budget)
    with pytest.raises(DamagedFile) as error:
        load([runs.folder])
    assert str(error.value).startswith(f"{path} is damaged (")
    assert reason in str(error.value)


def test_rows_at_equal_budget_show_the_flops_of_one_target(runs: Any) -> None:
    def cost(**flops: float) -> dict[str, Any]:
        return {phase: Cost(flops=flops.get(phase, 0.0)).model_dump() for phase in PHASES}

    cells = [runs.cell(method, depth) for method in ("he", "wave") for depth in (4, 6)]
    runs.plan(cells)
    equal = [runs.cell(cell["method"], cell["target"]["depth"], version=1) for cell in cells]
    runs.done(equal[0], 80.0, cost=cost(finetune=4e12))
    runs.done(equal[1], 80.0, cost=cost(finetune=6e12))
    runs.done(equal[2], 90.0, cost=cost(ancestors=1e15, prepare=1e15, initialize=2.5e12, finetune=3e12))
    runs.plan(equal, **BUDGET)
    ordinary, table = metric_reports(make_tables(load([runs.folder])))
    assert "FLOPs each" not in [column.text for column in ordinary.columns]
    assert [cell.text for cell in column(table, "FLOPs each")] == ["5.0T", "1/2"]
    assert any(note.startswith("FLOPs each: of initializing and fine-tuning one target") for note in table.notes)
    runs.done(equal[3], 90.0, cost=cost(initialize=2.5e12, finetune=6e12))
    _, table = metric_reports(make_tables(load([runs.folder])))
    assert [cell.value for cell in column(table, "FLOPs each")] == [5e12, 7e12]


def test_a_budget_of_protocol_2_is_one_of_iterations(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("he"), 80.0, protocol=2)], protocol=2)
    old = {"setting": EQUAL, "equal_budget": {"iterations": 245, "of": ORDINARY}, "protocol": 2}
    runs.plan([runs.done(runs.cell("he", version=1), 83.0, **old)], **old)
    ordinary, equal = make_tables(load([runs.folder]))
    assert equal.title.endswith("at equal budget (245 iterations)")
    assert equal.equal_budget is not None
    assert equal.equal_budget.model_dump(mode="json") == old["equal_budget"]
    assert values(ordinary, "He-Init") == [80.0, 83.0]


def test_json_has_the_means(budgets: Any) -> None:
    results = load([budgets.folder])
    ordinary, equal = json.loads(reporting.FORMATS["json"](reporting.make(results, metric="top1")))["tables"]
    assert [table["identity"]["equal_budget"] for table in (ordinary, equal)] == [None, "15,680 images"]
    means = [place for place, column in enumerate(ordinary["columns"]) if column["span"] == "Mean"]
    he = ordinary["rows"][0]["cells"]
    assert [he[place]["value"] for place in means[:2]] == pytest.approx([82.7, 85.7])
