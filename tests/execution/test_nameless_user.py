"""A user without a home folder and without a name, as in some containers, submits and follows jobs."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest
from forked import run

from learngene_bench.cli.main import run_command
from learngene_bench.execution.slurm import submissions

NOBODY = 54321
"""A number that no user has."""
CLONE_NEWUSER = 0x10000000
"""Constant of linux/sched.h."""
COMMANDS = {
    "sinfo": "echo 'all*|infinite'",
    "scontrol": "echo 'MaxArraySize = 1001'",
    "squeue": "echo '71|PENDING|Resources'",
    "sbatch": "echo Submitted batch job 71",
    "srun": "true",
}
"""A scheduler that takes every job and computes none."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a scheduler, and with a folder of the name `~`, which is nobody's home."""
    for name, command in COMMANDS.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{command}\n")
        program.chmod(0o755)
    site = tmp_path / "~" / ".config" / "lgbench" / "site.toml"
    site.parent.mkdir(parents=True)
    site.write_text('[slurm]\nsetup = ["touch made-by-a-stranger"]\n')
    return tmp_path


def become_nobody() -> None:
    """Gives this process the number of nobody, in a namespace of its own: it reads and writes files as before."""
    group = os.getgid()
    assert ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) == 0
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} 0 1"), ("gid_map", f"{NOBODY} {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CONFIG_HOME", "LGBENCH_CACHE"):
        os.environ.pop(name, None)


def submit_and_look(folder: str) -> int:
    become_nobody()
    os.chdir(folder)
    os.environ["PATH"] = f"{folder}/bin:{os.environ['PATH']}"
    options = ["--quick", "--set", "grid.depths=[4]", "--executor", "slurm", "--time", "1:00:00"]
    return run_command(["run", "-m", "he", *options]) or run_command(["status", "--runs", "runs-quick"])


def can_be_another_user() -> bool:
    try:
        return os.geteuid() == 0 and subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode == 0
    except (OSError, AttributeError):
        return False


@pytest.mark.skipif(not can_be_another_user(), reason="a process cannot be another user here")
def test_a_user_without_home_and_name_submits_jobs(folder: Path) -> None:
    done = run("test_nameless_user:submit_and_look", str(folder), path=[Path(__file__).parent])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    (made,) = submissions.read(folder / "runs-quick")
    assert submissions.users([made]) == {str(NOBODY)}
    assert "1 queued" in done.stdout
    (script,) = (folder / "runs-quick").rglob("71_submission.sh")
    assert "made-by-a-stranger" not in script.read_text()
    assert {path.name for path in folder.iterdir()} == {"bin", "~", "runs-quick"}
