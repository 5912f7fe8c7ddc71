"""Trackers during runs: they change nothing, stop nothing, and have what records have."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forked import MAIN, Program
from test_tracked_runs import CURVE, STAGE, tensorboard_curves
from whole_runs import lgbench_here, numbers, run_here, short_preset, wait_until, words

from learngene_bench.config.recipe import Recipe
from learngene_bench.execution.stage import StageComputation
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.tracking import processes
from learngene_bench.tracking.problems import Problems
from learngene_bench.tracking.sender import StageTracking
from learngene_bench.training.run import TrainedCurve


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Announces the bad trackers to processes of their own; gives a runs folder."""
    package = tmp_path / "site" / "bad_trackers-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-trackers\nVersion: 1.0\n")
    names = ("Hanging", "Raising", "Dying", "Lacking")
    lines = [f"{name.lower()} = bad_trackers:{name}" for name in names]
    (package / "entry_points.txt").write_text("\n".join(["[learngene_bench.trackers]", *lines]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), str(Path(__file__).parent)]))
    monkeypatch.setenv("LGBENCH_TRACKER_PATIENCE", "5")
    return tmp_path / "runs"


def curve(points: int) -> TrainedCurve:
    recipe = Recipe(iterations=10, batch_size=1, learning_rate=0.1)
    found = [CurvePoint(epoch=step / 5, iterations=step, loss=1.0, metrics=None) for step, _ in CURVE[:points]]
    return TrainedCurve("finetuning", recipe, 10, 5, found)


@pytest.mark.slow
def test_no_bad_tracker_raises_or_waits_and_each_is_reported_in_one_line(bad: Path) -> None:
    problems = Problems(bad / "tracking")
    begun = time.monotonic()
    names = ("hanging", "raising", "dying", "lacking", "unheard-of")
    tracking = StageTracking(names, bad, STAGE)
    for points in (1, 2, 3):
        tracking(curve(points))
    tracking.end("done")
    took = time.monotonic() - begun
    assert took < 5, "as long as one of them sleeps"  # starting five processes is all
    told: dict[str, str] = {}

    def all_told() -> bool:
        told.update(problems.new())
        return told.keys() >= {*names} - {"dying"}

    wait_until(all_told, 120)
    assert told["hanging"].endswith("it has not answered for 5 s")
    assert told["raising"] == f"{STAGE.label}: ConnectionError: no server"
    assert "needs the package no_such_module_anywhere" in told["lacking"]
    assert "unknown tracker 'unheard-of'" in told["unheard-of"]
    assert not [*problems.new()]
    processes.part_with_trackers(30)


def test_a_process_that_reads_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.sys, "executable", "/bin/sleep")  # of "-P": it ends, and its pipe is closed
    tracking = StageTracking(["tensorboard"], tmp_path, STAGE)
    wait_until(lambda: processes.process_of("tensorboard", tmp_path / "tracking").process.poll() is not None)
    tracking(curve(3))
    tracking.end("done")
    processes.part_with_trackers(0.0)


def test_a_folder_that_takes_no_file_stops_no_stage(tmp_path: Path) -> None:
    (tmp_path / "tracking").write_text("a file where the folder should be")
    tracking = StageTracking(["tensorboard"], tmp_path, STAGE)
    tracking(curve(3))
    tracking.end("done")
    assert not tracking.processes


def test_only_the_first_of_several_processes_tracks() -> None:
    file = SimpleNamespace(execution=SimpleNamespace(track=("tensorboard",)))
    other: Any = SimpleNamespace(file=file, runs=None, writes=True, processes=SimpleNamespace(is_rank0=False))
    assert StageComputation.track.func(other) is None


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_preset(tmp_path_factory.mktemp("preset"))


