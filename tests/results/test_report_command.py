from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from learngene_bench.cli.main import run_command
from learngene_bench.cli.report import ReportFormat
from learngene_bench.results import load, plots
from learngene_bench.results.formats import reporting


def report(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run_command(["report", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


GRIDS = ("depth", "parts")


@pytest.fixture
def two_grids(runs: Any) -> Any:
    cells = [runs.done(runs.cell(method, depth), 80.0) for method in ("he", "wave") for depth in (4, 6)]
    runs.plan(cells, grid=GRIDS[0])
    part = [cells[-1], runs.done(runs.cell("wave", 6, variant="a=1"), 85.0)]
    runs.plan(part, grid=GRIDS[1], created="2027-01-01T00:00:00Z")
    return runs


def test_the_comparison_stands_after_the_tables(budgets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for extra in ((), ("--format", "markdown")):
        _, plain, _ = report(capsys, "--runs", str(budgets.folder), *extra)
        status, compared, error = report(capsys, "--runs", str(budgets.folder), "--compare", "published", *extra)
        assert (status, error) == (0, "")
        assert compared.startswith(plain)
        assert "beside the paper" in compared[len(plain) :]


def test_csv_holds_the_comparison_instead(budgets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, text, _ = report(capsys, "--runs", str(budgets.folder), "--compare", "published", "--format", "csv")
    found = [row for row in csv.DictReader(io.StringIO(text)) if (row["method"], row["size"]) == ("he", "micro")]
    assert [row["equal_budget"] for row in found] == ["", "15,680 images"]
    assert [float(row["mean"]) for row in found] == pytest.approx([83.2, 86.2])


def test_json_holds_it_as_well(budgets: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, text, _ = report(capsys, "--runs", str(budgets.folder), "--compare", "published", "--format", "json")
    document = json.loads(text)
    compared = [table for table in document["tables"] if table["kind"] == "comparison"]
    assert [table["identity"]["size"] for table in compared] == ["micro", "s", "micro", "s"]
    document["tables"] = [table for table in document["tables"] if table["kind"] != "comparison"]
    report(capsys, "--runs", str(budgets.folder), "--format", "json", "-o", str(tmp_path / "plain.json"))
    assert json.loads((tmp_path / "plain.json").read_text()) == document


def test_the_paper_has_no_accuracies_as_initialized(budgets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = report(
        capsys, "--runs", str(budgets.folder), "--compare", "published", "--metric", "top1_initial"
    )
    assert status == 2
    assert len(error.splitlines()) == 1
    assert "--metric top1" in error


@pytest.mark.parametrize(("arguments", "heavy"), [([], set()), (["--compare", "published"], {"numpy", "scipy"})])
def test_only_the_comparison_loads_scipy(budgets: Any, arguments: list[str], heavy: set[str]) -> None:
    code = (
        "import sys\n"
        "from learngene_bench.cli.main import run_command\n"
        f"run_command(['report', '--runs', {str(budgets.folder)!r}, *{arguments!r}])\n"
        "print({'torch', 'numpy', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules), file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert eval(ran.stderr) == heavy


def test_a_table_by_its_name(two_grids: Any, capsys: pytest.CaptureFixture[str]) -> None:
    as_text = ("--metric", "top1", "--format", "markdown")
    parts = [report(capsys, "--runs", str(two_grids.folder), "--table", name, *as_text)[1] for name in GRIDS]
    assert "\n".join(parts) == report(capsys, "--runs", str(two_grids.folder), *as_text)[1]
    assert "WAVE (a=1)" in parts[1]
    assert "WAVE (a=1)" not in parts[0]
    valid = ", ".join(sorted({*GRIDS, *reporting.COMPUTED}))
    assert report(capsys, "--runs", str(two_grids.folder), "--table", "part") == (
        2,
        "",
        f"lgbench: unknown table 'part': did you mean 'parts'? (valid: {valid})\n",
    )


@pytest.mark.parametrize("name", ["cost", "instinct", "statistics"])
def test_what_is_computed_has_every_format(budgets: Any, capsys: pytest.CaptureFixture[str], name: str) -> None:
    for format in ReportFormat:
        if (name, format) == ("statistics", "csv") or format in ("csv-wide", "latex-numbers", "parquet"):
            continue
        status, text, error = report(capsys, "--runs", str(budgets.folder), "--table", name, "--format", format)
        assert (status, error) == (0, "")
        assert "Auto-LG" in text
    assert json.loads(report(capsys, "--runs", str(budgets.folder), "--table", name, "--format", "json")[1])["tables"][
        0
    ]["rows"]


def test_every_format_and_where_it_goes(example: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert set(ReportFormat) == {*reporting.FORMATS, *reporting.BINARY}
    made = reporting.make(load([example.folder]))
    for format, write in reporting.FORMATS.items():
        file = tmp_path / f"file.{format}"
        assert report(capsys, "--runs", str(example.folder), "--format", format, "-o", str(file)) == (0, "", "")
        assert file.read_text(encoding="utf-8") == write(made)
        if format != "table":  # on a terminal it has the terminal's width
            assert report(capsys, "--runs", str(example.folder), "--format", format)[1] == write(made)
    for ending in ("txt", "csv", "md", "tex", "html", "json"):
        file = tmp_path / f"report.{ending}"
        report(capsys, "--runs", str(example.folder), "-o", str(file))
        assert file.read_text(encoding="utf-8") == reporting.FORMATS[reporting.by_ending(file)](made)


@pytest.mark.slow
def test_a_folder_gets_everything(
    runs: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = {"he": 80.0, "telg": 85.0, "wave": 90.0, "direct-pt": 93.0}
    cells = [
        runs.done(runs.cell(method, depth, seed), accuracy + depth + seed / 3)
        for method, accuracy in accuracies.items()
        for depth in (4, 6)
        for seed in range(3)
    ]
    runs.plan(cells)
    folder = tmp_path / "report"
    arguments = ["--runs", str(runs.folder), "--compare", "published", "-o", str(folder)]
    status, text, error = report(capsys, *arguments)
    assert (status, error) == (0, "")
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {folder / name for name in files} == set(map(Path, text.splitlines()))
    for name in ("tables.txt", "tables.md", "cells.csv", "wide.csv", "report.html", "latex/numbers.tex"):
        assert files[Path(name)]
    for kind in ("comparison", "cost", "instinct", "means", "differences", "profile"):
        assert len(files[Path(f"{kind}.csv")].splitlines()) > 3
    figures = {(path.name.split("-")[0], path.suffix) for path in files if path.parent == Path("figures")}
    assert figures >= {(kind, suffix) for kind in ("accuracy", "curves") for suffix in (".png", ".pdf")}
    assert set(json.loads(files[Path("report.json")])) == {"schema_version", "tables", "cells"}
    monkeypatch.setattr(plots, "KINDS", {})
    report(capsys, *arguments)
    assert {name: (folder / name).read_bytes() for name in files} == files


def test_names_of_grids_never_leave_the_folder(runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "KINDS", {"accuracy": plots.accuracy})
    for number, grid in enumerate(("../../out", "/out", "..", "a/b", "a b", "")):
        runs.plan([runs.done(runs.cell("he"), 50.0)], grid=grid, created=f"2026-01-0{number + 1}T00:00:00Z")
    folder = tmp_path / "inner" / "report"
    before = set(tmp_path.rglob("*"))
    written = reporting.write(reporting.make(load([runs.folder])), folder)
    assert {path for path in set(tmp_path.rglob("*")) - before if path.is_file()} == set(written)
    assert all(folder in path.resolve().parents for path in written)
    assert len([path for path in written if path.parent.name == "latex"]) == 2 * 6 + 1


def test_two_folders_are_one_report(runs: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = type(runs)(tmp_path / "other")
    runs.plan([runs.done(runs.cell("he"), 80.0)])
    other.plan([other.done(other.cell("wave"), 90.0)], created="2026-12-01T00:00:00Z")
    _, text, _ = report(
        capsys, "--runs", str(runs.folder), "--runs", str(other.folder), "--metric", "top1", "--format", "markdown"
    )
    assert text.count("###") == 1
    assert "He-Init" in text
    assert "WAVE" in text


@pytest.mark.parametrize("width", [36, 47, 80])
def test_a_narrow_terminal_cuts_nothing(
    budgets: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("depth", "instinct", "cost", "statistics"):
        _, text, _ = report(capsys, "--runs", str(budgets.folder), "--table", name)
        assert "…" not in text
        assert max(map(cell_len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ["--table", "cost", "--metric", "top1_initial"],
            "only results after fine-tuning have this table: --metric top1",
        ),
        (["--table", "instinct", "--compare", "published"], "not for --table instinct"),
        (["--table", "statistics", "--format", "csv"], "(means, differences, profile) do not fit into one CSV"),
        (["-o", "report.doc"], "report.doc: no format has this ending; give --format, or one of .txt, .csv, .md"),
        (["--format", "markdown", "-o", "."], ". is a folder: without --format it gets all of them"),
    ],
)
def test_mistakes_are_one_line(
    budgets: Any, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    status, text, error = report(capsys, "--runs", str(budgets.folder), *arguments)
    assert (status, text, error.count("\n")) == (2, "", 1)
    assert reason in error


def test_a_runs_folder_with_nothing_in_it(runs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--format", "json"], ["--table", "cost"]):
        status, _, error = report(capsys, "--runs", str(runs.folder), *arguments)
        assert (status, error) == (2, "lgbench: nothing to report: no plan and no record; `lgbench run` makes both\n")
