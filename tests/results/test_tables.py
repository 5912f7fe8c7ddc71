from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from records import planned_stage

from learngene_bench.results import load, make_tables, markdown, metric_reports
from learngene_bench.results.records.selection import of_grid
from learngene_bench.results.tables import tidy
from learngene_bench.results.tables.metric_table import Entry, MetricTable, SizeMean
from learngene_bench.schema.base import write
from learngene_bench.schema.record import Failure
from learngene_bench.util.errors import DamagedFile, UserError
from learngene_bench.version import PROTOCOL


def only(runs: Any, metric: str = "top1") -> MetricTable:
    (table,) = make_tables(load([runs.folder]), metric)
    return table


def entry(table: MetricTable, label: str, column: int = 0) -> Entry:
    (row,) = [row for row in table.rows if row.label == label]
    return row.entries[column]


def marks(table: MetricTable) -> dict[str, str]:
    return {row.label: row.entries[0].highlight for row in table.rows}


def test_a_mean_is_over_all_planned_seeds_or_there_is_none(runs: Any) -> None:
    cells = [runs.cell("wave", seed=seed) for seed in range(3)]
    runs.plan(cells)
    assert entry(only(runs), "WAVE").state == "pending"
    for seed, accuracy in enumerate((90.0, 92.0)):
        runs.done(cells[seed], accuracy)
    incomplete = entry(only(runs), "WAVE")
    assert (incomplete.state, incomplete.mean, len(incomplete.values), incomplete.expected) == (
        "incomplete",
        None,
        2,
        3,
    )
    runs.done(cells[2], 94.0)
    done = entry(only(runs), "WAVE")
    assert (done.state, done.mean, done.standard_deviation) == ("done", 92.0, 2.0)


@pytest.mark.parametrize("accuracy", [math.nan, math.inf, -math.inf, -0.5, 100.5, 1e308])
def test_a_metric_that_is_no_percentage_is_a_missing_seed_with_a_footnote(runs: Any, accuracy: float) -> None:
    runs.plan([runs.done(runs.cell("wave", seed=0), 90.0), runs.done(runs.cell("wave", seed=1), accuracy)])
    table = only(runs)
    assert (entry(table, "WAVE").state, entry(table, "WAVE").footnotes) == ("incomplete", (1,))
    assert table.footnotes == (f"top1 is {accuracy}, which is not a valid value",)
    assert entry(only(runs, "top1_initial"), "WAVE").state == "done"


def test_a_cell_whose_gene_cannot_be_made_has_failed(runs: Any) -> None:
    cell = runs.cell("wave")
    gene, ancestor = "a" * 64, "b" * 64
    stages = [planned_stage(ancestor, "ancestor"), planned_stage(gene, "gene", {"teacher": ancestor})]
    runs.plan([cell], stages=[*stages, planned_stage(cell["address"], "cell", {"gene": gene})])
    folder = runs.folder / "ancestor" / ancestor[:20]
    folder.mkdir(parents=True)
    write(folder / "failed.json", Failure(address=ancestor, label="teacher regnet", error="no weights"))
    table = only(runs)
    assert entry(table, "WAVE").state == "failed"
    assert table.footnotes == ("failed: teacher regnet: no weights",)


def test_plans_of_one_setting_share_a_table_across_folders(runs: Any, tmp_path: Path) -> None:
    later = type(runs)(tmp_path / "later")
    runs.plan([runs.done(runs.cell("he", depth), 80.0) for depth in (12, 4)])
    later.plan([later.done(later.cell("wave", 4, seed), 90.0) for seed in range(2)], created="2026-12-01T00:00:00Z")
    (table,) = make_tables(load([runs.folder, later.folder]))
    assert [column.label for column in table.columns] == ["4", "12"]
    assert [row.label for row in table.rows] == ["He-Init", "WAVE"]
    assert entry(table, "WAVE", 0).expected == 2
    assert entry(table, "WAVE", 1).state == "not planned"


@pytest.mark.parametrize("difference", [{"protocol": 9}, {"setting": "f" * 64}, {"grid": "components"}])
def test_protocols_settings_and_grids_never_share_a_table(runs: Any, difference: dict[str, Any]) -> None:
    runs.plan([runs.done(runs.cell("he"), 80.0)])
    runs.plan([runs.done(runs.cell("wave"), 90.0, **difference)], created="2026-12-01T00:00:00Z", **difference)
    first, second = make_tables(load([runs.folder]))
    assert [[row.label for row in table.rows] for table in (first, second)] == [["He-Init"], ["WAVE"]]
    assert (first.title, first.subtitle) != (second.title, second.subtitle)


