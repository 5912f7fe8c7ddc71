"""Processes of one machine find each other, whatever the machine is called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from learngene_bench.distributed.launch import launch_command, launch_environment

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
