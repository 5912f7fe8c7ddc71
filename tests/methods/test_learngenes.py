"""Share, TELG, SWS, Heru-LG and Auto-LG against their definitions in explicit loops, and as special cases of WAVE."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch
from block_methods import FAMILY, context, create, initialized
from torch import Tensor
from whole_runs import lgbench_here

from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import count
from learngene_bench.contracts.gene import Gene
from learngene_bench.expansion.block_genes import BlockInitializer
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.methods.sws import stage_of_layers
from learngene_bench.methods.wave.layout import Layout
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.context import MeteredContext

METHODS = ["share", "telg", "sws", "heru-lg", "auto-lg"]
CONDENSED = ["share", "telg", "sws"]
SWS_STAGES = {
    4: [0, 1, 3, 4],
    5: [0, 1, 2, 3, 4],
    7: [0, 0, 1, 1, 2, 3, 4],
    12: [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4],
    16: [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4],
}


def random_gene(method: BlockInitializer[Any], family: ViTSpec, generator: torch.Generator) -> Gene:
    """Makes a gene in the method's format with random tensors."""
    request = method.gene_request(family, family)
    assert request is not None
    templates = len(method.scalers(12, request.settings)[0])
    tensors = {
        f"templates/{name}": torch.randn((templates, *shape), generator=generator)
        for name, shape in family.block_shapes().items()
    }
    outside = {**family.non_block_shapes(), **family.head_shapes()}
    tensors |= {f"stem/{name}": torch.randn(shape, generator=generator) for name, shape in outside.items()}
    return Gene(method.name, request.family, tensors, request.settings)


def layer_by_definition(method: str, templates: list[Any], layer: int, depth: int) -> Any:
    """One layer's tensor, number by number in double precision; None where the layer is free."""
    if isinstance(templates[0], list):
        rows = [layer_by_definition(method, [t[i] for t in templates], layer, depth) for i in range(len(templates[0]))]
        return None if rows[0] is None else rows
    match method:
        case "share":
            return templates[0]
        case "telg":
            return templates[0] + layer / depth * templates[1]
        case "sws":
            return templates[SWS_STAGES[depth][layer]]
        case "heru-lg":
            return templates[layer - depth + 3] if layer >= depth - 3 else None
        case "auto-lg":
            return templates[layer] if layer < 4 else None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("depth", "width"), [(4, 8), (5, 12), (7, 12), (12, 8), (16, 8)])
