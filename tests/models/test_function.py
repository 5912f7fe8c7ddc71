"""Models are told apart by what they compute, not only by the names and shapes of their parameters."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.layers import QuickGELU
from timm.models import register_model
from timm.models.vision_transformer import Block, ResPostBlock, VisionTransformer
from torch import Tensor, nn

from learngene_bench.models.timm.core import core_of
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, spec_of
from learngene_bench.training.ancestors import load_from_timm
from learngene_bench.util.errors import UserError

TINY: dict[str, Any] = {
    "depth": 2, "embed_dim": 16, "num_heads": 2, "img_size": 32, "patch_size": 16, "num_classes": 5
}  # fmt: skip


class SideBySide(Block):
    """Attention and MLP of the same input, with the parameters of a plain block."""

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        return x + self.attn(self.norm1(x)) + self.mlp(self.norm2(x))


class Reimplemented(Block):
    """A plain block of somebody else's."""

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


@pytest.mark.parametrize(
    "unlike", [{"act_layer": QuickGELU}, {"act_layer": nn.ReLU}, {"block_fn": ResPostBlock}, {"block_fn": SideBySide}]
)
@pytest.mark.parametrize("scaled", [{}, {"init_values": 1e-5}], ids=["", "LayerScale"])
def test_blocks_that_compute_otherwise_are_no_plain_ones(unlike: dict[str, Any], scaled: dict[str, Any]) -> None:
    model = VisionTransformer(**TINY, **unlike, **scaled)
    spec = spec_of(model)
    assert spec.family == "timm"
    with pytest.raises(UserError, match="with the same parameters its blocks compute something else"):
        core_of(model, spec)


def test_one_block_of_another_kind_is_found() -> None:
    model = VisionTransformer(**TINY)
    model.blocks[1].mlp.act = nn.ReLU()
    with pytest.raises(UserError, match="compute something else"):
        core_of(model, spec_of(model))


@pytest.mark.parametrize("alike", [{"act_layer": "gelu_tanh"}, {"block_fn": Reimplemented}, {"drop_path_rate": 0.1}])
def test_models_that_compute_the_same_are_plain_whatever_their_parts_are_called(alike: dict[str, Any]) -> None:
    assert spec_of(VisionTransformer(**TINY, **alike)).family == "vit"


def test_another_pooling_is_another_model_of_plain_blocks() -> None:
    model = VisionTransformer(**TINY, global_pool="avg", fc_norm=False)
    assert spec_of(model).family == "timm"
    assert core_of(model, spec_of(model)).spec.depth == 2


def test_norms_after_branches_are_found_beside_parts_that_a_plain_block_has_not() -> None:
    model = timm.create_model("vit_relpos_base_patch32_plus_rpn_256", **TINY)
    with pytest.raises(UserError, match="compute something else"):
        core_of(model, spec_of(model))


def test_an_ancestor_of_timm_that_computes_otherwise_is_refused() -> None:
    @register_model
    def vit_test_quick(pretrained: bool = False, **arguments: Any) -> nn.Module:
        names = ("num_classes", "in_chans")
        return VisionTransformer(**{**TINY, **{name: arguments[name] for name in names}, "act_layer": QuickGELU})

    spec = ViTSpec(depth=2, width=16, heads=2, patch_size=16, image_size=32, classes=5, class_token=True)
    network = build_model(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    with pytest.raises(UserError, match="vit_test_quick has the parameters of the model that is needed, and computes"):
        load_from_timm(network, "vit_test_quick")
