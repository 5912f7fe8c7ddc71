"""The folder of a leaderboard: nothing else in it is touched, nothing else is taken for one, and no record is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from boards import FILES, contents, lgbench, lines
from recorded_runs import RecordedRuns, recorded

from learngene_bench.results.leaderboard import manage
from learngene_bench.util.errors import UserError
from learngene_bench.util.locks import LOCK, exclusively


def test_what_else_is_in_the_folder_stays(offered: RecordedRuns, board: Path) -> None:
    others = {".git/HEAD": "ref", ".notes": "mine"}
    for name, text in others.items():
        (board / name).parent.mkdir(parents=True, exist_ok=True)
        (board / name).write_text(text)
    manage.add(board, offered.folder)
    (board / "notes.md").write_text("mine")
    manage.add(board, offered.folder)
    manage.build(board)
    found = contents(board)
    assert found.keys() == FILES | others.keys() | {"notes.md"}
    assert {name: found[name].decode() for name in others} == others


def test_a_folder_of_something_else_is_no_leaderboard(
    offered: RecordedRuns, board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(offered.folder)
    place = ("--folder", str(offered.folder.parent))
    for arguments in (("add", "--runs", str(offered.folder), "--name", "offered", *place), ("build", *place)):
        status, _, error = lgbench(capsys, *arguments)
        assert (status, error.count("\n")) == (2, 1)
        assert "no leaderboard" in error
        assert contents(offered.folder) == before
    empty = board.parent / "empty"
    empty.mkdir(parents=True)
    status, _, error = lgbench(capsys, "check", "--folder", str(empty))
    assert (status, error) == (
        2,
        f"lgbench: {empty}: no leaderboard in it (--folder says where the leaderboards are)\n",
    )


def test_a_leaderboard_behind_a_link_stays_behind_it(offered: RecordedRuns, tmp_path: Path, board: Path) -> None:
    real = tmp_path / "real"
    board.parent.mkdir()
    real.mkdir()
    board.symlink_to(real)
    manage.add(board, offered.folder)
    manage.add(board, offered.folder)
    assert board.is_symlink()
    assert contents(real).keys() == FILES


def test_records_added_at_the_same_time_are_all_there(tmp_path: Path, board: Path) -> None:
    methods = ("he", "timm", "jax", "mimetic")
    offers = [recorded(tmp_path / method, method, seeds=1).folder for method in methods]
    threads = [threading.Thread(target=manage.add, args=(board, folder)) for folder in offers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([stage for stage in lines(board) if stage["kind"] == "cell"]) == 2 * len(methods)
    assert manage.difference(board) is None
    assert contents(board).keys() == FILES


def test_whoever_changes_a_leaderboard_is_named(board: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board.mkdir(parents=True)
    with (
        exclusively(board, wait=0),
        pytest.raises(UserError, match=rf"process {os.getpid()} on .*\(kill \d+ ends it\)"),
        exclusively(board, wait=0.2),
    ):
        pass
    assert f"{board}: waiting for process {os.getpid()}" in capsys.readouterr().err
    assert not list(board.iterdir())


def test_a_lock_of_a_killed_process_is_taken_over_and_a_link_is_not_followed(tmp_path: Path) -> None:
    code = (
        f"import os\nfrom pathlib import Path\nfrom learngene_bench.util.locks import exclusively\n"
        f"with exclusively(Path({str(tmp_path)!r}), wait=0): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert (tmp_path / LOCK).exists()
    with exclusively(tmp_path, wait=0):
        pass
    assert not (tmp_path / LOCK).exists()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / LOCK).symlink_to(victim)
    with pytest.raises(UserError, match="cannot be written"), exclusively(tmp_path, wait=0):
        pass
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("survived", [0, 1, 3])
def test_stopped_between_two_files_it_ends_the_same(
    offered: RecordedRuns, tmp_path: Path, board: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    """A kill after each of the files: nothing that was accepted is lost, and the next `add` completes the rest."""
    manage.add(board, recorded(tmp_path / "before", "timm").folder)
    whole = shutil.copytree(board.parent, tmp_path / "whole") / board.name
    manage.add(whole, offered.folder)
    accepted, replace, left = set(map(str, lines(board))), os.replace, iter(range(survived))

    def killed(source: Path, target: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            manage.add(board, offered.folder)
    assert accepted <= set(map(str, lines(board)))
    manage.add(board, offered.folder)
    assert contents(board) == contents(whole)
