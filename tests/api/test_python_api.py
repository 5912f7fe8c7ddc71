"""The benchmark from Python: `run`, `plan` and `load` take the words of the command line and give data frames."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import learngene_bench as lb
from learngene_bench.cli.executor_options import options_of, words_of
from learngene_bench.cli.main import app, run_command
from learngene_bench.cli.run import run
from learngene_bench.results.formats.html_tables import html_tables
from learngene_bench.results.tables.report_table import ReportCell, ReportColumn, ReportRow, ReportTable

BOARD = Path(__file__).parents[2] / "results" / "leaderboards" / "digits"
HE = {"grid.depths": [4], "compute.threads": 1}


@pytest.fixture(scope="module")
def measured() -> Any:
    return lb.load(BOARD, method="he,telg")


def test_a_table_has_the_means_of_the_cells(measured: Any) -> None:
    cells = measured.cells[measured.cells["state"] == "done"]
    for metric in ("top1", "top1_initial"):
        seeds = cells.groupby(["title", "depth"])[metric]
        for spread, expected in ((False, seeds.mean()), (True, seeds.std())):
            table = measured.table("depth", metric, spread=spread)
            for (title, depth), value in expected.items():
                assert np.isclose(table.loc[title, ("micro", depth)], value), (title, depth, metric)
    assert list(measured.table().columns.get_level_values("depth")) == [4, 6, 8, 10, 12]


def test_a_notebook_shows_tables_and_figures(measured: Any, tmp_path: Path) -> None:
    assert measured._repr_html_().count("<table>") == 1
    assert repr(measured) == "<60 cells: depth, digits>"
    (figure,) = measured.figures("accuracy", columns=1)
    content, size = figure._repr_png_()
    assert content.startswith(b"\x89PNG")
    assert size["width"] == round(3.35 * 96)
    assert [path.suffix for path in figure.save(tmp_path)] == [".png", ".pdf"]
    assert figure.save(tmp_path)[0].read_bytes() == content


def test_names_of_others_are_text() -> None:
    evil = "<script>&"
    cell = ReportCell(evil, 1.0, 0.5, evil, "best", (1,))
    row = ReportRow(evil, evil, (cell,))
    table = ReportTable("metric", "x", evil, evil, {}, (ReportColumn(evil, evil, evil),), (row,), footnotes=(evil,))
    text = html_tables([table])
    assert "<script>" not in text.lower()
    assert text.count("&lt;") >= 8


def test_a_run_from_python_is_one_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    planned = lb.plan("he", settings=HE, quick=True, runs=runs, executor="inline")
    assert list(planned.stages["state"]) == ["waiting"]
    assert "Depth expansion" in repr(planned)
    assert planned._repr_html_().startswith("<pre>")
    found = lb.run("he", settings=HE, quick=True, runs=runs, executor="inline", quiet=True)
    assert capsys.readouterr().out == ""
    assert (len(found.cells), list(found.cells["state"]), found.failures) == (1, ["done"], {})
    assert list(lb.plan("he", settings=HE, quick=True, runs=runs).stages["state"]) == ["done"]
    (path,) = runs.glob("cell/*/result.json")
    before, command = path.read_bytes(), json.loads(path.read_text())["provenance"]["command"]
    assert run_command(command[1:]) == 0
    assert path.read_bytes() == before
    with pytest.raises(lb.UserError, match="holds results that are not quick"):
        lb.run("he", quick=True, runs=_ordinary(tmp_path))


def test_options_of_an_executor_are_recorded_as_they_would_be_typed() -> None:
    given = {
        "partition": "gpu",
        "setup": ["module load cuda", "ulimit -n 4096"],
        "set": {"constraint": "a100"},
        "wait": True,
    }
    command = typer.main.get_command(app).commands["run"]
    parsed = command.make_context("run", words_of("slurm", run, given | {"dry_run": False, "mem": None})).params
    assert options_of("slurm", run, {name: parsed[name] for name in run.executor_options}) == given


def _ordinary(folder: Path) -> Path:
    """Returns a runs folder with the plan of an ordinary run."""
    line = json.loads((BOARD / "plans.jsonl").read_text(encoding="utf-8").splitlines()[0])
    (folder / "ordinary" / "plans").mkdir(parents=True)
    (folder / "ordinary" / "plans" / line["name"]).write_text(json.dumps(line["plan"]))
    return folder / "ordinary"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lb.run("wav"), "unknown method 'wav': did you mean 'wave'?"),
        (lambda: lb.run("he", executor="slum"), "unknown executor 'slum': did you mean 'slurm'?"),
        (lambda: lb.run("he", workerz=2), "unknown key 'workerz': did you mean 'workers'"),
        (lambda: lb.plan("he", settings={"finetuning.epoch": 3}), "did you mean 'finetuning.epochs'"),
        (lambda: lb.plan("he", settings={"grid.depths": {4}}), "settings: grid.depths is {4}, and not a number"),
        (lambda: lb.plan("he", seeds="many"), "expected a number of seeds"),
        (lambda: lb.load("nowhere"), "no runs folder nowhere"),
        (lambda: lb.load(BOARD, method="wav"), "did you mean 'wave'?"),
        (lambda: lb.load(BOARD, method="he").table("width"), "unknown grid of these results 'width'"),
        (lambda: lb.load(BOARD, method="he").figures("pie"), "unknown kind of figure 'pie'"),
        (lambda: lb.load(BOARD, method="he").write("cells.xls"), "no format has this ending"),
    ],
)
def test_a_mistake_is_one_line(call: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lb.UserError) as caught:
        call()
    assert message in str(caught.value)
    (line,) = caught.value._render_traceback_()
    assert line == f"UserError: {caught.value}"
    assert list(tmp_path.iterdir()) == []


def test_parquet(measured: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    arguments = ["report", "--runs", str(BOARD), "--method", "he,telg"]
    assert run_command([*arguments, "--format", "parquet"]) == 2
    assert "--format parquet is for a file: -o cells.parquet" in capsys.readouterr().err
    assert run_command([*arguments, "--table", "cost", "-o", str(tmp_path / "cost.parquet")]) == 2
    assert "those of cost are written by --format csv" in capsys.readouterr().err
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pyarrow", None)
        assert run_command([*arguments, "-o", str(tmp_path / "cells.parquet")]) == 2
        assert "Parquet needs pyarrow" in capsys.readouterr().err
    pytest.importorskip("pyarrow")
    import pandas

    assert run_command([*arguments, "-o", str(tmp_path / "cells.parquet")]) == 0
    read = pandas.read_parquet(tmp_path / "cells.parquet")
    pandas.testing.assert_frame_equal(read, measured.cells, check_dtype=False)
    assert read["top1"].dtype == float
    assert measured.write(tmp_path / "again.parquet")[0].read_bytes() == (tmp_path / "cells.parquet").read_bytes()
