from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from learngene_bench.results import load, make_tables, markdown, metric_reports
from learngene_bench.results.formats import reporting
from learngene_bench.results.formats.csv import cells_csv
from learngene_bench.results.formats.csv import csv as data_csv
from learngene_bench.results.formats.terminal import terminal
from learngene_bench.results.tables import tidy
from learngene_bench.results.tables.report_table import ReportTable

HOSTILE = "=1+1 [red]|`x`*_<script>$&\\\x1b[31m\n2"


def printed(results: Any, width: int, **options: Any) -> str:
    output = io.StringIO()
    terminal(reporting.make(results).tables, Console(file=output, width=width, **options))
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def everything(example: Any) -> reporting.ResultsReport:
    """Every kind of table there is, from one small runs folder."""
    return reporting.make(load([example.folder]), metric="top1", compare=True, computed=reporting.COMPUTED)


def test_terminal_of_80_characters(example: Any, golden: Callable[[str, str], None]) -> None:
    output = io.StringIO()
    reporting.print_report(everything(example), Console(file=output, width=80))
    golden("terminal-80.txt", "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n")


def test_markdown(example: Any, golden: Callable[[str, str], None]) -> None:
    golden("report.md", reporting.FORMATS["markdown"](everything(example)))


def test_csv(example: Any, golden: Callable[[str, str], None]) -> None:
    golden("wide.csv", reporting.FORMATS["csv-wide"](reporting.make(load([example.folder]))))


def test_the_csv_of_all_cells_has_a_row_for_each(example: Any) -> None:
    results = load([example.folder])
    first, *rows = csv.reader(io.StringIO(cells_csv(results)))
    assert first == tidy.columns(results)
    assert len(rows) == len(tidy.rows(results)) == 3 * (5 * 5 - 2) + 3 + 2


def test_wide_csv_of_hostile_names_runs_no_formula(hostile: Any) -> None:
    first, *rows = csv.reader(io.StringIO(data_csv(metric_reports(make_tables(hostile)))))
    assert {len(row) for row in rows} == {len(first)} == {len(set(first))}
    assert not any(text.startswith(("=", "+", "-", "@")) for row in [first, *rows] for text in row)


def test_json_has_every_number_of_the_tables(example: Any) -> None:
    report = everything(example)
    document = json.loads(reporting.FORMATS["json"](report))
    assert document.keys() == {"schema_version", "tables", "cells"}
    assert document["cells"] == [*tidy.rows(report.results)]
    for found, table in zip(document["tables"], report.tables, strict=True):
        assert found.keys() == {field.name for field in fields(ReportTable)}
        assert found["identity"] == table.identity
        for row, expected in zip(found["rows"], table.rows, strict=True):
            assert len(row["cells"]) == len(found["columns"])
            for cell, number in zip(row["cells"], expected.cells, strict=True):
                assert (cell["text"], cell["spread"]) == (number.text, number.spread)
                assert cell["value"] == (number.value if number.value != math.inf else None)


def test_best_and_second_show_as_styles_where_there_are_styles(example: Any) -> None:
    text = printed(load([example.folder]), 110, force_terminal=True, color_system="standard")
    assert "\x1b[1m93.3\x1b[0m±0.3" in text
    assert "\x1b[4m88.8\x1b[0m±0.3" in text


