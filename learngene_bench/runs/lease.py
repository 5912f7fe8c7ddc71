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

import os
import platform
import re
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from learngene_bench.contracts.executor import JOB_VARIABLE
from learngene_bench.schema.owner import Owner
from learngene_bench.util import interrupt
from learngene_bench.util.durations import duration
from learngene_bench.util.files import open_file, unwritable, write_text
from learngene_bench.util.processes import is_suspended, pid_namespace, start_ticks

HEARTBEAT_SECONDS = 10.0
"""Time between two heartbeats."""
STALE_SECONDS = 120.0
"""Time without a heartbeat after which an owner on another machine counts as dead.

Longer than clients of a network file system cache file times, and than clocks of one cluster differ.
"""
SILENT_SECONDS = 6 * HEARTBEAT_SECONDS
"""Time without a heartbeat after which people are told of it."""

_PREFIX = "owner-"
_NAME = re.compile(rf"{_PREFIX}\d{{6}}\.json")

_seen: dict[Path, tuple[float, float]] = {}
"""Heartbeats from the future by file, with the time (`time.monotonic`) at which this process first saw each."""


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
        dead = is_dead(self.owner) if self.owner else None
        return self._shows_life() if dead is None else not dead

    def _shows_life(self) -> bool:
        """Judges an owner that this machine cannot see by its heartbeat."""
        age = time.time() - self.heartbeat
        if age > -STALE_SECONDS:
            return age < STALE_SECONDS
        # From the future: a wrong clock. It is believed as long as it changes while this process looks on.
        heartbeat, first_seen = _seen.get(self.path, (None, 0.0))
        if heartbeat != self.heartbeat:
            first_seen = time.monotonic()
            _seen[self.path] = self.heartbeat, first_seen
        return time.monotonic() - first_seen < STALE_SECONDS

    @property
    def words(self) -> str:
        """Names the owner for people, since when it has the stage, and what is strange about it."""
        if self.owner is None:
            return f"a process that {self.path} does not name"
        parts = [place(self.owner)]
        if self.owner.since is not None:
            parts.append(f"since {time.strftime('%Y-%m-%d %H:%M', time.localtime(self.owner.since))}")
        silent = time.time() - self.heartbeat
        if self.owner.pid_namespace == pid_namespace() and is_suspended(self.owner.pid):
            parts.append("suspended")
        elif silent > SILENT_SECONDS:
            parts.append(f"without a sign of life for {duration(silent)}")
        return ", ".join(parts)

    @property
    def remedy(self) -> str:
        """Says how to end the owner."""
        if self.owner is None:
            return f"delete {self.path} if none is at work"
        if self.owner.job:
            return f"lgbench cancel ends its job {self.owner.job}"
        here = self.owner.pid_namespace == pid_namespace()
        return f"kill -9 {self.owner.pid}{'' if here else f' on {self.owner.host}'} ends it"


def is_dead(owner: Owner) -> bool | None:
    """Returns None if this machine cannot see the process."""
    if owner.pid_namespace != pid_namespace():
        return None
    return start_ticks(owner.pid) != owner.start_ticks


def place(owner: Owner) -> str:
    """Names a process for people."""
    return f"process {owner.pid} on {owner.host}" + (f", job {owner.job}" if owner.job else "")


def current_lease(folder: Path, names: Sequence[str] | None = None) -> Lease | None:
    """Reads the lease with the highest number.

    Args:
        names: the folder's files, if they are known already.
    """
    try:
        last = _last_of(os.listdir(folder) if names is None else names)
    except FileNotFoundError:
        return None
    if last is None:
        return None
    path = folder / last
    try:
        with open_file(path) as stream:  # opening makes a network file system ask for the time anew
            heartbeat = os.fstat(stream.fileno()).st_mtime
            return Lease(path, Owner.model_validate_json(stream.read()), heartbeat)
    except FileNotFoundError:  # released with the stage done, or replaced by a newer one
        return None
    except ValueError:
        return Lease(path, None, heartbeat)
    except OSError:  # no file, or one that this user may not read
        return Lease(path, None, time.time())


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
        stream = path.open("x", encoding="utf-8")
    except FileExistsError:
        return None
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with stream:
            stream.write(_this_process().model_dump_json())
    except OSError as error:
        path.unlink(missing_ok=True)  # empty, it would keep everybody out for a while
        raise unwritable(path, error) from error
    if last is not None:
        last.path.unlink(missing_ok=True)
    # Gone if another process has just finished the stage; not the last one if others took it and let it go meanwhile.
    if _last_of(os.listdir(folder)) == path.name:
        return path
    path.unlink(missing_ok=True)
    return None


def _last_of(names: Iterable[str]) -> str | None:
    """Returns the name of the lease with the highest number among the names of files."""
    return max(filter(_NAME.fullmatch, names), default=None)


def _release(path: Path) -> None:
    """Gives the lease back; no file is left where the stage is done."""
    if (path.parent / "result.json").exists():
        for old in path.parent.glob(f"{_PREFIX}*.json"):
            old.unlink(missing_ok=True)
    else:
        with suppress(Exception):  # a full disk: the process ends soon, which says the same
            write_text(path, _this_process().model_copy(update={"released": True}).model_dump_json())


class _Heartbeat(threading.Thread):
    """Keeps the lease's file young, and stops this process's work if another process has taken the lease."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True, name="heartbeat")
        self.path, self.over, self.lost = path, threading.Event(), False

    def run(self) -> None:
        while not self.over.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # a file system that is away for a moment
                if _last_of(os.listdir(self.path.parent)) != self.path.name:
                    self.lost = True
                    interrupt.request_stop(save=False)
                    return
                os.utime(self.path)

    def stop(self) -> None:
        self.over.set()
        self.join()


def _this_process() -> Owner:
    pid = os.getpid()
    return Owner(
        host=platform.node(),
        pid_namespace=pid_namespace(),
        pid=pid,
        start_ticks=start_ticks(pid) or "",
        job=os.environ.get(JOB_VARIABLE),
        since=time.time(),
    )
