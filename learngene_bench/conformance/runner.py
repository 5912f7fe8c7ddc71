"""The conformance suite: whether an initializer keeps the contract of `Initializer`, one named check for each promise.

>>> report = check(Registry([Path("my_init.py")]).get("my-init"))      # doctest: +SKIP
>>> report.passed, [outcome.check for outcome in report.outcomes if outcome.problems]   # doctest: +SKIP

The method meets every kind of target and ingredient in miniature (`miniature.py`), is watched (`watching.py`), and what
was seen (`examination.py`) is judged (`verdicts.py`). A problem says where it was seen, what it is, and what to change.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from learngene_bench.conformance.checks import JUDGES, Judge, Problem
from learngene_bench.conformance.probe import Evidence, examine
from learngene_bench.plugins.registry import Registered


class Status(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOTE = "note"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """Of one check.

    Attributes:
        promise: what the check is about, in words.
        detail: a line on what was looked at, or why nothing was; further lines tell more.
    """

    check: str
    promise: str
    status: Status
    detail: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Report:
    """Of one method.

    Attributes:
        options: those that differ from the defaults.
        origin: the package or file that it comes from.
    """

    method: str
    options: Mapping[str, Any]
    origin: str
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return all(outcome.status is not Status.FAILED for outcome in self.outcomes)


def check(registered: Registered, options: Mapping[str, Any] | None = None) -> Report:
    """Runs every check on one method, under these options.

    Raises:
        UserError: a wrong option.
    """
    started = time.monotonic()
    options = options or {}
    evidence = examine(registered, options)
    outcomes = [_import(registered), *(_outcome(*judged, evidence) for judged in JUDGES)]
    return Report(registered.kind.name, options, registered.origin, tuple(outcomes), time.monotonic() - started)


_HEAVY = 3
_PLANNING = f"""
import sys
from pathlib import Path
from learngene_bench.plugins.registry import Registry
from learngene_bench.contracts.family import DEFAULT_FAMILY, FAMILIES

method = Registry([Path(path) for path in sys.argv[2:]]).get(sys.argv[1]).create({{}})
family = FAMILIES.get(method.families[0] if method.families else DEFAULT_FAMILY)()
base = family.example_targets(image_size=12, channels=3, classes=1000)[0][1]
method.supports(base, base), method.trains(), method.gene_request(base, base), method.stored_shapes(base, base)
sys.exit({_HEAVY} if "torch" in sys.modules else 0)
"""


def _import(registered: Registered) -> Outcome:
    """In a process of its own; only a note for a plugin file, which is one's own business."""
    plugin = Path(registered.origin) if registered.source_hash else None
    command = [sys.executable, "-c", _PLANNING, registered.kind.name, *([str(plugin)] if plugin else [])]
    heavy = subprocess.run(command, capture_output=True).returncode == _HEAVY
    promise = "importing and planning do not import torch"
    if not heavy:
        return Outcome("import", promise, Status.PASSED, "lgbench list and plan start at once")
    advice = "it does, so lgbench list and plan start slowly; take it from learngene_bench.util.lazy"
    if plugin:
        return Outcome("import", promise, Status.NOTE, advice)
    return Outcome("import", promise, Status.FAILED, "", (Problem(registered.kind.__module__, advice),))


def _outcome(name: str, promise: str, judge: Judge, evidence: Evidence) -> Outcome:
    problems, detail = judge(evidence)
    if problems:
        return Outcome(name, promise, Status.FAILED, detail, tuple(problems))
    status = Status.SKIPPED if detail.startswith("not reached") else Status.PASSED
    return Outcome(name, promise, status, detail)
