"""Outlives the process that started a test cluster, to end what it left: daemons, job steps, jobs and scratch files.

A process belongs to the cluster if its environment names the cluster's folder (daemons and jobs carry SLURM_CONF) or
if it holds a file there open (slurmstepd writes its title over its environment, but has the log open).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path


def processes(folder: Path) -> list[int]:
    """The ids of all living processes of the cluster in `folder`, but for the calling one."""
    inside = os.fsencode(folder) + b"/"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            names = [(process / "environ").read_bytes()]
            names += [os.fsencode(os.readlink(descriptor)) for descriptor in (process / "fd").iterdir()]
        except OSError:  # gone, a zombie's, or another user's
            continue
        if int(process.name) != os.getpid() and any(inside in name for name in names):
            found.append(int(process.name))
    return found


def end(folder: Path, seconds: float = 30) -> None:
    """Kills the cluster in `folder` and removes all its files but the logs."""
    deadline = time.monotonic() + seconds
    while (alive := processes(folder)) and time.monotonic() < deadline:
        for process in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    for entry in folder.iterdir():
        if entry.name != "log":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


if __name__ == "__main__":
    sys.stdin.read()  # until the other end of the pipe is closed, which also a SIGKILL does
    end(Path(sys.argv[1]))
