"""Starts several processes on this machine for one stage. Does not import torch."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from learngene_bench.util import interrupt

TICK = 0.25
"""Seconds between two looks whether to stop."""
LOOPBACK = "127.0.0.1"
PARTING = 10.0
"""Seconds that processes have to end once rank 0 has answered."""


def launch_command(
    processes: int, runs: Path, kind: str, address: str, plugins: Sequence[Path] = (), *, tied: bool = False
) -> list[str]:
    """Returns the command that computes a stage with several processes of this machine, by torchrun.

    `learngene_bench.execution.rank` says what it prints. Its exit status is 1 for both died and refused, as torchrun
    has no other. SIGTERM lets it save where it is and stop.

    Args:
        tied: True if the processes end with their standard input, and so with the process that holds its other end.
    """
    # -P: the code of this process, not that of another checkout in the current folder; torchrun itself starts without.
    python = [sys.executable, "-P", "-m"]
    launcher = "learngene_bench.distributed.torchrun" if tied else "torch.distributed.run"
    # What torchrun calls standalone, but by the loopback address: the machine's own name may resolve to nothing.
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{LOOPBACK}:0", "--local-addr", LOOPBACK]
    torchrun = [*python, launcher, *meeting, "--nproc-per-node", str(processes), "--no-python"]
    program = [*python, "learngene_bench.execution.rank", *(["--tied"] if tied else [])]
    return [*torchrun, *program, str(runs), kind, address, *(str(plugin) for plugin in plugins)]


def launch_environment() -> dict[str, str]:
    """Returns the environment of processes that compute together on this machine: gloo uses its loopback interface."""
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
    gloo = {"GLOO_SOCKET_IFNAME": loopback} if loopback else {}
    # The number of threads is torchrun's own default; it says so at length if it is not set.
    return {"OMP_NUM_THREADS": "1", **gloo, **os.environ}


def launch(processes: int, runs: Path, kind: str, address: str, plugins: Sequence[Path] = ()) -> dict[str, Any]:
    """Computes a stage with several processes; they end with this one, and stop when `stopping` asks this one to.

    What they print goes to this process's standard error.

    Returns:
        How it ended, as the answer of a worker: `{"state": "done"}`, or failed, busy, stopped, and with an `error`
        refused (a `UserError`) or died.
    """
    command = launch_command(processes, runs, kind, address, plugins, tied=True)
    # A session of its own: Ctrl-C is for this process, which decides what it means.
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=launch_environment(),
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line, asked = "", False
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(TICK):
                if interrupt.stop_requested() and not asked:
                    asked = True
                    process.send_signal(signal.SIGTERM)
            line = process.stdout.readline()
        _end(process, process.stdin)
    if line.endswith("\n"):
        return json.loads(line)
    if asked:  # before they were ready to save anything, or they took too long to
        return {"state": "stopped"}
    return {"state": "died", "error": f"one of its {processes} processes was killed or ended; its log may tell why"}


def _end(process: subprocess.Popen[str], tie: IO[str]) -> None:
    """Waits for the processes to end, and makes them end if one hangs."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(PARTING)
    tie.close()
    try:
        process.wait(PARTING)
    except subprocess.TimeoutExpired:
        process.kill()
