"""Signal handling for worker processes, which leave termination to their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
"""Signals that schedulers send to every process of a job: the parent receives them too, and tells its workers."""

_PR_SET_PDEATHSIG = 1
"""Constant of linux/prctl.h."""


def not_ignored(numbers: Iterable[signal.Signals]) -> list[signal.Signals]:
    """Leaves out signals that whoever started this process lets it ignore, as `nohup` does: those must stay ignored."""
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def handled(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Handles signals that are not ignored until the end of the `with` block; then as they were handled before.

    Outside of the main thread, where Python lets nobody do that, they stay as they are.
    """
    can_handle = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handler) for number in not_ignored(numbers) if can_handle}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous or signal.SIG_DFL)  # None: not Python's own


@contextmanager
def blocked(numbers: Iterable[signal.Signals]) -> Iterator[None]:
    """Blocks signals until the end of the `with` block.

    A process that is started meanwhile has them blocked until it unblocks them itself, so none is lost before it has
    installed its handlers.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore(numbers: Iterable[signal.Signals] = IGNORED) -> None:
    """Ignores signals from now on, and unblocks those that the parent had blocked."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


def end_with_parent() -> None:
    """Lets the system kill this process as soon as its parent has ended, whatever it is doing then.

    A thread that waits for the parent's end does not run while a method keeps the interpreter to itself. Linux alone
    has this; elsewhere such a process ends with the method.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def ignore_all_but_parent() -> None:
    """Ignores the signals, except a SIGTERM from the parent, by which `multiprocessing` ends its processes."""
    ignore(set(IGNORED) - {signal.SIGTERM})
    if hasattr(signal, "sigwaitinfo"):  # on macOS, which has none, a SIGTERM from anybody ends the process
        threading.Thread(target=_exit_on_parent_sigterm, daemon=True).start()
    else:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _exit_on_parent_sigterm() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