def test_weights_are_the_definitions(method: str, depth: int, width: int, generator: torch.Generator) -> None:
    family = replace(FAMILY, width=width, heads=width // 4)
    target = family.with_depth(depth)
    gene = random_gene(create(method), family, generator)
    weights = dict(initialized(create(method), target, gene).named_parameters())
    untouched = context(target).base_weights(target)
    for component in family.block_shapes():
        templates = gene.tensors[f"templates/{component}"].double().tolist()
        for layer in range(depth):
            name = f"blocks.{layer}.{component}"
            expected = layer_by_definition(method, templates, layer, depth)
            if expected is None:
                assert torch.equal(weights.pop(name), untouched[name])
            else:
                actual = weights.pop(name).double()
                torch.testing.assert_close(actual, torch.tensor(expected).double(), rtol=1e-6, atol=1e-6)
    assert all(torch.equal(weight, gene.tensors[f"stem/{name}"]) for name, weight in weights.items())


def cut(layout: Layout, component: str, blocks: Tensor) -> Tensor:
    """WAVE's templates of a matrix, position after position, that lie side by side as these whole blocks do."""
    rows, columns = layout.grid(component)
    size = layout.size
    return torch.stack(
        [
            block[size * i : size * (i + 1), size * j : size * (j + 1)]
            for i in range(rows)
            for j in range(columns)
            for block in blocks
        ]
    )


def kronecker_sum(scalers: Tensor, templates: Tensor) -> Tensor:
    """Eq. 4 for one layer: sum_t kron(S(t), T(t))."""
    return sum((torch.kron(s, t) for s, t in zip(scalers, templates, strict=True)), torch.zeros(()))


MATRICES = [name for name, shape in FAMILY.block_shapes().items() if len(shape) == 2]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [8, 4])
def test_special_cases_of_wave(method: str, size: int, generator: torch.Generator) -> None:
    """Proposition 1: WAVE's templates make these layers (Eq. 8), with scalers that are the method's own at a position.

    Eq. 9 to 11: one-hot for Heru-LG and Auto-LG, whose other layers are free, {1, l / L} for TELG.
    """
    depth = 7
    gene = random_gene(create(method), FAMILY, generator)
    model = initialized(create(method), FAMILY.with_depth(depth), gene)
    own = torch.tensor(create(method).scalers(depth, gene.facts))
    layout = Layout(FAMILY, size, own.shape[1])
    for component in MATRICES:
        templates = cut(layout, component, gene.tensors[f"templates/{component}"])
        rows, columns = layout.grid(component)
        for layer in range(depth):
            if not own[layer].any():
                continue
            scalers = torch.zeros(rows * columns, own.shape[1], rows, columns)
            for position in range(rows * columns):
                scalers[position, :, position // columns, position % columns] = own[layer]
            made = kronecker_sum(scalers.flatten(0, 1), templates)
            torch.testing.assert_close(model.get_parameter(f"blocks.{layer}.{component}"), made)


def test_telg_and_linear_padding_differ_by_one_layer(generator: torch.Generator) -> None:
    """TELG counts l / L, WAVE's padding (l - 1) / (L - 1) from l = 1: L layers are the first L of L + 1 padded ones."""
    depth = 5
    gene = random_gene(create("telg"), FAMILY, generator)
    model = initialized(create("telg"), FAMILY.with_depth(depth), gene)
    layout = Layout(FAMILY, 8, 2)
    for component in MATRICES:
        templates = cut(layout, component, gene.tensors[f"templates/{component}"])
        for layer, scalers in enumerate(layout.padding(component, depth + 1)[:depth]):
            padded = kronecker_sum(scalers, templates)
            torch.testing.assert_close(model.get_parameter(f"blocks.{layer}.{component}"), padded)


@pytest.mark.parametrize("method", CONDENSED)
def test_condensation_starts_from_ordinary_matrices_and_trains_only_the_gene(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks: list[ExpandedModel] = []
    monkeypatch.setattr(MeteredContext, "train", lambda self, network, recipe, teacher: networks.append(network))
    request = create(method).gene_request(FAMILY, FAMILY)
    assert request is not None
    recipes = {"condensation": Recipe(epochs=1, batch_size=1, learning_rate=1.0)}
    used = context(request.family, role="auxiliary", recipes=recipes)
    gene = create(method).prepare(request, used)
    assert gene.family.depth == {"share": 12, "telg": 12, "sws": 16}[method]
    (network,) = networks
    drawn = used.base_weights(gene.family)
    for component, shape in FAMILY.block_shapes().items():
        templates = gene.tensors[f"templates/{component}"]
        for number, template in enumerate(templates):
            # A slope of vectors is 0, norms included: what is materialised starts at 1 and 0.
            ordinary = drawn[f"blocks.{number}.{component}"]
            assert torch.equal(template, ordinary if len(shape) > 1 or method != "telg" or not number else ordinary * 0)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {name for name, _ in network.named_parameters() if not name.startswith("scalers.")}
    assert not any("blocks/" in name for name in trained)


@pytest.mark.parametrize("stages", [[3, 3, 4, 3, 3], [1, 2], [2, 1, 5], [4]])
def test_layers_are_spread_over_stages(stages: list[int]) -> None:
    whole, last = sum(stages), len(stages) - 1
    for depth in range(1, 3 * whole + 1):
        layers = stage_of_layers(depth, stages)
        assert len(layers) == depth
        assert layers == sorted(layers)
        sizes = [layers.count(stage) for stage in range(len(stages))]
        if depth > last:
            assert min(sizes) >= 1
            assert all(size <= ceil(depth / whole) * own for size, own in zip(sizes, stages, strict=True))
        if depth % whole == 0:
            assert sizes == [own * depth // whole for own in stages]
        if 1 < depth <= last:
            assert (layers[0], layers[-1], len(set(layers))) == (0, last, depth)
    for shallow, deep in pairwise(range(last + 1, 3 * whole)):
        one, other = stage_of_layers(shallow, stages), stage_of_layers(deep, stages)
        assert sum(other.count(stage) - one.count(stage) == 0 for stage in range(last + 1)) == last


def test_stages_of_the_authors() -> None:
    assert {depth: stage_of_layers(depth, [3, 3, 4, 3, 3]) for depth in SWS_STAGES} == SWS_STAGES


@pytest.mark.parametrize("method", ["telg", "auto-lg"])
@pytest.mark.parametrize("in_family", [True, False])
def test_class_token_and_tables_on_one_side_only(method: str, in_family: bool, generator: torch.Generator) -> None:
    """Parameters of the family alone are left out; parameters of the target alone stay as they arrived."""
    family = replace(FAMILY, class_token=in_family, irpe=in_family)
    target = replace(FAMILY, depth=5, class_token=not in_family, irpe=not in_family)
    gene = random_gene(create(method), family, generator)
    model = initialized(create(method), target, gene, same_task=False)
    own = context(target).base_weights(target)
    kept = {name for name, weight in model.named_parameters() if torch.equal(weight, own[name])}
    expected = {name for name in own if "rpe_" in name} | {"head.weight", "head.bias"}
    expected |= {"cls_token"} if target.class_token else set()
    expected |= {name for name in own if name.startswith("blocks.4.")} if method == "auto-lg" else set()
    assert kept == expected
    positions, learned = model.get_parameter("pos_embed"), gene.tensors["stem/pos_embed"]
    assert torch.equal(positions[:, -9:], learned[:, -9:])
    assert torch.equal(positions[:, :-9], own["pos_embed"][:, :-9])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 16, "heads": 4}, "width 8"),
        ({"heads": 4}, "heads of dimension 4"),
        ({"mlp_ratio": 2.0}, "hidden width 32"),
        ({"depth": 2}, "blocks, more than the target"),
    ],
)
def test_targets_that_blocks_do_not_fit(method: str, changes: dict[str, Any], reason: str) -> None:
    answer = create(method).supports(replace(FAMILY, **changes), FAMILY)
    if "depth" in changes and method in CONDENSED:
        assert answer is None
    else:
        assert reason in str(answer)


