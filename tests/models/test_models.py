"""The spec tells the truth about timm's models, and iRPE computes what its definition says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from learngene_bench.config.preset import BaseInitialization
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.vit.irpe import bucket_index, piecewise_index
from learngene_bench.models.weights import base_weights, build_model, inherited_non_block, spec_of, write_weights
from learngene_bench.util.errors import UserError
from learngene_bench.util.rng import RngStreams


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("irpe", [False, True])
def test_shapes_are_those_of_the_timm_model(tiny: ViTSpec, class_token: bool, irpe: bool) -> None:
    spec = replace(tiny, class_token=class_token, irpe=irpe, mlp_ratio=3.0)
    model = build_model(spec)
    assert spec.parameter_shapes() == {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert spec_of(model) == spec


def test_a_users_timm_model_has_a_spec() -> None:
    spec = spec_of(timm.create_model("deit_tiny_patch16_224"))
    assert (spec.depth, spec.width, spec.heads, spec.class_token) == (12, 192, 3, True)
    assert spec.parameter_count() == 5_717_416  # timm's model card: 5.72 M


@pytest.mark.parametrize("name", ["vit_base_patch16_clip_224", "deit3_small_patch16_224"])
def test_models_that_a_plain_spec_cannot_describe_are_of_the_general_family(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    assert spec_of(model).family == "timm"


@pytest.mark.parametrize("irpe", [False, True])
def test_flops_agree_with_torchs_counter(tiny: ViTSpec, irpe: bool) -> None:
    spec = replace(tiny, irpe=irpe)
    model = build_model(spec).eval()
    for block in model.blocks:
        block.attn.fused_attn = False  # not every torch counts the fused kernel of CPUs
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.zeros(1, 1, 6, 6))
    assert counter.get_total_flops() == spec.forward_flops()


def test_final_norm_comes_before_pooling(tiny: ViTSpec, generator: torch.Generator) -> None:
    model = build_model(tiny).eval()
    write_weights(model, base_weights(tiny, BaseInitialization(), generator))
    images = torch.rand(2, 1, 6, 6, generator=generator)
    tokens = model.patch_embed(images) + model.pos_embed
    for block in model.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(model(images), model.head(model.norm(tokens).mean(1)))


def test_irpe_starts_without_effect(tiny: ViTSpec, generator: torch.Generator) -> None:
    plain, relative = build_model(tiny).eval(), build_model(replace(tiny, irpe=True)).eval()
    weights = base_weights(replace(tiny, irpe=True), BaseInitialization(), generator)
    write_weights(relative, weights)
    write_weights(plain, {name: weight for name, weight in weights.items() if "rpe" not in name})
    images = torch.rand(2, 1, 6, 6, generator=generator)
    torch.testing.assert_close(relative(images), plain(images))


@pytest.mark.parametrize("class_token", [False, True])
def test_irpe_against_its_definition_pair_by_pair(tiny: ViTSpec, class_token: bool, generator: torch.Generator) -> None:
    spec = replace(tiny, irpe=True, class_token=class_token)
    attention = build_model(spec).blocks[0].attn.double()
    for parameter in attention.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    tokens, skip = spec.tokens, int(class_token)
    x = torch.randn(1, tokens, spec.width, generator=generator, dtype=torch.float64)
    q, k, v = attention.qkv(x)[0].view(tokens, 3, spec.heads, -1).permute(1, 2, 0, 3)
    expected = torch.zeros(tokens, spec.heads, spec.head_dimension, dtype=torch.float64)
    for head in range(spec.heads):
        scores = torch.zeros(tokens, tokens, dtype=torch.float64)
        for i in range(tokens):
            for j in range(tokens):
                scores[i, j] = q[head, i] @ k[head, j]
                if i >= skip and j >= skip:
                    bucket = _bucket(i - skip, j - skip)
                    scores[i, j] += q[head, i] @ attention.rpe_k[0, :, bucket]
                    # The query table is read at the key's own pair (j, i): the published code transposes its product.
                    scores[i, j] += k[head, j] @ attention.rpe_q[0, :, _bucket(j - skip, i - skip)]
        weights = (scores / math.sqrt(spec.head_dimension)).softmax(-1)
        for i in range(tokens):
            for j in range(tokens):
                expected[i, head] += weights[i, j] * v[head, j]
                if i >= skip and j >= skip:
                    expected[i, head] += weights[i, j] * attention.rpe_v[0, _bucket(i - skip, j - skip)]
    torch.testing.assert_close(attention(x)[0], attention.proj(expected.flatten(1)))


def _bucket(i: int, j: int, side: int = 3) -> int:
    def clipped(distance: int) -> int:  # on a 3 x 3 grid distances are at most 2: 2 is in the logarithmic part
        return (
            round(math.copysign(1.9 + math.log(2 / 1.9) / math.log(8) * 1.9, distance))
            if distance in (-2, 2)
            else distance
        )

    return 7 * (clipped(i // side - j // side) + 3) + clipped(i % side - j % side) + 3


def test_irpe_buckets_of_a_224_pixel_image() -> None:
    index = bucket_index(14, torch.device("cpu"))
    assert sorted(set(index.flatten().tolist())) == list(range(49))
    assert [piecewise_index(d) for d in (-13, -6, -2, -1, 0, 1, 2, 3, 6, 13)] == [-3, -3, -2, -1, 0, 1, 2, 2, 3, 3]


def test_base_weights_are_paired_and_leave_the_global_stream_alone(tiny: ViTSpec) -> None:
    before = torch.get_rng_state()
    first = base_weights(tiny, BaseInitialization(), RngStreams(3).generator("weights"))
    again = base_weights(tiny, BaseInitialization(), RngStreams(3).generator("weights"))
    other = base_weights(tiny, BaseInitialization(), RngStreams(4).generator("weights"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["pos_embed"], other["pos_embed"])
    assert torch.equal(before, torch.get_rng_state())


def test_xavier_takes_query_key_and_value_as_three_matrices() -> None:
    spec = ViTSpec(depth=1, width=192, heads=3, patch_size=16, image_size=224)
    weights = base_weights(spec, BaseInitialization(weight_init="xavier"), RngStreams(0).generator("weights"))
    stds = {name: weights[f"blocks.0.{name}.weight"].std().item() for name in ("attn.qkv", "attn.proj", "mlp.fc1")}
    # MoCo-v3 at D = 192, read off its released code.
    assert stds == {
        "attn.qkv": pytest.approx(0.0722, abs=5e-4),
        "attn.proj": pytest.approx(0.0722, abs=5e-4),
        "mlp.fc1": pytest.approx(0.0457, abs=5e-4),
    }


def test_a_class_token_keeps_its_own_position(tiny: ViTSpec, generator: torch.Generator) -> None:
    with_token = replace(tiny, class_token=True)
    stem = base_weights(tiny, BaseInitialization(), generator)
    own = base_weights(with_token, BaseInitialization(), generator)
    taken = inherited_non_block(stem, tiny, with_token, own, head=True)
    assert torch.equal(taken["pos_embed"][:, 0], own["pos_embed"][:, 0])
    assert torch.equal(taken["pos_embed"][:, 1:], stem["pos_embed"])
    assert torch.equal(taken["head.weight"], stem["head.weight"])
    back = inherited_non_block(own, with_token, tiny, stem, head=False)
    assert torch.equal(back["pos_embed"], own["pos_embed"][:, 1:])
    assert "head.weight" not in back


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "3 heads do not divide width 8"),
        ({"patch_size": 4}, "patch size 4 does not divide image size 6"),
        ({"depth": 0}, "depth is 0"),
    ],
)
def test_impossible_sizes(tiny: ViTSpec, change: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(tiny, **change)
