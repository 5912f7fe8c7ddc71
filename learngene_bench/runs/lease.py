"""Who computes a stage: a claim with an owner and a heartbeat, on any file system that several machines share.

    owner-000003.json    who took the stage last; the file's time is its latest heartbeat

A claim is taken by making the file with the next number, which a file system lets one process do. That is allowed
when the last owner released it, is dead, or has shown no heartbeat for `STALE` seconds: killed with its machine, or
cut off from the files. The highest number is never deleted before the stage is done, so that two processes cannot
break the same claim. An owner that finds a higher number than its own has lost the stage and stops.

File locks are not used: on network file systems they fail in ways that differ from site to site.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from learngene_bench.util import interrupt
from learngene_bench.util.files import unwritable, write_json

BEAT = 10.0
"""Seconds between two heartbeats."""
STALE = 120.0
"""Seconds without one after which an owner on another machine counts as dead: above what clients cache file times."""

_PATTERN = "owner-"


@dataclass(frozen=True)
class Owner:
    """A process that computes a stage.

    Attributes:
        processes: names the set of process ids that `process` is one of: a boot of a machine, and a container on it.
        born: when the process started, in that machine's ticks: ids are used again.
        job: of the scheduler, if there is one.
    """

    host: str
    processes: str
    process: int
    born: str
    job: str | None
    token: str
    released: bool = False

    def is_dead(self) -> bool | None:
        """Whether its process is gone; None where this process cannot see."""
        if self.processes != _processes():
            return None
        return _born(self.process) != self.born

    @property
    def place(self) -> str:
        return f"process {self.process} on {self.host}" + (f", job {self.job}" if self.job else "")


@dataclass(frozen=True)
class Claim:
    """The last claim on a stage, as its files say."""

    path: Path
    owner: Owner | None
    beat: float

    @property
    def number(self) -> int:
        return int(self.path.stem.removeprefix(_PATTERN))

    def holds(self) -> bool:
        """Whether its owner is still at work, as far as can be told."""
        if self.owner and self.owner.released:
            return False
        dead = self.owner.is_dead() if self.owner else None
        if dead is not None:
            return not dead
        if 0 <= time.time() - self.beat < STALE / 2:  # young by this machine's clock: no need to ask the files' own
            return True
        return _time_of(self.path.parent) - self.beat < STALE


def last_claim(folder: Path, names: Sequence[str] | None = None) -> Claim | None:
    """The claim with the highest number.

    Args:
        names: what the folder holds, if that is known already.
    """
    try:
        numbered = [name for name in (os.listdir(folder) if names is None else names) if name.startswith(_PATTERN)]
    except FileNotFoundError:
        return None
    if not numbered:
        return None
    path = folder / max(numbered)
    try:
        with path.open(encoding="utf-8") as stream:  # opening makes a network file system ask for the time anew
            beat = os.fstat(stream.fileno()).st_mtime
            return Claim(path, Owner(**json.load(stream)), beat)
    except FileNotFoundError:  # it was released with the stage done, or a newer one took its place
        return None
    except (ValueError, TypeError):
        return Claim(path, None, beat)


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Claims the stage of this folder for this process; yields False if another one has it."""
    path = _take(folder)
    if path is None:
        yield False
        return
    heart = _Heart(path)
    heart.start()
    try:
        yield True
    finally:
        heart.stop()
        if not heart.lost:
            _release(path)


def _take(folder: Path) -> Path | None:
    last = last_claim(folder)
    if last is not None and last.holds():
        return None
    path = folder / f"{_PATTERN}{(last.number if last else 0) + 1:06}.json"
    me = folder / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        me.write_text(json.dumps(asdict(_me())), encoding="utf-8")
        with suppress(FileNotFoundError):  # who just finished the stage cleans up
            os.link(me, path)  # whole, and for one process only
    except FileExistsError:
        return None
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):
            me.unlink(missing_ok=True)
    if last is not None:
        last.path.unlink(missing_ok=True)
    return path if path.exists() else None


def _release(path: Path) -> None:
    """Gives the claim back; nothing is left of it where the stage is done."""
    if (path.parent / "result.json").exists():
        for old in path.parent.glob(f"{_PATTERN}*.json"):
            old.unlink(missing_ok=True)
    else:
        with suppress(Exception):  # a full disk: the process is dead soon, which says the same
            write_json(path, asdict(replace(_me(), released=True)))


class _Heart(threading.Thread):
    """Keeps a claim's file young, and stops this process's work if another process took the claim."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True, name="heartbeat")
        self.path, self.over, self.lost = path, threading.Event(), False

    def run(self) -> None:
        while not self.over.wait(BEAT):
            with suppress(OSError):  # a file system that is away for a moment
                names = os.listdir(self.path.parent)
                if max((name for name in names if name.startswith(_PATTERN)), default="") != self.path.name:
                    self.lost = True
                    interrupt.ask(keep=False)
                    return
                os.utime(self.path)

    def stop(self) -> None:
        self.over.set()
        self.join()


def _me() -> Owner:
    array, job = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_JOB_ID")
    if array:
        job = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    me = os.getpid()
    return Owner(platform.node(), _processes(), me, _born(me) or "", job, _token())


@cache
def _token() -> str:
    return secrets.token_hex(8)


@cache
def _processes() -> str:
    """Tells process ids of this boot of this machine, and of this container, from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _born(process: int) -> str | None:
    """When a process of this machine started; None if there is none, or it is dead and not yet collected."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    except OSError:
        if Path("/proc/self").exists():
            return None
    try:  # no /proc, as on macOS: an id that is used again is taken for the same process
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def _time_of(folder: Path) -> float:
    """The present time by the clock that gives files in this folder theirs, which may be another machine's."""
    probe = folder / f".time.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
