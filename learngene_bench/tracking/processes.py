"""The processes of trackers that a process which computes has started: it writes to them and never waits for them.

Nothing here imports torch, so that a process that only has workers can end its trackers too.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learngene_bench.util.files import open_log

PARTING_SECONDS = 4.0
"""Time that trackers have at the end of a process that computed; they may go on alone."""
_MOST_BYTES = 1 << 22
"""Bytes that may wait for a process that does not read."""

_processes: dict[tuple[str, Path], TrackerProcess] = {}


@dataclass
class TrackerProcess:
    """A process of a tracker, and what it has not taken yet."""

    process: subprocess.Popen[bytes]
    waiting: bytearray = field(default_factory=bytearray)

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a message as far as the pipe takes it now.

        Raises:
            OSError: the process has ended.
            RuntimeError: it has not read for so long that it is given up.
        """
        self.waiting += json.dumps(message).encode() + b"\n"
        self._write()
        if len(self.waiting) > _MOST_BYTES:
            self.process.kill()
            raise RuntimeError("its process takes nothing")

    def part(self, limit: float) -> None:
        """Sends what waits, ends the input and waits for the end, until `limit` (`time.monotonic`)."""
        assert self.process.stdin is not None
        with suppress(OSError), selectors.DefaultSelector() as selector:
            selector.register(self.process.stdin, selectors.EVENT_WRITE)
            while self.waiting and time.monotonic() < limit:
                selector.select(max(0.0, limit - time.monotonic()))
                self._write()
        with suppress(OSError):
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, limit - time.monotonic()))

    def _write(self) -> None:
        assert self.process.stdin is not None
        with suppress(BlockingIOError):
            while self.waiting:
                del self.waiting[: os.write(self.process.stdin.fileno(), self.waiting)]


def process_of(tracker: str, folder: Path) -> TrackerProcess:
    """Returns the process of a tracker, which is started if there is none.

    Args:
        folder: the folder of trackings of a runs folder.
    """
    found = _processes.get((tracker, folder))
    if found is None or found.process.poll() is not None:
        found = _processes[tracker, folder] = TrackerProcess(_started(tracker, folder))
    return found


def part_with_trackers(seconds: float = PARTING_SECONDS) -> None:
    """Gives trackers a last moment for what they have not taken, when this process has nothing left to compute."""
    limit = time.monotonic() + seconds
    while _processes:
        _processes.popitem()[1].part(limit)


def _started(tracker: str, folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    # -P: the code of this process, not that of another checkout in the current folder.
    command = [sys.executable, "-P", "-m", "learngene_bench.tracking.process", tracker, str(folder)]
    with open_log(folder / f"{tracker}.log") as log:
        # A session of its own: it outlives the process that computes by a moment, and Ctrl-C is not for it.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    return process
