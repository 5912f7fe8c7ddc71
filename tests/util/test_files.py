"""A file is written completely or not at all, whatever becomes of the process, and what a kill leaves is removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from learngene_bench.util.errors import UserError
from learngene_bench.util.files import ABANDONED, remove_leftovers, temporary_beside, write_text, write_whole

KILLED = """
import os, sys
from pathlib import Path
from learngene_bench.util.files import write_whole
def write(path):
    path.write_text("half")
    os.kill(os.getpid(), 9)
write_whole(Path(sys.argv[1]), write)
"""


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    subprocess.run([sys.executable, "-c", KILLED, str(target)])
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".tmp")
    others = [tmp_path / ".mine.tmp", tmp_path / ".result.json.4711.abcdef01.tmp", temporary_beside(target, "tmp")]
    elsewhere = tmp_path / ".result.json.00000000-1-2.abcdef01.tmp"
    for path in (*others, elsewhere):
        path.write_text("of somebody who is at work, or of no process of ours")
    write_text(target, "whole")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (target, *others, elsewhere)}
    os.utime(elsewhere, (1, os.stat(elsewhere).st_mtime - ABANDONED - 1))
    remove_leftovers(tmp_path)
    assert not elsewhere.exists()


def test_a_disk_that_lets_nothing_go_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    def stuck(path: Path, missing_ok: bool = False) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "unlink", stuck)
    with pytest.raises(UserError, match=r"result.json: cannot be written: No space left on device"):
        write_whole(tmp_path / "result.json", full)
