"""Swin Transformers and ConvNeXts: their specs tell the truth about timm's models, and they compute what timm's do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from learngene_bench.contracts.family import FAMILIES, family_of, spec_from_dict
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.hierarchical import HierarchicalSpec, deal
from learngene_bench.models.swin import SwinSpec
from learngene_bench.models.weights import build_model, spec_of, write_weights
from learngene_bench.util.errors import UserError

SIZES = {"depth": 4, "width": 8, "patch_size": 2, "image_size": 12, "classes": 5}
SWIN = SwinSpec(**SIZES, head_dimension=4, window=3, stage_ratio=(1, 1))
CONVNEXT = ConvNeXtSpec(**SIZES, kernel_size=3, stage_ratio=(1, 1))
SPECS = {
    "swin": SWIN,
    "swin, one channel, another MLP": replace(SWIN, channels=1, mlp_ratio=3.0, window=6),
    "swin 2": replace(SWIN, version=2, pretrained_windows=(2, 1)),
    "swin, padded windows": replace(SWIN, depth=8, image_size=28, window=4, stage_ratio=(1, 1, 2, 1)),
    "swin 2, padded windows": replace(SWIN, depth=8, image_size=28, window=4, stage_ratio=(1, 1, 2, 1), version=2),
    "convnext": CONVNEXT,
    "convnext, an odd side": replace(CONVNEXT, image_size=28, patch_size=4, depth=5, kernel_size=7),
    "convnext, four stages": replace(CONVNEXT, depth=5, image_size=32, stage_ratio=(1, 1, 2, 1), patch_size=4),
    "convnext 2, four stages": replace(
        CONVNEXT, depth=5, image_size=32, stage_ratio=(1, 1, 2, 1), patch_size=4, version=2
    ),
    "convnext 2": replace(CONVNEXT, version=2, channels=1),
    "convnext 2, convolutions": replace(CONVNEXT, version=2, convolutional_mlp=True, classes=0),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_the_spec_is_that_of_the_built_model(spec: HierarchicalSpec) -> None:
    state = torch.get_rng_state()
    model = build_model(spec).eval()
    assert torch.equal(state, torch.get_rng_state())
    assert spec.parameter_shapes() == {name: tuple(p.shape) for name, p in model.named_parameters()}
    read = spec_of(model)
    assert isinstance(read, HierarchicalSpec)
    assert replace(read, stage_ratio=spec.stage_ratio) == spec
    assert read.depths == spec.depths
    assert spec_from_dict(json.loads(json.dumps(spec.as_dict()))) == spec
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(1, spec.channels, spec.image_size, spec.image_size))
    assert counter.get_total_flops() == spec.forward_flops()


PUBLISHED = {
    "swin_tiny_patch4_window7_224": ((2, 2, 6, 2), 28_288_354),
    "swinv2_tiny_window8_256": ((2, 2, 6, 2), 28_347_154),
    "convnext_femto": ((2, 2, 6, 2), 5_217_784),
    "convnext_tiny": ((3, 3, 9, 3), 28_589_128),
    "convnextv2_atto": ((2, 2, 6, 2), 3_708_400),
}
"""Depths, and the parameters that the model cards print (28.3 M, 28.3 M, 5.2 M, 28.6 M, 3.7 M)."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_users_timm_model_has_a_spec(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    spec = spec_of(model)
    assert isinstance(spec, HierarchicalSpec)
    assert (spec.depths, spec.parameter_count()) == PUBLISHED[name]
    assert spec.parameter_shapes() == {name: tuple(p.shape) for name, p in model.named_parameters()}


SMALL_CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 16, 32, 64)}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet18", {}),
        ("swinv2_cr_tiny_224", {}),
        ("swin_tiny_patch4_window7_224", {"window_size": (7, 7, 14, 7)}),  # as in the models called S3
        ("swin_tiny_patch4_window7_224", {"img_size": (224, 196)}),
        ("swin_tiny_patch4_window7_224", {"strict_img_size": False}),
        ("swin_tiny_patch4_window7_224", {"num_heads": (3, 6, 12, 12)}),
        ("convnext_tiny", {**SMALL_CONVNEXT, "head_norm_first": True}),
        ("convnext_tiny", {**SMALL_CONVNEXT, "stem_type": "overlap"}),
        ("convnext_tiny", {**SMALL_CONVNEXT, "norm_eps": 1e-5}),
        ("convnext_tiny", {**SMALL_CONVNEXT, "act_layer": "relu"}),
        ("convnext_tiny", {**SMALL_CONVNEXT, "dims": (8, 16, 32, 48)}),
        ("convnext_tiny", {**SMALL_CONVNEXT, "global_pool": "max"}),
    ],
)
def test_models_that_no_spec_describes_are_left_to_others(name: str, arguments: dict[str, object]) -> None:
    small = {"depths": (2, 2, 2, 2)} if name.startswith("swin_") else {}
    with torch.device("meta"):
        model = timm.create_model(name, **small, **arguments)
    assert FAMILIES.get("swin")().spec_of(model) is None
    assert FAMILIES.get("convnext")().spec_of(model) is None


