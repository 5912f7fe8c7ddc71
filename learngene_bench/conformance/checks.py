"""The checks of `lgbench check`: one function for each promise of the contract, applied to the observations.

Each returns the problems, and a line that says what was looked at; further lines are for those who want to know more.
"not reached" says that there was nothing to look at. A problem says where it was seen, what it is, and what to change.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from learngene_bench.conformance.family_check import check_families
from learngene_bench.conformance.findings import Check, Findings, Problem, listing, place_in_method
from learngene_bench.conformance.gpu_check import check_gpu
from learngene_bench.conformance.instrumentation import CallTrace, TestDataAccess
from learngene_bench.conformance.observations import Observations, Trial, different, same
from learngene_bench.conformance.recipe_check import check_recipe_fields
from learngene_bench.conformance.weight_checks import copies, starting_numbers


def _answers(observed: Observations) -> Findings:
    problems, refused = [], []
    for declared in observed.declared:
        where, reason = str(declared.target), declared.reason
        if declared.error:
            line, traceback = declared.error
            advice = "return the reason as a text" if "supports" in line else "supports() accepted this target"
            problems.append(Problem(where, f"{line}; {advice}", traceback))
        elif reason is not None and not (isinstance(reason, str) and reason.strip()):
            problems.append(Problem(where, f"supports() returned {reason!r}: the reason as a text, or None"))
        elif reason is not None:
            refused.append(f"refused: {where}: {reason}")
    if not any(declared.supported for declared in observed.declared) and not problems:
        problems.append(Problem("every target", "supports() refuses them all, so nothing can be measured"))
    answers = {family: [d.supported for d in observed.declared if d.family == family] for family in observed.families()}
    counts = ", ".join(f"{family} {sum(answer)} of {len(answer)}" for family, answer in answers.items())
    return problems, "\n".join([f"targets supported: {counts}", *refused])


def _initializes(observed: Observations) -> Findings:
    trials = _ordinary(observed)
    problems = [
        Problem(trial.where, f"{_raised(call)}; if it cannot work, let supports() return why", call.traceback)
        for trial in trials
        if (call := trial.failed) and not _is_explained(call)
    ]
    return problems, _reached([trial for trial in trials if not trial.failed], "targets")


def _class_token(observed: Observations) -> Findings:
    declared = next((declared for declared in observed.declared if declared.target.plain_timm), None)
    if declared is None:
        return [], "not reached: the family has no such target"
    if declared.reason is not None:
        return [], f"refused: {declared.reason}"
    if not any(not trial.failed for trial in _ordinary(observed)):
        return [], "not reached: no other target could be initialized"
    for trial in observed.trials:
        if trial.declared is not declared:
            continue
        if call := trial.failed:
            if _is_explained(call):
                return [], "not reached: see cost and test-data"
            advice = "position embeddings have one more row and there is cls_token"
            return [Problem(trial.where, f"{_raised(call)}; {advice}", call.traceback)], ""
        if not trial.lost and not trial.faults and not _not_finite(trial):
            return _forward(trial)
    return [], "not reached: see complete and parameters"


def _forward(trial: Trial) -> Findings:
    assert trial.model is not None
    spec = trial.declared.target.spec
    images = torch.zeros(2, spec.channels, spec.image_size, spec.image_size)
    try:
        with torch.no_grad():
            logits = trial.model.eval()(images)
    except Exception as error:
        return [Problem(trial.where, f"the model's forward pass raises {type(error).__name__}: {error}")], ""
    if tuple(logits.shape) != (2, spec.classes) or not logits.isfinite().all():
        return [Problem(trial.where, "the model's forward pass gives no finite logits")], ""
    return [], "initialized, and its forward pass is finite"


def _complete(observed: Observations) -> Findings:
    sound = _sound(observed)
    problems = []
    for trial in sound:
        if trial.lost:
            problems.append(Problem(trial.where, f"the model has lost {listing(trial.lost)}"))
        if names := _not_finite(trial):
            problems.append(Problem(trial.where, f"numbers that are not finite in {listing(names)}"))
    of_each_family = {trial.declared.family: trial for trial in reversed(sound)}.values()
    return problems, "\n".join([_reached(sound, "targets"), *map(_written_share, of_each_family)])


def _parameters(observed: Observations) -> Findings:
    sound = _sound(observed)
    problems = [
        Problem(trial.where, f"{name} {fault}") for trial in sound for name, fault in list(trial.faults.items())[:1]
    ]
    return problems, _reached(sound, "targets")


def _repeats(observed: Observations) -> Findings:
    problems = []
    for first, second in observed.repeated:
        advice = 'draw from context.generator("...") only'
        if call := second.failed:
            problems.append(Problem(first.where, f"worked once, then {_raised(call)}", call.traceback))
        elif first.gene and second.gene and (names := different(first.gene.tensors, second.gene.tensors)):
            problems.append(Problem(first.where, f"prepare() made another gene: {listing(names)} differ; {advice}"))
        elif names := different(first.after, second.after):
            problems.append(
                Problem(first.where, f"initialize() wrote other numbers: {listing(names)} differ; {advice}")
            )
    return problems, _reached(observed.repeated, "targets, twice")


def _seeds(observed: Observations) -> Findings:
    if not observed.other_seed or observed.other_seed[1].failed:
        return [], "not reached"
    first, second = observed.other_seed
    written, declared = first.written() | second.written(), observed.registered.kind.ignores_seed
    if not written:
        return [], "nothing is written, so nothing can differ"
    differ = any(
        not same(first.after[name], second.after[name]) for name in written & first.after.keys() & second.after.keys()
    )
    where = f"{first.declared.target}, seeds 0 and 1"
    if differ and declared:
        return [Problem(where, "the weights differ, but the class says ignores_seed = True")], ""
    if not differ and not declared:
        advice = 'draw from context.generator("..."), or say ignores_seed = True in the class if nothing is drawn'
        return [Problem(where, f"the same weights for both; {advice}")], ""
    return [], "ignores the seed, as it says" if declared else "they differ"


def _global_states(observed: Observations) -> Findings:
    advice = 'draw from context.generator("..."); what must use the global state goes into torch.random.fork_rng([])'
    problems = [
        Problem(where, f"{call.phase} changed {listing(call.changed_global_state)}; {advice}")
        for where, call in _calls(observed)
        if call.changed_global_state
    ]
    return problems, _reached(_calls(observed), "calls")


def _gene(observed: Observations) -> Findings:
    if not any(declared.request for declared in observed.declared):
        return [], "it has none"
    problems = []
    for trial, loaded in observed.reloaded:
        gene = trial.gene
        assert gene is not None
        if gene.method != observed.registered.kind.name:
            problems.append(Problem(trial.where, f"it says it is a gene of {gene.method!r}: Gene(self.name, ...)"))
        elif bad := [name for name, tensor in gene.tensors.items() if not tensor.isfinite().all()]:
            problems.append(Problem(trial.where, f"numbers that are not finite in {listing(bad)}"))
        elif not isinstance(loaded, Trial):
            problems.append(Problem(trial.where, *loaded))
        elif call := loaded.failed:
            what = f"from the loaded gene {_raised(call)}: all it needs must be in tensors and, as JSON, in facts"
            problems.append(Problem(trial.where, what, call.traceback))
        elif names := different(trial.after, loaded.after):
            what = f"the loaded gene gives other weights: {listing(names)} differ; keep all in tensors and facts"
            problems.append(Problem(trial.where, what))
    return problems, _reached(observed.reloaded, "genes saved, loaded and inherited")


def _cost(observed: Observations) -> Findings:
    problems = [Problem(where, what) for where, call in _calls(observed) for what in _cost_of(call)]
    problems += [Problem(trial.where, what) for trial in _sound(observed) if (what := _stored(trial))]
    problems += _reading(observed)
    return problems, _reached(_calls(observed), "calls")


def _reading(observed: Observations) -> Iterator[Problem]:
    """Compares `reads_images()` with what was read."""
    declared = observed.registered.create(observed.options).reads_images()
    reading = [(where, call) for where, call in _calls(observed) if call.reads_images]
    if reading and not declared:
        where, call = reading[0]
        yield Problem(where, f"{call.phase} reads context.source_images(), but reads_images() is False")
    elif declared and not reading and any(_sound(observed)):
        yield Problem("every target", "reads_images() is True, but nothing reads context.source_images()")


def _cost_of(call: CallTrace) -> Iterator[str]:
    for recipe in dict.fromkeys(call.undeclared):
        yield f"{call.phase} trains by {recipe!r}, but {call.declaration} does not name it"
    if call.backward:
        yield (
            f"{call.phase} made backward passes outside context.train(), which nobody counts: "
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


def _stored(trial: Trial) -> str | None:
    """Describes what is wrong with the parameter column, as far as the gene tells."""
    declared, gene = trial.declared, trial.gene
    if gene is None:
        return f"stored_shapes() counts {declared.stored} numbers, but there is no gene" if declared.stored else None
    held = sum(tensor.numel() for tensor in gene.tensors.values())
    same_width = declared.target.spec.width == declared.target.base.width
    # weight-selection and the like count what a target receives; a wider target's own embeddings are in no gene.
    if same_width and declared.stored > held:
        return f"stored_shapes() counts {declared.stored} numbers, more than the {held} that the gene holds"
    return None


def _test_data(observed: Observations) -> Findings:
    advice = "a method sees data through its context only"
    problems = [
        Problem(
            where, f"{call.phase} reached for the test split by {listing(call.test_data)}; {advice}", call.traceback
        )
        for where, call in _calls(observed)
        if call.test_data
    ]
    return problems, _reached(_calls(observed), "calls")


def _ordinary(observed: Observations) -> list[Trial]:
    return [trial for trial in observed.trials if not trial.declared.target.plain_timm]


def _sound(observed: Observations) -> list[Trial]:
    return [trial for trial in observed.trials if not trial.failed]


def _calls(observed: Observations) -> list[tuple[str, CallTrace]]:
    """Every call once, with a target for which it was made."""
    calls = {id(call): (trial.where, call) for trial in reversed(observed.trials) for call in trial.calls}
    return list(reversed(calls.values()))


def _is_explained(call: CallTrace) -> bool:
    """True if another check tells why this call raised."""
    return bool(call.undeclared) or isinstance(call.error, TestDataAccess)


def _raised(call: CallTrace) -> str:
    lines = str(call.error).strip().splitlines() or [""]
    return f"{call.phase} raised {type(call.error).__name__}: {lines[0]}{place_in_method(call.error)}"


def _not_finite(trial: Trial) -> list[str]:
    return [name for name, tensor in trial.after.items() if not tensor.isfinite().all()]


def _written_share(trial: Trial) -> str:
    unchanged = [name for name in trial.after if name not in trial.written()]
    text = f"writes {len(trial.after) - len(unchanged)} of {len(trial.after)} tensors at {trial.declared.target}"
    return text + (f", keeps the base initialization of {listing(unchanged, most=8)}" if unchanged else "")


def _reached(things: list[Any], what: str) -> str:
    return f"{len(things)} {what}" if things else "not reached"


CHECKS = (
    Check("answers", "supports() answers for every target, with a reason where it cannot work", _answers),
    Check("initializes", "every supported target can be initialized", _initializes),
    Check("families", "a member of every other family that it is for can be initialized", check_families),
    Check("class-token", "a plain timm DeiT with class token can be initialized", _class_token),
    Check("complete", "weights are complete and finite", _complete),
    Check("parameters", "parameters keep shape, dtype and identity, and train on", _parameters),
    Check("repeats", "the same seed gives the same weights", _repeats),
    Check("seeds", "another seed gives other weights", _seeds),
    Check("starts", "numbers that are not inherited are no starting numbers of what is", starting_numbers),
    Check("copies", "a wider target is no narrow model in copies", copies),
    Check("global-state", "global random states and settings are left alone", _global_states),
    Check("gene", "the gene survives saving and loading", _gene),
    Check("cost", "what it declares to train and store is what is metered", _cost),
    Check("recipes", "each field of the recipes that it trains by is used or declared as ignored", check_recipe_fields),
    Check("gpu", "it runs on a GPU, and no step of its training waits for it", check_gpu),
    Check("test-data", "test data are not touched", _test_data),
)
"""All checks, in the order of the report."""
