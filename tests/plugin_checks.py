"""Lets `lgbench check` look at a method whose file is given as a text."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from learngene_bench.conformance import runner
from learngene_bench.conformance.fixtures import TinyTarget
from learngene_bench.conformance.runner import CheckStatus, ConformanceReport, Outcome, check
from learngene_bench.plugins.registry import Registry


def checked_file(folder: Path, text: str, targets: Collection[TinyTarget] = ()) -> ConformanceReport:
    """Writes the method `mine` into a folder and checks it on these targets, by default on all."""
    path = folder / "mine.py"
    path.write_text(text)
    return check(Registry([path]).get("mine"), targets=targets)


def problems(report: ConformanceReport) -> dict[str, list[str]]:
    """Returns what is wrong by check, for the checks that failed."""
    return {each.check: [problem.what for problem in each.problems] for each in report.outcomes if each.problems}


def no_import_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the check of imports: its process takes longer than all other checks together."""
    monkeypatch.setattr(runner, "_check_import", lambda _: Outcome("import", "", CheckStatus.PASSED, ""))