def recorded(runs: Path) -> dict[str, list[tuple[int, float]]]:
    """Returns the metric of every point of the cells' curves, by the names of runs in TensorBoard."""
    found = {}
    for path in runs.glob("cell/*/result.json"):
        record = json.loads(path.read_text())
        label = json.loads(path.with_name("config.json").read_text())["label"].replace(" ", "-")
        points = [(point["iterations"], point["metrics"]["top1"]) for point in record["curve"]]
        found[f"{label}-{record['address'][:8]}"] = points
    return found


def rounded(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(step, round(value, 3)) for step, value in points]


@pytest.mark.slow
def test_tracking_changes_no_number_and_no_address(preset: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    plain, tracked = tmp_path / "plain", tmp_path / "tracked"
    run_here(preset, plain, "-m", "wave", "--set", "grid.depths=[4]")
    told = run_here(preset, tracked, "-m", "wave", "--set", "grid.depths=[4]", "--track", "tensorboard").stdout
    assert f"tensorboard --logdir {tracked / 'tracking' / 'tensorboard'}" in told
    assert numbers(tracked) == numbers(plain)
    assert "track" not in json.loads(next(plain.glob("cell/*/config.json")).read_text())["execution"]
    wait_until(lambda: len(list(tracked.glob("tracking/tensorboard/*/*"))) == 3, 120)

    # Afterwards: nothing is told twice, and elsewhere all that records have.
    assert "3 stages" in lgbench_here("track", str(tracked), "--to", "tensorboard").stdout
    again = lgbench_here("track", "--runs", str(tracked), "--to", "tensorboard").stdout
    assert "0 new points" in again
    live = tensorboard_curves(tracked / "tracking")
    lgbench_here("track", str(plain), "--to", "tensorboard", "-o", str(tmp_path / "later"))
    later = tensorboard_curves(tmp_path / "later")
    assert later.keys() == live.keys()
    for name, curves in later.items():  # live there are the phases of `initialize` too, which no record keeps
        assert {tag: live[name][tag] for tag in curves} == curves
    assert {name: rounded(live[name]["finetuning/top1"]) for name in recorded(plain)} == {
        name: rounded(points) for name, points in recorded(plain).items()
    }
    assert any("condensation/loss" in curves for curves in live.values())
    assert any("teacher/learning_rate" in curves for curves in live.values())


@pytest.mark.slow
def test_a_killed_run_continues_its_curves(preset: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    runs = tmp_path / "runs"
    longer = ["--set", "finetuning.epochs=12", "--set", "grid.depths=[4]", "--workers", "1", "--track", "tensorboard"]
    arguments = words(preset, runs, "-m", "he", *longer)
    with Program(MAIN, argv=arguments) as process:
        wait_until(lambda: _has_points(runs), 240)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert not list(runs.glob("cell/*/result.json"))
    with Program(MAIN, argv=arguments) as process:
        output, error = process.communicate()
        assert process.returncode == 0, output + error
    lgbench_here("track", str(runs), "--to", "tensorboard")  # what was on its way when the run was killed
    (curves,) = tensorboard_curves(runs / "tracking").values()
    steps = [step for step, _ in curves["finetuning/top1"]]
    assert len(steps) == len({*steps})
    ((_, points),) = recorded(runs).items()
    assert {*rounded(curves["finetuning/top1"])} <= {*rounded(points)}
    assert len(points) - len(steps) <= 1  # a point may be lost with the process that was told of it


def _has_points(runs: Path) -> bool:
    kept = [json.loads(path.read_text()) for path in runs.glob("tracking/stages/tensorboard/*.json")]
    return any(one["steps"].get("finetuning", 0) > 30 for one in kept) and bool([*runs.glob("cell/*/checkpoints/*.pt")])


def test_unknown_trackers_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    told = lgbench_here("run", "-m", "he", "--runs", str(tmp_path / "runs"), "--track", "tensorbord", status=2).stderr
    assert "did you mean 'tensorboard'" in told
    assert len(told.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
    assert "--to NAME says which tracker" in lgbench_here("track", str(tmp_path), status=2).stderr
    assert len(lgbench_here("track", str(tmp_path), "--to", "tensorboard", status=2).stderr.splitlines()) == 1
