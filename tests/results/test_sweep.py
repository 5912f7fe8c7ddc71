"""Sweeps: what is selected, how wide its plateau is, and that every table and format says so."""

from __future__ import annotations

import csv as csv_format
import io
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import record_plan
from records import IMAGES

from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import Request, build_request
from learngene_bench.planning.sweep import SweepPlan, make_sweep, places_of
from learngene_bench.planning.sweep_space import parse_sweep
from learngene_bench.plugins.registry import Registry
from learngene_bench.results import load, plots
from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.csv import csv
from learngene_bench.results.leaderboard import manage
from learngene_bench.results.plots.page import Page
from learngene_bench.results.records.sweeps import Choice, sweeps
from learngene_bench.results.tables.sweep import SweepTable, sweep_tables
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.schema.subject import PlannedCell

RATES = ("0.0005", "0.001", "0.002")
VALIDATION = {"he": (700, 800, 900), "mimetic": (820, 1000, 990), "weight-selection": (1200, 1190, 1100)}
"""Right images of seed 0 at each rate; another seed has a few more."""
TEST = {"he": 600, "mimetic": 500, "weight-selection": 400}
"""On test images the methods are the other way round, so that a table that took the wrong split would be seen."""


def planned(
    methods: str, *sweep: str, trials: int | None = None, seeds: int = 2, settings: Sequence[str] = ()
) -> SweepPlan:
    registry = Registry()

    def build(further: Sequence[str]) -> Request:
        every = ["grid.depths=[4,6]", *settings, *further]
        return build_request(methods, "depth", "digits", seeds, every, registry, False)

    return make_sweep(build, parse_sweep(sweep, trials, 0, registry.names(), settings))


def right_of(plan: Any) -> Callable[[PlannedCell], int]:
    """Made-up results of the cells of a plan, by method, rate, seed and split."""
    rows = {(row.method, row.variant, row.size): row.trial for row in plan.sweep.rows} if plan.sweep else {}

    def right(cell: PlannedCell) -> int:
        trial = rows.get((cell.method, cell.variant, cell.size), {"finetuning.learning_rate": "0.0005"})
        place = RATES.index(trial["finetuning.learning_rate"])
        if plan.sweep and plan.sweep.role == "trials":
            return VALIDATION[cell.method][place] + 30 * cell.seed
        return TEST[cell.method] + 10 * place + int(cell.target["depth"] or 0) + cell.seed

    return right


def recorded_sweep(folder: Path, sweep: SweepPlan, *, selected: bool = True) -> None:
    """All that a run of a sweep leaves; without the test measurements it was stopped before them."""
    for plan in sweep.trials:
        record_plan(folder, plan, right=right_of(plan))
    if selected:
        for plan in [sweep.default, *sweep.selected(selection(folder, sweep))]:
            record_plan(folder, plan, right=right_of(plan))


def selection(folder: Path, sweep: SweepPlan) -> dict[Any, dict[str, str]]:
    from learngene_bench.cli.sweep import selected_trials

    return selected_trials(load([folder]), sweep)


@pytest.fixture(scope="module")
def sweep() -> SweepPlan:
    return planned("he,mimetic,weight-selection", "finetuning.learning_rate=5e-4,1e-3,2e-3")


