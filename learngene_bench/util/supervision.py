"""Runs a program in a child process that has to report its exit status, so that no code can end it unnoticed.

Code of others may end its process at once (`os._exit(0)`, a C library's `exit`): no handler runs then, and the
status is whatever that code says. Only another process can tell it from a program that has done its work.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from learngene_bench.util.signals import end_with_parent, not_ignored

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that are meant for the program, also if only its parent receives them."""
ARRIVAL = 0.1
"""Seconds after which a signal that was sent to both processes has reached the child too."""
_FROM_KERNEL = 0x80
"""`SI_KERNEL` of Linux: the terminal sends such a signal to all processes in its foreground."""
_REPORT = 0
"""Byte before the exit status in the pipe; the other bytes are numbers of signals that the child received."""


class Unreported(Exception):
    """The child ended without a report of its exit status.

    Attributes:
        status: the exit status of its process; not 0, even if the process ended with 0.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"the process was ended with exit status {code} before the command was done")
        self.status = code or 1


def supervised(work: Callable[[], int]) -> int:
    """Runs `work` in a child process, which has the terminal, the signals and the group of this one.

    Where the system cannot wait for signals (macOS), `work` runs in this process.

    Returns:
        What `work` returns; in the child as well, which should then end.

    Raises:
        Unreported: the child ended in the midst of `work`. If a signal ended it, it ends this process too.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return work()
    awaited = {*not_ignored(FORWARDED), signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    child = os.fork()
    if child == 0:
        os.close(reading)
        end_with_parent()
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        status = work()
        signal.set_wakeup_fd(-1)
        os.write(writing, bytes([_REPORT, status]))
        return status
    os.close(writing)
    code, said = _wait(child, awaited, reading)
    if _REPORT in said:
        return said[said.index(_REPORT) + 1]
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.kill(os.getpid(), -code)
    raise Unreported(code)


def _wait(child: int, awaited: set[signal.Signals], reading: int) -> tuple[int, bytes]:
    """Waits for the child's end and passes on what only this process receives.

    Returns:
        Its exit status, or minus the number of a signal, and what it wrote last.
    """
    while True:
        received = signal.sigwaitinfo(awaited)
        if received.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status), _read(reading)
        else:
            time.sleep(ARRIVAL)
            said = _read(reading)
            if _REPORT in said:
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said
            if received.si_code != _FROM_KERNEL and received.si_signo not in said:
                with suppress(ProcessLookupError):
                    os.kill(child, received.si_signo)


def _read(pipe: int) -> bytes:
    with suppress(BlockingIOError):
        return os.read(pipe, 65536)
    return b""
