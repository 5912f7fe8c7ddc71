"""The check `starts`: numbers that a target does not inherit are no starting numbers of what it inherits from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from plugin_checks import checked_file, no_import_check, problems

from learngene_bench.conformance.fixtures import TinyTarget, shared_benchmark
from learngene_bench.conformance.runner import check
from learngene_bench.conformance.same_training import followers
from learngene_bench.plugins.registry import Registry
from learngene_bench.util.rng import RngStreams

METHOD = """
import torch
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.models.weights import base_weights, drawn_weights, write_weights
from learngene_bench.util.rng import RngStreams

class Mine(Initializer):
    name, title = "mine", "Mine"

    def supports(self, target, base):
        return target.block_mismatch(base)

    def trains(self):
        return {trains}

    def gene_request(self, target, base):
        small = base.with_depth(2)
        return GeneRequest(small, {{"source": Pretrained(small)}}, trains=("condensation",))

    def prepare(self, request, context):
        family, source = request.family, dict(context.ancestors["source"].named_parameters())
        start = {start}
        network = ExpandedModel(Expansion(family, {{}}, {{}}), start)
        context.train(network, "condensation")
        trained = {{name: weight.detach().clone() for name, weight in network.weights().items()}}
        return Gene(self.name, family, {{**trained, **{kept}}})

    def initialize(self, model, target, gene, context):
        # The first block is inherited; all others are meant to be random.
        weights = {{name: gene.tensors[name] for name in gene.tensors if name.startswith("blocks.0.")}}
        for layer in range(1, target.depth):
            drawn = {free}
            weights |= {{f"blocks.{{layer}}.{{name}}": drawn[f"blocks.1.{{name}}"] for name in target.block_shapes()}}
        write_weights(model, weights)
        {more}
