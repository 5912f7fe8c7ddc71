"""The general family finds the blocks of any model, describes it truly, and adapts what depends on images."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.contracts.family import spec_from_dict
from learngene_bench.contracts.gene import Gene
from learngene_bench.models.timm.spec import TimmSpec
from learngene_bench.models.weights import base_weights, build_model, spec_of
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