def test_a_grid_by_its_name(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("he"), 80.0), runs.done(runs.cell("wave"), 90.0)])
    runs.plan([runs.done(runs.cell("wave"), 90.0), runs.done(runs.cell("wave", variant="a=1"), 85.0)], grid="parts")
    results = load([runs.folder])
    (table,) = make_tables(of_grid(results, "parts"))
    assert [row.label for row in table.rows] == ["WAVE", "WAVE (a=1)"]
    assert {cell["method"] for cell in tidy.rows(of_grid(results, "parts"))} == {"wave"}
    with pytest.raises(UserError, match=r"unknown grid 'part': did you mean 'parts'\? \(valid: depth, parts\)"):
        of_grid(results, "part")


def test_records_without_a_plan_belong_to_the_grid_of_what_they_differ_in(runs: Any) -> None:
    for task in ("cifar10", "flowers102"):
        runs.done(runs.cell("he", 6, task=task), 80.0)
    (table,) = make_tables(of_grid(load([runs.folder]), "transfer"))
    assert [column.label for column in table.columns] == ["cifar10", "flowers102"]


def test_a_newer_plan_replaces_an_older_one_and_never_mixes_with_it(runs: Any) -> None:
    for day, version, seeds in ((1, 0, (0, 1, 2)), (2, 0, (0, 1, 2, 3)), (3, 1, (0,))):
        cells = [runs.done(runs.cell("wave", 4, seed, version), 90.0 + version) for seed in seeds]
        runs.plan(cells, created=f"2026-11-0{day}T00:00:00Z")
    table = only(runs)
    assert entry(table, "WAVE").values == {0: 91.0}
    assert table.replaced == 4


def test_a_plan_with_two_cells_for_one_place_is_refused(runs: Any) -> None:
    runs.plan([runs.cell("wave", version=0), runs.cell("wave", version=1)])
    with pytest.raises(DamagedFile, match="two cells of one measurement"):
        make_tables(load([runs.folder]))


def test_records_without_a_plan_make_a_table_too(runs: Any) -> None:
    for task in ("cifar10", "flowers102"):
        runs.done(runs.cell("wave", task=task), 90.0)
    table = only(runs)
    assert (table.axis, [column.label for column in table.columns]) == ("task", ["cifar10", "flowers102"])
    assert entry(table, "WAVE").mean == 90.0


def test_best_and_second_of_one_seed_go_by_what_is_printed(runs: Any) -> None:
    accuracies = {"he": 80.0, "mimetic": 81.0, "wave": 90.0, "direct-pt": 99.0}
    cells = {method: runs.done(runs.cell(method), accuracy) for method, accuracy in accuracies.items()}
    plan = runs.plan(list(cells.values()))
    assert marks(only(runs)) == {"He-Init": "", "Mimetic": "second", "WAVE": "best", "Direct PT": ""}
    runs.done(cells["mimetic"], 89.96)  # prints as 90.0
    assert marks(only(runs)) == {"He-Init": "", "Mimetic": "best", "WAVE": "best", "Direct PT": ""}
    plan.unlink()
    runs.plan([*cells.values(), runs.failed(runs.cell("ligo"), "boom")])
    assert set(marks(only(runs)).values()) == {""}


def plan_seeds(runs: Any, accuracies: dict[str, list[float]]) -> dict[str, str]:
    runs.plan(
        [
            runs.done(runs.cell(method, seed=seed), accuracy)
            for method, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ]
    )
    return marks(only(runs))


