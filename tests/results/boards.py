"""Helpers that the tests of leaderboards share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.cli.main import run_command

FILES = {"records.jsonl", "plans.jsonl", "README.md", "cells.csv", "tables.tex"}


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lines(board: Path) -> list[dict[str, Any]]:
    """All stages that a leaderboard holds."""
    return [json.loads(line) for line in (board / "records.jsonl").read_text().splitlines()]


def lgbench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run_command(["leaderboard", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def set_in(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


def metrics_and_curve(accuracy: float) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["metrics"]["top1"] = record["curve"][-1]["metrics"]["top1"] = accuracy

    return change
