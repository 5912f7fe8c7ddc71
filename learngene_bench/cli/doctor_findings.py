"""The words of `lgbench doctor`: what a check found, and what that means for the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from learngene_bench.util.errors import describe_error


class Verdict(StrEnum):
    """A judgement of one finding.

    Attributes:
        OK: nothing is to be done.
        LACKS: something is missing that `lgbench run` can do without; the finding says what that costs.
        FAULT: `lgbench run` fails, or will soon; the finding says what to do.
    """

    OK = "ok"
    LACKS = "lacks"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """One line of the list.

    Attributes:
        subject: the thing that was looked at.
        text: what is there.
        meaning: what that costs, or how to put it right; nothing where all is well.
        values: the same for programs.
    """

    verdict: Verdict
    subject: str
    text: str
    meaning: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def ok(subject: str, text: str, **values: Any) -> Finding:
    """Makes a finding of something that is as it should be."""
    return Finding(Verdict.OK, subject, text, "", values)


def lacks(subject: str, text: str, cost: str, **values: Any) -> Finding:
    """Makes a finding of something that a run can do without."""
    return Finding(Verdict.LACKS, subject, text, cost, values)


def fault(subject: str, text: str, remedy: str, **values: Any) -> Finding:
    """Makes a finding of something that a run cannot do without."""
    return Finding(Verdict.FAULT, subject, text, remedy, values)


def findings_of(subject: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Runs a check to its end; an error that it did not expect is a finding too."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as error:
        found.append(lacks(subject, describe_error(error), "it could not be checked; the rest of the list is right"))
    return found
