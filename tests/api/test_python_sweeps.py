"""Sweeps from Python: the cells of the command line, and data frames of what was tried and what was chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import learngene_bench as lb
from learngene_bench.cli.main import run_command

HE: dict[str, Any] = {"grid.depths": [4], "compute.threads": 1}
RATES = {"finetuning.learning_rate": [5e-4, 1e-2]}


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        (
            {"sweep": {"finetuning.learning_rate": [5e-4, 0.001]}},
            ["--sweep", "finetuning.learning_rate=5e-4,1e-3"],
        ),
        (
            {"sweep": {"finetuning.learning_rate": "loguniform(1e-4,1e-2)"}, "trials": 3, "trial_seed": 1},
            ["--sweep", "finetuning.learning_rate=loguniform(1e-4,1e-2)", "--trials", "3", "--trial-seed", "1"],
        ),
        (
            {"sweep": ["finetuning.learning_rate=5e-4,1e-3", "wave.noise=uniform(0,0.3)"], "trials": 2},
            ["--sweep", "finetuning.learning_rate=5e-4,1e-3", "--sweep", "wave.noise=uniform(0,0.3)", "--trials", "2"],
        ),
    ],
)
def test_a_sweep_plans_the_stages_of_the_command_line(
    given: dict[str, Any], typed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["plan", "--method", "he,wave", "--set", "grid.depths=[4]", *typed, "--runs", str(tmp_path / "runs")]
    assert run_command([*command, "--format", "json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    planned = lb.plan("he,wave", settings={"grid.depths": [4]}, runs=tmp_path / "runs", **given)
    assert {*planned.stages["address"]} == {stage["address"] for stage in expected["stages"]}
    assert list(planned.cells["address"]) == [cell["address"] for cell in expected["cells"]]
    assert planned.content["sweep"] == expected["sweep"]
    assert f"{expected['sweep']['trials']} trials of every method on validation images" in repr(planned)


def test_a_sweep_selects_and_shows_what_was_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    found = lb.run("he", settings=HE, sweep=RATES, quick=True, runs=runs, executor="inline", quiet=True)
    assert capsys.readouterr().out == ""
    trials, (chosen,) = found.trials, found.selected.to_dict("records")
    assert list(trials["trial"]) == ["finetuning.learning_rate=0.0005", "finetuning.learning_rate=0.01"]
    assert list(trials["state"]) == ["done", "done"]
    best = trials.loc[trials["validation"].idxmax()]
    assert (chosen["selected"], chosen["validation"]) == (best["trial"], best["validation"])
    assert list(trials.loc[trials["selected"], "trial"]) == [chosen["selected"]]
    assert found.table(best=True).iloc[0, 0] == chosen["best"]
    assert found.table().iloc[0, 0] == chosen["default"]
    shown = found._repr_html_()
    for title in ("at the default and at its best of 2 trials", "Trials on validation images", "by depth"):
        assert title in shown
    before = {path: path.read_bytes() for path in runs.glob("*/*/result.json")}
    (command, *others) = {tuple(json.loads(text)["provenance"]["command"]) for text in before.values()}
    assert not others
    assert run_command(list(command[1:])) == 0
    assert {path: path.read_bytes() for path in runs.glob("*/*/result.json")} == before
    assert len(lb.load(runs).trials) == 2


def test_without_a_sweep_nothing_was_tried() -> None:
    board = Path(__file__).parents[2] / "results" / "leaderboards" / "digits"
    found = lb.load(board, method="he")
    assert (len(found.trials), len(found.selected)) == (0, 0)
    with pytest.raises(lb.UserError, match="there is no sweep here"):
        found.table("depth", best=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trials": 3}, "--trials and --trial-seed are options of --sweep, which is missing"),
        ({"sweep": RATES, "trials": 1}, "trials: 1 is no whole number from 2"),
        ({"sweep": RATES, "trials": True}, "trials: True is no whole number from 2"),
        ({"sweep": RATES, "trials": 3}, "--trials 3: --sweep has 2 different trials of he"),
        ({"sweep": RATES, "trial_seed": -1}, "trial_seed: -1 is no whole number from 0"),
        ({"sweep": {"finetuning.learning_rate": 5e-4}}, "sweep: finetuning.learning_rate is 0.0005, and not a list"),
        ({"sweep": {"finetuning.learning_rate": [{1}, 2]}}, "sweep: finetuning.learning_rate is {1}, and not a number"),
        ({"sweep": {"finetuning.learning_rate": [5e-4]}}, "--sweep has a single trial"),
        ({"sweep": {"finetuning.learning_rate": "uniform(0,1)"}}, "--trials N says how many trials are drawn"),
        ({"sweep": "finetuning.learning_rat=5e-4,1e-3"}, "did you mean 'finetuning.learning_rate'"),
        ({"sweep": RATES, "seeds": "2x2"}, "--sweep selects by runs that are independent"),
    ],
)
def test_a_wrong_sweep_is_one_line(
    given: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (lb.plan, lb.run):
        with pytest.raises(lb.UserError) as caught:
            call("he", **given)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
