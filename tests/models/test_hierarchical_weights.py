"""Swin Transformers and ConvNeXts start as timm's do, or by Xavier's rule, and hand their blocks on."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import timm
import torch
from scipy.stats import ks_2samp
from timm.layers import resize_rel_pos_bias_table
from torch import Tensor

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.contracts.family import family_of
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.hierarchical import HierarchicalSpec
from learngene_bench.models.swin import SwinSpec
from learngene_bench.models.weights import base_weights, inherited_blocks, inherited_non_block
from learngene_bench.util.rng import RngStreams

SIZES = {"depth": 5, "width": 24, "image_size": 32, "patch_size": 4, "classes": 5, "stage_ratio": (1, 1, 2, 1)}
SWIN = SwinSpec(**SIZES, head_dimension=12, window=4)
CONVNEXT = ConvNeXtSpec(**SIZES, kernel_size=3)
MODELS = {
    "swin": SWIN,
    "swin 2": replace(SWIN, version=2),
    "convnext": CONVNEXT,
    "convnext 2": replace(CONVNEXT, version=2, convolutional_mlp=True),
}


def drawn(spec: HierarchicalSpec, weight_init: str, seed: int = 0) -> dict[str, Tensor]:
    base = BaseInitialization(weight_init=weight_init)  # type: ignore[arg-type]
    return base_weights(spec, base, RngStreams(seed).generator("weights"))


def timms(spec: HierarchicalSpec) -> dict[str, Tensor]:
    name, arguments = family_of(spec).timm_call(spec)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {name: each.detach() for name, each in timm.create_model(name, **arguments).named_parameters()}


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_truncated_normal_is_timms_own_initialization(spec: HierarchicalSpec) -> None:
    ours, theirs = drawn(spec, "truncated-normal"), timms(spec)
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        if expected.min() == expected.max():
            assert torch.equal(ours[name], expected), name
        else:
            assert ks_2samp(ours[name].flatten(), expected.flatten()).pvalue > 1e-3, name


@pytest.mark.parametrize("spec", MODELS.values(), ids=MODELS)
def test_xavier_changes_matrices_only(spec: HierarchicalSpec) -> None:
    xavier, theirs = drawn(spec, "xavier"), timms(spec)
    for name, weight in xavier.items():
        if theirs[name].min() == theirs[name].max():
            assert torch.equal(weight, theirs[name]), name
        elif name.endswith("relative_position_bias_table"):
            assert ks_2samp(weight.flatten(), theirs[name].flatten()).pvalue > 1e-3, name
        elif weight.dim() == 1:  # of the patch embedding, which torch draws and Xavier's rule does not know
            assert not weight.any(), name
        else:
            rows, columns = len(weight), math.prod(weight.shape[1:])
            rows = rows // 3 if "qkv" in name else columns if "conv_dw" in name else rows
            assert weight.abs().max() <= math.sqrt(6 / (rows + columns)), name
            assert weight.square().mean() == pytest.approx(2 / (rows + columns), rel=0.25), name


def test_position_biases_go_over_to_another_window_as_in_timm() -> None:
    source, target = SWIN, replace(SWIN, image_size=56, window=7)
    weights = drawn(source, "xavier")
    taken = inherited_blocks(weights, source, target)
    table = "layers.0.blocks.0.attn.relative_position_bias_table"
    assert torch.equal(taken[table], resize_rel_pos_bias_table(weights[table], (7, 7), (169, 2)))
    assert {name: tuple(each.shape) for name, each in taken.items()} == {
        name: shape for name, shape in target.parameter_shapes().items() if target.is_in_block(name)
    }
    assert all(torch.equal(taken[name], weights[name]) for name in taken if "table" not in name)
    same = inherited_blocks(weights, source, source)
    assert all(torch.equal(same[name], weights[name]) for name in same)


def test_a_linear_layer_goes_over_to_a_convolution_of_one_position() -> None:
    source, target = CONVNEXT, replace(CONVNEXT, convolutional_mlp=True)
    weights = drawn(source, "xavier")
    taken = inherited_blocks(weights, source, target)
    name = "stages.2.blocks.0.mlp.fc1.weight"
    assert torch.equal(taken[name], weights[name][:, :, None, None])
    assert torch.equal(inherited_blocks(taken, target, source)[name], weights[name])


@pytest.mark.parametrize("spec", [SWIN, CONVNEXT], ids=["swin", "convnext"])
@pytest.mark.parametrize("head", [True, False])
def test_all_layers_outside_the_blocks_are_inherited(spec: HierarchicalSpec, head: bool) -> None:
    weights, own = drawn(spec, "xavier", 1), drawn(spec, "xavier", 2)
    target = spec.with_depth(9) if head else replace(spec.with_depth(9), classes=7)
    taken = inherited_non_block(weights, spec, target, own, head=head)
    assert taken.keys() == {**spec.non_block_shapes(), **(spec.head_shapes() if head else {})}.keys()
    assert all(torch.equal(taken[name], weights[name]) for name in taken)
