"""A flag that asks this process to stop: training then ends between two steps, with a checkpoint written.

Ctrl-C, the announced end of a SLURM job and the loss of a stage's lease all set it.
"""

from __future__ import annotations

import threading

_requested = threading.Event()
_lease_lost = threading.Event()


class Stopped(BaseException):
    """Raised at the next safe point after a stop was requested.

    Not an Exception: a method's own `except Exception` must not take it for an error of its work.
    """


def request_stop(*, save: bool = True) -> None:
    """Asks this process to stop at its next safe point.

    Args:
        save: False if another process holds the stage by now, and this one must not write to it any more.
    """
    if not save:
        _lease_lost.set()
    _requested.set()


def stop_requested() -> bool:
    """Returns True after `request_stop`, until `reset`."""
    return _requested.is_set()


def should_save() -> bool:
    """Returns False if a process that stops must not write a checkpoint."""
    return not _lease_lost.is_set()


def reset() -> None:
    """Clears the request: the process goes on with other work."""
    _requested.clear()
    _lease_lost.clear()
