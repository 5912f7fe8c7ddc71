"""WAVE on models of several stages: templates of each stage, what they start as, wider targets, counts, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from block_methods import CONVNEXT, SPECS, SWIN, context
from torch import Tensor, nn

import learngene_bench
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import ModelSpec, count
from learngene_bench.contracts.gene import Gene
from learngene_bench.expansion.materialised import ExpandedModel
from learngene_bench.methods.wave.initializer import Wave, WaveOptions
from learngene_bench.methods.wave.layout import Layout, components
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.hierarchical import HierarchicalSpec
from learngene_bench.models.swin import SwinSpec
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.training.context import MeteredContext
from learngene_bench.util.errors import UserError

SPECS = {**SPECS, "convnext 2": replace(CONVNEXT, version=2)}
Numbers = np.ndarray[Any, Any]

ROWS_OF_BLOCKS = {
    "attn.relative_position_bias_table": (1, 6),
    "attn.cpb_mlp.0.weight": (None, 6),
    "attn.cpb_mlp.0.bias": (None, 6),
    "attn.cpb_mlp.2.weight": (0, 6),
    "attn.logit_scale": (0, 4),
    "conv_dw.weight": (0, 2),
}
"""Parameters that are neither a matrix nor a vector: the axis that is cut, and the templates of a position."""


def random_gene(spec: ModelSpec, size: int | None = None) -> Gene:
    """Makes a gene in WAVE's format with random tensors."""
    generator = torch.Generator().manual_seed(0)
    request = Wave(WaveOptions(template_size=size)).gene_request(spec, spec)
    layout, places = Layout(spec, request.settings["template_size"], 2), spec.components()
    shapes = {f"stem/{name}": shape for name, shape in {**spec.non_block_shapes(), **spec.head_shapes()}.items()}
    for key in components(spec, request.settings["parts"]):
        shapes[f"templates/{key}"] = layout.template_shape(key)
        shapes[f"scalers/{key}"] = tuple(layout.padding(key, places[key][0].depth).shape)
    tensors = {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return Gene("wave", spec, tensors, dict(request.settings))


def initialized(target: ModelSpec, gene: Gene, **options: Any) -> nn.Module:
    """Builds the target as WAVE leaves it without scaler learning, and without noise unless the options say so."""
    where, model = context(target), build_model(target)
    write_weights(model, where.base_weights(target))
    plain: dict[str, Any] = {"learn_scalers": False, "noise": 0.0}
    Wave(WaveOptions(**{**plain, **options})).initialize(model, target, gene, where)
    return model.eval()


def laid_out(templates: Numbers, power: int, name: str, shape: tuple[int, ...], side: int, tiles: int) -> Numbers:
    """Lays the templates of one power side by side, block after block."""
    whole = np.zeros(shape)
    if name in ("attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight"):
        columns = shape[1] // side
        for i in range(shape[0] // side):
            for j in range(columns):
                template = templates[2 * (i * columns + j) + power]
                whole[i * side : (i + 1) * side, j * side : (j + 1) * side] = template
        return whole
    axis, powers = ROWS_OF_BLOCKS.get(name, (0, 4))
    if axis is None:
        return templates[power].reshape(shape)
    parts = 3 if name == "attn.qkv.bias" else 1
    length = shape[axis] // parts // tiles
    for tile in range(tiles):
        template = templates[powers * tile + power]
        for part in range(parts):
            start = part * shape[0] // parts + tile * length
            chosen = (slice(None),) * axis + (slice(start, start + length),)
            whole[chosen] = template[part] if len(shape) == 1 else template
    return whole


@pytest.mark.parametrize("size", [8, 4])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_padded_blocks_of_a_stage_are_linear_in_its_own_depth(spec: HierarchicalSpec, size: int) -> None:
    """Templates are as many times wider as the stage is than the first; relative depth counts within the stage."""
    gene = random_gene(spec, size)
    target = replace(spec, depth=9, stage_ratio=(1, 2))  # 3 and 6 blocks
    left = dict(initialized(target, gene).named_parameters())
    for number, stage in enumerate(target.stages()):
        for name, shape in stage.shapes.items():
            templates = gene.tensors[f"templates/{stage.path}/{name}"].double().numpy()
            base, slope = (laid_out(templates, k, name, shape, size * 2**number, 8 // size) for k in (0, 1))
            for layer in range(stage.depth):
                weight = left.pop(f"{stage.path}.{layer}.{name}").detach().double().numpy()
                np.testing.assert_allclose(weight, base + layer / (stage.depth - 1) * slope, rtol=1e-5, atol=1e-6)
    assert left
    assert all(torch.equal(parameter, gene.tensors[f"stem/{name}"]) for name, parameter in left.items())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_learned_scalers_give_back_the_auxiliary_model(spec: HierarchicalSpec) -> None:
    gene = random_gene(spec, 4)
    model = initialized(spec, gene, inheritance="interpolate")
    for stage in spec.stages():
        for name, shape in stage.shapes.items():
            scalers, templates = (gene.tensors[f"{part}/{stage.path}/{name}"] for part in ("scalers", "templates"))
            for layer in range(stage.depth):
                made = torch.zeros(())
                for scaler, template in zip(scalers[layer], templates, strict=True):
                    made = made + torch.kron(scaler, template)
                weight = model.get_parameter(f"{stage.path}.{layer}.{name}")
                torch.testing.assert_close(weight, made.view(shape), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_condensation_starts_from_an_ordinary_model(spec: HierarchicalSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block of each stage is an ordinary one; of what starts alike in all layers, so are the others."""
    networks: list[ExpandedModel] = []
    monkeypatch.setattr(MeteredContext, "train", lambda self, network, recipe, teacher: networks.append(network))
    recipes = {"condensation": Recipe(epochs=1, batch_size=1, learning_rate=1.0)}
    where = context(spec, role="auxiliary", recipes=recipes)
    request = Wave(WaveOptions()).gene_request(spec, spec)
    gene = Wave(WaveOptions()).prepare(request, where)
    (network,) = networks
    ordinary, made = where.base_weights(spec), network.weights()
    assert made.keys() == ordinary.keys()
    alike = 0
    for stage in spec.stages():
        for name in stage.shapes:
            first, second = (ordinary[stage.parameter(layer, name)] for layer in (0, 1))
            starts_alike = torch.equal(first, second)
            alike += starts_alike
            for layer in range(stage.depth if starts_alike else 1):
                assert torch.equal(made[stage.parameter(layer, name)], ordinary[stage.parameter(layer, name)]), name
    assert alike
    assert all(torch.equal(made[name], ordinary[name]) for name in spec.non_block_shapes())
    assert {name for name in gene.tensors if name.startswith("stem/")} == {
        f"stem/{name}" for name in {**spec.non_block_shapes(), **spec.head_shapes()}
    }


@pytest.mark.parametrize("size", [8, 4])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_an_evenly_widened_model_computes_the_same(spec: HierarchicalSpec, size: int) -> None:
    """Heads, merged neighbours, kernels and responses are repeated as the channels are; noise cancels over copies."""
    gene = random_gene(spec, size)
    narrow = replace(spec, depth=4, stage_ratio=(1, 1))
    images = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    expected = initialized(narrow, gene, inheritance="interpolate")(images)
    assert expected.std() > 0.1
    for noise in (0.0, 0.5):
        wide = initialized(narrow.with_width(16), gene, inheritance="interpolate", width_noise=noise)
        torch.testing.assert_close(wide(images), expected, rtol=1e-3, atol=1e-3)


def test_stored_parameters_of_the_published_sizes() -> None:
    """In each stage of D channels, as in a plain ViT: 24 D x D matrices, 52 vectors; a ConvNeXt's 16, and 36."""
    swin = SwinSpec(depth=12, width=96, patch_size=4, image_size=224)
    convnext = ConvNeXtSpec(depth=18, width=96, patch_size=4, image_size=224, stage_ratio=(3, 3, 9, 3))
    for spec, matrices, vectors in ((swin, 24, 52), (convnext, 16, 36)):
        tables = 0
        for number, width in enumerate((96, 192, 384, 768)):
            tables += matrices * width**2 + vectors * width
            tables += 6 * 13**2 * 3 * 2**number if spec is swin else 2 * 7**2 * width
        outside = count(spec.non_block_shapes()) + count(spec.head_shapes())
        assert count(dict(Wave(WaveOptions()).stored_shapes(spec.with_depth(40), spec))) == tables + outside


REFUSED: list[tuple[ModelSpec, ModelSpec, Mapping[str, Any], str]] = [
    (SWIN, SWIN.with_width(16), {}, "its templates of width 16 are wider than the target"),
    (replace(SWIN, head_dimension=8), SWIN, {}, "its blocks hold heads of dimension 4"),
    (SWIN.with_width(12), SWIN, {"template_size": 8}, "templates of side 8 do not tile a side of 12 evenly"),
    (SWIN, SWIN, {"template_size": 2}, "templates of side 2 do not cut layers.0.blocks/"),
    (replace(SWIN, stage_ratio=(1, 1, 1)), SWIN, {}, "its blocks are those of 2 stages"),
    (replace(SWIN, version=2), SWIN, {}, "its blocks are those of Swin version 1"),
    (replace(CONVNEXT, kernel_size=5), CONVNEXT, {}, "its blocks hold kernels of 3 x 3"),
    (CONVNEXT, CONVNEXT, {"template_size": 3}, "templates of side 3 do not tile a side of 8 evenly"),
    (CONVNEXT, replace(CONVNEXT, stage_ratio=(1, 5)), {"per_position": 3}, "it needs 3 blocks in each stage of its"),
    (SWIN.with_width(20), SWIN, {}, ""),
    (CONVNEXT.with_width(20), CONVNEXT, {"template_size": 2}, ""),
]


@pytest.mark.parametrize(("target", "base", "options", "reason"), REFUSED)
def test_targets_that_templates_cannot_make(
    target: ModelSpec, base: ModelSpec, options: Mapping[str, Any], reason: str
) -> None:
    answer = Wave(WaveOptions(**options)).supports(target, base)
    assert str(answer).startswith(reason) if reason else answer is None


def test_a_gene_of_another_family_is_refused_in_a_line() -> None:
    with pytest.raises(UserError, match="wave: it inherits from swin, and this model is of family convnext"):
        learngene_bench.initialize(build_model(CONVNEXT), "wave", gene=random_gene(SWIN), learn_scalers=False)


def test_tables_of_a_target_with_other_windows_are_resampled() -> None:
    gene = random_gene(SWIN)
    small, large = (dict(initialized(replace(SWIN, window=w), gene).named_parameters()) for w in (3, 6))
    name = "layers.0.blocks.0.attn.relative_position_bias_table"
    assert (small[name].shape, large[name].shape) == ((25, 2), (121, 2))
    corner: Tensor = large[name][60] - small[name][12]  # no distance
    torch.testing.assert_close(corner, torch.zeros(2), atol=1e-5, rtol=0)
    assert torch.equal(small["layers.0.blocks.0.attn.qkv.weight"], large["layers.0.blocks.0.attn.qkv.weight"])
