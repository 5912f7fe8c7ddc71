"""Gaps over the length of fine-tuning: where they close, by hand and by a test over the seeds."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from learngene_bench.cli.main import run_command
from learngene_bench.results import load, make_tables, metric_reports
from learngene_bench.results.plots import gaps as draw_gaps
from learngene_bench.results.plots.page import Page
from learngene_bench.results.statistics.crossing import closing_point, last_open
from learngene_bench.results.statistics.paired import t_interval
from learngene_bench.results.tables.gaps import place_gaps
from learngene_bench.schema.cost import CellCost, Cost

HORIZONS = (1, 3, 10, 30)
HE = {0: (60.0, 75.0, 85.0, 90.0), 1: (61.0, 74.5, 86.0, 90.5), 2: (59.5, 75.5, 85.5, 89.0)}
WAVE = {0: (80.0, 84.0, 87.0, 89.0), 1: (80.5, 84.5, 86.5, 89.5), 2: (80.0, 83.5, 87.0, 89.5)}
TRAINED = {0: (88.0,) * 4, 1: (88.5,) * 4, 2: (87.5,) * 4}


@pytest.fixture
def longer(runs: Any) -> Any:
    """He-Init, WAVE and Direct PT at four horizons and three seeds; Direct PT is one cell for each seed."""
    cells = []
    for method, values in (("he", HE), ("wave", WAVE), ("direct-pt", TRAINED)):
        for seed, accuracies in values.items():
            for horizon, top1 in zip(HORIZONS, accuracies, strict=True):
                constant = method == "direct-pt"
                cell = runs.cell(method, 6, seed, version=0 if constant else horizon, horizon=float(horizon))
                if constant:
                    cell["address"] = runs.cell(method, 6, seed)["address"]
                iterations = 0 if constant else 95 * horizon
                spent = Cost(epochs=iterations / 19, iterations=iterations)
                cost = CellCost(initialize=Cost(), finetune=spent).model_dump(mode="json")
                runs.done({**cell, "horizon": 1.0} if constant else cell, top1, cost=cost)
                cells.append(cell)
    runs.plan(cells, grid="horizon", axis="horizon", stages=[])
    return runs


@pytest.mark.parametrize(
    ("gaps", "point"),
    [
        ((10.0, 5.0, 1.0), None),
        ((10.0, -10.0, -20.0), math.sqrt(10)),  # half of the way over the logarithm
        ((-3.0, -1.0, 1.0), 10 * math.sqrt(10)),
        ((2.0, 0.0, 5.0), 10.0),
        ((0.0, 1.0, 1.0), 1.0),
        ((1.0, -1.0, 1.0), math.sqrt(10)),  # the first of several
    ],
)
def test_closing_point(gaps: tuple[float, ...], point: float | None) -> None:
    assert closing_point((1.0, 10.0, 100.0), gaps) == (point if point is None else pytest.approx(point))
    assert closing_point((1.0, 10.0, 100.0), [-gap for gap in gaps]) == closing_point((1.0, 10.0, 100.0), gaps)


def test_last_open() -> None:
    above, below, around = (1.0, 1.1, 1.2), (-1.0, -1.1, -1.2), (1.0, -1.0, 0.5)
    assert last_open([above, above, around, above]) == 1
    assert last_open([below, below]) == 1
    assert last_open([above, below]) == 0
    assert last_open([around, above]) is None
    assert last_open([(5.0,)]) is None  # one seed
    # as the 95 % interval says, on either side of the level
    for spread in (0.2, 0.5):
        differences = [1.0 - spread, 1.0, 1.0 + spread]
        interval = t_interval(differences)
        assert interval is not None
        assert (last_open([differences]) is None) == (interval.lower < 0) == (spread == 0.5)


def test_gaps_are_paired_by_seed_over_epochs(longer: Any) -> None:
    results = load([longer.folder])
    (place,) = place_gaps(make_tables(results), results, "horizon")
    assert place.positions == (5, 15, 50, 150)
    assert [row.label for row in place.constant] == ["Direct PT"]
    lead = place.gaps["WAVE", "He-Init"]
    differences = np.array([np.subtract(WAVE[seed], HE[seed]) for seed in range(3)])
    assert lead.means == pytest.approx(differences.mean(axis=0))
    for column, interval in enumerate(lead.intervals):
        expected = stats.ttest_rel(*([v[seed][column] for seed in range(3)] for v in (WAVE, HE))).confidence_interval()
        assert interval == pytest.approx((expected.low, expected.high))
    # 19.2 ... 1.4, -0.5: zero after 1.4 / 1.9 of the way from log 50 to log 150
    ends = differences[:, 2:]
    by_hand = [50 * 3 ** (a / (a - b)) if b <= 0 else math.inf for a, b in ends]
    assert lead.closes_at == pytest.approx(50 * 3 ** (ends[:, 0].mean() / (ends[:, 0].mean() - ends[:, 1].mean())))
    assert lead.seeds_close_at == pytest.approx(sorted(by_hand))
    assert lead.open_at == 15
    behind = place.gaps["WAVE", "Direct PT"]
    assert behind.means[0] < 0
    assert behind.open_at == 15
    assert 50 < (behind.closes_at or 0) < 150


def test_the_report_says_where_gaps_close(longer: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", "--runs", str(longer.folder), "--table", "horizon", "--format", "json"]) == 0
    after, _, gap = json.loads(capsys.readouterr().out)["tables"]
    assert [column["label"] for column in after["columns"] if column["span"] == "horizon"] == ["×1", "×3", "×10", "×30"]
    (wave,) = [row for row in gap["rows"] if row["label"] == "WAVE"]
    texts = [cell["text"] for cell in wave["cells"]]
    lead = ["+20.0", "+9.0", "+1.3", "−0.5", "111 (72.1 to >150)", "15"]
    behind = ["−7.8", "−4.0", "−1.2", "+1.3", "83.5 (62.3 to 104)", "15"]
    assert texts == [*lead, *behind]
    (trained,) = [row for row in gap["rows"] if row["label"] == "Direct PT"]
    assert [cell["text"] for cell in trained["cells"][6:]] == [""] * 6
    assert run_command(["report", "--runs", str(longer.folder), "-o", str(tmp_path / "out")]) == 0
    lines = list(csv.DictReader((tmp_path / "out" / "gap.csv").read_text().splitlines()))
    assert len(lines) == 4 * (2 + 2)
    assert {float(line["position"]) for line in lines} == {5, 15, 50, 150}
    for file in ("tables.tex", "report.html", "tables.md", "tables.txt"):
        content = (tmp_path / "out" / file).read_text() + "".join(
            path.read_text() for path in (tmp_path / "out" / "latex").glob("gap*.tex")
        )
        assert "72.1 to" in content
    # a cell that is the same at all horizons has a row at each
    cells = [line for line in (tmp_path / "out" / "cells.csv").read_text().splitlines() if "direct-pt" in line]
    assert len(cells) == 12


def test_a_gap_that_no_test_tells_from_zero_closes_nowhere(longer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for path in longer.folder.glob("cell/*/result.json"):
        record = json.loads(path.read_text())
        cell = record["cell"]
        if (cell["method"], cell["seed"], cell.get("horizon", 1)) == ("wave", 2, 1):
            record["metrics"]["top1"] = record["curve"][-1]["metrics"]["top1"] = 10.0
            path.write_text(json.dumps(record))
    assert run_command(["report", "--runs", str(longer.folder), "--table", "horizon"]) == 0
    text = capsys.readouterr().out
    assert "no gap at 5 epochs that a test over the seeds tells from zero" in text


def test_the_same_records_give_the_same_figure(longer: Any, tmp_path: Path) -> None:
    first, second = (draw_gaps(load([longer.folder]), tmp_path / name, 1) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second] != []


def test_figure_of_gaps(longer: Any, pages: list[Page], tmp_path: Path) -> None:
    draw_gaps(load([longer.folder]), tmp_path, 2)
    (page,) = pages
    titles = [axes.get_title("left") for axes in page.figure.axes]
    assert titles == ["micro: minus He-Init", "micro: minus Direct PT"]
    for axes in page.figure.axes:
        assert [text.get_text() for text in axes.get_xticklabels()] == ["5", "15", "50", "150"]
        assert len(axes.containers) == 2


def test_other_tables_leave_out_what_is_no_comparison_of_targets(
    longer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Costs for n targets, ranks over targets, and means by epoch are not of one target that is fine-tuned again."""
    command = ["report", "--runs", str(longer.folder), "--format", "json"]
    for table in ("cost", "statistics", "instinct", "data-size"):
        assert run_command([*command, "--table", table]) == 2
        message = f"no table {table!r} follows from results of the grids here (horizon)"
        assert message in capsys.readouterr().err


