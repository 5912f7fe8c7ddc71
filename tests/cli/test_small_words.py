"""Short answers to short questions: versions, help, states, logs, and things that have one name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import rmtree

import pytest
import whole_runs

import learngene_bench
from learngene_bench.cli.main import run_command
from learngene_bench.tracking.problems import report_problem
from learngene_bench.util.words import counted


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert run_command(list(arguments)) == status
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    version = f"learngene-bench {learngene_bench.__version__} (protocol {learngene_bench.PROTOCOL})\n"
    assert printed(capsys, "--version") == version
    module = [sys.executable, "-m", "learngene_bench", "--version"]
    assert subprocess.run(module, capture_output=True, text=True, check=True).stdout == version
    for verb in ([], ["run"], ["leaderboard", "add"]):
        assert printed(capsys, *verb, "-h") == printed(capsys, *verb, "--help")
    assert "initialize" in dir(learngene_bench)


def test_a_name_of_two_things(capsys: pytest.CaptureFixture[str]) -> None:
    both = printed(capsys, "info", "digits")
    assert 'title = "' in both
    assert "digits is also a data set: lgbench info digits --kind dataset" in both
    assert "options (--set data.name=digits" in printed(capsys, "info", "digits", "--kind", "dataset")
    assert "unknown grid 'digits'" in printed(capsys, "info", "digits", "--kind", "grid", status=2)


def test_a_long_option_goes_on_below_its_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    lines = printed(capsys, "info", "wave").splitlines()
    options = lines[lines.index(next(line for line in lines if line.startswith("options"))) + 1 :]
    options = [line for line in options if line.startswith(" ")]
    assert all(re.match(r"  wave\.\w+ = |      \w", line) for line in options)
    assert max(map(len, lines)) <= 60
    monkeypatch.setenv("COLUMNS", "400")
    wide = printed(capsys, "info", "wave")
    assert " ".join(" ".join(options).split()) in " ".join(wide.split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words") / "runs"
    command = ["run", "-m", "he", "--quick", "--set", "grid.depths=[4]", "--executor", "inline"]
    whole_runs.lgbench_here(*command, "--runs", str(folder))
    return folder


def test_status_lists_stages_with_their_addresses(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = json.loads(next(runs.glob("cell/*/result.json")).read_text())
    assert "--all lists every stage" in printed(capsys, "status", "--runs", str(runs))
    (line,) = printed(capsys, "status", "--runs", str(runs), "--all").splitlines()[1:]
    assert line.split()[:7] == [record["address"][:8], "he", "micro", "depth", "4", "seed", "0"]
    assert f"{record['initial_metrics']['top1']:.1f} -> {record['metrics']['top1']:.1f}" in line


def test_status_names_the_last_problem_of_a_tracker(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "tracking").mkdir()
    for text in ("no server", "still no server"):
        report_problem(runs / "tracking", "mlflow", "he seed 0", text)
    said = printed(capsys, "status", "--runs", str(runs))
    file = runs / "tracking" / "mlflow.problems"
    assert f"mlflow: 2 problems in {file}, the last: he seed 0: still no server\n" in said
    rmtree(file.parent)


def test_status_in_a_pipe_ends_its_last_line(runs: Path) -> None:
    command = [*whole_runs.LGBENCH, "status", "--runs", str(runs), "--watch"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "TERM": "xterm"})
    assert shown.stdout.endswith("1 done\n")


def test_logs_of_a_finished_cell(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "logs", "he", "--runs", str(runs)).splitlines()
    assert lines[0] == "he micro depth 4 seed 0: done"
    assert [line.split()[0] for line in lines[1:5]] == ["measured", "took", "record", "command"]
    assert Path(lines[3].split()[1]).is_file()


@pytest.mark.parametrize(("number", "text"), [(0, "0 pairs"), (1, "1 pair"), (2, "2 pairs"), (1000, "1,000 pairs")])
def test_things_are_counted(number: int, text: str) -> None:
    assert counted(number, "pair") == text
