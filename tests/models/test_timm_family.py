"""The general family finds the blocks of any model, describes it truly, and adapts what depends on images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import nn

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.contracts.gene import Gene
from learngene_bench.models.timm.core import core_of
from learngene_bench.models.timm.spec import TimmSpec
from learngene_bench.models.weights import (
    base_weights,
    build_model,
    inherited_blocks,
    inherited_non_block,
    spec_of,
)
from learngene_bench.util.errors import UserError

TINY = {"depth": 2, "embed_dim": 16, "num_heads": 2, "img_size": 32, "patch_size": 16, "num_classes": 5}


def create(name: str, **arguments: Any) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return timm.create_model(name, **arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "stages", "head"),
    [
        ("deit3_small_patch16_224", TINY, {"blocks": 2}, ["head.weight", "head.bias"]),
        (
            "cait_xxs24_224",
            TINY,
            {"blocks": 2, "blocks_token_only": 2},
            ["head.weight", "head.bias"],
        ),
        ("vit_small_patch16_18x2_224", TINY, {"blocks": 2}, ["head.weight", "head.bias"]),
        # Two kinds of blocks in one list.
        ("convit_tiny", {"num_classes": 5}, {"blocks": 10, "blocks.10": 2}, ["head.weight", "head.bias"]),
        (
            "mobilevit_xxs",
            {"num_classes": 5},
            {f"stages.{n}.1.transformer": depth for n, depth in ((2, 2), (3, 4), (4, 3))},
            ["head.fc.weight", "head.fc.bias"],
        ),
        ("mixer_s32_224", {"num_classes": 0}, {"blocks": 8}, []),
    ],
)
def test_blocks_are_found(name: str, arguments: dict[str, Any], stages: dict[str, int], head: list[str]) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, **arguments)
    spec = spec_of(model)
    assert isinstance(spec, TimmSpec)
    assert {stage.component("x").removesuffix("x").rstrip("/") or "blocks": stage.depth for stage in spec.stages()} == (
        stages
    )
    assert spec.parameter_shapes() == {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert list(spec.head_shapes()) == head
    assert spec_from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


class Reversed(nn.Module):
    """A network of a user's own, whose class and parts have names that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 4, 4)
        self.steps = nn.ModuleList(nn.ModuleDict({"mlp": nn.Linear(8, 8), "n": nn.LayerNorm(8)}) for _ in range(3))
        self.classifier = nn.Linear(8, 2)
        self.num_classes = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(x).flatten(2).mT
        for step in self.steps:
            tokens = tokens + step["mlp"](step["n"](tokens))
        return self.classifier(tokens.mean(1))


def test_no_class_name_is_asked_for() -> None:
    spec = spec_of(Reversed())
    assert isinstance(spec, TimmSpec)
    assert [(stage.path, stage.depth, stage.width) for stage in spec.stages()] == [("steps", 3, 8)]
    assert spec.image_shape() == (1, 32, 32)
    assert list(spec.head_shapes()) == ["classifier.weight", "classifier.bias"]
    with pytest.raises(UserError, match="timm did not create this model"):
        build_model(spec)
    with pytest.raises(UserError, match="width 16 cannot be made of a model of width 8"):
        spec.with_width(16)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "repvit_m1"])
