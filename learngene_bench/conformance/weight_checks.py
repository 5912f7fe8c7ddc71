"""The checks of `lgbench check` that look at numbers: starting numbers where none should be, and copies."""

from __future__ import annotations

from learngene_bench.conformance.copied_units import CopiedUnits
from learngene_bench.conformance.findings import Findings, Problem, listing
from learngene_bench.conformance.observations import Observations, Trial
from learngene_bench.conformance.same_training import Follower


def starting_numbers(observed: Observations) -> Findings:
    """Checks that nothing in a target follows the start of an ancestor or of a network that a gene is trained by."""
    if not any(declared.request for declared in observed.declared):
        return [], "it inherits nothing"
    problems, looked, errors = [], 0, []
    for target, found in observed.followers:
        if isinstance(found, str):
            errors.append(f"not reached: at {target}: {found}")
            continue
        looked += 1
        if found:
            problems.append(Problem(f"{target}, seeds 0 and 1", _following(found)))
    return problems, "\n".join([f"{looked} targets" if looked else "not reached", *errors])


def _following(found: list[Follower]) -> str:
    strongest = max(found, key=lambda one: abs(one.correlation))
    others = [one.tensor for one in found if one is not strongest]
    return (
        f"{strongest.tensor} has the starting numbers of {strongest.start} (correlation {strongest.correlation:.2f}, "
        f"independent draws stay below {strongest.independent:.2f})"
        f"{f', likewise {listing(others)}' if others else ''}; in initialize() draw what is not inherited from "
        'context.generator("..."), or leave it; a gene keeps what was trained, not what training started from'
    )


def copies(observed: Observations) -> Findings:
    """Checks that a widened model is more than its base in copies, or that the method says so."""
    if not observed.copied:
        return [], "it initializes no target that is wider than its base"
    method = observed.registered.create(observed.options)
    declared = method.clones_when_widened()
    problems = []
    for trial, found in observed.copied:
        if not declared and found.written and found.written == found.copied:
            problems.append(Problem(trial.where, _copied(trial, found)))
        elif declared and not found.copied:
            problems.append(
                Problem(
                    trial.where, "clones_when_widened() says that added units are copies, but none are: return False"
                )
            )
    note = "copies, as it says" if declared else "units differ"
    return problems, f"{len(observed.copied)} wider targets: {note}"


def _copied(trial: Trial, found: CopiedUnits) -> str:
    return (
        f"all units beyond those of the base of width {trial.declared.target.base.width} are copies of others and get "
        f"the same gradients, in {listing(found.copied)}: while it trains, the model stays as narrow as its base; add "
        "noise that cancels over the copies, or let clones_when_widened() return True"
    )
