"""The check that a method would run on a GPU, by what it did on a simulated one."""

from __future__ import annotations

from collections import Counter

from learngene_bench.conformance.findings import Findings, Problem, place_in_method
from learngene_bench.conformance.observations import Observations
from learngene_bench.conformance.simulated_gpu import Wait

NOTE = "note: "
"""Beginning of a detail that nobody must act on, but should read."""


def check_gpu(observed: Observations) -> Findings:
    """Looks for calls that fail on the simulated GPU only, and for steps of a training that wait for it."""
    problems, waits = [], []
    for _, trial, noted in observed.rehearsed:
        waits += noted
        if call := trial.failed:
            error = str(call.error).strip().splitlines() or [""]
            what = (
                f"on a GPU {call.phase} raises {type(call.error).__name__}: {error[0]}{place_in_method(call.error)}; "
                "make tensors with device=context.device or of the others, and move a network before it is used"
            )
            problems.append(Problem(trial.where, what, call.traceback))
    if not observed.rehearsed:
        return problems, "not reached"
    slow = Counter(_text(wait) for wait in waits if wait.is_in_step)
    others = Counter(_text(wait) for wait in waits if not wait.is_in_step)
    lines = [f"elsewhere {count} waits: {text}" for text, count in others.items()]
    if slow and not problems:
        steps = "; ".join(f"{count} times {text}" for text, count in slow.most_common(3))
        return [], "\n".join([f"{NOTE}training steps wait for a GPU: {steps}", *lines])
    return problems, "\n".join(
        [f"{len(observed.rehearsed)} targets on a simulated one, no training step waits", *lines]
    )


def _text(wait: Wait) -> str:
    return f"{wait.what} at {wait.place}"
