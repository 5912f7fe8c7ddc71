"""LiGO against its definition, computed in another way: dense operators, float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from baseline_models import SMALL, STACKING, context, initialized, ligo_gene, of
from timm.optim import param_groups_weight_decay
from torch import Tensor

from learngene_bench.baselines.ligo.initializer import Ligo, LigoOptions
from learngene_bench.baselines.ligo.operators import first_operators, grown_model
from learngene_bench.config.recipe import Recipe
from learngene_bench.contracts.family import count
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.context import MeteredContext, SourceData


@pytest.mark.parametrize("depth", [5, 6, 9])
def test_ligo_starts_as_stacking(depth: int, generator: torch.Generator) -> None:
    """Block l is the source's block l mod 4, and all else is the source's: same width, no noise, no learning."""
    gene = ligo_gene(SMALL.with_depth(4), generator)
    weights = of(initialized(Ligo(STACKING), SMALL.with_depth(depth), gene))
    for layer in range(depth):
        for name in SMALL.block_shapes():
            assert torch.equal(weights.pop(f"blocks.{layer}.{name}"), gene.tensors[f"blocks.{layer % 4}.{name}"])
    assert weights.keys() == {**SMALL.non_block_shapes(), **SMALL.head_shapes()}.keys()
    assert all(torch.equal(found, gene.tensors[name]) for name, found in weights.items())


def test_ligo_operators_start_as_the_authors_do(generator: torch.Generator) -> None:
    target = replace(SMALL, depth=6, width=12, heads=3)
    operators = first_operators(SMALL.with_depth(4), target, 0.03, generator)
    for name, tensor in operators.items():
        torch.testing.assert_close(tensor.sum(-1), torch.ones(tensor.shape[:-1]))
        if name.startswith("depth/"):
            assert tensor.argmax(-1).tolist() == [0, 1, 2, 3, 0, 1]
            assert (tensor.amax(-1) >= 1 / 1.09).all()
    assert len({tuple(tensor.flatten().tolist()) for tensor in operators.values()}) == len(operators) == 21
    assert {name: tuple(tensor.shape) for name, tensor in operators.items() if name.startswith("width/")} == {
        "width/residual": (4, 8),
        "width/query": (6, 4, 8),
        "width/key": (6, 4, 8),
        "width/value": (6, 4, 8),
        "width/hidden": (6, 16, 32),
    }


def dense(operators: Mapping[str, Tensor], name: str, layer: int, size: int) -> Tensor:
    """[I; B] of one layer as a matrix, (channels of the target, channels of the source)."""
    rows = operators.get(f"width/{name}", torch.zeros(0, size))
    return torch.cat([torch.eye(size), rows if rows.dim() == 2 else rows[layer]]).double()


@pytest.mark.parametrize(("width", "depth"), [(8, 6), (12, 3), (16, 5), (20, 4)])
def test_ligo_grows_by_its_definition(width: int, depth: int, generator: torch.Generator) -> None:
    source = replace(SMALL, depth=2, irpe=True)
    target = replace(source, depth=depth, width=width, heads=width // 4)
    gene = ligo_gene(source, generator)
    operators = {
        name: torch.randn(tensor.shape, generator=generator)
        for name, tensor in first_operators(source, target, 0.03, generator).items()
    }
    found = grown_model(gene.tensors, source, target, operators).weights()
    old = {name: tensor.double() for name, tensor in gene.tensors.items()}

    def mix(shares: Tensor, name: str) -> Tensor:
        return float(shares[0]) * old[f"blocks.0.{name}"] + float(shares[1]) * old[f"blocks.1.{name}"]

    expected: dict[str, Tensor] = {}
    residual = dense(operators, "residual", 0, 8)
    for layer in range(depth):
        query, key, value = (dense(operators, name, layer, 8) for name in ("query", "key", "value"))
        hidden = dense(operators, "hidden", layer, 32)
        maps = {  # outputs, inputs
            "norm1": (residual, None),
            "attn.q": (query, residual),
            "attn.k": (key, residual),
            "attn.v": (value, residual),
            "attn.proj": (residual, value),
            "norm2": (residual, None),
            "mlp.fc1": (hidden, residual),
            "mlp.fc2": (residual, hidden),
        }
        grown = {}
        for module, (outputs, inputs) in maps.items():
            fused = "attn.qkv" if module in ("attn.q", "attn.k", "attn.v") else module
            first = 8 * "qkv".index(module[-1]) if fused != module else 0
            for kind in ("weight", "bias"):
                mixed = mix(operators[f"depth/{module}.{kind}"][layer], f"{fused}.{kind}")
                mixed = mixed[first : first + 8] if fused != module else mixed
                matrix = kind == "weight" and inputs is not None
                grown[f"{module}.{kind}"] = outputs @ mixed @ inputs.mT if matrix else outputs @ mixed
        for kind in ("weight", "bias"):
            parts = [grown.pop(f"attn.{part}.{kind}") for part in "qkv"]
            grown[f"attn.qkv.{kind}"] = torch.cat(parts)
        for rpe in ("attn.rpe_q", "attn.rpe_k", "attn.rpe_v"):
            grown[rpe] = mix(operators[f"depth/{rpe}"][layer], rpe)
        expected |= {f"blocks.{layer}.{name}": tensor for name, tensor in grown.items()}
    expected["pos_embed"] = old["pos_embed"] @ residual.mT
    expected["patch_embed.proj.weight"] = torch.einsum("dc,cxyz->dxyz", residual, old["patch_embed.proj.weight"])
    for name in ("patch_embed.proj.bias", "norm.weight", "norm.bias"):
        expected[name] = residual @ old[name]
    expected["head.weight"], expected["head.bias"] = old["head.weight"] @ residual.mT, old["head.bias"]
    assert found.keys() == expected.keys() == target.parameter_shapes().keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-4, atol=1e-4)


def learning_context(target: ViTSpec, seed: int = 0) -> MeteredContext:
    """Forty small images of five classes and a recipe of a few steps."""
    random = np.random.default_rng(0)
    labels = np.arange(40) % 5
    images = (random.random((40, 1, 6, 6)) * 60 + labels[:, None, None, None] * 45).astype(np.uint8)
    split = DeviceImages(Images(images, labels), Normalization((0.5,), (0.3,)), torch.device("cpu"))
    recipe = Recipe(iterations=5, batch_size=10, learning_rate=1e-2, weight_decay=0.5)
    source = SourceData(train={"inheritance": split}, plain=split, validation=split, classes=5)
    return context(target, seed, recipes={"inheritance": recipe}, source=source)


@pytest.mark.parametrize("width", [8, 12])
def test_ligo_trains_only_operators(width: int, generator: torch.Generator) -> None:
    source = SMALL.with_depth(4)
    target = replace(SMALL, depth=6, width=width, heads=width // 4)
    gene = ligo_gene(source, generator)
    operators = first_operators(source, target, 0.03, generator)
    network = grown_model(gene.tensors, source, target, operators)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    learning_context(target).train(network, "inheritance")
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in before if name.startswith("operators.")}
    groups = param_groups_weight_decay(network, 0.5, no_weight_decay_list=network.no_weight_decay())  # type: ignore[operator]
    assert not any(group["params"] for group in groups if group["weight_decay"])


def test_ligo_is_deterministic_in_the_seed_and_counts_its_work(generator: torch.Generator) -> None:
    gene = ligo_gene(SMALL.with_depth(4), generator)
    target = SMALL.with_depth(6)
    spent = learning_context(target)
    first = of(initialized(Ligo(LigoOptions()), target, gene, spent))
    again, other = (
        of(initialized(Ligo(LigoOptions()), target, gene, learning_context(target, seed))) for seed in (0, 1)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if ".attn.qkv.weight" in name)
    mixing = 2 * 6 * 4 * count(SMALL.block_shapes())
    assert (spent.cost.iterations, spent.cost.images) == (5, 50)
    assert spent.cost.flops == 3 * (50 * target.forward_flops() + 5 * mixing)
