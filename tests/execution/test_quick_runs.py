"""Quick runs are kept apart from results: a folder of their own, no report, no leaderboard, no setting in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from learngene_bench.cli.main import run_command
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.results.records.loading import load
from learngene_bench.runs.manifest import write_manifest
from learngene_bench.runs.store import Runs

HE = ["-m", "he", "--set", "grid.depths=[4]"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def planned(runs: str, *, quick: bool) -> None:
    plan = make_plan(build_request("he", "depth", "digits", 1, ["grid.depths=[4]"], Registry(), quick))
    write_manifest(plan, Runs(Path(runs)), ["lgbench"])


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_command(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_quick_runs_have_a_folder_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", *HE, "--quick", "--executor", "inline"]) == 0
    assert "its numbers mean nothing" in capsys.readouterr().out
    assert not Path("runs").exists()
    for verb in (["report"], ["status"], ["rerun", "he depth 4 seed 0"]):
        assert "; quick runs are in runs-quick" in refused(capsys, *verb)
    assert run_command(["report", "--runs", "runs-quick"]) == 0
    assert "digits-quick" in capsys.readouterr().out
    refusal = refused(capsys, "leaderboard", "add", "--runs", "runs-quick", "--name", "mine", "--folder", "boards")
    assert "runs-quick: quick runs (--quick), whose numbers mean nothing: a leaderboard takes none" in refusal
    assert not Path("boards").exists()


def test_a_folder_of_results_takes_no_quick_run(capsys: pytest.CaptureFixture[str]) -> None:
    planned("runs", quick=False)
    line = refused(capsys, "run", *HE, "--quick", "--runs", "runs")
    assert line == "lgbench: runs holds results that are not quick: give --quick a folder of its own, or none"


def test_quick_runs_in_a_folder_of_an_earlier_version_are_in_no_report() -> None:
    planned("runs", quick=True)
    assert [manifest.is_quick for manifest in load([Path("runs")]).manifests] == [True]
    planned("runs", quick=False)
    assert [manifest.is_quick for manifest in load([Path("runs")]).manifests] == [False]


@pytest.mark.parametrize(
    "setting",
    [
        "finetuning.epochs=7",
        "finetuning.warmup_epochs=2",
        "condensation.iterations=9",
        "teacher.recipe.epochs=3",
        "downstream.recipe.epochs=2",
        "sizes.micro.recipes.finetuning.epochs=3",
        "grid.finetuning_factor=2",
        "grid.depths=[4,6,8]",
    ],
)
def test_a_setting_without_effect_is_refused(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    key = setting.partition("=")[0]
    line = refused(capsys, "plan", "-m", "he", "--quick", "--set", setting)
    assert line.startswith(f"lgbench: --set {key} changes nothing with --quick, which trains for 4 steps")


def test_a_setting_with_an_effect_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["finetuning.batch_size=32", "grid.depths=[5]", "data.canvas=16"]
    assert run_command(["plan", "-m", "he", "--quick", *(word for one in settings for word in ("--set", one))]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "digits-quick, data.canvas=16, finetuning.batch_size=32" in printed


def test_the_first_targets_may_be_asked_for() -> None:
    assert run_command(["plan", "-m", "he", "--quick", "--set", "grid.depths=[4,6]"]) == 0
