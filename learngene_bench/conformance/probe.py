"""Everything that `lgbench check` looks at: a method asked about, and let loose on, every target in miniature.

Nothing is judged here; that is `conformance.py`.
"""

from __future__ import annotations

import json
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.conformance.fixtures import Miniature, Target, request_key
from learngene_bench.conformance.instrumentation import Observed, WatchedContext, watch
from learngene_bench.contracts.family import DEFAULT_FAMILY, FAMILIES, count
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, wrong_family
from learngene_bench.plugins.registry import Registered
from learngene_bench.util.files import canonical


@dataclass
class Answers:
    """What a method says of a target before anything is computed.

    Attributes:
        error: which question failed and the traceback.
    """

    target: Target
    reason: object = None
    trains: tuple[Any, ...] = ()
    request: GeneRequest | None = None
    stored: int = 0
    error: tuple[str, str] | None = None

    @property
    def supported(self) -> bool:
        return self.reason is None and self.error is None


@dataclass
class Attempt:
    """One target initialized, or the attempt.

    Attributes:
        arrived: weights before, the base initialization.
        left: weights after, by name.
        faults: what is wrong with a parameter itself, by name.
        lost: names of parameters that are gone.
    """

    answers: Answers
    seed: int
    prepared: Observed | None = None
    initialized: Observed | None = None
    gene: Gene | None = None
    model: nn.Module | None = None
    arrived: Mapping[str, Tensor] = field(default_factory=dict)
    left: Mapping[str, Tensor] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    @property
    def calls(self) -> list[Observed]:
        return [call for call in (self.prepared, self.initialized) if call]

    @property
    def failed(self) -> Observed | None:
        """The call that raised, if one did."""
        return next((call for call in self.calls if call.error), None)

    @property
    def where(self) -> str:
        return f"{self.answers.target}, seed {self.seed}"

    def written(self) -> set[str]:
        """Names of parameters that are not what they were when the model arrived."""
        return {name for name, tensor in self.left.items() if not same(tensor, self.arrived[name])}


@dataclass
class Evidence:
    """All that was seen.

    Attributes:
        attempts: every supported target with seed 0.
        again: an attempt and the same once more, gene included.
        other_seed: an attempt and the same with another seed, gene included.
        reloaded: an attempt, and the same with its gene saved and loaded, or the error and traceback of that.
    """

    registered: Registered
    answers: list[Answers] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    again: list[tuple[Attempt, Attempt]] = field(default_factory=list)
    other_seed: tuple[Attempt, Attempt] | None = None
    reloaded: list[tuple[Attempt, Attempt | tuple[str, str]]] = field(default_factory=list)


def examine(registered: Registered, options: Mapping[str, Any]) -> Evidence:
    """Asks and tries everything; errors of the method become part of the evidence.

    Raises:
        UserError: a wrong option.
    """
    registered.create(dict(options))
    return _Examination(registered, options).evidence()


