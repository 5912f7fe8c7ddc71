"""Methods on models of several stages: each does in every stage what its definition says."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import timm
import torch
from block_methods import CONVNEXT, SPECS, SWIN, context, create
from torch import Tensor, nn

import learngene_bench
from learngene_bench.contracts.gene import Gene
from learngene_bench.expansion.block_genes import block_expansion
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.models.hierarchical import HierarchicalSpec
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.plugins.registry import Registry


def random_gene(method: str, family: HierarchicalSpec) -> Gene:
    """Makes a gene in the method's format with random tensors."""
    generator = torch.Generator().manual_seed(0)
    made = create(method)
    request = made.gene_request(family, family)
    assert request is not None
    templates = len(made.scalers(12, request.settings)[0])
    shapes = {
        f"templates/{stage.path}/{name}": (templates, *shape)
        for stage in family.stages()
        for name, shape in stage.shapes.items()
    }
    shapes |= {f"stem/{name}": shape for name, shape in {**family.non_block_shapes(), **family.head_shapes()}.items()}
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return Gene(method, request.family, tensors, request.settings)


def expected_layer(method: str, templates: Tensor, layer: int, depth: int) -> Tensor | None:
    match method:
        case "share":
            return templates[0]
        case "telg":
            return templates[0] + templates[1] * (layer / depth)
        case "sws":  # of stages of one or two layers, as the targets here have
            return templates[{3: [0, 2, 4], 4: [0, 1, 3, 4], 5: [0, 1, 2, 3, 4], 6: [0, 0, 1, 2, 3, 4]}[depth][layer]]
    return templates[layer - depth + 3] if layer >= depth - 3 else None  # heru-lg


@pytest.mark.parametrize("method", ["share", "telg", "sws", "heru-lg"])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_blocks_of_every_stage_are_the_definitions(method: str, spec: HierarchicalSpec) -> None:
    gene = random_gene(method, spec)
    target = replace(spec, depth=9, stage_ratio=(1, 2))  # 3 and 6 blocks, also where the gene's stages are as deep
    model, where = build_model(target), context(target)
    before = where.base_weights(target)
    write_weights(model, before)
    create(method).initialize(model, target, gene, where)
    left = dict(model.named_parameters())
    for stage in target.stages():
        for layer in range(stage.depth):
            for component in stage.shapes:
                name = f"{stage.path}.{layer}.{component}"
                templates = gene.tensors[f"templates/{stage.path}/{component}"]
                expected = expected_layer(method, templates, layer, stage.depth)
                torch.testing.assert_close(left.pop(name).detach(), before[name] if expected is None else expected)
    assert left
    assert all(torch.equal(parameter, gene.tensors[f"stem/{name}"]) for name, parameter in left.items())


def test_a_block_counts_by_its_own_stage() -> None:
    """The learngene of Heru-LG is the last blocks of each stage of the ancestor."""
    method = create("heru-lg", blocks=2)
    ancestor = build_model(CONVNEXT)
    write_weights(ancestor, context(CONVNEXT).base_weights(CONVNEXT))
    request = method.gene_request(CONVNEXT, CONVNEXT)
    assert request is not None
    gene = method.prepare(request, context(CONVNEXT, role="auxiliary", ancestors={"ancestor": ancestor}))
    parameters = dict(ancestor.named_parameters())
    for path, layers in (("stages.0.blocks", (2, 3)), ("stages.1.blocks", (6, 7))):
        expected = torch.stack([parameters[f"{path}.{layer}.conv_dw.weight"] for layer in layers])
        assert torch.equal(gene.tensors[f"templates/{path}/conv_dw.weight"], expected)
    assert gene.facts["layers"] == [[2, 3], [6, 7]]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_slopes_of_telg_start_at_zero_where_all_layers_start_alike(spec: HierarchicalSpec) -> None:
    drawn = context(spec).base_weights(spec)
    method = create("telg")
    for stage in spec.stages():
        for component in stage.shapes:
            layers = torch.stack([drawn[stage.parameter(layer, component)] for layer in (0, 1)])
            base, slope = method.initial_templates(component, layers)  # type: ignore[attr-defined]
            assert torch.equal(base, layers[0])
            assert slope.any() == (layers[0] != layers[1]).any()


