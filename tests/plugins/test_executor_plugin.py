"""An executor of another package: one file and an entry point, and every verb knows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from whole_runs import PLUGIN, lgbench_here, numbers

pytestmark = pytest.mark.slow

QUICK = ["run", "--quick", "--runs", "runs", "--set", "grid.depths=[6]"]


def test_an_executor_is_one_file(installed: Any, tmp_path: Path) -> None:
    lgbench = installed({"learngene_bench.executors": {"queue": "toy_queue:QueueExecutor"}})
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(body="import os; print(os.environ['COLOUR']); raise ValueError('too deep')"))
    methods = ["-m", "he,mine", "--plugin", "mine.py"]
    assert "--slots" in lgbench("run", "--help").stdout
    told = lgbench(
        *QUICK, *methods, "--executor", "queue", "--slots", "1", "--exports", "COLOUR=green", status=1
    ).stdout
    assert "failed    mine micro depth 6 seed 0: ValueError: too deep" in told
    assert "He-Init" in lgbench("report", "--runs", "runs").stdout

    logs = lgbench("logs", "mine", "6", "--runs", "runs").stdout
    assert "green" in logs
    assert "ValueError: too deep" in logs
    assert "cells      1 done, 1 failed" in lgbench("status", "--runs", "runs").stdout
    (config,) = (path for path in tmp_path.glob("runs/cell/*/config.json") if "mine micro depth 6" in path.read_text())
    execution = json.loads(config.read_text())["execution"]
    assert (execution["executor"], execution["executor_options"]) == (
        "queue",
        {"slots": 1, "exports": {"COLOUR": "green"}},
    )
    assert execution["plugins"] == [str(plugin)]

    mine = ["retry", "mine 6", "--runs", "runs", "--plugin", "mine.py"]
    assert 'the runs folder names exports = {"COLOUR": "green"}' in lgbench(*mine, status=2).stderr
    again = lgbench(*mine, "--exports", "COLOUR=green", status=1).stdout  # by the same executor
    assert "failed    mine micro depth 6 seed 0: ValueError: too deep" in again
    script = next((tmp_path / "runs" / "queue").glob(f"{config.parent.name}*.log"))
    assert script.read_text().count("green") == 2

    lgbench_here(*QUICK[:2], *QUICK[4:], "-m", "he", "--executor", "inline", "--runs", str(tmp_path / "inline"))
    expected = numbers(tmp_path / "inline")
    assert {name: found for name, found in numbers(tmp_path / "runs").items() if name in expected} == expected


def test_options_of_executors_are_told_apart(installed: Any) -> None:
    lgbench = installed({"learngene_bench.executors": {"queue": "toy_queue:QueueExecutor", "broken": "nowhere:Broken"}})

    def refused(*arguments: str) -> str:
        error: str = lgbench("run", "-m", "he", *arguments, status=2).stderr
        assert error.count("\n") == 1
        return error

    assert "--slots goes with --executor queue" in refused("--slots", "2")
    assert "--workers goes with --executor local" in refused("--executor", "queue", "--workers", "2")
    assert "--executor queue: slots: input should be greater than or equal to 1" in refused(
        "--executor", "queue", "--slots", "0"
    )
    assert "unknown executor 'queu': did you mean 'queue'? (valid: broken, inline, local, queue, slurm)" in refused(
        "--executor", "queu"
    )
    assert "executor 'broken' (nowhere:Broken) cannot be imported: ModuleNotFoundError" in refused(
        "--executor", "broken"
    )
