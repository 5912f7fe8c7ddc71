"""Stacking against its definitions: lists of layers written down, what models compute, LiGO's start."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from baseline_models import SMALL, STACKING, context, initialized, ligo_gene, of
from torch import nn

from learngene_bench.baselines.ligo.initializer import Ligo
from learngene_bench.baselines.stack import Stack, StackOptions
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Pretrained
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.swin import SwinSpec
from learngene_bench.models.weights import build_model, write_weights

SIZES = {"width": 8, "image_size": 8, "channels": 1, "classes": 5, "patch_size": 2}
SWIN = SwinSpec(**SIZES, depth=4, window=4, head_dimension=4, stage_ratio=(1, 1))
CONVNEXT = ConvNeXtSpec(**SIZES, depth=4, stage_ratio=(1, 3))
DEEP = replace(SWIN, depth=8, image_size=32, stage_ratio=(1, 1, 1, 1, 1))


def method(rule: str, source_depth: int = 4) -> Stack:
    return Stack(StackOptions(rule=rule, source_depth=source_depth))  # type: ignore[arg-type]


def source_of(spec: ModelSpec) -> tuple[nn.Module, Gene]:
    """A model whose every parameter is random, and the gene that the method makes of it."""
    model = build_model(spec)
    generator = torch.Generator().manual_seed(0)
    write_weights(model, {n: torch.randn(s, generator=generator) / 2 for n, s in spec.parameter_shapes().items()})
    return model.eval(), Gene("stack", spec, of(model))


@pytest.mark.parametrize(
    ("rule", "source", "layers"),
    [
        ("stack", 4, [0, 1, 2, 3, 0, 1]),
        ("stack", 3, [0, 1, 2, 0, 1, 2, 0]),
        ("interleave", 4, [0, 0, 1, 1, 2, 2, 3, 3]),
        ("interleave", 4, [0, 0, 1, 2, 2, 3]),
        ("interleave", 2, [0, 0, 0, 1, 1]),
        ("dus", 4, [0, 1, 2, 1, 2, 3]),
        ("dus", 8, [0, 1, 2, 3, 4, 5, 2, 3, 4, 5, 6, 7]),  # SOLAR's 32 layers to 48, in a quarter of the size
    ],
)
def test_which_layer_is_copied(rule: str, source: int, layers: list[int]) -> None:
    """All else is the source's, in a model of the same width."""
    target = SMALL.with_depth(len(layers))
    _, gene = source_of(SMALL.with_depth(source))
    weights = of(initialized(method(rule, source), target, gene))
    for layer, copied in enumerate(layers):
        for name in SMALL.block_shapes():
            assert torch.equal(weights.pop(f"blocks.{layer}.{name}"), gene.tensors[f"blocks.{copied}.{name}"])
    assert all(torch.equal(each, gene.tensors[name]) for name, each in weights.items())


@pytest.mark.parametrize("depth", [5, 8])
def test_stack_is_how_ligo_starts_without_noise(depth: int, generator: torch.Generator) -> None:
    gene = ligo_gene(SMALL.with_depth(4), generator)
    ours, theirs = (of(initialized(each, SMALL.with_depth(depth), gene)) for each in (method("stack"), Ligo(STACKING)))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("spec", [SMALL.with_depth(4), SWIN, CONVNEXT], ids=lambda spec: spec.family)
@pytest.mark.parametrize("depth", [6, 8, 10])
def test_zero_blocks_keep_the_function(spec: ModelSpec, depth: int) -> None:
    """Also at depths that are no multiple; where copies are copied too, the function is another one."""
    source, gene = source_of(spec)
    images = torch.randn(3, *spec.image_shape())
    target = spec.with_depth(depth)
    grown = {rule: initialized(method(rule), target, gene) for rule in ("zero-block", "interleave")}  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.equal(grown["zero-block"](images), source(images))
        assert not torch.allclose(grown["interleave"](images), source(images), atol=1e-2)


def test_every_stage_is_grown_by_itself() -> None:
    """A ConvNeXt of 1 + 3 blocks becomes one of 2 + 6."""
    _, gene = source_of(CONVNEXT)
    target = CONVNEXT.with_depth(8)
    weights = of(initialized(method("stack"), target, gene))  # type: ignore[arg-type]
    for stage, copied in enumerate([[0, 0], [0, 1, 2, 0, 1, 2]]):
        for layer, source in enumerate(copied):
            name = "mlp.fc1.weight"
            theirs = gene.tensors[f"stages.{stage}.blocks.{source}.{name}"]
            assert torch.equal(weights[f"stages.{stage}.blocks.{layer}.{name}"], theirs)


def test_another_task_has_its_own_head() -> None:
    target = SMALL.with_depth(6)
    _, gene = source_of(SMALL.with_depth(4))
    where = context(target, same_task=False)
    weights = of(initialized(method("stack"), target, gene, where))
    assert torch.equal(weights["head.weight"], where.base_weights(target)["head.weight"])
    assert torch.equal(weights["pos_embed"], gene.tensors["pos_embed"])


@pytest.mark.parametrize(
    ("rule", "target", "base", "reason"),
    [
        ("stack", SMALL.with_depth(4), SMALL, "its source has 4 layers already"),
        ("stack", replace(SMALL, width=16, heads=4), SMALL, "its blocks have width 8"),
        ("dus", SMALL.with_depth(7), SMALL, "dus makes even depths of at most 8 of 4 layers"),
        ("dus", SMALL.with_depth(10), SMALL, "dus makes even depths of at most 8 of 4 layers"),
        ("dus", SMALL.with_depth(8), SMALL, None),
        ("zero-block", replace(SWIN, version=2, depth=6), replace(SWIN, version=2), "normalise what a branch adds"),
        ("stack", replace(SWIN, version=2, depth=6), replace(SWIN, version=2), None),
        ("stack", DEEP, DEEP, "5 stages need at least 5 blocks"),
    ],
)
def test_supported_targets(rule: str, target: ModelSpec, base: ModelSpec, reason: str | None) -> None:
    answer = method(rule).supports(target, base)
    assert answer == reason if reason is None else reason in str(answer)


def test_what_is_asked_for_and_stored() -> None:
    target = replace(SMALL, depth=6, irpe=True, classes=7)
    base = replace(SMALL, irpe=True)
    asked = method("stack", 3).gene_request(target, base)
    assert asked.ancestors == {"source": Pretrained(base.with_depth(3))}
    assert method("stack", 3).stored_shapes(target, base) == replace(SMALL, depth=3, classes=7).parameter_shapes()
