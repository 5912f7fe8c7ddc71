"""`lgbench plan` of several grids counts each stage once, and says what it cannot plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.cli.plan_grids import grid_names
from learngene_bench.config.loader import shipped_files
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry


def planned(capsys: pytest.CaptureFixture[str], runs: Path, *arguments: str, status: int = 0) -> str:
    assert run_command(["plan", "--runs", str(runs), *arguments]) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_what_grids_share_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names, methods = ("depth", "width", "horizon"), "he,wave,direct-pt"
    arguments = ("--grid", "depth,width", "--grid", "horizon", "-m", methods, "--seeds", "2", "--rate", "1e12")
    found: dict[str, Any] = json.loads(planned(capsys, tmp_path / "runs", *arguments, "--format", "json"))
    plans = [make_plan(build_request(methods, name, "digits", 2, [], Registry(), False)) for name in names]
    assert [row["grid"] for row in found["grids"]] == list(names)
    for row, plan in zip(found["grids"], plans, strict=True):
        assert (row["stages"], row["jobs"]) == (len(plan.stages), len(plan.stages))
        assert row["flops"] == pytest.approx(sum(stage.flops for stage in plan.stages.values()))
    every = {address: stage for plan in plans for address, stage in plan.stages.items()}
    together = found["together"]
    assert len(every) < sum(len(plan.stages) for plan in plans)
    assert together["stages"] == sum(together["left"].values()) == len(every)
    assert together["flops"] == pytest.approx(sum(stage.flops for stage in every.values()))
    assert together["hours"] == pytest.approx(together["flops"] / 1e12 / 3600)
    alone = sum(row["disk"]["bytes"] for row in found["grids"])
    assert max(row["disk"]["bytes"] for row in found["grids"]) < together["disk"]["bytes"] < alone


def test_all_is_every_grid_also_on_a_narrow_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    said = planned(capsys, tmp_path / "runs", "--grid", "all", "-m", "he").splitlines()
    assert max(map(len, said)) <= 50
    rows = [line.split()[0] for line in said[2 : 3 + len(shipped_files("grid"))]]
    assert rows == [*shipped_files("grid"), "together"]


def test_all_after_other_names_is_all_too() -> None:
    """Grids that the preset has nothing for are then left out, and no mistake."""
    names, asks_for_all = grid_names(["width,all"])
    assert (names[0], sorted(names), asks_for_all) == ("width", sorted(shipped_files("grid")), True)
    assert grid_names(["width", "depth"]) == (["width", "depth"], False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "depth,"], "a name is empty"),
        (["--grid", "depth,dept"], "did you mean 'depth'"),
        (["--rate", "0"], "operations per second are needed"),
        (["--grid", "depth,width", "--sweep", "finetuning.learning_rate=1e-3,2e-3"], "one grid at a time"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    said = planned(capsys, tmp_path / "runs", *arguments, status=2)
    assert message in said
    assert said.count("\n") == 1
