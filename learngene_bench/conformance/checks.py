"""What `lgbench check` makes of what it saw: one function for each promise of the contract.

Each gives the problems, and in a line what was looked at, with further lines for those who want to know more; "not
reached" says that there was nothing to look at. A problem says where it was seen, what it is, and what to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from learngene_bench.conformance.instrumentation import Observed, TestDataTouched
from learngene_bench.conformance.probe import Attempt, Evidence, same


@dataclass(frozen=True)
class Problem:
    """Where something was seen, what, and what to change."""

    where: str
    what: str
    traceback: str = ""


Judge = Callable[[Evidence], tuple[list[Problem], str]]


def _answers(evidence: Evidence) -> tuple[list[Problem], str]:
    problems, refused = [], []
    for answers in evidence.answers:
        where, reason = str(answers.target), answers.reason
        if answers.error:
            line, traceback = answers.error
            advice = "return the reason as a text" if "supports" in line else "supports() accepted this target"
            problems.append(Problem(where, f"{line}; {advice}", traceback))
        elif reason is not None and not (isinstance(reason, str) and reason.strip()):
            problems.append(Problem(where, f"supports() returned {reason!r}: the reason as a text, or None"))
        elif reason is not None:
            refused.append(f"refused: {where}: {reason}")
    supported = sum(answers.supported for answers in evidence.answers)
    if not supported and not problems:
        problems.append(Problem("every target", "supports() refuses them all, so nothing can be measured"))
    return problems, "\n".join([f"{supported} of {len(evidence.answers)} targets supported", *refused])


def _initializes(evidence: Evidence) -> tuple[list[Problem], str]:
    attempts = _ordinary(evidence)
    problems = [
        Problem(attempt.where, f"{_raised(call)}; if it cannot work, let supports() return why", call.traceback)
        for attempt in attempts
        if (call := attempt.failed) and not _is_explained(call)
    ]
    return problems, _reached([attempt for attempt in attempts if not attempt.failed], "targets")


def _class_token(evidence: Evidence) -> tuple[list[Problem], str]:
    answers = next(answers for answers in evidence.answers if answers.target.plain_timm)
    if answers.reason is not None:
        return [], f"refused: {answers.reason}"
    if not any(not attempt.failed for attempt in _ordinary(evidence)):
        return [], "not reached: no other target could be initialized"
    for attempt in evidence.attempts:
        if attempt.answers is not answers:
            continue
        if call := attempt.failed:
            if _is_explained(call):
                return [], "not reached: see cost and test-data"
            advice = "position embeddings have one more row and there is cls_token"
            return [Problem(attempt.where, f"{_raised(call)}; {advice}", call.traceback)], ""
        if not attempt.lost and not attempt.faults and not _not_finite(attempt):
            return _forward(attempt)
    return [], "not reached: see complete and parameters"


def _forward(attempt: Attempt) -> tuple[list[Problem], str]:
    assert attempt.model is not None
    spec = attempt.answers.target.spec
    images = torch.zeros(2, spec.channels, spec.image_size, spec.image_size)
    try:
        with torch.no_grad():
            logits = attempt.model.eval()(images)
    except Exception as error:
        return [Problem(attempt.where, f"the model's forward pass raises {type(error).__name__}: {error}")], ""
    if tuple(logits.shape) != (2, spec.classes) or not logits.isfinite().all():
        return [Problem(attempt.where, "the model's forward pass gives no finite logits")], ""
    return [], "initialized, and its forward pass is finite"


def _complete(evidence: Evidence) -> tuple[list[Problem], str]:
    sound = _sound(evidence)
    problems = []
    for attempt in sound:
        if attempt.lost:
            problems.append(Problem(attempt.where, f"the model has lost {_listing(attempt.lost)}"))
        if names := _not_finite(attempt):
            problems.append(Problem(attempt.where, f"numbers that are not finite in {_listing(names)}"))
    return problems, "\n".join([_reached(sound, "targets"), *(_written_share(attempt) for attempt in sound[:1])])


def _parameters(evidence: Evidence) -> tuple[list[Problem], str]:
    sound = _sound(evidence)
    problems = [
        Problem(attempt.where, f"{name} {fault}")
        for attempt in sound
        for name, fault in list(attempt.faults.items())[:1]
    ]
    return problems, _reached(sound, "targets")


def _repeats(evidence: Evidence) -> tuple[list[Problem], str]:
    problems = []
    for first, second in evidence.again:
        advice = 'draw from context.generator("...") only'
        if call := second.failed:
            problems.append(Problem(first.where, f"worked once, then {_raised(call)}", call.traceback))
        elif first.gene and second.gene and (names := _different(first.gene.tensors, second.gene.tensors)):
            problems.append(Problem(first.where, f"prepare() made another gene: {_listing(names)} differ; {advice}"))
        elif names := _different(first.left, second.left):
            problems.append(
                Problem(first.where, f"initialize() wrote other numbers: {_listing(names)} differ; {advice}")
            )
    return problems, _reached(evidence.again, "targets, twice")


def _seeds(evidence: Evidence) -> tuple[list[Problem], str]:
    if not evidence.other_seed or evidence.other_seed[1].failed:
        return [], "not reached"
    first, second = evidence.other_seed
    written, declared = first.written() | second.written(), evidence.registered.kind.ignores_seed
    if not written:
        return [], "nothing is written, so nothing can differ"
    differ = any(
        not same(first.left[name], second.left[name]) for name in written & first.left.keys() & second.left.keys()
    )
    where = f"{first.answers.target}, seeds 0 and 1"
    if differ and declared:
        return [Problem(where, "the weights differ, but the class says ignores_seed = True")], ""
    if not differ and not declared:
        advice = 'draw from context.generator("..."), or say ignores_seed = True in the class if nothing is drawn'
        return [Problem(where, f"the same weights for both; {advice}")], ""
    return [], "ignores the seed, as it says" if declared else "they differ"


def _global_states(evidence: Evidence) -> tuple[list[Problem], str]:
    advice = 'draw from context.generator("..."); what must use the global state goes into torch.random.fork_rng([])'
    problems = [
        Problem(where, f"{call.phase} changed {_listing(call.disturbed)}; {advice}")
        for where, call in _calls(evidence)
        if call.disturbed
    ]
    return problems, _reached(_calls(evidence), "calls")


def _gene(evidence: Evidence) -> tuple[list[Problem], str]:
    if not any(answers.request for answers in evidence.answers):
        return [], "it has none"
    problems = []
    for attempt, loaded in evidence.reloaded:
        gene = attempt.gene
        assert gene is not None
        if gene.method != evidence.registered.kind.name:
            problems.append(Problem(attempt.where, f"it says it is a gene of {gene.method!r}: Gene(self.name, ...)"))
        elif bad := [name for name, tensor in gene.tensors.items() if not tensor.isfinite().all()]:
            problems.append(Problem(attempt.where, f"numbers that are not finite in {_listing(bad)}"))
        elif not isinstance(loaded, Attempt):
            problems.append(Problem(attempt.where, *loaded))
        elif call := loaded.failed:
            what = f"from the loaded gene {_raised(call)}: all it needs must be in tensors and, as JSON, in facts"
            problems.append(Problem(attempt.where, what, call.traceback))
        elif names := _different(attempt.left, loaded.left):
            what = f"the loaded gene gives other weights: {_listing(names)} differ; keep all in tensors and facts"
            problems.append(Problem(attempt.where, what))
    return problems, _reached(evidence.reloaded, "genes saved, loaded and inherited")


def _cost(evidence: Evidence) -> tuple[list[Problem], str]:
    problems = [Problem(where, what) for where, call in _calls(evidence) for what in _cost_of(call)]
    problems += [Problem(attempt.where, what) for attempt in _sound(evidence) if (what := _stored(attempt))]
    return problems, _reached(_calls(evidence), "calls")


def _cost_of(call: Observed) -> Iterator[str]:
    for recipe in dict.fromkeys(call.undeclared):
        yield f"{call.phase} trains by {recipe!r}, but {call.declaration} does not name it"
    if call.backward:
        yield (
            f"{call.phase} made {call.backward} backward passes outside context.train(), which nobody counts: "
            f"train with context.train() and name its recipe in {call.declaration}"
        )
    if call.error:
        return
    for recipe in call.declared:
        if (times := call.trained.count(recipe)) != 1:
            yield f"{call.declaration} names {recipe!r}, but {call.phase} trained by it {times} times, not once"
            return
    if call.cost.iterations != call.iterations:
        yield (
            f"{call.phase} spent {call.cost.iterations} iterations, the recipes in {call.declaration} have "
            f"{call.iterations}"
        )
    if call.images != call.cost.images:
        yield (
            f"{call.phase} was shown {call.images} training images, {call.cost.images} are in context.cost: "
            "see images through context.source_images() and context.train() only"
        )


def _stored(attempt: Attempt) -> str | None:
    """What is wrong with the parameter column, as far as the gene tells."""
    answers, gene = attempt.answers, attempt.gene
    if gene is None:
        return f"stored_shapes() counts {answers.stored} numbers, but there is no gene" if answers.stored else None
    held = sum(tensor.numel() for tensor in gene.tensors.values())
    same_width = answers.target.spec.width == answers.target.base.width
    # weight-selection and the like count what a target receives; a wider target's own embeddings are in no gene.
    if same_width and answers.stored > held:
        return f"stored_shapes() counts {answers.stored} numbers, more than the {held} that the gene holds"
    return None


def _test_data(evidence: Evidence) -> tuple[list[Problem], str]:
    advice = "a method sees data through its context only"
    problems = [
        Problem(
            where, f"{call.phase} reached for the test split by {_listing(call.test_data)}; {advice}", call.traceback
        )
        for where, call in _calls(evidence)
        if call.test_data
    ]
    return problems, _reached(_calls(evidence), "calls")


def _ordinary(evidence: Evidence) -> list[Attempt]:
    return [attempt for attempt in evidence.attempts if not attempt.answers.target.plain_timm]


def _sound(evidence: Evidence) -> list[Attempt]:
    return [attempt for attempt in evidence.attempts if not attempt.failed]


def _calls(evidence: Evidence) -> list[tuple[str, Observed]]:
    """Every call once, with a target for which it was made."""
    calls = {id(call): (attempt.where, call) for attempt in reversed(evidence.attempts) for call in attempt.calls}
    return list(reversed(calls.values()))


def _is_explained(call: Observed) -> bool:
    """Whether another check tells why this call raised."""
    return bool(call.undeclared) or isinstance(call.error, TestDataTouched)


def _raised(call: Observed) -> str:
    lines = str(call.error).strip().splitlines() or [""]
    return f"{call.phase} raised {type(call.error).__name__}: {lines[0]}"


def _not_finite(attempt: Attempt) -> list[str]:
    return [name for name, tensor in attempt.left.items() if not tensor.isfinite().all()]


def _different(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    return [
        name for name in {**one, **other} if name not in one or name not in other or not same(one[name], other[name])
    ]


def _written_share(attempt: Attempt) -> str:
    kept = [name for name in attempt.left if name not in attempt.written()]
    text = f"writes {len(attempt.left) - len(kept)} of {len(attempt.left)} tensors at {attempt.answers.target}"
    return text + (f", keeps the base initialization of {_listing(kept, most=8)}" if kept else "")


def _listing(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _reached(things: list[Any], what: str) -> str:
    return f"{len(things)} {what}" if things else "not reached"


JUDGES: tuple[tuple[str, str, Judge], ...] = (
    ("answers", "supports() answers for every target, with a reason where it cannot work", _answers),
    ("initializes", "every supported target can be initialized", _initializes),
    ("class-token", "a plain timm DeiT with class token can be initialized", _class_token),
    ("complete", "weights are complete and finite", _complete),
    ("parameters", "parameters keep shape, dtype and identity, and train on", _parameters),
    ("repeats", "the same seed gives the same weights", _repeats),
    ("seeds", "another seed gives other weights", _seeds),
    ("global-state", "global random states and settings are left alone", _global_states),
    ("gene", "the gene survives saving and loading", _gene),
    ("cost", "what it declares to train and store is what is metered", _cost),
    ("test-data", "test data are not touched", _test_data),
)
"""Name, promise and judge of each check."""