@pytest.mark.parametrize("spec", [s for s in SPECS.values() if len(s.depths) == 4 or isinstance(s, SwinSpec)], ids=str)
def test_the_built_model_computes_what_timms_own_does(spec: HierarchicalSpec) -> None:
    """So its buffers hold what timm puts there: index of positions, masks of shifted windows, coordinates."""
    name, arguments = family_of(spec).timm_call(spec)
    with torch.random.fork_rng([]):
        timms = timm.create_model(name, **arguments).eval()
    model = build_model(spec).eval()
    buffers = dict(model.named_buffers())
    for buffer, value in timms.named_buffers():
        assert torch.equal(buffers.pop(buffer), value), buffer
    assert not buffers
    write_weights(model, dict(timms.named_parameters()))
    images = torch.rand(2, spec.channels, spec.image_size, spec.image_size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(images), timms(images))


@pytest.mark.parametrize("spec", [SWIN, replace(SWIN, version=2)], ids=["1", "2"])
def test_a_skeleton_has_buffers_with_values(spec: SwinSpec) -> None:
    skeleton = build_model(spec, device="meta")
    assert {parameter.device.type for parameter in skeleton.parameters()} == {"meta"}
    expected = dict(build_model(spec).named_buffers())
    assert expected
    assert all(torch.equal(buffer, expected[name]) for name, buffer in skeleton.named_buffers())


@pytest.mark.parametrize(
    ("depth", "ratio", "expected"),
    [
        (12, (1, 1, 3, 1), (2, 2, 6, 2)),  # Swin-T
        (18, (1, 1, 3, 1), (3, 3, 9, 3)),  # ConvNeXt-T
        (24, (1, 1, 9, 1), (2, 2, 18, 2)),  # Swin-S
        (4, (1, 1, 3, 1), (1, 1, 1, 1)),
        (7, (1, 1), (4, 3)),
        (16, (3, 3, 4, 3, 3), (3, 3, 4, 3, 3)),
    ],
)
def test_blocks_are_dealt_in_proportion(depth: int, ratio: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert deal(depth, ratio) == expected


@pytest.mark.parametrize(
    ("spec", "change", "message"),
    [
        (SWIN, {"depth": 1}, "depth is 1, 2 stages need at least 2 blocks"),
        (SWIN, {"width": 10}, "width 10 is not a multiple of the head dimension 4"),
        (SWIN, {"patch_size": 5}, "patch size 5 does not divide image size 12"),
        (SWIN, {"patch_size": 12}, "an image of 12 pixels in patches of 12 is too small for stage 2 of 2"),
        (SWIN, {"version": 3}, "version is 3"),
        (SWIN, {"stage_ratio": (1, 0)}, r"stage_ratio is \[1, 0\]"),
        (CONVNEXT, {"image_size": 3}, "too small for stage 2 of 2"),
        (CONVNEXT, {"patch_size": 13}, "too small for stage 1 of 2"),
        (CONVNEXT, {"kernel_size": 4}, "kernel_size is 4, an odd number is needed"),
    ],
)
def test_impossible_models_are_refused(spec: HierarchicalSpec, change: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        replace(spec, **change)
    assert "\n" not in str(error.value)


def test_blocks_fit_or_say_why() -> None:
    assert SWIN.with_depth(9).block_mismatch(SWIN) is None
    assert SWIN.block_mismatch(replace(SWIN, window=6, image_size=24)) is None
    assert SWIN.block_mismatch(replace(SWIN, version=2)) == "its blocks are those of Swin version 2"
    assert SWIN.block_mismatch(replace(SWIN, head_dimension=8)) == "its blocks hold heads of dimension 8"
    assert CONVNEXT.block_mismatch(replace(CONVNEXT, stage_ratio=(2,))) == "its blocks are those of 1 stages"
    assert CONVNEXT.block_mismatch(replace(CONVNEXT, kernel_size=5)) == "its blocks hold kernels of 5 x 5"
    assert CONVNEXT.block_mismatch(replace(CONVNEXT, convolutional_mlp=True)) is None
