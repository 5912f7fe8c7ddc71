"""Lease of a stage: one process at a time computes it, on any file system that several machines share.

    owner-000003.json    the process that took the stage last; the file's time is its latest heartbeat

A process takes the lease by creating the file with the next number, which a file system lets one process do. It may do
so if the last owner has released the lease, is dead, or has shown no heartbeat for `STALE_SECONDS`: killed with its
machine, or cut off from the files. The highest number is never deleted before the stage is done, so that two processes
cannot both replace the same owner. An owner that finds a higher number than its own has lost the lease, and stops.

Libraries fall short in one way each. File locks fail on network file systems, differently at every site. `flufl.lock`,
a lease with a lifetime, does not see that an owner on this machine is dead: every run after a kill would wait out the
lifetime first, and status would call a dead process running.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from learngene_bench.contracts.executor import JOB_VARIABLE
from learngene_bench.util import interrupt
from learngene_bench.util.files import unwritable, write_json
from learngene_bench.util.processes import pid_namespace, start_ticks

HEARTBEAT_SECONDS = 10.0
"""Time between two heartbeats."""
STALE_SECONDS = 120.0
"""Time without a heartbeat after which an owner on another machine counts as dead.

Longer than clients of a network file system cache file times, and than clocks of one cluster differ.
"""

_PREFIX = "owner-"


@dataclass(frozen=True)
class Owner:
    """A process that computes a stage.

    Attributes:
        pid_namespace: the set of process ids that `pid` is one of: one boot of one machine, one container on it.
        start_ticks: start of the process, in its machine's ticks, as process ids are used again.
        job: id of the scheduler's job that it works for, if any.
    """

    host: str
    pid_namespace: str
    pid: int
    start_ticks: str
    job: str | None = None
    released: bool = False

    def is_dead(self) -> bool | None:
        """Returns None if this machine cannot see the process."""
        if self.pid_namespace != pid_namespace():
            return None
        return start_ticks(self.pid) != self.start_ticks

    @property
    def place(self) -> str:
        """Names the process for people."""
        return f"process {self.pid} on {self.host}" + (f", job {self.job}" if self.job else "")


@dataclass(frozen=True)
class Lease:
    """The last lease of a stage, as its file says.

    Attributes:
        owner: None if the file cannot be read.
        heartbeat: time of the last heartbeat, seconds since 1970.
    """

    path: Path
    owner: Owner | None
    heartbeat: float

    @property
    def number(self) -> int:
        return int(self.path.stem.removeprefix(_PREFIX))

    def is_held(self) -> bool:
        """Returns True if the owner is at work, as far as this machine can tell."""
        if self.owner and self.owner.released:
            return False
        dead = self.owner.is_dead() if self.owner else None
        return time.time() - self.heartbeat < STALE_SECONDS if dead is None else not dead


def current_lease(folder: Path, names: Sequence[str] | None = None) -> Lease | None:
    """Reads the lease with the highest number.

    Args:
        names: the folder's files, if they are known already.
    """
    try:
        numbered = [name for name in (os.listdir(folder) if names is None else names) if name.startswith(_PREFIX)]
    except FileNotFoundError:
        return None
    if not numbered:
        return None
    path = folder / max(numbered)
    try:
        with path.open(encoding="utf-8") as stream:  # opening makes a network file system ask for the time anew
            heartbeat = os.fstat(stream.fileno()).st_mtime
            return Lease(path, Owner(**json.load(stream)), heartbeat)
    except FileNotFoundError:  # released with the stage done, or replaced by a newer one
        return None
    except (ValueError, TypeError):
        return Lease(path, None, heartbeat)


@contextmanager
def acquire(folder: Path) -> Iterator[bool]:
    """Takes the lease of this folder's stage for the `with` block; yields False if another process holds it.

    Raises:
        UserError: the folder cannot be written to.
    """
    path = _take(folder)
    if path is None:
        yield False
        return
    heartbeat = _Heartbeat(path)
    heartbeat.start()
    try:
        yield True
    finally:
        heartbeat.stop()
        if not heartbeat.lost:
            _release(path)


def _take(folder: Path) -> Path | None:
    last = current_lease(folder)
    if last is not None and last.is_held():
        return None
    path = folder / f"{_PREFIX}{(last.number if last else 0) + 1:06}.json"
    try:
        with path.open("x", encoding="utf-8") as stream:
            json.dump(asdict(_this_process()), stream)
    except FileExistsError:
        return None
    except OSError as error:
        raise unwritable(path, error) from error
    if last is not None:
        last.path.unlink(missing_ok=True)
    return path if path.exists() else None  # the process that just finished the stage deletes all leases


def _release(path: Path) -> None:
    """Gives the lease back; no file is left where the stage is done."""
    if (path.parent / "result.json").exists():
        for old in path.parent.glob(f"{_PREFIX}*.json"):
            old.unlink(missing_ok=True)
    else:
        with suppress(Exception):  # a full disk: the process ends soon, which says the same
            write_json(path, asdict(replace(_this_process(), released=True)))


class _Heartbeat(threading.Thread):
    """Keeps the lease's file young, and stops this process's work if another process has taken the lease."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True, name="heartbeat")
        self.path, self.over, self.lost = path, threading.Event(), False

    def run(self) -> None:
        while not self.over.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # a file system that is away for a moment
                names = os.listdir(self.path.parent)
                if max((name for name in names if name.startswith(_PREFIX)), default="") != self.path.name:
                    self.lost = True
                    interrupt.request_stop(save=False)
                    return
                os.utime(self.path)

    def stop(self) -> None:
        self.over.set()
        self.join()


def _this_process() -> Owner:
    pid = os.getpid()
    return Owner(platform.node(), pid_namespace(), pid, start_ticks(pid) or "", os.environ.get(JOB_VARIABLE))
