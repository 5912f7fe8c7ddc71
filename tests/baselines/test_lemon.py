"""LEMON against its definition: what models compute, and loops over copies."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from baseline_models import SMALL, context, initialized, of
from torch import Tensor, nn

from learngene_bench.baselines.lemon import Lemon, LemonOptions
from learngene_bench.contracts.gene import Gene
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights

SOURCE = replace(SMALL, depth=4, width=12, heads=3)


def method(**options: object) -> Lemon:
    return Lemon(LemonOptions(**options))  # type: ignore[arg-type]


def trained(spec: ViTSpec) -> tuple[nn.Module, Gene]:
    """A model whose every parameter is random, and the gene that the method makes of it."""
    model = build_model(spec)
    generator = torch.Generator().manual_seed(0)
    write_weights(model, {n: torch.randn(s, generator=generator) * 0.2 for n, s in spec.parameter_shapes().items()})
    return model.eval(), Gene("lemon", spec, of(model))


@pytest.mark.parametrize(("width", "depth"), [(72, 4), (96, 4), (48, 6), (48, 8), (60, 5), (60, 8), (144, 7)])
@pytest.mark.parametrize("added_blocks", ["cancel", "zero"])
def test_growth_is_lossless(width: int, depth: int, added_blocks: str) -> None:
    """To 1e-5 of what the logits are, also at widths that are no multiple."""
    parts = {"class_token": True, "irpe": True} if depth == 8 else {}
    source = replace(SOURCE, width=48, heads=4, **parts)  # type: ignore[arg-type]
    model, gene = trained(source)
    images = torch.randn(4, 1, 6, 6)
    target = source.with_width(width).with_depth(depth)
    with torch.no_grad():
        expected, found = model(images), initialized(method(added_blocks=added_blocks), target, gene)(images)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


def sums(matrix: Tensor, copied: list[int], inputs: int) -> Tensor:
    """Sums the columns that copy the same input."""
    columns = [[j for j, unit in enumerate(copied) if unit == i] for i in range(inputs)]
    return torch.stack([matrix[:, j].sum(1) for j in columns], dim=1)


def test_every_matrix_is_its_definition() -> None:
    """Growth of 12 channels to 32, twice all and eight of the mean, and of three heads to eight."""
    _, gene = trained(SOURCE)
    target = SOURCE.with_width(32).with_depth(6)
    weights, drawn = of(initialized(method(source_depth=4), target, gene)), context(target).base_weights(target)
    stream = [*range(12), *range(12)]
    heads = [4 * head + channel for head in (0, 1, 2, 0, 1, 2, 0, 1) for channel in range(4)]
    hidden = [unit % 48 for unit in range(128)]

    def with_mean(rows: Tensor) -> Tensor:
        return torch.cat([rows, rows, rows.mean(0, keepdim=True).expand(8, *rows.shape[1:])])

    for layer, (source, is_added) in enumerate([(0, 0), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]):
        new = {name: weights[f"blocks.{layer}.{name}"] for name in target.block_shapes()}
        start = {name: drawn[f"blocks.{layer}.{name}"] for name in target.block_shapes()}
        old = {name: gene.tensors[f"blocks.{source}.{name}"] for name in SOURCE.block_shapes()}
        if is_added:
            for name in ("attn.proj.weight", "attn.proj.bias", "mlp.fc2.weight", "mlp.fc2.bias"):
                old[name] = torch.zeros_like(old[name])
        for part in range(3):
            rows, theirs = slice(32 * part, 32 * part + 32), slice(12 * part, 12 * part + 12)
            matrix = new["attn.qkv.weight"][rows]
            torch.testing.assert_close(sums(matrix, stream, 12), old["attn.qkv.weight"][theirs][heads])
            assert torch.equal(matrix[:, 24:], start["attn.qkv.weight"][rows, 24:])
            assert torch.equal(new["attn.qkv.bias"][rows], old["attn.qkv.bias"][theirs][heads])
        torch.testing.assert_close(sums(new["mlp.fc1.weight"], stream, 12), old["mlp.fc1.weight"][hidden])
        torch.testing.assert_close(sums(new["attn.proj.weight"], heads, 12), with_mean(old["attn.proj.weight"]))
        torch.testing.assert_close(sums(new["mlp.fc2.weight"], hidden, 48), with_mean(old["mlp.fc2.weight"]))
        for name, copied in (("attn.qkv", stream), ("attn.proj", heads), ("mlp.fc2", hidden)):
            moved = new[f"{name}.weight"] - start[f"{name}.weight"]
            for first, second in ((0, copied[1:].index(0) + 1), (3, copied[4:].index(3) + 4)):
                torch.testing.assert_close(moved[:, first], moved[:, second])  # all copies alike: as little as possible
        for name in ("attn.proj.bias", "mlp.fc2.bias"):
            torch.testing.assert_close(new[name], with_mean(old[name]))
        for name in ("norm1", "norm2"):
            expected = old[f"{name}.weight"].repeat(2) * (24 / 32) ** 0.5
            torch.testing.assert_close(new[f"{name}.weight"][:24], expected)
            assert new[f"{name}.weight"][24:].abs().max() <= (24 / 32) ** 0.5
            assert torch.equal(new[f"{name}.bias"], torch.cat([old[f"{name}.bias"].repeat(2), torch.zeros(8)]))
    positions = gene.tensors["pos_embed"][0].mT
    torch.testing.assert_close(weights["pos_embed"][0].mT, with_mean(positions))
    torch.testing.assert_close(sums(weights["head.weight"], stream, 12), gene.tensors["head.weight"])


def test_added_blocks_are_random_numbers_or_zeros() -> None:
    _, gene = trained(SOURCE)
    target = SOURCE.with_width(24).with_depth(8)
    for how in ("cancel", "zero"):
        weights = of(initialized(method(source_depth=4, added_blocks=how), target, gene))
        for layer in range(8):
            for name in ("attn.proj.weight", "mlp.fc2.weight"):
                assert bool(weights[f"blocks.{layer}.{name}"].any()) == (how == "cancel" or layer % 2 == 0)


@pytest.mark.parametrize(
    ("source_depth", "target", "reason"),
    [
        (None, SMALL.with_width(16), None),
        (6, SMALL, None),
        (5, SMALL, "it grows its source of 5 layers to at most twice as many"),
        (13, SMALL, "its source has 13 layers"),
        (None, SMALL, "its source has 12 layers of width 8 already"),
        (None, SMALL.with_width(4), "narrower than its source of width 8"),
        (None, replace(SMALL, width=16, heads=2), "its source has heads of dimension 4"),
    ],
)
def test_supported_targets(source_depth: int | None, target: ViTSpec, reason: str | None) -> None:
    answer = method(source_depth=source_depth).supports(target, SMALL)
    assert answer == reason if reason is None else reason in str(answer)
