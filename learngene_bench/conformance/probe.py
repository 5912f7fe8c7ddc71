"""Observes a method: asks it about every target of the tiny benchmark, and lets it initialize those that it supports.

Nothing is judged here; `checks.py` does that.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.config.recipe import Recipe
from learngene_bench.conformance.copied_units import CopiedUnits, copied_units
from learngene_bench.conformance.fixtures import BATCH, TinyTarget, as_read, family_for, request_key, shared_benchmark
from learngene_bench.conformance.instrumentation import CallTrace, TracedContext, traced
from learngene_bench.conformance.same_training import Experiment, Follower
from learngene_bench.contracts.family import count
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer
from learngene_bench.plugins.registry import Registered
from learngene_bench.util.entry_points import describe_error


@dataclass
class Declared:
    """The declarations of a method about one target, before anything is computed.

    Attributes:
        reason: the answer of `supports`.
        stored: the count of `stored_shapes`.
        error: the question that failed and the traceback.
    """

    target: TinyTarget
    reason: object = None
    trains: tuple[str, ...] = ()
    request: GeneRequest | None = None
    stored: int = 0
    error: tuple[str, str] | None = None

    @property
    def supported(self) -> bool:
        """True if the target can be initialized, as far as the method says."""
        return self.reason is None and self.error is None


@dataclass
class Trial:
    """One target initialized, or the attempt.

    Attributes:
        before: weights of the model before the call, the base initialization, by name.
        after: weights after the call.
        faults: what is wrong with a parameter itself, by name.
        lost: names of parameters that are gone.
    """

    declared: Declared
    seed: int
    prepared: CallTrace | None = None
    initialized: CallTrace | None = None
    gene: Gene | None = None
    model: nn.Module | None = None
    before: Mapping[str, Tensor] = field(default_factory=dict)
    after: Mapping[str, Tensor] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    @property
    def calls(self) -> list[CallTrace]:
        """Calls that were made, in order."""
        return [call for call in (self.prepared, self.initialized) if call]

    @property
    def failed(self) -> CallTrace | None:
        """The call that raised, if one did."""
        return next((call for call in self.calls if call.error), None)

    @property
    def where(self) -> str:
        """Target and seed, as a problem names them."""
        return f"{self.declared.target}, seed {self.seed}"

    def agrees(self, other: Trial) -> bool:
        """True if another trial made the same gene and the same weights."""
        genes = [trial.gene.tensors if trial.gene else {} for trial in (self, other)]
        return not different(*genes) and not different(self.after, other.after)

    def written(self) -> set[str]:
        """Names of parameters that the call changed."""
        return {name for name, tensor in self.after.items() if not same(tensor, self.before[name])}


@dataclass(frozen=True)
class RecipeVariation:
    """A trial repeated with another value of one field of one recipe.

    Attributes:
        ignored: True if the method says that it ignores the field.
        differs: True if the gene or the target has other numbers.
        failed: the call that raised, if one did.
    """

    where: str
    recipe: str
    field: str
    ignored: bool
    differs: bool
    failed: CallTrace | None


OTHER_VALUES = {"drop_path": 0.6, "label_smoothing": 0.3, "meta_batch_size": 3, "weight_decay": 5.0}
"""Another value of each recipe field whose effect the network decides: by its structure, by a loss of its own, by what
it spares from weight decay. The training loop applies all other fields by itself."""


@dataclass
class Observations:
    """All that was observed of a method.

    Attributes:
        trials: every supported target with seed 0.
        repeated: a trial and the same once more, gene included.
        other_seed: a trial and the same with another seed, gene included.
        reloaded: a trial, and the same with its gene saved and loaded, or the error and traceback of that.
        variations: trials with other recipes.
        followers: a target that inherits, with those of its tensors that follow starting numbers, or the error.
        copied: a trial of a target that is wider than its base, with the copies in it.
    """

    registered: Registered
    options: Mapping[str, Any] = field(default_factory=dict)
    declared: list[Declared] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    repeated: list[tuple[Trial, Trial]] = field(default_factory=list)
    other_seed: tuple[Trial, Trial] | None = None
    reloaded: list[tuple[Trial, Trial | tuple[str, str]]] = field(default_factory=list)
    variations: list[RecipeVariation] = field(default_factory=list)
    followers: list[tuple[TinyTarget, list[Follower] | str]] = field(default_factory=list)
    copied: list[tuple[Trial, CopiedUnits]] = field(default_factory=list)


def observe(registered: Registered, options: Mapping[str, Any], targets: Collection[TinyTarget] = ()) -> Observations:
    """Asks and tries everything, see `runner.check`; errors of the method become part of the observations.

    Raises:
        UserError: a wrong option.
    """
    registered.create(dict(options))
    return _Probe(registered, options).observations(targets)


class _Probe:
    def __init__(self, registered: Registered, options: Mapping[str, Any]) -> None:
        self.registered, self.options = registered, options
        self.benchmark = shared_benchmark(family_for(registered.kind).name)
        # As every stage does: sums come in one order.
        torch.set_num_threads(self.benchmark.preset.compute.threads)
        self.genes: dict[tuple[Any, ...], tuple[Gene | None, CallTrace]] = {}
        self.changes: dict[str, dict[str, Any]] = {}
        self.calls = 0

    def observations(self, targets: Collection[TinyTarget]) -> Observations:
        asked = [self.ask(target) for target in targets or self.benchmark.targets()]
        observed = Observations(self.registered, self.options, asked)
        observed.trials = [self.trial(declared, 0) for declared in observed.declared if declared.supported]
        sound = [trial for trial in observed.trials if not trial.failed]
        grown = [trial for trial in sound if _is_grown(trial.declared.target)]
        for trial in [*sound[:1], *grown[:1]]:
            observed.repeated.append((trial, self.trial(trial.declared, 0, fresh_gene=True)))
        if sound:
            observed.other_seed = (sound[0], self.trial(sound[0].declared, 1))
        # One target of each gene.
        for trial in {id(trial.gene): trial for trial in reversed(sound) if trial.gene}.values():
            observed.reloaded.append((trial, self.reload(trial)))
        # A gene is varied once, with the first target.
        varied: dict[tuple[int, str], Trial] = {}
        for trial in [*sound[:1], *grown[:1]]:
            for call in trial.calls:
                for recipe in call.trained:
                    varied.setdefault((id(call), recipe), trial)
        for (_, recipe), trial in varied.items():
            observed.variations += self.variations(trial, recipe)
        experiment = Experiment(self.registered, self.options, self.benchmark)
        for declared in (trial.declared for trial in sound):
            if declared.request:
                found = experiment.followers(declared.target, declared.request, declared.trains)
                observed.followers.append((declared.target, found))
        observed.copied = [(trial, self.copied(trial)) for trial in grown if not trial.lost and not trial.faults]
        return observed

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
        declared, method = Declared(target), self.method()
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
            self.benchmark.context("auxiliary", request.family, recipes, seed, request.ancestors), trace
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
        context = TracedContext.of(self.benchmark.context("target", target.spec, recipes, trial.seed), trace)
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


def different(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names the tensors that are not in both, or not the same in both."""
    return [
        name for name in {**one, **other} if name not in one or name not in other or not same(one[name], other[name])
    ]


def same(one: Tensor, other: Tensor) -> bool:
    """True if two tensors agree to the bit, NaN with NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))