def test_models_without_blocks_are_refused_in_a_line(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    with pytest.raises(UserError, match="has no blocks: none of its lists of layers holds attention"):
        spec_of(model)


def test_images_need_not_be_square() -> None:
    spec = spec_of(create("deit3_small_patch16_224", **{**TINY, "img_size": (32, 48)}))
    assert spec.image_shape() == (3, 32, 48)
    assert spec.non_block_shapes()["pos_embed"] == (1, 6, 16)


def test_another_depth_spreads_blocks_over_the_stages() -> None:
    spec = spec_of(create("cait_xxs24_224", **{**TINY, "depth": 6}))
    assert [stage.depth for stage in spec.with_depth(12).stages()] == [9, 3]
    assert spec.with_depth(8) == spec
    with pytest.raises(UserError, match="depth 1 is too small: the model has 2 stages of blocks"):
        spec.with_depth(1)


def test_a_gene_of_such_a_model_is_saved_and_read(tmp_path: Path) -> None:
    spec = spec_of(create("cait_xxs24_224", **TINY))
    Gene("mine", spec, {"stem/norm.weight": torch.ones(16)}).save(tmp_path / "gene.safetensors")
    assert Gene.load(tmp_path / "gene.safetensors").family == spec


def test_a_planned_model_is_what_timm_builds() -> None:
    """Only numbers and a name decide it; so it can be part of an address."""
    spec = TimmSpec(
        depth=2, width=24, image_size=24, channels=1, classes=3, patch_size=8, head_dimension=8,
        architecture="vit_small_patch14_reg4_dinov2",
    )  # fmt: skip
    sizes = {"embed_dim": 24, "num_heads": 3, "depth": 2, "img_size": 24, "patch_size": 8, "in_chans": 1}
    timms = create(spec.architecture, **sizes, num_classes=3)
    assert spec.parameter_shapes() == {name: tuple(p.shape) for name, p in timms.named_parameters()}
    wide = replace(spec.with_width(48).with_depth(4), image_size=32)
    model = build_model(wide)
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == wide.parameter_shapes()
    assert wide.parameter_shapes()["pos_embed"] == (1, 16, 48)
    described = spec_of(model)
    assert described.stages() == wide.stages()
    assert described.forward_flops() == wide.forward_flops() > spec.forward_flops()
    first, second = (base_weights(spec, BaseInitialization(), torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert not torch.equal(first["blocks.0.attn.qkv.weight"], second["blocks.0.attn.qkv.weight"])
    assert first["blocks.0.attn.qkv.weight"].std() == pytest.approx(0.02, rel=0.1)
    with pytest.raises(UserError, match="width 20 is not a multiple of the head dimension 8"):
        spec.with_width(20)
    with pytest.raises(UserError, match="unknown architecture"):
        replace(spec, architecture="vit_smal").stages()
    with pytest.raises(UserError, match=r"width 24: no multiple of its head dimension 16 \(model.head_dimension sets"):
        replace(spec, head_dimension=16).stages()
    with pytest.raises(UserError, match=r"dinov2 cannot read images of 6 x 6: .*Kernel size"):
        replace(spec, image_size=6).forward_flops()


def inherits(source: nn.Module, target: nn.Module) -> dict[str, torch.Tensor]:
    """Describes what the target inherits of a model of its width, blocks and all."""
    weights, current = (
        {name: parameter.detach() for name, parameter in model.named_parameters()} for model in (source, target)
    )
    specs = spec_of(source), spec_of(target)
    outside = inherited_non_block(weights, *specs, current, head=True)
    return {**outside, **inherited_blocks(weights, *specs)}


def random(name: str, seed: int, **changes: Any) -> nn.Module:
    model = create(name, **{**TINY, **changes})
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.normal_(generator=generator)
    return model


def test_positions_and_patches_of_another_size_are_resampled_as_timm_loads_them() -> None:
    """timm's own functions for checkpoints say what the numbers are."""
    source = random("deit3_small_patch16_224", 0, img_size=48)
    target = random("deit3_small_patch16_224", 1, img_size=(32, 64), patch_size=8)
    loaded = checkpoint_filter_fn(dict(source.state_dict()), target, antialias=True)
    found = inherits(source, target)
    assert found.keys() == dict(target.named_parameters()).keys()
    for name in found:
        torch.testing.assert_close(found[name], loaded[name], msg=name)


@pytest.mark.parametrize("name", ["beit_base_patch16_224", "vit_relpos_base_patch16_cls_224"])
def test_tables_of_relative_positions_are_resampled(name: str) -> None:
    source, target = (random(name, seed, img_size=side) for seed, side in ((0, 48), (1, 64)))
    found = inherits(source, target)
    assert found.keys() == dict(target.named_parameters()).keys()
    table = "blocks.1.attn.relative_position_bias_table"
    if table in found:
        old, new = source.get_parameter(table).detach(), found[table]
        assert torch.equal(new[-3:], old[-3:])  # to and from the class token
        assert new.shape == (7 * 7 + 3, 2)
        for corner in ((0, 0), (0, -1), (-1, 0), (-1, -1)):  # the largest distances stay the largest
            torch.testing.assert_close(new[:-3].view(7, 7, 2)[corner], old[:-3].view(5, 5, 2)[corner])


def test_tokens_of_both_are_taken_over_and_others_stay() -> None:
    """Positions go from class and distillation tokens to class and four registers with positions of their own."""
    source = random("deit_tiny_distilled_patch16_224", 0)
    target = random("vit_small_patch14_reg4_dinov2", 1, no_embed_class=False)
    found = inherits(source, target)
    old, own, new = source.get_parameter("pos_embed"), target.get_parameter("pos_embed"), found["pos_embed"]
    assert (old.shape[1], own.shape[1]) == (2 + 4, 5 + 4)
    assert torch.equal(new[:, :1], old[:, :1])
    assert torch.equal(new[:, 1:5], own[:, 1:5])
    assert torch.equal(new[:, 5:], old[:, 2:])
    assert torch.equal(found["cls_token"], source.get_parameter("cls_token"))
    assert not {"reg_token", "dist_token", "head_dist.weight", "blocks.0.ls1.gamma"} & found.keys()
    registers = random("vit_medium_patch16_reg1_gap_256", 2)
    assert torch.equal(inherits(registers, target)["reg_token"][:, :1], registers.get_parameter("reg_token"))
    assert torch.equal(inherits(registers, target)["reg_token"][:, 1:], target.get_parameter("reg_token")[:, 1:])


NAFLEX = {"depth": 2, "embed_dim": 16, "num_heads": 2, "num_classes": 5, "reg_tokens": 0}


@pytest.mark.parametrize(
    "model",
    [
        random("deit3_small_patch16_224", 0),
        random("vit_medium_patch16_gap_240", 1),
        random("vit_base_patch16_rope_ape_224", 2),
        create("naflexvit_base_patch16_gap", **NAFLEX),
    ],
    ids=lambda model: type(model).__name__,
)
def test_the_core_of_a_model_computes_what_the_model_does(model: nn.Module) -> None:
    """Nothing that a plain Vision Transformer lacks does anything: LayerScale of 1, no rotation."""
    for name, parameter in model.named_parameters():
        if "gamma" in name:
            nn.init.constant_(parameter, 1.0)
    if hasattr(model, "rope"):
        model.rope = None
    core = core_of(model, spec_of(model))
    assert {name.rpartition(".")[2].rstrip("_12") for name in core.kept} <= {"gamma"}
    plain = core.model.eval()
    if "fc_norm.weight" in dict(model.named_parameters()):  # after pooling, where the core's norm comes before
        plain.norm, plain.fc_norm = nn.Identity(), plain.norm
    images = torch.randn(2, *core.spec.image_shape(), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(images), model.eval()(images), rtol=1e-4, atol=1e-4)
