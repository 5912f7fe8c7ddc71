"""Subcloning against its definition: scores by a forward pass written out, selection element by element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from baseline_models import SMALL, context, initialized, of, random_weights
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from learngene_bench.baselines.subclone.initializer import Subclone, SubcloneOptions
from learngene_bench.baselines.subclone.scores import unit_scores
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Pretrained
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.training.context import MeteredContext, SourceData

TEACHER = replace(SMALL, depth=5, width=16, heads=4)
TARGET = replace(SMALL, depth=3, width=8, heads=2)


def method(**options: object) -> Subclone:
    return Subclone(SubcloneOptions(**{"teacher_depth": 5, **options}))  # type: ignore[arg-type]


def trained(generator: torch.Generator) -> VisionTransformer:
    model = build_model(TEACHER)
    write_weights(model, {name: 0.3 * each for name, each in random_weights(TEACHER, generator).items()})
    return model.eval()  # type: ignore[return-value]


def activations(model: VisionTransformer, images: Tensor) -> Iterator[dict[str, Tensor]]:
    """Computes the outputs of each block, (images, tokens, units), by formulas in float64."""
    weights = {name: each.double() for name, each in of(model).items()}

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].mT + weights[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        scaled = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-6).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    patches = images.double().unfold(2, 2, 2).unfold(3, 2, 2).reshape(len(images), 9, 4)
    x = patches @ weights["patch_embed.proj.weight"].view(16, 4).mT + weights["patch_embed.proj.bias"]
    x = x + weights["pos_embed"]
    for layer in range(TEACHER.depth):
        block = f"blocks.{layer}"
        first = norm(x, f"{block}.norm1")
        query, key, value = linear(first, f"{block}.attn.qkv").unflatten(-1, (3, 4, 4)).unbind(2)
        scores = torch.einsum("bihd,bjhd->bhij", query, key) / 2
        heads = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), value)
        attention = linear(heads.flatten(2), f"{block}.attn.proj")
        second = norm(x + attention, f"{block}.norm2")
        hidden = linear(second, f"{block}.mlp.fc1")
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        mlp = linear(hidden, f"{block}.mlp.fc2")
        yield {"heads": heads, "hidden": hidden, "stream": torch.stack([first, attention, second, mlp])}
        x = x + attention + mlp


def test_scores_are_mean_activations(generator: torch.Generator) -> None:
    """Activities are those of more images than are passed at once."""
    model, images = trained(generator), torch.randn(70, 1, 6, 6, generator=generator)
    found = unit_scores(model, images, heads=4)
    computed = list(activations(model, images))
    residual = sum(block["stream"].abs().mean((1, 2)).sum(0) for block in computed)
    torch.testing.assert_close(found["residual"], residual, rtol=1e-4, atol=1e-5)
    heads = torch.stack([block["heads"].square().sum(-1).sqrt().mean((0, 1)) for block in computed])
    torch.testing.assert_close(found["heads"], heads, rtol=1e-4, atol=1e-5)
    hidden = torch.stack([block["hidden"].abs().mean((0, 1)) for block in computed])
    torch.testing.assert_close(found["hidden"], hidden, rtol=1e-4, atol=1e-5)


def data_context(model: VisionTransformer) -> MeteredContext:
    random = np.random.default_rng(0)
    images = Images((random.random((40, 1, 6, 6)) * 255).astype(np.uint8), np.arange(40) % 5)
    split = DeviceImages(images, Normalization((0.5,), (0.3,)), torch.device("cpu"))
    source = SourceData(train={}, plain=split, validation=split, classes=5)
    return context(TEACHER, ancestors={"teacher": model}, ancestor_flops={"teacher": 7.0}, source=source)


def made(generator: torch.Generator, **options: object) -> tuple[Gene, MeteredContext]:
    asked: GeneRequest = method(**options).gene_request(TARGET, SMALL)
    assert asked.ancestors == {"teacher": Pretrained(TEACHER)}
    where = data_context(trained(generator))
    return method(**options).prepare(asked, where), where


@pytest.mark.parametrize("selection", ["importance", "uniform"])
@pytest.mark.parametrize("depth", [1, 3, 4, 5])
def test_the_kept_units_are_those_of_the_definition(selection: str, depth: int, generator: torch.Generator) -> None:
    gene, _ = made(generator, selection=selection, images=30)
    target = TARGET.with_depth(depth)
    weights = of(initialized(method(selection=selection), target, gene))
    old, scores = gene.part("teacher"), gene.part("scores")

    def best(values: Tensor | None, size: int, count: int) -> list[int]:
        if values is None:
            return [place * size // count for place in range(count)]
        ranked = sorted(range(size), key=lambda unit: -float(values[unit]))
        return sorted(ranked[:count])

    residual = best(scores.get("residual"), 16, 8)
    blocks = {1: [0], 3: [0, 1, 4], 4: [0, 1, 3, 4], 5: [0, 1, 2, 3, 4]}[depth]
    for layer, source in enumerate(blocks):
        per_layer = {kind: scores[kind][source] if kind in scores else None for kind in ("heads", "hidden")}
        heads, hidden = best(per_layer["heads"], 4, 2), best(per_layer["hidden"], 64, 32)
        channels = [4 * head + channel for head in heads for channel in range(4)]
        qkv = [16 * part + channel for part in range(3) for channel in channels]
        for name, rows, columns in [
            ("attn.qkv", qkv, residual),
            ("attn.proj", residual, channels),
            ("mlp.fc1", hidden, residual),
            ("mlp.fc2", residual, hidden),
        ]:
            theirs = old[f"blocks.{source}.{name}.weight"]
            expected = torch.stack([torch.stack([theirs[i, j] for j in columns]) for i in rows]) * 2**0.5
            torch.testing.assert_close(weights[f"blocks.{layer}.{name}.weight"], expected)
            bias = old[f"blocks.{source}.{name}.bias"]
            assert torch.equal(weights[f"blocks.{layer}.{name}.bias"], bias[rows])
        norm = f"blocks.{source}.norm2.bias"
        assert torch.equal(weights[f"blocks.{layer}.norm2.bias"], old[norm][residual])
    assert torch.equal(weights["pos_embed"], old["pos_embed"][..., residual])
    torch.testing.assert_close(weights["head.weight"], old["head.weight"][:, residual] * 2**0.5)


def test_the_pass_over_images_is_counted(generator: torch.Generator) -> None:
    _, where = made(generator, images=30)
    assert (where.cost.images, where.cost.flops) == (30, 30 * 7.0)
    gene, where = made(generator, selection="uniform")
    assert (where.cost.images, where.cost.flops) == (0, 0)
    assert not gene.part("scores")


@pytest.mark.parametrize(
    ("options", "target", "reason"),
    [
        ({}, TARGET, None),
        ({"teacher_width": 24}, replace(SMALL, depth=5, width=16, heads=4), None),
        ({}, SMALL.with_depth(6), "deeper than its teacher of 5 layers"),
        ({}, replace(TARGET, width=16, heads=4, depth=3), None),  # wider than its base: a teacher of 8/3 of that
        ({}, replace(TARGET, width=20, heads=5), None),  # as wide as its teacher, with fewer layers
        ({}, replace(TARGET, width=20, heads=5, depth=5), "its teacher has 5 layers of width 20 already"),
        ({}, replace(TARGET, width=24, heads=6), "wider than its teacher of width 20"),
        ({}, replace(TARGET, heads=4), "its teacher has heads of dimension 4"),
        ({}, replace(TARGET, mlp_ratio=9), "its teacher has an MLP of hidden width 64"),
    ],
)
def test_supported_targets(options: dict[str, object], target: ViTSpec, reason: str | None) -> None:
    assert method(**options).supports(target, SMALL) == reason
