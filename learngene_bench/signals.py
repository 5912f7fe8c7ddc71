"""The signals that end programs, as processes meet them that only work for another one."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
"""Signals that schedulers send to every process of a job: the parent hears them too, and tells its workers."""


@contextmanager
def held_back(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Holds signals back until the end, also from a process started meanwhile: until it lets them through itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore() -> None:
    """Ignores them from now on, and lets those through that the parent held back until here."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)