"""

OWN = "base_weights(family, context.base, torch.Generator().manual_seed(context.seed))"
OWN_AGAIN = OWN.replace("family", "gene.family")
GLOBAL = "globally_drawn(family, context.seed)"
GLOBALLY_DRAWN = """
def globally_drawn(family, seed):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return {name: 0.02 * torch.randn(shape) for name, shape in family.parameter_shapes().items()}
"""
BASE = "context.base_weights(family)"
DRAWN = 'base_weights(gene.family, context.base, context.generator(f"layer {layer}"))'
IN_GENE = "{name.removeprefix('free/'): gene.tensors[name] for name in gene.tensors if name.startswith('free/')}"
TUNED = """
        network = ExpandedModel(Expansion(target, {}, {}), {n: p.detach() for n, p in model.named_parameters()})
        context.train(network, "inheritance")
        write_weights(model, network.non_block.detached())"""


def method(start: str, free: str, kept: str = "{}", more: str = "pass", trains: str = "()", above: str = "") -> str:
    return METHOD.format(start=start, free=free, kept=kept, more=more, trains=trains) + above


KEPT = "{f'free/{name}': tensor for name, tensor in start.items()}"
FAULTS = {
    "one generator for both": method(OWN, OWN_AGAIN),
    "one generator for both, then trained": method(OWN, OWN_AGAIN, more=TUNED, trains="('inheritance',)"),
    "torch's own generator": method(GLOBAL, GLOBAL.replace("family", "gene.family"), above=GLOBALLY_DRAWN),
    "the start is kept in the gene": method(BASE, IN_GENE, KEPT),
    "the ancestor's start is drawn again": method(
        BASE, 'drawn_weights(gene.family, context.base, context.seed, "ancestor")'
    ),
    "a start of another shape": method(
        OWN, "base_weights(gene.family.with_depth(3), context.base, torch.Generator().manual_seed(context.seed))"
    ),
}
ADDED = "{f'free/{name}': tensor.clone() for name, tensor in trained.items()}"
SOUND = {
    "drawn from the context": method(BASE, DRAWN),
    "trained numbers of the gene": method(BASE, IN_GENE, ADDED),
    "the ancestor before it was tuned": method(
        "{name: tensor.detach() for name, tensor in source.items()}",
        IN_GENE,
        "{f'free/{name}': tensor.detach().clone() for name, tensor in source.items()}",
    ),
    "fixed while one matrix was trained": method(BASE, IN_GENE, ADDED).replace(
        "Expansion(family, {}, {}), start)",
        'Expansion(family, {"mlp.fc1.weight": torch.ones(2, 1, 1, 1)}, '
        '{"mlp.fc1.weight": start["blocks.0.mlp.fc1.weight"].unsqueeze(0)}), start, ["templates"])',
    ),
    "not random": method(
        "{n: torch.linspace(-1, 1, t.numel()).view(t.shape) + t for n, t in context.base_weights(family).items()}",
        "{n: torch.linspace(-1, 1, t.numel()).view(t.shape) for n, t in context.base_weights(gene.family).items()}",
    ),
}


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    no_import_check(monkeypatch)


def targets() -> list[TinyTarget]:
    """Two depths of one family; what a method draws for others comes from the same generators."""
    return shared_benchmark("vit").targets()[:2]


@pytest.mark.parametrize("fault", FAULTS)
def test_starting_numbers_are_found(tmp_path: Path, fault: str) -> None:
    found = problems(checked_file(tmp_path, FAULTS[fault], targets()))
    assert list(found) == ["starts"], found
    assert all("the starting numbers of" in what for what in found["starts"])
    owners = ("the ancestor 'source'", "that prepare() trains by 'condensation'", "as drawn by prepare()")
    assert any(owner in what for owner in owners for what in found["starts"])


@pytest.mark.parametrize("case", SOUND)
def test_what_is_inherited_or_drawn_elsewhere_passes(tmp_path: Path, case: str) -> None:
    report = checked_file(tmp_path, SOUND[case], targets())
    assert report.passed, problems(report)
    assert {each.check: each.status for each in report.outcomes}["starts"] == "passed"


def test_a_method_that_the_experiment_breaks_is_not_judged(tmp_path: Path) -> None:
    """Training is left out there, so what a method demands of its result may be missing."""
    demand = "assert (trained['norm.weight'] - 1).abs().max() < 0.05"
    text = method(BASE, DRAWN).replace("return Gene(", f"{demand}\n        return Gene(")
    report = checked_file(tmp_path, text, targets())
    assert report.passed, problems(report)
    (starts,) = (each for each in report.outcomes if each.check == "starts")
    assert starts.status == "skipped"
    assert "AssertionError" in starts.detail


@pytest.mark.parametrize("name", ["auto-lg", "wave"])
def test_streams_that_are_not_named_by_role_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protocol 2 drew every model from one stream, so all that a method left free was its ancestor's start."""
    shared_benchmark.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(RngStreams, "drawn_for", lambda self, *_: self)
        report = check(
            Registry().get(name), {"parts": ("attention", "projection")} if name == "wave" else {}, targets()
        )
    shared_benchmark.cache_clear()
    assert "starts" in problems(report)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def test_layers_of_a_stack_and_parts_are_compared() -> None:
    stack = torch.stack([drawn(layer, 20, 10) for layer in range(3)])
    (found,) = followers(
        ({"a": stack[2] + 5, "b": drawn(7, 20, 10)}, {"a": torch.zeros(20, 10), "b": torch.zeros(20, 10)}),
        {"stack": stack},
    )
    assert (found.tensor, found.start) == ("a", "stack")
    assert found.correlation == pytest.approx(1)
    assert found.independent == pytest.approx(6 / 200**0.5)
    # Where only a part of a tensor depends on the seed, that part counts.
    part = torch.zeros(20, 10)
    part[:, :5] = stack[0][:, :5]
    (found,) = followers(({"a": part}, {"a": torch.zeros(20, 10)}), {"layer": -2 * stack[0]})
    assert found.correlation == pytest.approx(-1)
    assert found.independent == pytest.approx(6 / 100**0.5)
    # The same stream, drawn in another shape.
    assert list(followers(({"a": drawn(0, 32, 8)}, {"a": torch.zeros(32, 8)}), {"start": drawn(0, 64)}))


def test_too_few_numbers_say_nothing() -> None:
    assert not list(followers(({"a": drawn(0, 36)}, {"a": torch.zeros(36)}), {"start": drawn(0, 36)}))
