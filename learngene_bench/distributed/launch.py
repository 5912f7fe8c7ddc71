"""Starts several processes on this machine for one stage. Does not import torch."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from learngene_bench.util import interrupt
from learngene_bench.util.durations import duration

TICK = 0.25
"""Seconds between two looks whether to stop."""
LOOPBACK = "127.0.0.1"
PATIENCE = 30.0
"""Seconds after which it says for what it waits while the processes have not met."""
MEETING = 600.0
"""Seconds that the processes have to start and to meet."""
ADVICE = "the stage's log may tell why (lgbench logs); if the machine is only slow, run again"
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


def launch(
    processes: int,
    runs: Path,
    kind: str,
    address: str,
    plugins: Sequence[Path] = (),
    say: Callable[[str], object] = lambda line: print(line, file=sys.stderr, flush=True),
) -> dict[str, Any]:
    """Computes a stage with several processes; they end with this one, and stop when `stopping` asks this one to.

    What they print goes to this process's standard error.

    Args:
        say: told for what it waits, in one line, where the processes do not meet soon.

    Returns:
        How it ended, as the answer of a worker: `{"state": "done"}`, or failed, busy, stopped, and with an `error`
        refused (a `UserError`, also if they have not met within `MEETING`) or died.
    """
    command = launch_command(processes, runs, kind, address, plugins, tied=True)
    # A session of its own: Ctrl-C is for this process, which decides what it means.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=launch_environment(), start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        meeting, asked, answer = _Meeting(processes, time.monotonic()), False, None
        for line in _lines(process.stdout):
            if interrupt.stop_requested() and not asked:
                asked = True
                process.send_signal(signal.SIGTERM)
            if line is not None:
                answer = meeting.note(json.loads(line))
            elif meeting.is_over():
                process.kill()
                answer = {"state": "refused", "error": f"{meeting.words()} within {duration(MEETING)}: {ADVICE}"}
            elif meeting.is_slow():
                say(f"{meeting.words()} yet; waiting for at most {duration(MEETING)}")
            if answer:
                break
        _end(process, process.stdin)
    if answer:
        return answer
    if asked:  # before they were ready to save anything, or they took too long to
        return {"state": "stopped"}
    return {"state": "died", "error": f"one of its {processes} processes was killed or ended; its log may tell why"}


@dataclass
class _Meeting:
    """The beginning of a stage: torchrun starts the processes, and they meet.

    Attributes:
        began: when torchrun was started (`time.monotonic`).
        come: numbers of the processes that have started.
    """

    processes: int
    began: float
    come: set[int] = field(default_factory=set)
    met: bool = False
    said: bool = False

    def note(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Notes what a process says; returns it if it is the answer of the stage."""
        if "state" in message:
            return message
        self.met = self.met or "met" in message
        self.come |= {message["come"]} if "come" in message else set()
        return None

    def is_over(self) -> bool:
        return not self.met and time.monotonic() > self.began + MEETING

    def is_slow(self) -> bool:
        """Returns True once, when it is time to say for what it waits."""
        slow = not self.met and not self.said and time.monotonic() > self.began + PATIENCE
        self.said = self.said or slow
        return slow

    def words(self) -> str:
        missing = sorted({*range(self.processes)} - self.come)
        if len(missing) == self.processes:
            return f"torchrun has started none of {self.processes} processes that meet at {LOOPBACK}"
        if missing:
            numbers = ", ".join(map(str, missing))
            return f"process {numbers} of {self.processes} (from 0) has not come to meet the others at {LOOPBACK}"
        return f"all {self.processes} processes have started, but have not met at {LOOPBACK}"


def _lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Yields whole lines until the stream ends, and None every `TICK` seconds."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if not selector.select(TICK):
                yield None
                continue
            content = os.read(stream.fileno(), 65536)
            if not content:
                return
            *lines, rest = (rest + content).split(b"\n")
            yield from lines


def _end(process: subprocess.Popen[bytes], tie: IO[bytes]) -> None:
    """Waits for the processes to end, and makes them end if one hangs."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(PARTING)
    tie.close()
    try:
        process.wait(PARTING)
    except subprocess.TimeoutExpired:
        process.kill()
