"""A method is one file, given as `--plugin` or announced by an entry point."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parent / "toy_mean_block.py"


@pytest.mark.slow
def test_a_method_with_a_gene_is_one_file(installed: Callable[..., Any]) -> None:
    lgbench = installed({})
    assert " passed, 0 failed" in lgbench("check", "mean-block", "--plugin", str(FILE)).stdout
    methods = "he,mean-block,mean-block:noise=0.01"
    targets = ("--plugin", str(FILE), "--method", methods, "--grid", "depth", "--quick")
    run = ("run", "--executor", "inline", *targets, "--runs", "runs")
    assert "Mean block" in lgbench(*run).stdout
    report = lgbench("report", "--runs", "runs").stdout
    assert "noise=0.01" in report


def test_an_entry_point_makes_it_permanent(installed: Callable[..., Any]) -> None:
    lgbench = installed({"learngene_bench.initializers": {"mean-block": "toy_mean_block:MeanBlock"}})
    assert "mean-block" in lgbench("list").stdout
    assert "mean-block.noise = 0.0" in lgbench("info", "mean-block").stdout
