"""Keeps two processes from changing one folder at the same time.

    FOLDER/.lgbench-lock    names the process that changes the folder; it is gone when nobody does

The system holds the lock (flock) and ends it with the process, however that ends. A lock file that a killed process has
left is taken over. Where a file system knows no locks, the lock file alone is no claim: work goes on without one.

Stages have a lease instead (`runs/lease.py`): it outlives the process that took it, and is visible to other machines.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from learngene_bench.util.errors import UserError
from learngene_bench.util.files import unwritable

LOCK = ".lgbench-lock"
TICK = 0.05
"""Seconds between two attempts."""
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF}


@contextmanager
def exclusively(folder: Path, *, wait: float) -> Iterator[None]:
    """Keeps other processes that ask for the same folder out of the `with` block.

    Args:
        folder: must exist.
        wait: seconds to wait for another process; who that is, is said at once.

    Raises:
        UserError: another process has the folder all that time; the line names it, and how to end it.
    """
    path = folder / LOCK
    descriptor = _taken(path, wait)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(
            descriptor,
            f"process {os.getpid()} on {platform.node()}, since {_now()} (kill {os.getpid()} ends it)".encode(),
            0,
        )
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _taken(path: Path, wait: float) -> int:
    """Returns the descriptor of the lock file once this process has it."""
    limit, said = time.monotonic() + wait, False
    while True:
        try:
            # Exclusive use is by the lock, not by creation; a link in its place is not followed.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise unwritable(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return descriptor
            owner = _owner(descriptor)
            if time.monotonic() >= limit:
                os.close(descriptor)
                raise UserError(f"{path.parent}: {owner} is changing it; run again when that has ended") from None
            if not said:
                print(f"lgbench: {path.parent}: waiting for {owner}", file=sys.stderr)
                said = True
            time.sleep(TICK)
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Returns False if the process that had the lock before has removed the file meanwhile."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _owner(descriptor: int) -> str:
    text = os.pread(descriptor, 400, 0).decode("utf-8", "replace")
    return text if text.isprintable() and text else "another process"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
