"""A leaderboard is a function of its records, byte by byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from boards import contents, lgbench, lines
from recorded_runs import RecordedRuns

from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.results.leaderboard import manage
from learngene_bench.schema.leaderboard import read_stages
from learngene_bench.schema.record import CellRecord
from learngene_bench.version import PROTOCOL

REPOSITORY = Path(__file__).parents[2]


def test_the_committed_leaderboards_are_what_their_records_give(capsys: pytest.CaptureFixture[str]) -> None:
    status, text, error = lgbench(capsys, "check", "--folder", str(REPOSITORY / "results" / "leaderboards"))
    assert (status, error) == (0, ""), text


def test_the_committed_digits_are_what_the_command_plans_today() -> None:
    stages = read_stages(REPOSITORY / "results" / "leaderboards" / "digits")
    if {stage.record.protocol for stage in stages.values() if stage.record} != {PROTOCOL}:
        pytest.skip("the leaderboard is of an earlier protocol, which this code cannot plan")
    seeds = 1 + max(stage.record.cell.seed for stage in stages.values() if isinstance(stage.record, CellRecord))
    methods = {stage.record.cell.method for stage in stages.values() if isinstance(stage.record, CellRecord)}
    plan = make_plan(build_request(",".join(methods), "depth", "digits", seeds, [], Registry(), quick=False))
    for address, stage in plan.stages.items():
        recorded = stages[address].config
        assert recorded is not None
        assert (recorded.label, recorded.config, recorded.inputs) == (stage.label, stage.config, stage.inputs)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda board: (board / "README.md").write_text((board / "README.md").read_text() + "and more\n"), "README.md"),
        (
            lambda board: (board / "cells.csv").write_text((board / "cells.csv").read_text().replace(",he,", ",hf,")),
            "cells.csv, line 6",
        ),
        (lambda board: (board / "tables.tex").unlink(), "tables.tex is missing"),
    ],
)
def test_check_names_the_first_file_that_differs(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], named: str
) -> None:
    manage.add(board, offered.folder)
    whole = contents(board)
    assert lgbench(capsys, "check", "--folder", str(board.parent))[:2] == (0, f"{board}: as its records\n")
    change(board)
    status, text, _ = lgbench(capsys, "check", "--folder", str(board.parent))
    assert (status, text.count("\n")) == (1, 1)
    assert named in text
    assert lgbench(capsys, "build", "digits", "--folder", str(board.parent))[:2] == (0, f"{board}\n")
    assert contents(board) == whole


def test_a_file_of_something_else_is_named(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage.add(board, offered.folder)
    (board / "notes.txt").touch()
    status, text, _ = lgbench(capsys, "check", "--folder", str(board.parent))
    assert (status, text.count("\n")) == (1, 1)
    assert f"{board / 'notes.txt'} does not belong to a leaderboard" in text


def test_check_refuses_a_record_that_was_made_better(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage.add(board, offered.folder)
    stages = lines(board)
    stages[-1]["record"]["metrics"]["top1"] = 99.0
    (board / "records.jsonl").write_text("".join(json.dumps(stage) + "\n" for stage in stages))
    status, _, error = lgbench(capsys, "check", "--folder", str(board.parent))
    assert status == 2
    assert f"{board / 'records.jsonl'} ({stages[-1]['config']['label']})" in error


def test_a_changed_configuration_is_refused(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage.add(board, offered.folder)
    path = board / "records.jsonl"
    path.write_text(path.read_text().replace('"seed":1', '"seed":2', 1))
    status, _, error = lgbench(capsys, "check", "--folder", str(board.parent))
    assert status == 2
    assert "is damaged" in error
    assert "changed since it was written" in error


def test_the_same_bytes_in_another_environment_and_nothing_heavy(offered: RecordedRuns, board: Path) -> None:
    manage.add(board, offered.folder)
    code = (
        "import sys; sys.argv = ['lgbench', 'leaderboard', 'check', '--folder', sys.argv[1]]\n"
        "from learngene_bench.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print({'torch', 'numpy', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    for seed, zone, locale in (("1", "Asia/Tokyo", "C"), ("2", "America/New_York", "C.UTF-8")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale, "COLUMNS": "40"}
        command = [sys.executable, "-c", code, str(board.parent)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert (done.stdout, done.stderr) == (f"{board}: as its records\nset()\n", "")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "A", ".x", "-x", "x-", "a b", "a\n", "é"])
def test_names_never_leave_the_folder(
    offered: RecordedRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = contents(tmp_path)
    status, _, error = lgbench(
        capsys, "add", "--runs", str(offered.folder), f"--name={name}", "--folder", str(tmp_path / "boards")
    )
    assert status == 2
    assert "a name is lower-case letters, digits and single hyphens" in error
    assert contents(tmp_path) == before


def test_what_is_not_there_is_said(tmp_path: Path, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(board.parent)
    assert lgbench(capsys, "check", "--folder", root)[::2] == (
        2,
        f"lgbench: no folder {root} (--folder says where the leaderboards are)\n",
    )
    board.parent.mkdir()
    status, _, error = lgbench(capsys, "check", "--folder", root)
    assert (status, root in error) == (2, True)
    assert lgbench(capsys, "build", "digits", "--folder", root)[::2] == (
        2,
        f"lgbench: {root}: no leaderboard in it (--folder says where the leaderboards are)\n",
    )
    assert (
        "no runs folder"
        in lgbench(capsys, "add", "--runs", str(tmp_path / "none"), "--name", "digits", "--folder", root)[2]
    )
