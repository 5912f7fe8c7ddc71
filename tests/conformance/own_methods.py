"""The suite's own methods, which `lgbench check` must pass: those of `methods/` and those of `baselines/`."""

from __future__ import annotations

from allowed_waits import is_allowed
from method_texts import failures

from learngene_bench.conformance.runner import check
from learngene_bench.plugins.registry import Registry

LEARNGENES = [
    name for name in Registry().names() if Registry().get(name).kind.__module__.startswith("learngene_bench.methods.")
]
BASELINES = [name for name in Registry().names() if name not in LEARNGENES]


def assert_passes(name: str) -> None:
    """Checks a method on all targets; nothing may be noted or skipped, and waits for a GPU have reasons."""
    report = check(Registry().get(name))
    assert report.passed, failures(report)
    assert {outcome.status for outcome in report.outcomes} == {"passed"}
    (on_a_gpu,) = [outcome.detail.splitlines() for outcome in report.outcomes if outcome.check == "gpu"]
    assert [line for line in on_a_gpu[1:] if not is_allowed(line.rpartition(", ")[2])] == []