@pytest.mark.parametrize("width", [120, 60, 36])
def test_no_width_cuts_or_wraps_a_number(runs: Any, width: int) -> None:
    depths = range(2, 26)
    runs.plan([runs.done(runs.cell("wave", depth), 50 + depth + 0.5) for depth in depths])
    text = printed(load([runs.folder]), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    after_tuning = text.split("as initialized")[0].split()
    assert [f"{50 + depth + 0.5}" for depth in depths] == [word for word in after_tuning if word.endswith(".5")]
    assert "…" not in text


def test_wide_letters_push_no_number_out_of_its_column(runs: Any) -> None:
    cells = [runs.done(runs.cell("he", title=title, variant=title), 50.0) for title in ("He-Init", "初期化", "é́ 中")]
    runs.plan(cells)
    lines = [
        line for line in printed(load([runs.folder]), 60).split("as initialized")[0].splitlines() if "50.0" in line
    ]
    assert len(lines) == 3
    assert len({cell_len(line.split("50.0")[0]) for line in lines}) == 1


@pytest.fixture
def hostile(runs: Any) -> Any:
    names = {"title": HOSTILE, "task": HOSTILE, "size": HOSTILE, "variant": HOSTILE}
    cells = [
        runs.cell("evil", **names),
        runs.cell("evil", 6, **names),
        runs.done(runs.cell("nan", **names), float("nan")),
    ]
    runs.done(cells[0], 50.0, setting_description=HOSTILE)
    runs.failed(cells[1], HOSTILE)
    runs.plan(cells, [runs.dash("evil", 8, HOSTILE, **names)], setting_description=HOSTILE)
    return load([runs.folder])


def test_markdown_of_hostile_names(hostile: Any) -> None:
    text = markdown(metric_reports(make_tables(hostile)))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\\\", "").replace("\\|", "").count("|") for line in table}) == 1
    assert "<script>" not in text.replace("\\<", "")
    assert "\x1b" not in text


def test_terminal_of_hostile_names(hostile: Any) -> None:
    text = printed(hostile, 200)
    assert "\x1b" not in text
    assert "[red]|`x`*_<script>$&\\" in text


def test_csv_of_hostile_names_runs_no_formula(hostile: Any) -> None:
    rows = list(csv.DictReader(io.StringIO(cells_csv(hostile))))
    assert [row["state"] for row in rows] == ["done", "failed", "done", "dash"]
    assert {row["title"] for row in rows} == {"'=1+1 [red]|`x`*_<script>$&\\ [31m 2"}
    assert not any(text.startswith(("=", "+", "-", "@")) for row in rows for text in row.values())


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_json_is_json(hostile: Any) -> None:
    document = json.loads(reporting.FORMATS["json"](reporting.make(hostile)), parse_constant=refuse)
    assert [cell["top1"] for cell in document["cells"]] == [50.0, None, None, None]


FROM_FILES = ("predictions", "calibration", "shifts")  # of files beside records: test_prediction_tables.py
ABSENT = (*reporting.WHERE_MEASURED, *FROM_FILES, "growth")  # nothing was swept, crossed or grown


@pytest.mark.parametrize("name", [name for name in reporting.COMPUTED if name not in ABSENT])
def test_computed_tables_of_hostile_names(runs: Any, name: str) -> None:
    names = {"title": HOSTILE, "task": HOSTILE, "size": HOSTILE, "group": "pre-training"}
    axis, values = {"horizon": ("horizon", (1.0, 3.0)), "data-size": ("share", (10.0, 100.0))}.get(name, ("", (0.0,)))
    cells = [
        runs.done(
            runs.cell(method, depth, seed, int(value), **{**names, **group, **({axis: value} if axis else {})}),
            40.0 + seed**2 + 9 * depth,
            **({"cost": {"finetune": {"epochs": 2.0, "flops": 100.0}}} if name == reporting.COMPUTE else {}),
        )
        for method, group in (("he", {}), ("=evil", {"group": "other"}), ("|evil", {"group": "other"}))
        for value in values
        for depth in (4, 6)
        for seed in range(3)
    ]
    runs.plan(cells, setting_description=HOSTILE, preset=HOSTILE, grid=HOSTILE, axis=axis or "depth")
    made = reporting.make(load([runs.folder]), name)
    blocks = [block.splitlines() for block in markdown(made.tables).split("\n\n") if block.startswith("|")]
    assert blocks
    for block in blocks:
        assert len({line.replace("\\\\", "").replace("\\|", "").count("|") for line in block}) == 1
    for format, write in reporting.FORMATS.items():
        if format != "csv":
            assert "\x1b" not in write(made)
    assert "<script>" not in markdown(made.tables).replace("\\<", "")
    assert json.loads(reporting.FORMATS["json"](made), parse_constant=refuse)["tables"]
    for table in filter(lambda table: table.data, made.derived):
        first, *rows = csv.reader(io.StringIO(data_csv([table])))
        assert {len(row) for row in rows} == {len(first)}
        assert not any(text.startswith(("=", "+", "@")) for row in rows for text in row)


def test_the_data_frame_has_the_columns_of_the_csv(example: Any) -> None:
    results = load([example.folder])
    frame = tidy.to_frame(results)
    assert list(frame.columns) == tidy.columns(results)
    means = frame[(frame.method == "wave") & (frame.variant == "")].groupby(["size", "depth"]).top1.mean()
    assert means["mini", 4] == pytest.approx(94.3)
