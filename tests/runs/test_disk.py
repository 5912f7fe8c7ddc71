"""The estimate of disk space against the folders of a real run, and the plan of several grids."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from whole_runs import lgbench, lgbench_here

from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.disk import BLOCK, Space, size, space_of_stages
from learngene_bench.runs.store import Runs


def on_disk(folder: Path) -> Space:
    """Counts what a folder takes, in whole blocks."""
    files = [path.stat().st_size for path in folder.iterdir()]
    return Space(BLOCK + sum(BLOCK * math.ceil(one / BLOCK) for one in files), 1 + len(files))


def test_a_real_run_takes_as_much_as_estimated(tmp_path: Path) -> None:
    lgbench("run", "-m", "wave,he,stack", "--quick", "--runs", str(tmp_path), "--workers", "1")
    plan = make_plan(build_request("wave,he,stack", "depth", "digits", 1, [], Registry(), quick=True))
    estimated, runs = space_of_stages(plan), Runs(tmp_path)
    counted: Counter[str] = Counter()
    for address, stage in plan.stages.items():
        found = on_disk(runs.stage_dir(stage).path)
        counted[stage.kind] += 1
        if stage.label.startswith("teacher"):
            continue  # its architecture is known to torch alone, and it is documented as not counted
        assert estimated[address].files == found.files, stage.label
        assert estimated[address].bytes == pytest.approx(found.bytes, rel=0.1), stage.label
    assert counted == {"ancestor": 2, "gene": 2, "cell": 5}


def test_bytes_are_written_in_the_unit_that_suits_them() -> None:
    assert [size(count) for count in (0, 999, 1000, 123_456, 2.2e12)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "123 kB",
        "2.2 TB",
    ]


def planned(*words: str) -> Any:
    return json.loads(lgbench_here("plan", *words, "--format", "json").stdout)


def test_several_grids_count_what_they_share_once(tmp_path: Path) -> None:
    common = ["-m", "wave,direct-pt", "--seeds", "2", "--runs", str(tmp_path)]
    alone = {grid: planned("--grid", grid, *common) for grid in ("depth", "width", "horizon")}
    found = planned("--grid", "depth,width", "--grid", "horizon", "--rate", "1e12", *common)
    stages = {one["address"]: one for plan in alone.values() for one in plan["stages"]}
    assert found["together"]["stages"] == len(stages) < sum(len(plan["stages"]) for plan in alone.values())
    assert found["together"]["left"] == Counter(one["kind"] for one in stages.values())
    assert found["together"]["flops"] == pytest.approx(sum(one["flops"] for one in stages.values()))
    assert found["together"]["hours"] == pytest.approx(found["together"]["flops"] / 1e12 / 3600)
    assert [row["grid"] for row in found["grids"]] == list(alone)
    for row in found["grids"]:
        assert row["stages"] == len(alone[row["grid"]]["stages"])
        assert row["disk"] == alone[row["grid"]]["estimate"]["disk"]
    # One stage on one GPU is one job.
    assert found["together"]["jobs"] == len(stages)


def test_all_grids_have_rows_of_their_own_methods_or_of_all(tmp_path: Path) -> None:
    found = planned("--grid", "all", "--runs", str(tmp_path))
    by_name = {row["grid"]: row for row in found["grids"]}
    named = planned("--grid", "components", "--runs", str(tmp_path))
    every = planned("--grid", "segmentation", "-m", "all", "--runs", str(tmp_path))
    assert by_name["components"]["stages"] == len(named["stages"])
    assert by_name["segmentation"]["stages"] == len(every["stages"])
    assert len(by_name) == 12
    assert not found["skipped"]


def test_what_is_done_is_left_out(tmp_path: Path) -> None:
    quick = ["-m", "he", "--quick", "--runs", str(tmp_path)]
    before = planned("--grid", "depth,width", *quick)
    lgbench_here("run", "--grid", "depth", *quick, "--executor", "inline")
    after = planned("--grid", "depth,width", *quick)
    assert after["grids"][0]["left"] == {"ancestor": 0, "gene": 0, "cell": 0}
    assert after["rate_from"] == "measured on finished stages"
    assert 0 < after["together"]["left"]["cell"] < before["together"]["left"]["cell"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--grid", "depth,"], "--grid: a name is empty"),
        (["--grid", "depth,nosuch"], "nosuch"),
        (["--grid", "depth,width", "--sweep", "finetuning.learning_rate=1e-3,2e-3"], "one grid at a time"),
        (["--grid", "depth", "--rate", "0"], "operations per second"),
        (["--grid", "depth,width", "--rate", "inf"], "operations per second"),
    ],
)
def test_wrong_grids_and_rates_are_one_line(words: list[str], line: str) -> None:
    said = lgbench_here("plan", "-m", "he", *words, status=2).stderr
    assert line in said
    assert len(said.splitlines()) == 1


def test_the_summary_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    out = lgbench_here("plan", "-m", "he,wave", "--grid", "depth,width", "--runs", str(tmp_path)).stdout
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 50
    assert "together" in out
