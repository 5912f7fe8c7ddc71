"""The conformance suite: checks that a method keeps the contract of `Initializer`, promise by promise.

>>> report = check(Registry([Path("my_init.py")]).get("my-init"))      # doctest: +SKIP
>>> report.passed, [outcome.check for outcome in report.outcomes if outcome.problems]   # doctest: +SKIP

The method meets every kind of target of its first family, and a small member of every other family that it is for, on a
tiny benchmark (`fixtures`). Its calls are traced (`instrumentation`) and observed (`probe`), and the observations are
checked (`checks`).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from learngene_bench.conformance.checks import CHECKS
from learngene_bench.conformance.findings import Check, Problem
from learngene_bench.conformance.fixtures import TinyTarget
from learngene_bench.conformance.gpu_check import NOTE
from learngene_bench.conformance.observations import Observations
from learngene_bench.conformance.probe import observe
from learngene_bench.plugins.registry import Registered


class CheckStatus(StrEnum):
    """The outcome of a check in one word."""

    PASSED = "passed"
    FAILED = "failed"
    NOTE = "note"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check.

    Attributes:
        promise: the promise that was checked, in words.
        detail: a line on what was looked at, or why nothing was; further lines tell more.
    """

    check: str
    promise: str
    status: CheckStatus
    detail: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class ConformanceReport:
    """The outcomes of all checks on one method.

    Attributes:
        options: options that differ from the defaults.
        origin: the package or file that the method comes from.
    """

    method: str
    options: Mapping[str, Any]
    origin: str
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        return all(outcome.status is not CheckStatus.FAILED for outcome in self.outcomes)


def check(
    registered: Registered, options: Mapping[str, Any] | None = None, targets: Collection[TinyTarget] = ()
) -> ConformanceReport:
    """Runs every check on one method, under these options.

    Args:
        targets: those that the method is tried on; the examples of its families if none are given. Of the first one's
            family all are tried, of others one member each.

    Raises:
        UserError: a wrong option.
    """
    started = time.monotonic()
    options = options or {}
    observed = observe(registered, options, targets)
    outcomes = [_check_import(registered), *(_outcome(each, observed) for each in CHECKS)]
    return ConformanceReport(
        registered.kind.name, options, registered.origin, tuple(outcomes), time.monotonic() - started
    )


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


def _check_import(registered: Registered) -> Outcome:
    """Imports the method in a process of its own; a plugin file that imports torch gets no more than a note."""
    plugin = registered.plugin
    command = [sys.executable, "-c", _PLANNING, registered.kind.name, *([str(plugin)] if plugin else [])]
    heavy = subprocess.run(command, capture_output=True).returncode == _HEAVY
    promise = "importing and planning do not import torch"
    if not heavy:
        return Outcome("import", promise, CheckStatus.PASSED, "lgbench list and plan start at once")
    advice = "it does, so lgbench list and plan start slowly; take it from learngene_bench.util.lazy"
    if plugin:
        return Outcome("import", promise, CheckStatus.NOTE, advice)
    return Outcome("import", promise, CheckStatus.FAILED, "", (Problem(registered.kind.__module__, advice),))


def _outcome(check: Check, observed: Observations) -> Outcome:
    problems, detail = check.run(observed)
    if problems:
        return Outcome(check.name, check.promise, CheckStatus.FAILED, detail, tuple(problems))
    if detail.startswith(NOTE):
        return Outcome(check.name, check.promise, CheckStatus.NOTE, detail.removeprefix(NOTE))
    status = CheckStatus.SKIPPED if detail.startswith("not reached") else CheckStatus.PASSED
    return Outcome(check.name, check.promise, status, detail)
