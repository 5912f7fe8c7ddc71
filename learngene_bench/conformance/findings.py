"""The outcome of a check of `lgbench check`: problems, and what was looked at."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def place_in_method(error: BaseException | None) -> str:
    """Returns the file and line of the method that an error comes from: what torch says alone helps nobody."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    own = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    of_method = [frame for frame in own if frame.filename == own[0].filename]
    return f" ({Path(of_method[-1].filename).name}, line {of_method[-1].lineno})" if of_method else ""