@pytest.mark.parametrize(
    ("method", "depth", "ratio", "reason"),
    [
        ("heru-lg", 4, (1, 1), "its learngene has 3 blocks in each stage, more than the target"),
        ("sws", 12, (1, 3), "it needs 5 blocks in each stage of its auxiliary model, one stage has 4"),
        ("weight-selection", 14, (1, 1), "deeper than its teacher of 12 layers"),
        ("share", 12, (1, 1, 1), "its blocks are those of 2 stages"),
    ],
)
def test_reasons_count_blocks_of_a_stage(method: str, depth: int, ratio: tuple[int, ...], reason: str) -> None:
    made = Registry().get(method).create({})
    target = replace(SWIN, depth=depth, stage_ratio=ratio, image_size=24)
    base = replace(target.with_depth(12), stage_ratio=ratio[:2])
    assert made.supports(target, base) == reason


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_model_made_of_templates_computes_what_the_plain_one_does(spec: HierarchicalSpec) -> None:
    gene, method = random_gene("telg", spec), create("telg")
    scalers = [method.scalers(stage.depth, gene.facts) for stage in spec.stages()]
    expanded = ExpandedModel(block_expansion(spec, scalers, gene.part("templates")), gene.part("stem")).eval()
    plain = build_model(spec).eval()
    write_weights(plain, {name: weight.detach() for name, weight in expanded.weights().items()})
    images = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(expanded(images), plain(images))
    spared = getattr(plain, "no_weight_decay", set)()  # by timm, of the tables and networks of Swin's positions
    for component, (stage, name) in spec.components().items():
        if stage.parameter(0, name) in spared:
            assert f"templates.{component.replace('.', '/')}" in expanded.no_weight_decay()


def random_timm_model(name: str, seed: int) -> nn.Module:
    with torch.device("meta"):
        model = timm.create_model(name)
    generator = torch.Generator().manual_seed(seed)
    model = model.to_empty(device="cpu")
    for parameter in model.parameters():
        parameter.data.uniform_(generator=generator)
    return model


def released_indices(teacher: int, target: int) -> list[int]:
    """The released rule in exact arithmetic; `round` of a fraction goes to the even neighbour."""
    if teacher % target == 0:
        return [i * (teacher // target) for i in range(target)]
    return [round(Fraction(i * (teacher - 1), target - 1)) for i in range(target)]


@pytest.mark.parametrize(
    ("teacher", "target", "head"),
    [
        ("convnext_tiny", "convnext_femto", "head.fc."),
        ("vit_small_patch16_224", "vit_tiny_patch16_224", "head."),
    ],
)
def test_weight_selection_of_the_papers_models(teacher: str, target: str, head: str) -> None:
    """ConvNeXt-F of -T, ViT-T of -S: the first layers of every stage, on every axis evenly chosen channels, no head."""
    large, small = random_timm_model(teacher, 0), random_timm_model(target, 1)
    source = {name: parameter.detach().numpy() for name, parameter in large.named_parameters()}
    before = {name: parameter.detach().clone() for name, parameter in small.named_parameters()}
    learngene_bench.initialize(small, "weight-selection", teacher=large)
    for name, parameter in small.named_parameters():
        if name.startswith(head):
            assert torch.equal(parameter, before[name])
            continue
        taken = source[name]  # timm's small models hold a matrix as a convolution of one position
        axes = [released_indices(t, s) for t, s in zip(taken.shape, parameter.shape, strict=False)]
        expected = taken[np.ix_(*axes)].reshape(parameter.shape)
        assert np.array_equal(parameter.detach().numpy(), expected), name
