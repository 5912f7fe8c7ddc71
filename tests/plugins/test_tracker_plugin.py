"""A tracker of another package: one file and an entry point."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from whole_runs import wait_until

pytestmark = pytest.mark.slow


def test_a_tracker_is_one_file(installed: Any, tmp_path: Path) -> None:
    lgbench = installed({"learngene_bench.trackers": {"lines": "toy_lines:Lines"}})
    quick = ["run", "--quick", "-m", "he", "--runs", "runs", "--set", "grid.depths=[4]", "--workers", "1"]
    told = lgbench(*quick, "--track", "lines").stdout
    folder = tmp_path / "runs" / "tracking" / "lines"
    assert "lines: cat " in told
    wait_until(lambda: any("done" in path.read_text() for path in folder.glob("*.txt")), 120)
    (file,) = folder.glob("*.txt")
    first, start, end, last = file.read_text().splitlines()
    assert (first, last) == ("begin he micro depth 4 seed 0", "done")
    assert start.startswith('0 {"finetuning/epoch": 0.0, "finetuning/top1": ')
    assert end.startswith('4 {"finetuning/epoch": ')
    assert "lines" in lgbench("list", "trackers").stdout
    assert "0 new points" in lgbench("track", "runs", "--to", "lines").stdout
