"""FINE and SWEET against their definitions in explicit loops, in double precision; at less depth and width too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from block_methods import FAMILY, context
from torch import Tensor
from torch.func import functional_call

from learngene_bench.contracts.family import count
from learngene_bench.contracts.gene import Gene
from learngene_bench.expansion.factorized import MATRICES, FactorizedBlocks
from learngene_bench.expansion.factorized_model import FactorizedModel, Parts
from learngene_bench.methods.fine import Fine, FineOptions
from learngene_bench.methods.sweet import Sweet, SweetOptions
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights

WIDTH = FAMILY.width
GRIDS = {"attn.qkv.weight": (3, 1), "attn.proj.weight": (1, 1), "mlp.fc1.weight": (4, 1), "mlp.fc2.weight": (1, 4)}


def create(name: str, **options: Any) -> FactorizedBlocks[Any]:
    options = {"learn_scalers": False, **options}
    return Fine(FineOptions(**options)) if name == "fine" else Sweet(SweetOptions(**options))


def random_gene(method: FactorizedBlocks[Any], generator: torch.Generator) -> Gene:
    request = method.gene_request(FAMILY, FAMILY)
    shapes = {f"factors/{name}": shape for name, shape in method.factor_shapes(FAMILY, request.settings).items()}
    if isinstance(method, Fine):
        shapes |= {f"scalers/{name}": (12, round(method.options.rank * WIDTH)) for name in MATRICES}
    else:
        shapes["scalers/X"] = (12, 12, shapes["factors/G"][0])
    shapes |= {f"linear/{n}": (2, *shape) for n, shape in FAMILY.block_shapes().items() if n not in MATRICES}
    shapes |= {f"stem/{n}": shape for n, shape in {**FAMILY.non_block_shapes(), **FAMILY.head_shapes()}.items()}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return Gene(method.name, request.family, tensors, dict(request.settings))


def at_depth(learned: list[Any], layer: int, depth: int) -> list[float]:
    """Numbers of a layer, between those of the two layers of 12 that are nearest to its relative depth."""
    place = layer * 11 / (depth - 1)
    below = min(int(place), 10)
    return [a + (b - a) * (place - below) for a, b in zip(learned[below], learned[below + 1], strict=True)]


def fine_by_definition(gene: Gene, layer: int, depth: int) -> dict[str, Tensor]:
    made = {}
    for name in MATRICES:
        u, v, s = (
            gene.tensors[key].double().tolist() for key in (f"factors/{name}/U", f"factors/{name}/V", f"scalers/{name}")
        )
        values = at_depth(s, layer, depth)
        made[name] = torch.tensor(
            [[sum(a * x * b for a, x, b in zip(row, values, column, strict=True)) for column in v] for row in u]
        )
    return made


def sweet_by_definition(gene: Gene, layer: int, depth: int) -> dict[str, Tensor]:
    g, u, v = (gene.tensors[f"factors/{name}"].double().tolist() for name in "GUV")
    x = [at_depth([row[i] for row in gene.tensors["scalers/X"].double().tolist()], layer, depth) for i in range(12)]
    side = range(WIDTH)
    blocks = []
    for i in range(12):
        mixed = [[sum(x[i][a] * g[a][p][q] for a in range(len(g))) for q in side] for p in side]
        half = [[sum(u[o][p] * mixed[p][q] for p in side) for q in side] for o in side]
        blocks.append([[sum(half[o][q] * v[j][q] for q in side) for j in side] for o in side])
    made, first = {}, 0
    for name, (rows, columns) in GRIDS.items():
        grid = [[torch.tensor(blocks[first + r * columns + c]) for c in range(columns)] for r in range(rows)]
        made[name] = torch.cat([torch.cat(row, dim=1) for row in grid])
        first += rows * columns
    return made


def first_of_blocks(size: int, width: int) -> list[int]:
    return [index for index in range(size) if index % WIDTH < width]


@pytest.mark.parametrize("width", [WIDTH, WIDTH // 2])
@pytest.mark.parametrize(
    ("name", "options"), [("fine", {}), ("fine", {"rank": 0.5}), ("sweet", {}), ("sweet", {"templates": 5})]
)
def test_weights_are_the_definitions(
    name: str, options: dict[str, Any], width: int, generator: torch.Generator
) -> None:
    method = create(name, **options)
    gene = random_gene(method, generator)
    target = FAMILY.with_depth(3).with_width(width)
    assert method.supports(target, FAMILY) is None
    model = build_model(target)
    write_weights(model, context(target).base_weights(target))
    method.initialize(model, target, gene, context(target))
    found = {key: parameter.detach() for key, parameter in model.named_parameters()}
    expected = {
        key: gene.tensors[f"stem/{key}"].double() for key in (*target.non_block_shapes(), *target.head_shapes())
    }
    for layer in (0, 1):
        made = (fine_by_definition if name == "fine" else sweet_by_definition)(gene, layer, 3)
        for component in FAMILY.block_shapes():
            if component not in MATRICES:
                base, slope = gene.tensors[f"linear/{component}"].double()
                made[component] = base + layer / 3 * slope
        expected |= {f"blocks.{layer}.{component}": weight for component, weight in made.items()}
    for key, whole in expected.items():
        wanted = whole
        for axis, (size, fewer) in enumerate(zip(whole.shape, found[key].shape, strict=True)):
            if size != fewer:
                wanted = wanted.index_select(axis, torch.tensor(first_of_blocks(size, width)))
        torch.testing.assert_close(found[key].double(), wanted.double(), rtol=1e-4, atol=1e-4, msg=key)


def network(method: FactorizedBlocks[Any], widths: tuple[int, ...] = (WIDTH,)) -> FactorizedModel:
    """An auxiliary model as condensation starts from it."""
    where, family = context(FAMILY, role="auxiliary"), replace(FAMILY, irpe=False, depth=4)
    weights = where.base_weights(family)
    layers = {n: torch.stack([weights[f"blocks.{layer}.{n}"] for layer in range(4)]) for n in family.block_shapes()}
    settings = method.gene_request(family, family).settings
    factors, scalers = method.start({n: layers[n] for n in MATRICES}, family, settings, where)
    linear = {n: each[:2] for n, each in layers.items() if n not in MATRICES}
    outside = {n: weights[n] for n in (*family.non_block_shapes(), *family.head_shapes())}
    return FactorizedModel(family, family, method.contract, Parts(factors, scalers, linear, outside), widths=widths)


def test_fine_starts_with_the_scale_of_base_initialization() -> None:
    drawn = context(FAMILY, role="auxiliary").base_weights(replace(FAMILY, irpe=False, depth=4))
    for name, weight in network(create("fine")).weights().items():
        if name.endswith(MATRICES):
            component = name.split(".", 2)[2]
            sizes = torch.stack([drawn[f"blocks.{layer}.{component}"] for layer in range(4)]).square().mean().sqrt()
            assert float(weight.detach().square().mean().sqrt()) == pytest.approx(float(sizes), rel=1e-4), name


def test_sweet_starts_from_a_base_and_a_slope_for_each_slice() -> None:
    drawn = context(FAMILY, role="auxiliary").base_weights(replace(FAMILY, irpe=False, depth=4))
    made = network(create("sweet")).weights()
    for component, layer in ((c, layer) for c in MATRICES for layer in range(4)):
        wanted = drawn[f"blocks.0.{component}"] + layer / 3 * drawn[f"blocks.1.{component}"]
        torch.testing.assert_close(made[f"blocks.{layer}.{component}"], wanted)


@pytest.mark.parametrize("name", ["fine", "sweet"])
def test_a_batch_at_less_width_passes_through_the_first_channels(name: str, generator: torch.Generator) -> None:
    half = WIDTH // 2
    model = network(create(name), widths=(half, half))
    images = torch.randn(2, 1, 6, 6, generator=generator)
    narrow = model.spec.with_width(half)
    weights = {}
    for key, weight in model.weights().items():
        for axis, size in enumerate(weight.shape):
            if size != narrow.parameter_shapes()[key][axis]:
                weight = weight.index_select(axis, torch.tensor(first_of_blocks(size, half)))
        weights[key] = weight
    wanted = functional_call(build_model(narrow), weights, (images,))
    found = model.train()(images)
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    head = model.outside.get_parameter("head/weight").grad
    assert head is not None
    assert head[:, :half].any()
    assert not head[:, half:].any()
    assert model.eval()(images).shape == found.shape


@pytest.mark.parametrize(
    ("name", "options", "squares"),
    [("fine", {}, 16), ("fine", {"rank": 0.5}, 8), ("sweet", {}, 26), ("sweet", {"templates": 10}, 12)],
)
def test_stored_parameters(name: str, options: dict[str, Any], squares: int) -> None:
    """The factors; base and slope of 13 D numbers of a block; and what lies outside."""
    base = replace(FAMILY, irpe=False)
    outside = count({**base.non_block_shapes(), **base.head_shapes()})
    stored = count(dict(create(name, **options).stored_shapes(base.with_depth(5), base)))
    assert stored == squares * WIDTH**2 + 2 * 13 * WIDTH + outside
    assert count(dict(create(name, **options).stored_shapes(FAMILY, FAMILY))) == stored


@pytest.mark.parametrize("name", ["fine", "sweet"])
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (FAMILY.with_width(2 * WIDTH), "its factors have 8 channels, fewer than the target"),
        (replace(FAMILY, heads=1), "its heads have dimension 4"),
        (replace(FAMILY, mlp_ratio=2.0), "its blocks hold an MLP of hidden width 32"),
    ],
)
def test_targets_that_factors_do_not_fit(name: str, target: ViTSpec, reason: str) -> None:
    found = create(name).supports(target, FAMILY)
    assert found == reason
    odd = replace(FAMILY, mlp_ratio=2.5)
    assert create(name).supports(odd, odd) == "its MLP has 20 hidden units, no multiple of the width 8"