@pytest.mark.parametrize(
    ("method", "figures"),
    [
        ("share", ["0.833", "2.540", "8.609"]),
        ("telg", ["1.268", "4.305", "15.69"]),
        ("heru-lg", ["1.713", "6.080", "22.78"]),
        ("auto-lg", ["2.158", "7.854", "29.86"]),
        ("sws", ["2.60", "9.63", "36.95"]),
    ],
)
def test_stored_parameters(method: str, figures: list[str]) -> None:
    """Blocks + embeddings + final norm + head, and Share Init's tables; test_parameters.py has the printed figures."""
    for width, figure in zip((192, 384, 768), figures, strict=True):
        spec = ViTSpec(depth=12, width=width, heads=width // 64, patch_size=16, image_size=224, irpe=True)
        stored = count(dict(create(method).stored_shapes(spec.with_depth(6), spec))) / 1e6
        assert f"{stored:.{len(figure.split('.')[1])}f}" == figure


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path) -> None:
    """Every method makes its gene and two targets, the gene file says how, and layers that share still do."""
    methods = "share,telg,sws,heru-lg,auto-lg,auto-lg:selection=similarity"
    lgbench_here("run", "-m", methods, "--quick", "--runs", str(tmp_path), "--executor", "inline")
    records = [json.loads(path.read_text()) for path in tmp_path.glob("cell/*/result.json")]
    assert len(records) == 6 * 2
    genes = [Gene.load(path) for path in tmp_path.glob("gene/*/tensors.safetensors")]
    templates = sorted((gene.method, len(gene.tensors["templates/norm1.bias"])) for gene in genes)
    assert templates == [("auto-lg", 4), ("auto-lg", 4), ("heru-lg", 3), ("share", 1), ("sws", 5), ("telg", 2)]
    assert sum("similarity" in gene.facts for gene in genes) == 1
