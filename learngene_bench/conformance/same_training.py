"""An experiment that finds starting numbers in targets: all training ends alike, whatever it started from.

A method initializes a target twice, with two seeds. Ancestors, and networks that `prepare` trains, start from each seed
as always; but their training is left out, and they get numbers that are the same for both seeds. So what a target
inherits through training is the same both times. What differs is not inherited, and must not differ as the start of an
ancestor or of a trained network does: then "random" numbers fit the inherited ones, which are still close to their
start after a short training. See docs/digits.md, "What was wrong before protocol 3".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from learngene_bench.config.recipe import Recipe
from learngene_bench.conformance.fixtures import TinyBenchmark, TinyTarget, as_read, request_key
from learngene_bench.conformance.instrumentation import CallTrace, traced
from learngene_bench.contracts.context import TrainResult
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest
from learngene_bench.expansion.materialised import MaterialisedModel
from learngene_bench.plugins.registry import Registered
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.training.context import MeteredContext
from learngene_bench.util.entry_points import describe_error
from learngene_bench.util.rng import RngStreams

Weights = Mapping[str, Tensor]


@dataclass
class Starts:
    """Starting numbers of everything that a gene is made of by training.

    Attributes:
        numbers: tensors by a name that says whose they are.
    """

    numbers: dict[str, Tensor] = field(default_factory=dict)

    def train(self, network: nn.Module, owner: str) -> None:
        """Notes a network's start, then gives it the numbers at which all training ends."""
        trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
        weights: Weights = {}
        if isinstance(network, MaterialisedModel):
            # Weights that are made of what trains have a gradient; what is fixed stays a part of what was trained.
            with torch.enable_grad():
                weights = network.weights()
        made = {name: weight for name, weight in weights.items() if weight.requires_grad}
        self.numbers |= {f"{name} of {owner}": copied(each) for name, each in {**trained, **made}.items()}
        fixed = [weight for weight in weights.values() if not weight.requires_grad]
        self.numbers = {
            name: start for name, start in self.numbers.items() if not any(torch.equal(start, each) for each in fixed)
        }
        with torch.no_grad():
            for name, parameter in trained.items():
                generator = RngStreams(0).generator(owner, name)
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


class SameTraining(MeteredContext):
    """A context that trains nothing: in `prepare` networks get the numbers at which all training ends."""

    starts: Starts
    drawn: dict[str, Tensor]

    @staticmethod
    def of(context: MeteredContext, starts: Starts) -> SameTraining:
        """Makes the same context for the experiment."""
        made = SameTraining(**{part.name: getattr(context, part.name) for part in fields(MeteredContext)})
        made.starts, made.drawn = starts, {}
        return made

    def base_weights(self, spec: ModelSpec) -> dict[str, Tensor]:
        weights = super().base_weights(spec)
        self.drawn |= {f"{name} of {spec} as drawn by prepare()": copied(each) for name, each in weights.items()}
        return weights

    def train(self, network: nn.Module, recipe: str, *, teacher: str | None = None) -> TrainResult:
        # In `initialize` a network stays at its start, which shows what it is made of.
        if self.role == "auxiliary":
            self.starts.numbers |= self.drawn
            self.starts.train(network, f"the network that prepare() trains by {recipe!r}")
        network.eval()
        assert self.source is not None
        return TrainResult(curve=[CurvePoint(epoch=0.0, iterations=0, loss=0.0, metrics=self._metrics())])

    def _metrics(self) -> dict[str, float]:
        assert self.source is not None
        return dict.fromkeys(self.source.kind.metrics(), 0.0)


