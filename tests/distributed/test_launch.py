"""Processes of one machine find each other, whatever the machine is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest
from hostile_runs import say
from torch.distributed import TCPStore

from learngene_bench.distributed import join, launch_command, world
from learngene_bench.distributed.launch import launch_environment
from learngene_bench.util.errors import UserError

LAUNCH, WORLD = (import_module(f"learngene_bench.distributed.{name}") for name in ("launch", "world"))

MEET = """
import torch
torch.distributed.init_process_group("gloo")
number = torch.ones(1)
torch.distributed.all_reduce(number)
print(f"met {int(number)}\\n", end="", flush=True)
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="only root names a machine otherwise")
def test_a_machine_whose_name_does_not_resolve_is_enough(tmp_path: Path) -> None:
    command = launch_command(2, tmp_path, "cell", "address")
    torchrun = command[: command.index("--no-python") + 1]
    named = ["unshare", "--uts", "sh", "-c", 'hostname no.such.host.invalid && exec "$@"', "sh"]
    done = subprocess.run(
        [*named, *torchrun, sys.executable, "-c", MEET],
        env=launch_environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.stdout.split() == ["met", "2", "met", "2"], done.stderr


HANGS = """
import os, sys, time
if {condition}:
    time.sleep(600)
"""
"""A `sitecustomize`, which Python imports before everything else."""


def let_hang(folder: Path, condition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sitecustomize.py").write_text(HANGS.format(condition=condition))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_torchrun_that_starts_nothing_is_named_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_worker = "'learngene_bench.execution.worker' in sys.orig_argv"
    change = "import importlib; launch = importlib.import_module('learngene_bench.distributed.launch')"
    let_hang(tmp_path, "'learngene_bench.distributed.torchrun' in sys.orig_argv", monkeypatch)
    with (tmp_path / "sitecustomize.py").open("a") as file:
        file.write(f"if {in_worker}:\n    {change}; launch.PATIENCE, launch.MEETING = 0.5, 1.5\n")
    options = ["--grid", "depth", "--set", "grid.depths=[4]", "--quick", "--processes-per-model", "2"]
    said = say(["run", "--method", "he", *options, "--runs", str(tmp_path / "runs")])
    words = "torchrun has started none of 2 processes that meet at 127.0.0.1"
    assert f"he micro depth 4 seed 0: {words} yet; waiting for at most 2 s\n" in said.output
    assert said.status == 2
    advice = "the stage's log may tell why (lgbench logs); if the machine is only slow, run again"
    assert said.error == f"lgbench: {words} within 2 s: {advice}\n"


def test_what_a_launcher_waits_for_is_named() -> None:
    meeting = LAUNCH._Meeting(3, began=0.0)
    assert meeting.note({"come": 1}) is None
    assert meeting.words() == "process 0, 2 of 3 (from 0) has not come to meet the others at 127.0.0.1"
    for rank in (0, 2):
        meeting.note({"come": rank})
    assert meeting.words() == "all 3 processes have started, but have not met at 127.0.0.1"
    assert meeting.is_over()
    meeting.note({"met": True})
    assert not meeting.is_over()
    assert meeting.note({"state": "done"}) == {"state": "done"}


def test_a_process_says_who_has_not_come(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setattr(WORLD, "TIMEOUT", timedelta(seconds=1))
    monkeypatch.setattr(WORLD, "PATIENCE", 0.1)
    given = {"WORLD_SIZE": "3", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    for name, value in {**given, "RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"}.items():
        monkeypatch.setenv(name, value)
    place = f"127.0.0.1:{store.port}"
    with pytest.raises(UserError, match=f"3 processes have not met at {place} within 1 s: process 1, 2 has not come"):
        join()
    waiting = f"process 0 waits until all 3 processes have met at {place}, for at most 1 s"
    assert waiting in capsys.readouterr().err
    monkeypatch.setenv("MASTER_ADDR", "no.such.host.invalid")
    with pytest.raises(UserError, match=r"3 processes have not met at no\.such\.host\.invalid:\d+ within 1 s"):
        join()
    assert world().size == 1
