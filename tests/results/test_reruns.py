"""A leaderboard tells who has computed a cell again: whatever came out, once, and only of a record that is there."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boards import FILES, contents, lgbench, set_in
from recorded_runs import RecordedRuns, recorded

import learngene_bench
from learngene_bench.baselines.he import He
from learngene_bench.cli.main import run_command
from learngene_bench.methods.wave.initializer import Wave
from learngene_bench.results import load
from learngene_bench.results.formats import reporting
from learngene_bench.results.leaderboard import manage
from learngene_bench.schema.rerun import RERUNS

CELL = "he depth 4 seed 1"


@pytest.fixture
def known(offered: RecordedRuns, board: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RecordedRuns:
    """A leaderboard of runs, whose folder tests change into one that was computed again."""
    monkeypatch.chdir(tmp_path)
    manage.add(board, offered.folder)
    return offered


def computed_again(
    known: RecordedRuns, folder: Path, change: Callable[[dict[str, Any]], object] = bool, **hardware: str
) -> Path:
    """A runs folder as `lgbench rerun` leaves it: the same numbers at another time, changed for one cell."""
    copied = RecordedRuns(shutil.copytree(known.folder, folder), known.plan)
    for stage in copied.plan.stages.values():

        def edit(record: dict[str, Any], label: str = stage.label) -> None:
            origin = record["provenance"]
            origin |= {"started": "2026-11-28T09:00:00Z", "finished": "2026-11-28T09:01:30Z"}
            origin["code"] = {"sha256": "c" * 64, "submitted": None}
            origin["hardware"] |= hardware
            if label == "he micro depth 4 seed 1":
                change(record)

        copied.change(copied.file(stage), edit)
    return copied.folder


def tell(capsys: pytest.CaptureFixture[str], board: Path, folder: Path, *more: str, cell: str = CELL) -> Any:
    status = run_command(["rerun", cell, "--runs", str(board), "-o", str(folder), *more])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def told(board: Path) -> list[dict[str, Any]]:
    path = board / RERUNS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def other_numbers(record: dict[str, Any]) -> None:
    record["metrics"]["top1"] += 100 / 1440
    record["curve"][-1]["metrics"]["top1"] += 100 / 1440
    record["model"]["sha256"] = "d" * 64


def test_what_came_out_the_same_is_told_everywhere(
    known: RecordedRuns, board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(board)
    assert before.keys() == FILES
    assert not any(b"rerun_by" in text or b"Re-run by" in text for text in before.values())
    status, text, error = tell(capsys, board, computed_again(known, tmp_path / "again"), "--by", " Ada  Lovelace")
    assert (status, error) == (0, "")
    assert "re-run by Ada Lovelace: same" in text
    (line,) = told(board)
    cell = next(stage for stage in known.stages("cell") if stage.label == line["label"])
    record = json.loads(known.file(cell).read_text())
    assert (line["address"], line["seed"], line["by"]) == (cell.address, 1, "Ada Lovelace")
    assert (line["recorded"], line["repeated"]) == (record["model"]["sha256"],) * 2
    assert (line["differences"], line["date"], line["seconds"]) == ([], "2026-11-28T09:01:30Z", 90.0)
    assert line["versions"] == record["provenance"]["versions"]
    assert line["hardware"] == record["provenance"]["hardware"]
    assert lgbench(capsys, "check", "--folder", str(board.parent))[:2] == (0, f"{board}: as its records\n")
    after = contents(board)
    assert after.keys() == FILES | {RERUNS}
    assert [after[name] for name in ("records.jsonl", "plans.jsonl")] == [
        before[name] for name in ("records.jsonl", "plans.jsonl")
    ]
    readme = after["README.md"].decode().splitlines()
    assert [row.endswith("| Ada Lovelace (same) |") for row in readme].count(True) == 1
    (row,) = (row for row in readme if row.startswith(f"| {cell.label} | "))
    assert row.split(" | ")[1:4] == ["Ada Lovelace", "same", ""]
    assert row.endswith(" | 2.15.0 | 2026-11-28 | 90 s |")
    rows = list(csv.DictReader(after["cells.csv"].decode().splitlines()))
    assert {row["address"]: (row["rerun_by"], row["rerun"]) for row in rows if row["rerun_by"]} == {
        cell.address: ("Ada Lovelace", "same")
    }
    page = reporting.FORMATS["html"](reporting.make(load([board])))
    assert '["Re-run by Ada Lovelace",{"numbers":"same","reasons_for_other_numbers":"other code of the suite"' in page
    frame = learngene_bench.load(board).cells
    assert list(frame.loc[frame["address"] == cell.address, "rerun"]) == ["same"]


def test_what_did_not_come_out_is_told_as_well(
    known: RecordedRuns, board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(capsys, board, computed_again(known, tmp_path / "ada"), "--by", "Ada")
    folder = computed_again(known, tmp_path / "bo", other_numbers, cpu="another processor")
    status, text, _ = tell(capsys, board, folder, "--by", "Bo")
    assert status == 1
    assert "re-run by Bo: differs" in text
    line = next(line for line in told(board) if line["by"] == "Bo")
    assert [one["name"] for one in line["differences"]] == [
        "Top-1 accuracy after fine-tuning", "learning curve", "weights after fine-tuning"
    ]  # fmt: skip
    assert line["differences"][0]["remark"] == "+0.0694 points"
    assert line["obstacles"] == ["other cpu", "other code of the suite"]
    readme = (board / "README.md").read_text()
    assert "Ada (same), Bo (differs)" in readme
    assert "| Bo | differs | Top-1 accuracy after fine-tuning +0.0694 points; learning curve from epoch" in readme
    assert "same: every number is the same to the last digit; differs: some number is not, if" in readme
    rows = list(csv.DictReader((board / "cells.csv").read_text().splitlines()))
    assert [row["rerun"] for row in rows if row["rerun"]] == ["same; differs"]
    assert manage.difference(board) is None


def test_nobody_tells_the_same_twice(
    known: RecordedRuns, board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = computed_again(known, tmp_path / "again")
    assert tell(capsys, board, folder, "--by", "Ada")[0] == 0
    once = contents(board)
    status, text, _ = tell(capsys, board, folder, "--by", "ADA")
    assert (status, contents(board)) == (0, once)
    assert "tells already that ADA has computed he micro depth 4 seed 1 again with these numbers" in text
    assert tell(capsys, board, computed_again(known, tmp_path / "other", other_numbers), "--by", "Ada")[0] == 1
    assert tell(capsys, board, folder, "--by", "Bo")[0] == 0
    assert [(line["by"], bool(line["differences"])) for line in told(board)] == [
        ("Ada", False), ("Ada", True), ("Bo", False)
    ]  # fmt: skip
    path = board / RERUNS
    path.write_text(path.read_text() + path.read_text().splitlines()[0].replace("09:01:30", "10:00:00") + "\n")
    status, _, error = lgbench(capsys, "check", "--folder", str(board.parent))
    assert (status, error.count("\n")) == (2, 1)
    assert "(he micro depth 4 seed 1, by Ada): another line tells of the same numbers under the same name" in error


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (set_in("address", to="0" * 64), "there is no record of a cell 0000"),
        (set_in("seed", to=0), "'label' and 'seed' are not those of the record, which is of he micro depth 4 seed 1"),
        (set_in("label", to="wave"), "'label' and 'seed' are not those of the record"),
        (lambda line: line.update(recorded="e" * 64, repeated="e" * 64), "compared with another record than there is"),
        (set_in("repeated", to="e" * 64), "'differences' is empty, but 'repeated' is not 'recorded'"),
        (set_in("repeated", to=None), "a re-run has either the hash of weights or a failure"),
        (set_in("failure", to="it broke"), "a re-run has either the hash of weights or a failure"),
        (set_in("seconds", to=None), "'seconds' is null if the re-run failed, and only then"),
        (set_in("seconds", to=-1.0), "'seconds' is -1.0"),
        (set_in("by", to=""), "'by': a name has 1 to 80 characters, and no semicolon"),
        (set_in("by", to="Ada;Bo"), "'by': a name has 1 to 80 characters, and no semicolon"),
        (set_in("by", to="Ada  Lovelace"), "'by': a name has single spaces"),
        (set_in("date", to="yesterday"), "'date' is 'yesterday'"),
        (lambda line: line["versions"].pop("torch"), "'versions' lacks 'torch'"),
        (lambda line: line["hardware"].pop("cpu"), "'hardware' lacks 'cpu'"),
        (lambda line: line.pop("code"), "it lacks 'code'"),
        (set_in("also", to=1), "'also' is unknown"),
    ],
)
def test_a_line_that_breaks_a_rule_is_refused(
    known: RecordedRuns,
    board: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], object],
    problem: str,
) -> None:
    tell(capsys, board, computed_again(known, tmp_path / "again"), "--by", "Ada")
    (line,) = told(board)
    change(line)
    (board / RERUNS).write_text(json.dumps(line) + "\n")
    for words in (("check",), ("build", "digits")):
        status, _, error = lgbench(capsys, *words, "--folder", str(board.parent))
        assert (status, error.count("\n")) == (2, 1)
        assert f"{board / RERUNS}" in error
        assert problem in error


def test_what_is_no_rerun_is_refused_before_anything_is_written(
    known: RecordedRuns, board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, again = contents(board), computed_again(known, tmp_path / "again")

    def refused(runs: Path, folder: Path, *more: str) -> str:
        status, text, error = tell(capsys, runs, folder, *more)
        assert (status, error.count("\n")) == (2, 1), text
        assert contents(board) == before
        return error

    assert "is the recorded one, and not computed again" in refused(board, known.folder, "--by", "Ada")
    assert f"--by writes into a leaderboard, and {known.folder} is none" in refused(known.folder, again, "--by", "Ada")
    assert "leave out --keep-inputs" in refused(board, again, "--by", "Ada", "--keep-inputs")
    for name in ("", " \n ", "a;b", 81 * "a"):
        assert "a name has 1 to 80 characters, and no semicolon" in refused(board, again, "--by", name)
    assert "(--by NAME writes what it holds into the leaderboard)" in refused(board, again)


def test_names_are_only_names(
    known: RecordedRuns, board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "=cmd|<script>alert(1)</script>"
    assert tell(capsys, board, computed_again(known, tmp_path / "again"), "--by", name)[0] == 0
    assert r"\<script\>" in (board / "README.md").read_text()
    assert "<script>" not in (board / "README.md").read_text()
    rows = list(csv.DictReader((board / "cells.csv").read_text().splitlines()))
    assert [row["rerun_by"] for row in rows if row["rerun_by"]] == [f"'{name}"]
    assert "<script>alert" not in reporting.FORMATS["html"](reporting.make(load([board])))
    assert manage.difference(board) is None


def test_reruns_stay_when_records_are_added_and_go_with_their_cell(
    known: RecordedRuns,
    board: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell(capsys, board, computed_again(known, tmp_path / "again"), "--by", "Ada")
    once = contents(board)
    manage.add(board, known.folder)
    assert contents(board) == once
    tell(capsys, board, tmp_path / "again", "--by", "Ada", cell="wave depth 6 seed 0")
    assert [line["label"] for line in told(board)] == ["he micro depth 4 seed 1", "wave micro depth 6 seed 0"]
    for method, left in ((He, ["wave micro depth 6 seed 0"]), (Wave, [])):
        monkeypatch.setattr(method, "version", method.version + 1)
        newer = recorded(tmp_path / f"newer {method.name}", "wave,he", created=f"2026-11-2{9 - len(left)}T12:00:00Z")
        manage.add(board, newer.folder)
        assert [line["label"] for line in told(board)] == left
        assert manage.difference(board) is None
