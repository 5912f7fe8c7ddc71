"""The outcome of a check of `lgbench check`: problems, and what was looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from learngene_bench.conformance.observations import Observations


@dataclass(frozen=True)
class Problem:
    """A broken promise: where it was seen, what it is, and what to change."""

    where: str
    what: str
    traceback: str = ""


Findings = tuple[list[Problem], str]
"""Problems, and what was looked at."""


@dataclass(frozen=True)
class Check:
    """One promise of the contract.

    Attributes:
        promise: the promise, in words.
        run: finds what breaks it.
    """

    name: str
    promise: str
    run: Callable[[Observations], Findings]


def listing(names: Sequence[str], most: int = 3) -> str:
    """Lists names, the last ones as a number if there are many."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
