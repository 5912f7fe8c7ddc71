"""A polite stop: something asks for it, and training stops between two steps, its checkpoint written.

A person presses Ctrl-C, a scheduler announces the end of a job, another process took the stage over: all of them set
one flag of this process.
"""

from __future__ import annotations

import threading

_asked = threading.Event()
_lost = threading.Event()


class Stopped(BaseException):
    """Raised at the next safe point after a stop was asked for.

    Not an Exception: a method's own `except Exception` must not take it for an error of its work.
    """


def ask(*, keep: bool = True) -> None:
    """Asks this process to stop at its next safe point.

    Args:
        keep: whether what was computed so far is still this process's to save.
    """
    if not keep:
        _lost.set()
    _asked.set()


def asked() -> bool:
    return _asked.is_set()


def keeps() -> bool:
    """Whether a process that stops saves where it is."""
    return not _lost.is_set()


def forget() -> None:
    """Takes the request back: the process goes on with other work."""
    _asked.clear()
    _lost.clear()
