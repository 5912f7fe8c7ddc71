"""A stage's run in a tracker: every point once, whatever was interrupted; trackers of packages that are here."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tensorboard_files import tensorboard_curves

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts import tracker as contract
from learngene_bench.contracts.tracker import TRACKERS, StageOutcome, TrackedStage, Tracker, usable_trackers
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.tracking.points import points_of
from learngene_bench.tracking.run import TrackedRun
from learngene_bench.training.run import TrainedCurve
from learngene_bench.util.errors import UserError

STAGE = TrackedStage("ab" * 32, "cell", "he micro depth 4 seed 0", {"seed": 0, "target.depth": 4, "method.name": "he"})
BEGINNING = [(0, {"finetuning/top1": 10.0}), (5, {"finetuning/top1": 20.0, "finetuning/loss": 2.0})]
CURVE = [*BEGINNING, (10, {"finetuning/top1": 30.0, "finetuning/loss": 1.0})]


class Kept(Tracker):
    """Keeps in a list what it is told."""

    name, title, module = "kept", "a list", "json"
    fails_at = -1

    def __init__(self) -> None:
        self.told: list[Any] = []

    def open(self, stage: TrackedStage, folder: Path, run: str | None) -> str:
        self.told.append((stage.label, run))
        return "its name"

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step == self.fails_at:
            raise ConnectionError
        self.told.append(step)

    def close(self, outcome: StageOutcome) -> None:
        self.told.append(outcome)


def interrupted(tracker: Tracker, folder: Path) -> None:
    """Tells a tracker the beginning of a curve, and the whole curve when the stage is continued."""
    run = TrackedRun(tracker, folder, STAGE)
    run.log("finetuning", BEGINNING)
    run.close("stopped")
    run = TrackedRun(tracker, folder, STAGE)
    assert run.log("finetuning", CURVE) == 1
    run.close("done")


def test_a_continued_stage_continues_its_run_and_repeats_no_point(tmp_path: Path) -> None:
    kept = Kept()
    interrupted(kept, tmp_path)
    assert kept.told == [(STAGE.label, None), 0, 5, "stopped", (STAGE.label, "its name"), 10, "done"]
    assert TrackedRun(kept, tmp_path, STAGE).log("inheritance", BEGINNING) == 2  # a phase has steps of its own


def test_a_point_that_a_tracker_did_not_take_is_told_again(tmp_path: Path) -> None:
    kept = Kept()
    kept.fails_at = 5
    with pytest.raises(ConnectionError):
        TrackedRun(kept, tmp_path, STAGE).log("finetuning", CURVE)
    kept.fails_at = -1
    assert TrackedRun(kept, tmp_path, STAGE).log("finetuning", CURVE) == 2


def test_what_is_kept_of_a_stage_may_be_damaged(tmp_path: Path) -> None:
    interrupted(Kept(), tmp_path)
    (file,) = tmp_path.glob("stages/kept/*.json")
    file.write_text("{")
    assert TrackedRun(Kept(), tmp_path, STAGE).log("finetuning", CURVE) == 3


def test_points_have_loss_rate_metrics_and_epochs_under_the_phase() -> None:
    recipe = Recipe(epochs=2, batch_size=10, learning_rate=0.5, warmup_epochs=1, warmup_learning_rate=0.1)
    points = [
        CurvePoint(epoch=0.0, iterations=0, loss=None, metrics={"top1": 10.0}),
        CurvePoint(epoch=1.0, iterations=4, loss=2.0, metrics={"top1": float("nan")}),
        CurvePoint(epoch=2.0, iterations=8, loss=1.0, metrics=None),
    ]
    first, second, third = points_of(TrainedCurve("finetuning", recipe, 8, 4, points))
    assert (first.step, first.values) == (0, {"finetuning/epoch": 0.0, "finetuning/top1": 10.0})
    assert second.values.keys() == {"finetuning/epoch", "finetuning/loss", "finetuning/learning_rate"}
    assert second.values["finetuning/learning_rate"] == pytest.approx(0.1 + 0.4 * 3 / 4)  # of the step before it
    assert third.values["finetuning/learning_rate"] < second.values["finetuning/learning_rate"]


def test_an_unknown_tracker_and_a_missing_package_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"unknown tracker 'tensorbord'.*mlflow, tensorboard, trackio, wandb.*pip inst"):
        usable_trackers(["tensorbord"])
    monkeypatch.setattr(contract, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"'wandb' needs the package wandb.*: pip install wandb \(trackers: mlflow, te"):
        usable_trackers(["wandb,mlflow"])


def test_tensorboard_has_every_point_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    interrupted(TRACKERS.get("tensorboard")(), tmp_path)
    assert tensorboard_curves(tmp_path) == {
        "he-micro-depth-4-seed-0-abababab": {
            "finetuning/top1": [(0, 10.0), (5, 20.0), (10, 30.0)],
            "finetuning/loss": [(5, 2.0), (10, 1.0)],
        }
    }


def test_mlflow_has_every_point_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    interrupted(TRACKERS.get("mlflow")(), tmp_path)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("learngene-bench").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params["target.depth"]) == (STAGE.label, "FINISHED", "4")
    history = client.get_metric_history(run.info.run_id, "finetuning/top1")
    assert [(one.step, one.value) for one in history] == [(0, 10.0), (5, 20.0), (10, 30.0)]


def test_wandb_has_every_point_once_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    interrupted(TRACKERS.get("wandb")(), tmp_path)
    files = sorted(tmp_path.glob("wandb/wandb/offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 1  # two parts of one run
    steps = [row["finetuning/step"] for file in files for row in _wandb_history(file)]
    assert steps == ["0", "5", "10"]


def test_trackio_has_every_point_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    interrupted(TRACKERS.get("trackio")(), tmp_path)
    import sqlite3

    (file,) = (tmp_path / "trackio").glob("learngene-bench*.db")
    with sqlite3.connect(file) as connection:
        rows = connection.execute("select run_name, step from metrics order by step").fetchall()
    assert rows == [("he micro depth 4 seed 0 abababab", step) for step in (0, 5, 10)]


def _wandb_history(file: Path) -> list[dict[str, str]]:
    """Reads the history of a short file: records of a log as LevelDB writes it, after seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, found = file.read_bytes(), 7, []
    while at + 7 <= len(content):
        _, length, _ = struct.unpack("<IHB", content[at : at + 7])
        record = Record()
        record.ParseFromString(content[at + 7 : at + 7 + length])
        if record.WhichOneof("record_type") == "history":
            found.append({item.key or ".".join(item.nested_key): item.value_json for item in record.history.item})
        at += 7 + length
    return found
