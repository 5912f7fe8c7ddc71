"""The check that a method initializes a member of every model family that it says it is for."""

from __future__ import annotations

from learngene_bench.conformance.findings import Findings, Problem
from learngene_bench.conformance.observations import Observations, Trial


def check_families(observed: Observations) -> Findings:
    """Looks at the members of all families but the first; the other checks look at them too, as at every target."""
    first, *others = observed.families()
    writes_blocks = any(_writes_blocks(trial) for trial in _trials(observed, first))
    problems, tried = [], []
    for family in others:
        trials = _trials(observed, family)
        problems += [
            Problem(trial.where, _nothing_written(first))
            for trial in trials
            if writes_blocks and not trial.failed and not _writes_blocks(trial)
        ]
        tried.append(f"{family}: {_found(observed, family, trials)}")
    tried += [
        f"{name}: not installed" for name in observed.registered.kind.families or () if name not in (first, *others)
    ]
    return problems, "; ".join(tried) or f"{first} only"


def _found(observed: Observations, family: str, trials: list[Trial]) -> str:
    """Says which members were tried, or why none was."""
    if any(trial.failed for trial in trials):
        return "see initializes"
    if trials:
        return " and ".join(f"{trial.declared.target.spec}" for trial in trials)
    declared = [each for each in observed.declared if each.family == family]
    if any(each.error for each in declared):
        return "see answers"
    return f"refused, as {declared[0].reason}"


def _nothing_written(first: str) -> str:
    return (
        f"initialize() changes no parameter of a block, though it does at {first}: take their names from "
        "target.stages(), or let supports() return why it cannot work"
    )


def _trials(observed: Observations, family: str) -> list[Trial]:
    return [trial for trial in observed.trials if trial.declared.family == family]


def _writes_blocks(trial: Trial) -> bool:
    return any(trial.declared.target.spec.is_in_block(name) for name in trial.written())