class _Examination:
    def __init__(self, registered: Registered, options: Mapping[str, Any]) -> None:
        self.registered, self.options = registered, options
        kind = registered.kind
        family = FAMILIES.get(kind.families[0] if kind.families else DEFAULT_FAMILY)()
        self.miniature = Miniature(family, kind.recipe_fallbacks)
        self.genes: dict[tuple[Any, ...], tuple[Gene | None, Observed]] = {}
        self.calls = 0

    def evidence(self) -> Evidence:
        found = Evidence(self.registered, [self.ask(target) for target in self.miniature.targets()])
        found.attempts = [self.attempt(answers, 0) for answers in found.answers if answers.supported]
        sound = [attempt for attempt in found.attempts if not attempt.failed]
        grown = [attempt for attempt in sound if _is_grown(attempt.answers.target)]
        for attempt in [*sound[:1], *grown[:1]]:
            found.again.append((attempt, self.attempt(attempt.answers, 0, fresh_gene=True)))
        if sound:
            found.other_seed = (sound[0], self.attempt(sound[0].answers, 1))
        # One target of each gene.
        for attempt in {id(attempt.gene): attempt for attempt in reversed(sound) if attempt.gene}.values():
            found.reloaded.append((attempt, self.reload(attempt)))
        return found

    def method(self) -> Initializer:
        """A new one each time, as every stage of a benchmark makes its own."""
        return self.registered.create(dict(self.options))

    def ask(self, target: Target) -> Answers:
        answers, method = Answers(target), self.method()
        question = "supports()"
        try:
            answers.reason = wrong_family(method, target.spec) or method.supports(target.spec, target.base)
            if answers.reason is None:
                question = "trains()"
                answers.trains = tuple(method.trains())
                self.miniature.recipes(answers.trains, target.base.width)
                question = "gene_request()"
                answers.request = method.gene_request(target.spec, target.base)
                if answers.request:
                    request_key(answers.request, 0)
                question = "stored_shapes()"
                answers.stored = count(dict(method.stored_shapes(target.spec, target.base)))
        except Exception as error:
            answers.error = f"{question} raised {_one_line(error)}", traceback.format_exc()
        return answers

    def attempt(self, answers: Answers, seed: int, *, fresh_gene: bool = False) -> Attempt:
        attempt = Attempt(answers, seed)
        if answers.request:
            attempt.gene, attempt.prepared = self.gene(answers.request, seed, fresh_gene)
            if attempt.prepared.error:
                return attempt
        self.initialize(attempt, attempt.gene)
        return attempt

    def gene(self, request: GeneRequest, seed: int, fresh: bool) -> tuple[Gene | None, Observed]:
        key = request_key(request, seed)
        if key not in self.genes or fresh:
            made = self.prepare(request, seed)
            self.genes.setdefault(key, made)
            return made
        return self.genes[key]

    def prepare(self, request: GeneRequest, seed: int) -> tuple[Gene | None, Observed]:
        gene = None
        width = request.family.width
        observed = Observed(
            "prepare()", "GeneRequest.trains", request.trains, self.miniature.steps(request.trains, width)
        )
        context = self.miniature.context(request.trains, width, seed, request)
        context = WatchedContext.of(context, observed)
        # As a stage has it, which knows the request from its file.
        known = GeneRequest(
            request.family,
            settings=json.loads(canonical(dict(request.settings))),
            trains=request.trains,
            files=request.files,
        )
        with watch(observed, context, self.miniature.dataset, self.next_call()):
            gene = self.registered.create({}).prepare(known, context)
            if not isinstance(gene, Gene):
                raise TypeError(f"prepare() returned {type(gene).__name__}, not a Gene")
        return gene, observed

    def initialize(self, attempt: Attempt, gene: Gene | None) -> None:
        target, trains = attempt.answers.target, attempt.answers.trains
        width = target.base.width
        observed = Observed("initialize()", "trains()", trains, self.miniature.steps(trains, width))
        attempt.initialized = observed
        context = self.miniature.context(trains, width, attempt.seed)
        context = WatchedContext.of(context, observed)
        model = self.miniature.model(target, attempt.seed)
        arrived = dict(model.named_parameters())
        attempt.arrived = _copied(arrived)
        with watch(observed, context, self.miniature.dataset, self.next_call()):
            self.method().initialize(model, target.spec, gene, context)
        left = dict(model.named_parameters())
        attempt.model, attempt.left = model, _copied({name: left[name] for name in left if name in arrived})
        attempt.lost = [name for name in arrived if name not in left]
        attempt.faults = {
            name: fault
            for name, parameter in left.items()
            if (fault := _fault(parameter, arrived.get(name), attempt.arrived.get(name)))
        }

    def reload(self, attempt: Attempt) -> Attempt | tuple[str, str]:
        """The same target again, from the gene as a file keeps it."""
        assert attempt.gene is not None
        try:
            with tempfile.TemporaryDirectory() as folder:
                attempt.gene.save(Path(folder) / "gene.safetensors")
                loaded = Gene.load(Path(folder) / "gene.safetensors")
        except Exception as error:
            return f"it cannot be saved and loaded: {_one_line(error)}", traceback.format_exc()
        repeated = Attempt(attempt.answers, attempt.seed, attempt.prepared, gene=loaded)
        self.initialize(repeated, loaded)
        return repeated

    def next_call(self) -> int:
        self.calls += 1
        return self.calls


def _is_grown(target: Target) -> bool:
    return target.spec.width > target.base.width


def _fault(parameter: nn.Parameter, before: nn.Parameter | None, value: Tensor | None) -> str | None:
    """What is wrong with a parameter beside its numbers."""
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


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors agree to the bit, NaN with NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
