"""A leaderboard may hold predictions and evaluations: tables are those of the runs folder, and rules hold for both."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boards import FILES, contents, lgbench
from recorded_runs import RecordedRuns

from learngene_bench.cli.main import run_command
from learngene_bench.results.leaderboard import manage
from learngene_bench.schema.base import read, write
from learngene_bench.schema.evaluation import AppliedShift, EvaluationRecord, evaluation_address, evaluation_name
from learngene_bench.schema.predictions import Predictions
from learngene_bench.schema.record import CellRecord, Tensors
from learngene_bench.util.errors import DamagedFile, UserError

TABLES = ("predictions", "calibration", "shifts")


def file_of(predictions: Predictions) -> tuple[bytes, Tensors]:
    content = predictions.content()
    return content, Tensors(sha256=sha256(content).hexdigest(), bytes=len(content))


def predicted(record: CellRecord) -> Predictions:
    """Predictions that are right as often as the record says, for other images in each cell."""
    count = record.evaluation.images
    label = np.arange(count) % 10
    random = np.random.default_rng(int(record.address[:8], 16))
    wrong = random.permutation(count) >= round(record.metrics["top1"] * count / 100)
    confidence = random.uniform(0.3, 1.0, count).astype(np.float32)
    return Predictions(((label + wrong) % 10).astype(np.uint8), confidence, label.astype(np.uint8))


def evaluated(record: CellRecord, name: str, level: float) -> EvaluationRecord:
    """An evaluation on shifted copies, on which one image in twelve less is right for each level."""
    shift = AppliedShift(name=name, level=level, title=name.title(), version="1")
    top1 = record.metrics["top1"] - 100 * 120 * level / record.evaluation.images
    return EvaluationRecord(
        address=evaluation_address(record.address, record.model.sha256, record.provenance.data, "test", shift),
        cell=record.address,
        model=record.model.sha256,
        data=record.provenance.data,
        shift=shift,
        metrics={**record.metrics, "top1": top1},
        metric_specs=record.metric_specs,
        primary_metric=record.primary_metric,
        evaluation=record.evaluation,
        predictions=None,
        provenance=record.provenance,
    )


@pytest.fixture
def whole(offered: RecordedRuns) -> RecordedRuns:
    """The runs folder, whose cells all keep predictions, and two evaluations each."""
    for stage in offered.stages("cell"):
        path = offered.file(stage)
        record = read(CellRecord, path)
        content, named = file_of(predicted(record))
        path.with_name("predictions.npz").write_bytes(content)
        write(path, record.model_copy(update={"predictions": named}))
        for name, level in (("rotated", 1.0), ("noisy", 2.0)):
            one = evaluated(record, name, level)
            write(path.parent / "evaluations" / f"{evaluation_name(one.address)}.json", one)
    return offered


def report(folder: Path, table: str, capsys: pytest.CaptureFixture[str], form: str = "json") -> Any:
    assert run_command(["report", "--runs", str(folder), "--table", table, "--format", form]) == 0
    found = capsys.readouterr().out
    return json.loads(found)["tables"] if form == "json" else found


def test_tables_of_predictions_and_shifts_are_those_of_the_runs_folder(
    whole: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("add", "--runs", str(whole.folder), "--name", "digits", "--folder", str(board.parent), "--predictions")
    status, said, _ = lgbench(capsys, *arguments)
    assert status == 0
    assert re.search(r"^predictions added: 8 \(\d\d KB\); evaluations added: 16$", said, re.MULTILINE)
    for table in TABLES:
        assert report(board, table, capsys) == report(whole.folder, table, capsys) != []
        assert report(board, table, capsys, "csv") == report(whole.folder, table, capsys, "csv")
    assert contents(board).keys() - FILES - {"evaluations.jsonl"} == {
        f"predictions/{read(CellRecord, whole.file(stage)).predictions.sha256[:20]}.npz"  # type: ignore[union-attr]
        for stage in whole.stages("cell")
    }
    assert "predictions for each image, of 8 models" in (board / "README.md").read_text()
    assert manage.difference(board) is None
    before = contents(board)
    assert "predictions added" not in lgbench(capsys, *arguments)[1]
    manage.build(board)
    assert contents(board) == before


def test_they_are_published_only_if_asked_for_and_may_be_added_later(whole: RecordedRuns, board: Path) -> None:
    manage.add(board, whole.folder)
    assert contents(board).keys() == FILES
    said = manage.add(board, whole.folder, predictions=True)
    assert said[1].startswith("predictions added: 8 (")
    before = contents(board)
    manage.add(board, whole.folder)  # takes nothing away
    assert contents(board) == before


def test_what_belongs_to_replaced_cells_goes_with_them(whole: RecordedRuns, board: Path) -> None:
    manage.add(board, whole.folder, predictions=True)
    kept = manage.read_leaderboard(board)
    gone = next(address for address, stage in kept.stages.items() if stage.kind == "cell")
    manage._write(board, kept.restricted_to(kept.cells().keys() - {gone}))
    assert len(list((board / "predictions").iterdir())) == 7
    assert gone not in (board / "evaluations.jsonl").read_text()
    assert manage.difference(board) is None  # no file is left over


def first_file(board: Path) -> Path:
    return next(iter(sorted((board / "predictions").iterdir())))


def lines_of(board: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = board / "evaluations.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    content = json.loads(first)
    change(content)
    path.write_text(json.dumps(content) + "\n" + "".join(others))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda board: first_file(board).write_bytes(b"cut"), "npz: its hash differs from the record's"),
        (lambda board: first_file(board).rename(board / "predictions" / "other.npz"), "other.npz: no record names it"),
        (lambda board: shutil.copy(first_file(board), board / "predictions" / "a"), "a: no record names it"),
        (lambda board: first_file(board).unlink(), "README.md, line 9: not what the records give"),
        (lambda board: lines_of(board, lambda one: one.update(cell="0" * 64)), "changed since it was written"),
        (lambda board: lines_of(board, lambda one: one["metrics"].update(top1=200.0)), "is 200.0, not a number from"),
        (lambda board: lines_of(board, lambda one: one["metrics"].update(top1=50.001)), "not the percentage of any"),
        (lambda board: lines_of(board, lambda one: one["metrics"].pop("top1")), "are not of the same names"),
        (lambda board: lines_of(board, lambda one: one["evaluation"].update(images=7)), "it is of other images"),
        (lambda board: (board / "evaluations.jsonl").write_text("{}\n"), "line 1 is damaged"),
    ],
)
def test_what_is_wrong_is_named(
    whole: RecordedRuns, board: Path, damage: Callable[[Path], object], message: str
) -> None:
    manage.add(board, whole.folder, predictions=True)
    damage(board)
    try:
        found = manage.difference(board)
    except (UserError, DamagedFile) as error:
        found = str(error)
    assert message in (found or "")


def test_predictions_of_another_accuracy_than_the_record_are_kept_out(whole: RecordedRuns, board: Path) -> None:
    path = whole.file(whole.stages("cell")[0])
    record = read(CellRecord, path)
    better = predicted(record)
    content, named = file_of(Predictions(better.label, better.confidence, better.label))
    path.with_name("predictions.npz").write_bytes(content)
    write(path, record.model_copy(update={"predictions": named}))
    with pytest.raises(UserError, match=r"100 % of the images are right in it, and \S+ % in the record"):
        manage.add(board, whole.folder, predictions=True)
    assert not board.exists()


def test_two_evaluations_of_one_model_that_differ_are_refused(whole: RecordedRuns, board: Path) -> None:
    manage.add(board, whole.folder, predictions=True)
    before = contents(board)
    (path, *_) = sorted(whole.file(whole.stages("cell")[0]).parent.glob("evaluations/*.json"))
    whole.change(path, lambda one: one["metrics"].update(top1=50.0))
    with pytest.raises(UserError, match=r"two evaluations on .* have different metrics"):
        manage.add(board, whole.folder, predictions=True)
    assert contents(board) == before
