"""Tells processes apart for good: a process id alone is used again, and is another process on another machine."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from functools import cache
from pathlib import Path


@cache
def pid_namespace() -> str:
    """Tells process ids of this boot of this machine, and of this container, from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def start_ticks(pid: int) -> str | None:
    """Returns the start of a process of this machine; None if there is none, or it is a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    except OSError:
        if Path("/proc/self").exists():
            return None
    try:  # macOS has no /proc: a process id that is used again is taken for the same process
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def is_suspended(pid: int) -> bool:
    """Returns True if a process of this machine is stopped, as by Ctrl-Z."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False


def process_tag() -> str:
    """Names this process for names of files: `3f9ac2d1-4711-98765`."""
    return _tag(os.getpid())


@cache
def _tag(pid: int) -> str:
    # Read once for each process: every file that is written is named so, and the kernel counts threads at every look.
    return f"{_machine()}-{pid}-{start_ticks(pid) or 0}"


def has_ended(tag: str) -> bool | None:
    """Returns True if a process that `process_tag` named has ended; None if this machine cannot see it."""
    match = re.fullmatch(r"([0-9a-f]{8})-(\d{1,10})-(\d{1,20})", tag)
    if match is None or match[1] != _machine():
        return None
    started = start_ticks(int(match[2]))
    return started is None or (started or "0") != match[3]


@cache
def _machine() -> str:
    return hashlib.sha256(pid_namespace().encode()).hexdigest()[:8]