@pytest.fixture(scope="module")
def runs(sweep: SweepPlan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep") / "runs"
    recorded_sweep(folder, sweep)
    return folder


def tables_of(folder: Path) -> SweepTable:
    results = load([folder])
    (table,) = sweep_tables(make_tables(results), results)
    return table


def choices(table: SweepTable) -> dict[str, Choice]:
    return {key.method: choice for (key, index), choice in table.choices.items() if index == 0}


def test_trials_are_ordinary_cells_on_validation_images(sweep: SweepPlan) -> None:
    """The same cell by --set has the same address, so it is computed once, and can be repeated."""
    settings = ["finetuning.learning_rate=0.001", "evaluation_split=validation", "grid.depths=[4,6]"]
    other = make_plan(build_request("he,mimetic,weight-selection", "depth", "digits", 2, settings, Registry(), False))
    assert set(sweep.trials[1].stages) == set(other.stages)
    plain = make_plan(
        build_request("he,mimetic,weight-selection", "depth", "digits", 2, settings[2:], Registry(), False)
    )
    assert sweep.default.stages.keys() == plain.stages.keys()
    assert sweep.default.sweep is None


def test_the_selection_is_by_validation_and_the_table_by_test_images(runs: Path) -> None:
    table = tables_of(runs)
    picked = {method: choice.selected and dict(choice.selected.settings) for method, choice in choices(table).items()}
    rates = {"he": "0.002", "mimetic": "0.001", "weight-selection": "0.0005"}
    assert picked == {method: {"finetuning.learning_rate": rate} for method, rate in rates.items()}
    for row in table.best.rows:
        place = RATES.index(rates[row.method])
        expected = [100 * (TEST[row.method] + 10 * place + 4 + seed) / IMAGES for seed in range(2)]
        assert list(row.entries[0].values.values()) == pytest.approx(expected)
    assert table.default is not None
    assert {row.method for row in table.default.rows} == rates.keys()


def test_plateau_and_border(runs: Path) -> None:
    """The standard deviation over the seeds is that of 0 and 30 more images, 21.2; 990 is within it of 1000."""
    found = choices(tables_of(runs))
    deviation = statistics.stdev([100 * 1000 / IMAGES, 100 * 1030 / IMAGES])
    assert found["mimetic"].selected is not None
    assert found["mimetic"].selected.standard_deviation == pytest.approx(deviation)
    widths = {method: len(choice.plateau or ()) for method, choice in found.items()}
    assert widths == {"he": 1, "mimetic": 2, "weight-selection": 2}
    key = "finetuning.learning_rate"
    assert {method: choice.border(key) for method, choice in found.items()} == {
        "he": "highest",
        "mimetic": "",
        "weight-selection": "lowest",
    }


def test_the_trials_are_no_tables_and_no_rows_of_test_results(runs: Path) -> None:
    results = load([runs])
    assert [table.title.partition(", by depth")[2] for table in make_tables(results)] == [
        "",
        ", each method at its best of 3 trials",
    ]
    rows = list(csv_format.DictReader(io.StringIO(reporting.FORMATS["csv"](reporting.make(results)))))
    trials = {record.address for record in results.records.values() if record.result.evaluation.split == "validation"}
    assert len(trials) == 3 * 3 * 2 * 2
    assert not trials & {row["address"] for row in rows}


@pytest.mark.parametrize("kind", ["table", "markdown", "latex-document", "html", "json"])
def test_every_format_has_the_sweep(runs: Path, kind: str) -> None:
    text = reporting.FORMATS[kind](reporting.make(load([runs]), computed=["sweep"]))
    assert "On the border of what was tried" in " ".join(text.split())
    assert "never at another trial" in " ".join(text.split())
    assert "Trials on validation images" in text


def test_the_csv_has_every_trial(runs: Path) -> None:
    derived = reporting.make(load([runs]), computed=["sweep"]).derived
    files = {table.kind: list(csv_format.DictReader(io.StringIO(csv([table])))) for table in derived}
    assert len(files["trials"]) == 3 * 3 * 2
    he = [row for row in files["trials"] if (row["method"], row["column"]) == ("he", "4")]
    means = [100 * (right + 15) / IMAGES for right in VALIDATION["he"]]
    assert [float(row["validation"]) for row in he] == pytest.approx(means)
    assert [row["selected"] for row in he] == ["False", "False", "True"]
    best = {row["method"]: row for row in files["sweep"] if row["column"] == "4"}
    assert best["he"]["selected"] == "finetuning.learning_rate=0.002"
    assert best["he"]["border"] == "highest finetuning.learning_rate"
    assert best["mimetic"]["plateau"] == "2"


def test_the_figure_has_a_line_for_each_method(runs: Path, pages: list[Page]) -> None:
    plots.sweep(load([runs]), Path("unused"))
    (page,) = pages
    panels = page.figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["depth 4", "depth 6"]
    rings = [line.get_xdata()[0] for axes in panels for line in axes.get_lines() if len(line.get_xdata()) == 1]
    assert rings == [0.002, 0.001, 0.0005] * 2


def test_without_all_trials_nothing_is_selected(sweep: SweepPlan, tmp_path: Path) -> None:
    """Whatever is missing might be the best; another method is not kept waiting by it."""
    folder = tmp_path / "runs"
    recorded_sweep(folder, sweep, selected=False)
    (lost,) = [cell for cell in sweep.trials[2].cells if (cell.method, cell.target["depth"], cell.seed) == ("he", 4, 1)]
    (folder / "cell" / lost.folder / "result.json").unlink()
    results = load([folder])
    (found,) = sweeps(results.manifests)
    reasons = {
        (row.method, column.fact("depth")): found.choice((row, column), results).reason
        for row, column in found.places()
    }
    assert reasons.pop(("he", 4)) == "nothing is selected yet: 2 of 3 trials on validation images are done"
    assert set(reasons.values()) == {""}
    assert len(selection(folder, sweep)) == len(reasons)
    text = reporting.FORMATS["table"](reporting.make(results, computed=["sweep"]))
    assert "not planned on test images yet: run again" in text


def test_methods_measured_on_other_days_stand_in_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for method in ("he", "mimetic"):
        recorded_sweep(folder, planned(method, "finetuning.learning_rate=0.0005,0.001,0.002"))
    assert {row.method for row in tables_of(folder).best.rows} == {"he", "mimetic"}


def test_another_list_of_values_is_another_table(tmp_path: Path) -> None:
    for values in ("5e-4,1e-3", "5e-4,1e-3,2e-3"):
        recorded_sweep(tmp_path / "runs", planned("he", f"finetuning.learning_rate={values}"))
    results = load([tmp_path / "runs"])
    assert [table.trials for table in sweep_tables(make_tables(results), results)] == [2, 3]


def test_a_leaderboard_takes_trials_with_what_they_select(runs: Path, tmp_path: Path) -> None:
    board = tmp_path / "sweeps"
    manage.add(board, runs)
    assert manage.difference(board) is None
    assert "At its best" in (board / "README.md").read_text()
    published = load([board])
    assert choices_of(published) == choices_of(load([runs]))


def choices_of(results: Any) -> list[Any]:
    (found,) = sweeps(results.manifests)
    picked = [found.choice(place, results).selected for place in found.places()]
    return [trial and (trial.settings, trial.mean) for trial in picked]


def test_options_of_a_method_are_drawn_as_often_as_others(tmp_path: Path) -> None:
    both = ("finetuning.learning_rate=loguniform(1e-4,1e-2)", "wave.noise=uniform(0,0.3)")
    made = planned("wave,he", *both, trials=4)
    trials = {method: [] for method in ("wave", "he")}
    for plan in made.trials:
        assert plan.sweep is not None
        for row in plan.sweep.rows:
            trials[row.method].append(row.trial)
    assert [len(found) for found in trials.values()] == [4, 4]
    rates = {method: [trial["finetuning.learning_rate"] for trial in found] for method, found in trials.items()}
    assert rates["wave"] == rates["he"]  # the same trials for all
    assert all(1e-4 <= float(rate) <= 1e-2 for rate in rates["he"])
    assert len({trial["wave.noise"] for trial in trials["wave"]}) == 4
    assert all("wave.noise" not in trial for trial in trials["he"])
    assert {row.default for plan in made.trials for row in plan.sweep.rows if plan.sweep} == {""}
    again = planned("he", both[0], trials=4)
    assert again.sweep.address == made.sweep.address  # he alone, another day: the same draws, the same table
    assert {address for plan in again.trials for address in plan.stages} <= {a for p in made.trials for a in p.stages}
    assert len({places_of(plan)[cell.address] for plan in made.trials for cell in plan.cells}) == 2 * 2
