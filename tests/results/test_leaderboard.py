"""Records are added to a leaderboard, whoever comes first, and everything that is worth a look is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from boards import FILES, contents, lgbench, lines, metrics_and_curve, set_in
from recorded_runs import RecordedRuns, recorded

from learngene_bench.baselines.he import He
from learngene_bench.results import load
from learngene_bench.results.leaderboard import manage
from learngene_bench.results.tables import tidy
from learngene_bench.schema.stage import Execution
from learngene_bench.util.errors import UserError


def test_a_leaderboard_reports_what_the_runs_folder_does(offered: RecordedRuns, board: Path) -> None:
    for gene in offered.stages("gene"):
        offered.file(gene, "tensors.safetensors").write_bytes(bytes(4096))
    said = manage.add(board, offered.folder)
    assert said == ["records added: 8; already there with the same numbers: 0"]
    rows = tidy.rows(load([board]))
    assert rows == tidy.rows(load([offered.folder]))
    assert {row["stored_bytes"] for row in rows} == {0, 4096}
    assert contents(board).keys() == FILES
    stages = lines(board)
    assert [stage["record"] for stage in stages] == [
        json.loads(offered.file(offered.plan.stages[stage["address"]]).read_text()) for stage in stages
    ]
    order = [("ancestor", "gene", "cell").index(stage["kind"]) for stage in stages]
    assert order == sorted(order)
    assert len(stages) == len(offered.plan.stages)
    assert "WAVE" in (board / "README.md").read_text()


def test_what_only_one_machine_understands_stays_there(offered: RecordedRuns, board: Path) -> None:
    here = "/home/ada"
    failed = offered.stages("cell")[0]
    for stage in offered.plan.stages.values():
        data = {"name": "digits", "folder": f"{here}/data"}
        execution = {"data": data, "files": {"f" * 64: f"{here}/weights"}}
        offered.change(
            offered.file(stage, "config.json"), lambda config, new=execution: config["execution"].update(new)
        )
        for name in ("log.txt", "tensors.safetensors", "owner-000001.json"):
            offered.file(stage, name).write_text(here)
    offered.file(failed).unlink()
    offered.runs.stage_dir(failed).fail(failed.label, "ValueError: no", f'File "{here}/mine.py", line 3')
    assert manage.add(board, offered.folder)[1:] == [f"failed, as the tables say: 1 ({failed.label})"]
    assert [name for name, content in contents(board).items() if here.encode() in content] == []
    assert str(offered.folder).encode() not in b"".join(contents(board).values())
    assert "ValueError: no" in (board / "README.md").read_text()


def test_places_that_stay_in_records_are_said(offered: RecordedRuns, board: Path) -> None:
    command = ["lgbench", "run", "--runs", "/home/ada/runs", "--plugin=~/mine.py", "--set", "x=a/b"]
    for stage in offered.stages("cell"):
        offered.change(offered.file(stage), lambda record: record["provenance"].update(command=command))
    said = manage.add(board, offered.folder)
    assert said[-1] == "paths of a machine that are published, as in commands: /home/ada/runs, ~/mine.py"


def test_the_origin_of_numbers_is_said(offered: RecordedRuns, board: Path) -> None:
    first, second, *_ = offered.stages("cell")
    offered.change(offered.file(first), lambda record: record["provenance"]["git"].update(dirty=True))
    offered.change(offered.file(second), lambda record: record["provenance"]["git"].update(commit=None, dirty=None))
    assert manage.add(board, offered.folder)[1:] == [
        "computed by an installed package, of unknown commit: 1",
        "computed by commit c0ffeec0 with uncommitted changes: 1",
    ]
    table = [line for line in (board / "README.md").read_text().splitlines() if "processor" in line]
    assert [line.split(" | ")[:2] for line in table] == [
        ["| 6", "c0ffeec0"],
        ["| 1", "c0ffeec0 with uncommitted changes"],
        ["| 1", "installed package"],
    ]
    assert all(r"a \| \<processor\>, Linux x86\_64" in line for line in table)


def test_whoever_comes_first_it_ends_the_same(tmp_path: Path) -> None:
    one = recorded(tmp_path / "one", "he")
    other = recorded(tmp_path / "other", "wave", created="2026-11-21T12:00:00Z")
    for number, order in enumerate(((one, other), (other, one), (other, one, one, other))):
        for runs in order:
            manage.add(tmp_path / str(number) / "digits", runs.folder)
    first, second, third = (contents(tmp_path / str(number)) for number in range(3))
    assert first == second == third
    assert len(load([tmp_path / "0" / "digits"]).records) == 8


def test_what_is_missing_is_named(offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished = offered.stages("cell")[:2]
    for stage in unfinished:
        offered.file(stage).unlink()
    arguments = ("add", "--runs", str(offered.folder), "--name", "digits", "--folder", str(board.parent))
    status, _, error = lgbench(capsys, *arguments)
    assert status == 2
    assert f"2 of 8 planned cells have no result yet ({unfinished[0].label}, {unfinished[1].label})" in error
    assert not board.parent.exists()
    assert lgbench(capsys, *arguments, "--allow-incomplete")[0] == 0
    assert "| 0/2 |" in (board / "README.md").read_text()


def test_a_failed_input_is_a_failure_of_all_that_need_it(offered: RecordedRuns, board: Path) -> None:
    teacher = offered.stages("ancestor")[0]
    for stage in offered.plan.stages.values():
        if stage.kind != "cell" or "gene" in stage.inputs:
            shutil.rmtree(offered.runs.stage_dir(stage).path)
    execution = Execution(command=("lgbench",), checkpoint_seconds=5.0, data={})
    offered.runs.write_config(teacher, execution)
    offered.runs.stage_dir(teacher).fail(teacher.label, "ValueError: no convergence", "")
    manage.add(board, offered.folder)
    assert "ValueError: no convergence" in (board / "README.md").read_text()
    assert manage.difference(board) is None
    again = recorded(board.parent / "again")
    assert manage.add(board, again.folder)[0] == "records added: 4; already there with the same numbers: 4"
    assert "no convergence" not in (board / "README.md").read_text()
    assert all(stage["failure"] is None for stage in lines(board))


def test_one_configuration_with_two_results_is_refused_with_both(
    offered: RecordedRuns, tmp_path: Path, board: Path
) -> None:
    manage.add(board, offered.folder)
    before = contents(board.parent)
    for stage in offered.stages("cell")[:3]:
        offered.change(offered.file(stage), metrics_and_curve(90.0))
    with pytest.raises(UserError) as error:
        manage.add(board, offered.folder)
    message = str(error.value)
    assert "Top-1 accuracy 90 (as initialized 10) in" in message
    assert "Top-1 accuracy 83." in message
    assert "different metrics, learning curves); 2 more cells have two results as well" in message
    assert contents(board.parent) == before


def test_a_gene_computed_elsewhere_is_no_contradiction(offered: RecordedRuns, tmp_path: Path, board: Path) -> None:
    """Another method on another machine begins with the same teacher, computed there: its bits differ."""
    manage.add(board, offered.folder)
    other = recorded(tmp_path / "other", "wave:inheritance=interpolate")
    teacher = other.stages("ancestor")[0]
    other.change(other.file(teacher), set_in("tensors", "sha256", to="e" * 64))
    said = manage.add(board, other.folder)
    assert said[0] == "records added: 4; already there with the same numbers: 0"
    assert said[1].startswith("with other weights than in the leaderboard")
    assert teacher.label in said[1]
    (kept,) = (stage for stage in lines(board) if stage["address"] == teacher.address)
    assert kept["record"] == json.loads(offered.file(teacher).read_text())


def test_a_newer_version_of_a_method_takes_the_place_of_the_older(
    offered: RecordedRuns, tmp_path: Path, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(He, "version", 2)
    newer = recorded(tmp_path / "newer", "he", created="2027-01-01T00:00:00Z")
    for first, second in ((offered, newer), (newer, offered)):
        shutil.rmtree(board, ignore_errors=True)
        manage.add(board, first.folder)
        said = manage.add(board, second.folder)
        what = "replaced by newer ones" if first is offered else "left out, as the leaderboard has newer ones"
        assert [line for line in said if line.startswith(f"{what}: 4 (")]
        versions = [stage["config"]["config"]["method"] for stage in lines(board) if stage["kind"] == "cell"]
        assert {method["version"] for method in versions if method["name"] == "he"} == {2}
        assert len(versions) == 8
        assert manage.difference(board) is None


def test_records_that_no_plan_asks_for_are_left_out_and_said(
    offered: RecordedRuns, tmp_path: Path, board: Path
) -> None:
    other = recorded(tmp_path / "other", "timm", seeds=1)
    stray = other.runs.stage_dir(other.stages("cell")[0]).path
    shutil.copytree(stray, offered.folder / "cell" / stray.name)
    assert f"left out, as no plan asks for them: 1 ({stray.name})" in manage.add(board, offered.folder)
    assert stray.name not in (board / "records.jsonl").read_text()
    shutil.rmtree(offered.folder / "plans")
    with pytest.raises(UserError, match="no plan, so nobody can tell what is missing"):
        manage.add(board, offered.folder)


def test_a_full_disk_leaves_whole_files(
    offered: RecordedRuns, tmp_path: Path, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manage.add(board, recorded(tmp_path / "before", "timm").folder)
    before = contents(board.parent)

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device"):
        manage.add(board, offered.folder)
    assert contents(board.parent) == before


def test_files_that_have_not_changed_are_not_written(offered: RecordedRuns, board: Path) -> None:
    manage.add(board, offered.folder)
    before = {path: path.stat().st_ino for path in board.iterdir()}
    manage.build(board)
    manage.add(board, offered.folder)
    assert {path: path.stat().st_ino for path in board.iterdir()} == before