class Experiment:
    """Lets one method initialize targets where all training ends at the same numbers."""

    def __init__(self, registered: Registered, options: Mapping[str, Any], benchmark: TinyBenchmark) -> None:
        self.registered, self.options, self.benchmark = registered, options, benchmark
        self.genes: dict[tuple[Any, ...], tuple[Gene, Starts]] = {}
        self.different_starts: dict[tuple[Any, ...], Weights] = {}

    def followers(self, target: TinyTarget, request: GeneRequest, trains: tuple[str, ...]) -> list[Follower] | str:
        """Finds the tensors of a target that follow starting numbers; or the error that the method raises here."""
        try:
            starts = self.starts(request)
            one, other = (self.initialized(target, request, trains, seed) for seed in (0, 1))
        except Exception as error:
            return describe_error(error)
        return list(followers((one, other), starts))

    def starts(self, request: GeneRequest) -> Weights:
        """Computes the differences between two seeds of all that a gene's making starts from, where there are any."""
        key = request_key(request, 0)
        if key not in self.different_starts:
            first, second = (self.gene(request, seed)[1].numbers for seed in (0, 1))
            differences = difference(first, second)
            self.different_starts[key] = {name: start for name, start in differences.items() if start.any()}
        return self.different_starts[key]

    def initialized(self, target: TinyTarget, request: GeneRequest, trains: tuple[str, ...], seed: int) -> Weights:
        """Initializes a target, with its gene.

        Raises:
            Exception: the method raises it.
        """
        gene, starts = self.gene(request, seed)
        recipes = self.recipes(trains, target.base.width)
        context = SameTraining.of(
            self.benchmark.context("target", target.spec, recipes, seed, size_base=target.base), starts
        )
        model = self.benchmark.model(target, seed)
        with self.isolated(context):
            self.registered.create(self.options).initialize(model, target.spec, gene, context)
        return {name: copied(parameter) for name, parameter in model.named_parameters()}

    def gene(self, request: GeneRequest, seed: int) -> tuple[Gene, Starts]:
        """Makes the gene of a request once."""
        key = request_key(request, seed)
        if key not in self.genes:
            starts, recipes = Starts(), self.recipes(request.trains, request.family.width)
            context = SameTraining.of(self.benchmark.context("auxiliary", request.family, recipes, seed), starts)
            ancestors, flops = {}, {}
            for role, wanted in request.ancestors.items():
                network, _, flops[role] = self.benchmark.untrained(wanted, seed)
                starts.train(network, f"the ancestor {role!r}")
                ancestors[role] = network.eval()
            context.ancestors, context.ancestor_flops = ancestors, flops
            with self.isolated(context):
                self.genes[key] = self.registered.create({}).prepare(as_read(request), context), starts
        return self.genes[key]

    def recipes(self, names: tuple[str, ...], width: int) -> dict[str, Recipe]:
        return self.benchmark.recipes(names, width, self.registered.kind.recipe_fallbacks)

    @contextmanager
    def isolated(self, context: MeteredContext) -> Iterator[None]:
        """Leaves global states as they were, and raises what the method raises."""
        trace = CallTrace("", "", (), 0)
        with traced(trace, context, self.benchmark.dataset, context.seed):
            yield
        if trace.error:
            raise trace.error


@dataclass(frozen=True)
class Follower:
    """A tensor of a target whose numbers follow a starting tensor.

    Attributes:
        correlation: over both seeds.
        independent: largest absolute correlation that independent draws have: six standard errors.
    """

    tensor: str
    start: str
    correlation: float
    independent: float


def followers(targets: tuple[Weights, Weights], starts: Weights) -> Iterator[Follower]:
    """Finds the tensors of a target that differ between two seeds as some starting tensor does.

    Differences are compared, so that only what depends on the seed counts. A tensor of the target is compared with the
    first numbers of every start, as one stream may have given both, and with every layer of a start that is a stack.

    Args:
        starts: differences of starting tensors between the seeds.
    """
    groups: dict[torch.Size, dict[str, Tensor]] = {}
    for name, start in starts.items():
        groups.setdefault(start.shape, {})[name] = start
    for name, tensor in difference(*targets).items():
        found = [one for group in groups.values() if (one := _strongest(name, tensor.flatten(), group))]
        yield from sorted(found, key=lambda one: abs(one.correlation))[-1:]


def _strongest(name: str, numbers: Tensor, group: Weights) -> Follower | None:
    """Compares with starts of one shape; gives the strongest correlation, if independent draws have none as strong."""
    shape = next(iter(group.values())).shape
    layers = shape[0] if len(shape) > 1 and shape[1:].numel() == len(numbers) else 1
    numbers = numbers[: shape.numel() // layers]
    differs = numbers.nonzero()[:, 0]
    independent = 6 / max(1, len(differs)) ** 0.5
    if independent >= 1:
        return None
    starts = torch.cat([start.reshape(layers, -1)[:, : len(numbers)] for start in group.values()])
    one, others = _centred(numbers[differs]), _centred(starts[:, differs])
    norms = one.norm() * others.norm(dim=1)
    correlations = torch.where(norms > 0, others @ one / norms, 0.0)
    place = int(correlations.abs().argmax())
    found = Follower(name, list(group)[place // layers], float(correlations[place]), independent)
    return found if abs(found.correlation) > independent else None


def _centred(values: Tensor) -> Tensor:
    """Subtracts the mean over the last axis."""
    return values - values.mean(-1, keepdim=True)


def difference(first: Weights, second: Weights) -> dict[str, Tensor]:
    """Subtracts the tensors of one name and shape."""
    return {
        name: tensor.double() - second[name].double()
        for name, tensor in first.items()
        if name in second and second[name].shape == tensor.shape
    }


def copied(tensor: Tensor) -> Tensor:
    """Copies a tensor without its gradient."""
    return tensor.detach().clone()