@pytest.fixture
def fewer(runs: Any) -> Any:
    """Two methods on two tasks and three shares of their images, two seeds."""
    cells = []
    for task, lead in (("shapes", 12.0), ("digits-parity", 3.0)):
        for number, share in enumerate((1.0, 10.0, 100.0)):
            for seed in range(2):
                for method in ("he", "wave"):
                    top1 = 60.0 + 10 * number + seed + (method == "wave") * (lead - 5.0 * number + seed / 4)
                    cell = runs.cell(method, 6, seed, version=f"{task} {share}", task=task, share=share)
                    cells.append(runs.done(cell, top1))
    runs.plan(cells, grid="data-size", axis="share", stages=[])
    return runs


def test_shares_stand_below_their_task(fewer: Any, tmp_path: Path, pages: list[Page]) -> None:
    results = load([fewer.folder])
    (table,) = make_tables(results)
    assert [column.label for column in table.columns][:3] == ["shapes 1 %", "shapes 10 %", "shapes 100 %"]
    (report,) = metric_reports([table])
    assert [(column.span, column.label) for column in report.columns if column.facts][2:4] == [
        ("shapes", "100 %"),
        ("digits-parity", "1 %"),
    ]
    places = place_gaps([table], results, "share")
    assert [place.place for place in places] == ["micro, shapes", "micro, digits-parity"]
    assert [place.gaps["WAVE", "He-Init"].closes_at for place in places] == [None, pytest.approx(10 ** (3.125 / 5))]
    draw_gaps(results, tmp_path, 2)
    assert [axes.get_title("left") for axes in pages[0].figure.axes] == [
        "micro, shapes: minus He-Init",
        "micro, digits-parity: minus He-Init",
    ]
