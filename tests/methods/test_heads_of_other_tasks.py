"""The head on a task that is not the source: one draw for all methods that do not define a head of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from learngene_bench.conformance.fixtures import TinyBenchmark, request_key, shared_benchmark
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.plugins.registry import Registry
from learngene_bench.training.inputs import new_model

OWN = {"jax", "mup"}
"""Methods whose definition sets the head, to 0."""


Genes = dict[tuple[Any, ...], Gene]


def initial_head(
    benchmark: TinyBenchmark, name: str, target: ModelSpec, base: ModelSpec, genes: Genes
) -> dict[str, torch.Tensor]:
    """The head of a target on another task, after a method whose gene is really made, unless it is there already."""
    kind, method = Registry().get(name).kind, Registry().get(name).create({})
    gene = None
    if request := method.gene_request(target, base):
        key = request_key(request, 0)
        if key not in genes:
            recipes = benchmark.recipes(request.trains, request.family.width, kind.recipe_fallbacks)
            where = benchmark.context("auxiliary", request.family, recipes, 0, request.ancestors)
            genes[key] = method.prepare(request, where)
        gene = genes[key]
    recipes = benchmark.recipes(tuple(method.trains()), base.width, kind.recipe_fallbacks)
    model = new_model(target, benchmark.preset.base, 0)
    where = replace(benchmark.context("target", target, recipes, 0), same_task=False)
    method.initialize(model, target, gene, where)
    return {name: parameter.detach() for name, parameter in model.named_parameters() if name.startswith("head.")}


@pytest.mark.parametrize("name", Registry().names())
def test_the_head_of_another_task(name: str) -> None:
    """Also where the task has as many classes as the source."""
    benchmark = shared_benchmark("vit")
    base, genes = benchmark.targets()[0].base, Genes()
    for classes in (base.classes, 7):
        target = replace(base, depth=5, classes=classes)
        drawn = benchmark.context("target", target, {}, 0).base_weights(target)
        head = initial_head(benchmark, name, target, base, genes)
        assert head.keys() == {"head.weight", "head.bias"}
        for parameter, tensor in head.items():
            expected = torch.zeros_like(drawn[parameter]) if name in OWN else drawn[parameter]
            assert torch.equal(tensor, expected), (classes, parameter)
