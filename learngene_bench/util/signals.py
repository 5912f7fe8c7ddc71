"""The signals that end programs, as processes meet them that only work for another one."""

from __future__ import annotations

import os
import signal
import threading
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


def ignore(numbers: Iterable[signal.Signals] = IGNORED) -> None:
    """Ignores them from now on, and lets those through that the parent held back until here."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def ignore_all_but_the_parents() -> None:
    """Ignores them, but for the SIGTERM by which `multiprocessing` ends its processes: that one ends this process."""
    ignore(set(IGNORED) - {signal.SIGTERM})
    if hasattr(signal, "sigwaitinfo"):  # where it is not (macOS), everybody's SIGTERM ends it
        threading.Thread(target=_heed_the_parent, daemon=True).start()
    else:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _heed_the_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
