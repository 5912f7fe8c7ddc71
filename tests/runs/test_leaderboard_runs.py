"""A leaderboard is read like the runs folder that it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest
from recorded_runs import RecordedRuns, recorded

from learngene_bench.cli.main import run_command
from learngene_bench.results.leaderboard import manage
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.record import CellRecord, GeneRecord


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> RecordedRuns:
    """The first cell has failed."""
    made = recorded(tmp_path_factory.mktemp("offered") / "runs")
    failed = made.stages("cell")[0]
    made.file(failed).unlink()
    made.runs.stage_dir(failed).fail(failed.label, "ValueError: no", "line 3")
    return made


@pytest.fixture(scope="module")
def board(offered: RecordedRuns, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("leaderboards") / "digits"
    manage.add(folder, offered.folder)
    return open_runs(folder)


def test_stages_are_what_they_were(offered: RecordedRuns, board: Runs) -> None:
    assert type(open_runs(offered.folder)) is Runs
    for stage in offered.plan.stages.values():
        before, after = offered.runs.stage_dir(stage), board.stage_dir(stage)
        assert after.state() is before.state()
        assert after.read_config().config == before.read_config().config
        if after.state() is State.DONE:
            assert after.read_any_record(stage.kind) == before.read_any_record(stage.kind)
        else:
            assert after.read_failure().error == "ValueError: no"
            with pytest.raises(FileNotFoundError):
                after.read_any_record(stage.kind)


def test_inputs_come_with_a_cell(offered: RecordedRuns, board: Runs) -> None:
    cell = next(stage for stage in offered.stages("cell") if stage.inputs)
    wanted = [(cell.kind, cell.address)]
    assert list(board.load_with_inputs(wanted)) == list(offered.runs.load_with_inputs(wanted))
    assert [manifest.file_name for manifest in board.manifests()] == [
        manifest.file_name for manifest in offered.runs.manifests()
    ]


def test_what_is_not_there_is_not_there(offered: RecordedRuns, board: Runs) -> None:
    nothing = board.folder("cell", "0" * 64)
    assert nothing.state() is State.WAITING
    for read in (nothing.read_config, nothing.read_failure, lambda: nothing.read_record(CellRecord)):
        with pytest.raises(FileNotFoundError):
            read()
    gene = offered.stages("gene")[0]
    assert board.stage_dir(gene).read_record(GeneRecord).tensors.bytes == 4096
    with pytest.raises(FileNotFoundError):
        board.stage_dir(gene).read_record(CellRecord)
    assert not board.stage_dir(gene).tensors.exists()


def test_a_damaged_line_is_one_line(board: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "records.jsonl").write_text(
        (board.root / "records.jsonl").read_text().replace('"seed":1', '"seed":"a"', 1)
    )
    (tmp_path / "plans.jsonl").write_text((board.root / "plans.jsonl").read_text())
    assert run_command(["rerun", "he", "depth", "4", "seed", "1", "--runs", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "records.jsonl, line " in error
    assert error.count("\n") == 1
