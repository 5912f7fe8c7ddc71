"""Observes a method: asks it about every target of the tiny benchmark, and lets it initialize those that it supports.

Nothing is judged here; `checks.py` does that.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.config.recipe import Recipe
from learngene_bench.conformance.copied_units import CopiedUnits, copied_units
from learngene_bench.conformance.fixtures import (
    BATCH,
    CPU,
    TinyBenchmark,
    TinyTarget,
    as_read,
    families_for,
    request_key,
    shared_benchmark,
)
from learngene_bench.conformance.instrumentation import CallTrace, TracedContext, traced
from learngene_bench.conformance.observations import Declared, Observations, RecipeVariation, Trial
from learngene_bench.conformance.same_training import Experiment
from learngene_bench.conformance.simulated_gpu import SimulatedGpu, Wait
from learngene_bench.contracts.family import count
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, parameter_groups_of
from learngene_bench.plugins.registry import Registered
from learngene_bench.util.entry_points import describe_error

OTHER_VALUES = {"drop_path": 0.6, "label_smoothing": 0.3, "meta_batch_size": 3, "weight_decay": 5.0}
"""Another value of each recipe field whose effect the network decides: by its structure, by a loss of its own, by what
it spares from weight decay. The training loop applies all other fields by itself."""


def observe(registered: Registered, options: Mapping[str, Any], targets: Collection[TinyTarget] = ()) -> Observations:
    """Asks and tries everything, see `runner.check`; errors of the method become part of the observations.

    Raises:
        UserError: a wrong option.
    """
    registered.create(dict(options))
    observed = Observations(registered, options)
    examples = (target for family in families_for(registered.kind) for target in shared_benchmark(family).targets())
    by_family: dict[str, list[TinyTarget]] = {}
    for target in targets or examples:
        by_family.setdefault(target.spec.family, []).append(target)
    for number, (family, members) in enumerate(by_family.items()):
        probe = _Probe(observed, shared_benchmark(family))
        if number == 0:
            probe.observe_all(members)
        else:
            probe.observe_member(members)
    return observed


class _Probe:
    """Tries a method on one family."""

    def __init__(self, observed: Observations, benchmark: TinyBenchmark) -> None:
        self.observed, self.benchmark = observed, benchmark
        self.registered, self.options = observed.registered, observed.options
        # As every stage does: sums come in one order.
        torch.set_num_threads(self.benchmark.preset.compute.threads)
        self.genes: dict[tuple[Any, ...], tuple[Gene | None, CallTrace]] = {}
        self.genes_of_gpu: dict[tuple[Any, ...], tuple[Gene | None, CallTrace]] = {}
        self.changes: dict[str, dict[str, Any]] = {}
        self.calls = 0
        self.device = CPU

    def observe_all(self, targets: Sequence[TinyTarget]) -> None:
        """Tries every target of the method's first family, and makes genes again and again."""
        asked = [self.ask(target) for target in targets]
        sound, grown = self.note([self.trial(declared, 0) for declared in asked if declared.supported])
        observed = self.observed
        for trial in [*sound[:1], *grown[:1]]:
            observed.repeated.append((trial, self.trial(trial.declared, 0, fresh_gene=True)))
        if sound:
            observed.other_seed = (sound[0], self.trial(sound[0].declared, 1))
        # A gene is varied once, with the first target.
        varied: dict[tuple[int, str], Trial] = {}
        for trial in [*sound[:1], *grown[:1]]:
            for call in trial.calls:
                for recipe in call.trained:
                    varied.setdefault((id(call), recipe), trial)
        for (_, recipe), trial in varied.items():
            observed.variations += self.variations(trial, recipe)

    def observe_member(self, targets: Sequence[TinyTarget]) -> None:
        """Tries the first target of another family that is supported, and a wider one if that inherits the same gene.

        What is repeated is what costs no other gene: how a method trains is seen in its first family.
        """
        member = next((asked for target in targets if (asked := self.ask(target)).supported), None)
        if member is None:
            return
        wider = next((target for target in targets if _is_grown(target) and target != member.target), None)
        grown = self.ask(wider) if wider else None
        has_same_gene = grown is not None and grown.supported and _gene_of(grown) == _gene_of(member)
        tried = [member, grown] if grown is not None and has_same_gene else [member]
        sound, _ = self.note([self.trial(declared, 0) for declared in tried])
        for trial in sound[:1]:
            self.observed.repeated.append((trial, self.trial(trial.declared, 0)))

    def note(self, trials: list[Trial]) -> tuple[list[Trial], list[Trial]]:
        """Keeps trials, looks into those that raised nothing, and returns these, and the grown ones among them."""
        observed = self.observed
        observed.trials += trials
        sound = [trial for trial in trials if not trial.failed]
        grown = [trial for trial in sound if _is_grown(trial.declared.target)]
        # One target of each gene.
        for trial in {id(trial.gene): trial for trial in reversed(sound) if trial.gene}.values():
            observed.reloaded.append((trial, self.reload(trial)))
        experiment = Experiment(self.registered, self.options, self.benchmark)
        for declared in (trial.declared for trial in sound):
            if declared.request:
                found = experiment.followers(declared.target, declared.request, declared.trains)
                observed.followers.append((declared.target, found))
        observed.copied += [(trial, self.copied(trial)) for trial in grown if not trial.lost and not trial.faults]
        observed.rehearsed += [(trial, *self.rehearsed(trial)) for trial in [*sound[:1], *grown[:1]]]
        return sound, grown

    def rehearsed(self, trial: Trial) -> tuple[Trial, list[Wait]]:
        """Repeats a trial on a simulated GPU, with a gene that is made there too."""
        self.genes, self.genes_of_gpu = self.genes_of_gpu, self.genes
        with SimulatedGpu() as gpu:
            self.device = gpu.device
            try:
                return self.trial(trial.declared, trial.seed), gpu.waits
            finally:
                self.device = CPU
                self.genes, self.genes_of_gpu = self.genes_of_gpu, self.genes

    def variations(self, trial: Trial, recipe: str) -> Iterator[RecipeVariation]:
        """Repeats a trial with other values of a recipe's fields, one at a time."""
        target, fresh = trial.declared.target, bool(trial.prepared and recipe in trial.prepared.trained)
        ignored = self.method().ignored_recipe_fields(recipe, target.spec, target.base)
        for name, value in OTHER_VALUES.items():
            if name == "drop_path" and not self.benchmark.family.has_drop_path:
                continue
            self.changes = {recipe: {name: value}}
            other = self.trial(trial.declared, 0, fresh_gene=fresh)
            self.changes = {}
            yield RecipeVariation(trial.where, recipe, name, name in ignored, not trial.agrees(other), other.failed)

    def method(self) -> Initializer:
        """Creates the method anew, as every stage of a benchmark does."""
        return self.registered.create(self.options)

    def recipes(self, names: tuple[str, ...], width: int) -> dict[str, Recipe]:
        recipes = self.benchmark.recipes(names, width, self.registered.kind.recipe_fallbacks)
        return {name: recipe.changed_by(self.changes.get(name, {})) for name, recipe in recipes.items()}

    def ask(self, target: TinyTarget) -> Declared:
        """Asks all questions about a target, and keeps the answers."""
        declared, method = Declared(target), self.method()
        self.observed.declared.append(declared)
        question = "supports()"
        try:
            declared.reason = method.supports(target.spec, target.base)
            if declared.reason is None:
                question = "trains()"
                declared.trains = tuple(method.trains())
                self.recipes(declared.trains, target.base.width)
                question = "gene_request()"
                declared.request = method.gene_request(target.spec, target.base)
                if declared.request:
                    request_key(declared.request, 0)
                question = "parameter_groups()"
                recipe = self.benchmark.preset.recipe_of("finetuning", target.base.width)
                parameter_groups_of(method, target.spec, target.base, recipe)
                question = "stored_shapes()"
                declared.stored = count(dict(method.stored_shapes(target.spec, target.base)))
        except Exception as error:
            declared.error = f"{question} raised {describe_error(error)}", traceback.format_exc()
        return declared

    def trial(self, declared: Declared, seed: int, *, fresh_gene: bool = False) -> Trial:
        trial = Trial(declared, seed)
        if declared.request:
            trial.gene, trial.prepared = self.gene(declared.request, seed, fresh_gene)
            if trial.prepared.error:
                return trial
        self.initialize(trial, trial.gene)
        return trial

    def gene(self, request: GeneRequest, seed: int, fresh: bool) -> tuple[Gene | None, CallTrace]:
        key = request_key(request, seed)
        if key not in self.genes or fresh:
            made = self.prepare(request, seed)
            self.genes.setdefault(key, made)
            return made
        return self.genes[key]

    def prepare(self, request: GeneRequest, seed: int) -> tuple[Gene | None, CallTrace]:
        gene, recipes = None, self.recipes(request.trains, request.family.width)
        trace = CallTrace("prepare()", "GeneRequest.trains", request.trains, self.benchmark.steps(recipes))
        context = TracedContext.of(
            self.benchmark.context("auxiliary", request.family, recipes, seed, request.ancestors, device=self.device),
            trace,
        )
        with traced(trace, context, self.benchmark.dataset, self.next_call()):
            gene = self.registered.create({}).prepare(as_read(request), context)
            if not isinstance(gene, Gene):
                raise TypeError(f"prepare() returned {type(gene).__name__}, not a Gene")
        return gene, trace

    def initialize(self, trial: Trial, gene: Gene | None) -> None:
        target, trains = trial.declared.target, trial.declared.trains
        recipes = self.recipes(trains, target.base.width)
        trace = CallTrace("initialize()", "trains()", trains, self.benchmark.steps(recipes))
        trial.initialized = trace
        context = TracedContext.of(
            self.benchmark.context(
                "target", target.spec, recipes, trial.seed, size_base=target.base, device=self.device
            ),
            trace,
        )
        model = self.benchmark.model(target, trial.seed)
        parameters = dict(model.named_parameters())
        trial.before = _copied(parameters)
        with traced(trace, context, self.benchmark.dataset, self.next_call()):
            self.method().initialize(model, target.spec, gene, context)
        after = dict(model.named_parameters())
        trial.model, trial.after = model, _copied({name: after[name] for name in after if name in parameters})
        trial.lost = [name for name in parameters if name not in after]
        trial.faults = {
            name: fault
            for name, parameter in after.items()
            if (fault := _fault(parameter, parameters.get(name), trial.before.get(name)))
        }

    def reload(self, trial: Trial) -> Trial | tuple[str, str]:
        """Initializes the same target again, from the gene as a file keeps it."""
        assert trial.gene is not None
        try:
            with tempfile.TemporaryDirectory() as folder:
                trial.gene.save(Path(folder) / "gene.safetensors")
                loaded = Gene.load(Path(folder) / "gene.safetensors")
        except Exception as error:
            return f"it cannot be saved and loaded: {describe_error(error)}", traceback.format_exc()
        repeated = Trial(trial.declared, trial.seed, trial.prepared, gene=loaded)
        self.initialize(repeated, loaded)
        return repeated

    def copied(self, trial: Trial) -> CopiedUnits:
        assert trial.model is not None
        target = trial.declared.target
        images, labels = next(self.benchmark.plain.eval_batches(BATCH, 0, BATCH))
        return copied_units(trial.model, target.spec, target.base, trial.written(), images, labels)

    def next_call(self) -> int:
        """A number that no other call has."""
        self.calls += 1
        return self.calls


def _gene_of(declared: Declared) -> tuple[Any, ...] | None:
    return request_key(declared.request, 0) if declared.request else None


def _is_grown(target: TinyTarget) -> bool:
    return target.spec.width > target.base.width


def _fault(parameter: nn.Parameter, before: nn.Parameter | None, value: Tensor | None) -> str | None:
    """Describes what is wrong with a parameter beside its numbers; None if nothing is."""
    if before is None or value is None:
        return "was not there before: initialize() writes into parameters, it adds none"
    if parameter.shape != value.shape:
        return f"has shape {tuple(parameter.shape)}, needed is {tuple(value.shape)}"
    if parameter.dtype != value.dtype:
        return f"has dtype {parameter.dtype}, needed is {value.dtype}"
    if parameter.device != value.device:
        return f"lies on {parameter.device}, models are handed back on the CPU"
    if parameter is not before:
        return "is another object than before: copy numbers into it, as models.weights.write_weights does"
    if not parameter.requires_grad:
        return "no longer requires a gradient, so it would not be trained"
    if not parameter.is_leaf:
        return "is the result of a recorded computation: write into it under torch.no_grad()"
    return None


def _copied(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}
