"""A method may train by a recipe of its own name, which a preset may have and `--set` reaches in any preset."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

METHOD = {"learngene_bench.initializers": {"adapter-first": "toy_adapter:Adapter"}}
TARGETS = ("--grid", "depth", "--method", "adapter-first", "--set", "grid.depths=[4]")
RUN = ("run", "--executor", "inline", *TARGETS, "--runs", "runs")


@pytest.mark.slow
def test_a_method_trains_by_a_recipe_of_its_own(installed: Callable[..., Any], tmp_path: Path) -> None:
    lgbench = installed(METHOD)
    lgbench(*RUN, "--set", "adapter.iterations=3", "--set", "finetuning.iterations=2")
    record = json.loads(next((tmp_path / "runs/cell").glob("*/result.json")).read_text())
    assert record["cost"]["initialize"]["iterations"] == 3
    report = lgbench("report", "--runs", "runs").stdout
    assert "Adapter first" in report
    assert "adapter.iterations=3" in "".join(report.split())  # broken over lines in a narrow column
    check = lgbench("check", "adapter-first").stdout
    assert " passed, 0 failed" in check


def test_a_field_that_the_method_does_not_use_is_refused(installed: Callable[..., Any]) -> None:
    lgbench = installed(METHOD)
    refused = lgbench(*RUN, "--set", "adapter.meta_batch_size=2", status=2).stderr
    assert "recipe adapter: adapter-first does not use meta_batch_size at depth 4, width 48: leave it at 1" in refused


def test_the_recipe_is_not_the_harness_s(installed: Callable[..., Any]) -> None:
    lgbench = installed(METHOD)
    wrong = lgbench(*RUN, "--set", "adaptor.iterations=3", status=2).stderr
    assert "did you mean" in wrong
    assert "adapter" in wrong