def test_best_and_second_of_several_seeds_go_by_a_paired_test(runs: Any) -> None:
    found = plan_seeds(
        runs,
        {
            "wave": [90.0, 92.0, 94.0],
            "sws": [89.95, 91.96, 93.94],  # less than a tenth below, and always: significant
            "telg": [91.0, 89.0, 93.5],  # 0.83 below, sometimes above: not; but below one that is
            "auto-lg": [80.0, 82.0, 84.0],
            "direct-pt": [99.0, 99.1, 99.2],
        },
    )
    assert found == {"WAVE": "best", "SWS": "second", "TELG": "second", "Auto-LG": "", "Direct PT": ""}


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ({"he": [80.0, 81.0], "wave": [81.0, 80.5]}, ["", ""]),  # nothing to tell apart
        ({"he": [80.0, 81.0], "wave": [90.0, 91.0]}, ["", "best"]),  # a second would be the worst
        ({"he": [80.0, 81.0], "telg": [80.0, 81.0], "wave": [90.0, 91.0]}, ["", "", "best"]),
        ({"he": [85.0], "telg": [80.0, 81.0], "wave": [90.0, 91.0]}, ["", "", "best"]),  # one seed tells nothing
        ({"he": [95.0], "telg": [80.0, 81.0], "wave": [90.0, 91.0]}, ["", "", ""]),  # not even that it is the best
    ],
)
def test_what_no_test_tells_is_not_marked(runs: Any, accuracies: dict[str, list[float]], expected: list[str]) -> None:
    assert list(plan_seeds(runs, accuracies).values()) == expected


def test_tasks_have_a_mean_beside_them(runs: Any) -> None:
    cells = [
        runs.done(runs.cell("he", 6, seed, task=task), accuracy + seed, 10.0 + seed)
        for task, accuracy in (("cifar10", 90.0), ("flowers102", 50.0))
        for seed in range(2)
    ]
    cells += [runs.done(runs.cell("ligo", 6, seed, task="cifar10"), 80.0) for seed in range(2)]
    runs.plan(cells, [runs.dash("ligo", 6, "too small", task="flowers102")], grid="transfer", axis="task")
    for metric, expected in (("top1", 70.5), ("top1_initial", 10.5)):
        table = only(runs, metric)
        he, ligo = table.rows
        assert he.means["micro"] == (SizeMean(expected, 4, 4),)
        assert table.footnotes[ligo.means["micro"][0].footnotes[0] - 1] == "mean over cifar10 only"


def test_protocols_say_that_they_stand_apart(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("he"), 80.0)])
    assert "protocol versions" not in markdown(metric_reports(make_tables(load([runs.folder]))))
    later = {"protocol": 9, "created": "2027-01-01T00:00:00Z"}
    runs.plan([runs.done(runs.cell("he", version=1), 90.0, protocol=9)], **later)
    first, second = markdown(metric_reports(make_tables(load([runs.folder])))).split("###")[1:]
    assert "other protocol versions (here: 9) cannot be compared" in first
    assert f"other protocol versions (here: {PROTOCOL}) cannot be compared" in second


def test_columns_and_rows_can_always_be_told_apart(runs: Any) -> None:
    cells = [runs.cell("wave", target={"width": 48, "irpe": irpe}) for irpe in (False, True)]
    cells += [runs.cell("mine", title="WAVE"), runs.cell("wave", variant="a=1")]
    runs.plan(cells)
    table = only(runs)
    assert [column.label for column in table.columns] == ["4 (irpe False)", "4 (irpe True)", "4 (irpe None)"]
    assert [row.label for row in table.rows] == ["WAVE (wave)", "WAVE (wave, a=1)", "WAVE (mine)"]


def test_rows_stand_in_the_order_of_the_longest_plan(runs: Any) -> None:
    methods = ["c", "a", "b"]
    runs.plan([runs.cell(method) for method in methods])
    runs.plan([runs.cell("b"), runs.cell("d")], created="2027-01-01T00:00:00Z")
    assert [row.method for row in only(runs).rows] == ["c", "a", "b", "d"]


def test_an_unknown_metric_names_the_valid_ones(runs: Any) -> None:
    runs.plan([runs.done(runs.cell("wave"), 90.0)])
    with pytest.raises(UserError, match=r"top5.*\(valid: top1, top1_initial\)"):
        make_tables(load([runs.folder]), "top5")


def test_notes_say_how_images_were_looked_at(runs: Any) -> None:
    how = {"split": "test", "images": 233, "how": "windows of 96 x 96, stride 32"}
    cells = [runs.done(runs.cell("wave", seed=0), 90.0, evaluation=how), runs.done(runs.cell("he", seed=0), 80.0)]
    runs.plan(cells)
    (report,) = metric_reports([only(runs)])
    assert [note for note in report.notes if "windows" in note] == [
        f"Evaluation of {cells[0]['task']}: windows of 96 x 96, stride 32."
    ]
