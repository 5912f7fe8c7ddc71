"""The rules of `depth-scaled` against their definitions: timm's own function, what blocks compute, loops, SciPy."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import timm_page
import torch
from baseline_models import SMALL, context, initialized, of
from scipy.linalg import hadamard
from torch import Tensor, nn

import learngene_bench
from learngene_bench.baselines.depth_scaled.initializer import DepthScaled, DepthScaledOptions
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.models.convnext import ConvNeXtSpec
from learngene_bench.models.swin import SwinSpec
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, spec_of, write_weights
from learngene_bench.util.errors import UserError

TARGET = SMALL.with_depth(3)
SWIN = SwinSpec(
    depth=4, width=8, image_size=8, channels=1, classes=5, patch_size=2, window=2, head_dimension=4, stage_ratio=(1, 1)
)
CONVNEXT = ConvNeXtSpec(depth=4, width=8, image_size=8, channels=1, classes=5, patch_size=2, stage_ratio=(1, 3))
LAST = ("attn.proj.weight", "mlp.fc2.weight")


def made(rule: str, target: ModelSpec = TARGET) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A target's base initialization, and what the method makes of it."""
    method = DepthScaled(DepthScaledOptions(rule=rule))  # type: ignore[arg-type]
    assert method.supports(target, target) is None
    return context(target).base_weights(target), of(initialized(method, target))  # type: ignore[arg-type]


def changed(base: dict[str, Tensor], weights: dict[str, Tensor]) -> set[str]:
    return {name for name in base if not torch.equal(base[name], weights[name])}


def test_fix_init_is_what_timm_does() -> None:
    base, weights = made("fix-init")
    model = build_model(TARGET)
    write_weights(model, base)
    model.fix_init_weight()  # type: ignore[operator]
    assert all(torch.equal(weights[name], theirs) for name, theirs in of(model).items())
    assert changed(base, weights) == {f"blocks.{layer}.{name}" for layer in range(3) for name in LAST}


def test_gpt2_divides_by_the_root_of_all_branches() -> None:
    base, weights = made("gpt2")
    names = changed(base, weights)
    assert names == {f"blocks.{layer}.{name}" for layer in range(3) for name in LAST}
    for name in names:
        torch.testing.assert_close(weights[name].double() * math.sqrt(6), base[name].double())


@pytest.mark.parametrize("rule", ["fix-init", "gpt2"])
def test_blocks_are_counted_through_all_stages(rule: str) -> None:
    """A Swin of 2 + 2 blocks has two branches in each; of a ConvNeXt's 1 + 3 blocks each has one."""
    for target, path, depths, branches in ((SWIN, "layers", (2, 2), 2), (CONVNEXT, "stages", (1, 3), 1)):
        base, weights = made(rule, target)
        blocks = [f"{path}.{stage}.blocks.{layer}" for stage, depth in enumerate(depths) for layer in range(depth)]
        for number, block in enumerate(blocks, 1):
            count = branches * (number if rule == "fix-init" else 4)
            for name in LAST[2 - branches :]:
                torch.testing.assert_close(weights[f"{block}.{name}"] * math.sqrt(count), base[f"{block}.{name}"])
        assert all(name.endswith(LAST) for name in changed(base, weights))


def outputs_of_blocks(model: nn.Module, spec: ModelSpec) -> list[tuple[Tensor, Tensor]]:
    """Inputs and outputs of all blocks in a forward pass."""
    passed: list[tuple[Tensor, Tensor]] = []
    blocks = [model.get_submodule(s.parameter(layer, "")[:-1]) for s in spec.stages() for layer in range(s.depth)]
    hooks = [block.register_forward_hook(lambda _, x, y: passed.append((x[0], y))) for block in blocks]
    with torch.no_grad():
        model.eval()(torch.randn(2, *spec.image_shape()))
    for hook in hooks:
        hook.remove()
    assert len(passed) == spec.depth
    return passed


@pytest.mark.parametrize(
    ("rule", "target"),
    [("zero", TARGET), ("zero", SWIN), *(("zero-residual", each) for each in (TARGET, SWIN, CONVNEXT))],
)
def test_every_block_is_the_identity(rule: str, target: ModelSpec) -> None:
    model = build_model(target)
    write_weights(model, context(target).base_weights(target))  # type: ignore[arg-type]
    learngene_bench.initialize(model, DepthScaled, rule=rule)
    assert all(torch.equal(x, y) for x, y in outputs_of_blocks(model, target))


RELATIVES = (
    *("deit3_small_patch16_224", "vit_small_plus_patch16_dinov3", "eva02_base_patch16_clip_224", "cait_xxs24_224"),
    *(
        "beit_base_patch16_224",
        "vit_small_patch16_18x2_224",
        "samvit_base_patch16_224",
        "twins_svt_small",
        "pit_ti_224",
    ),
)


@pytest.mark.parametrize("name", RELATIVES)
def test_every_block_of_timms_other_models_is_the_identity(name: str) -> None:
    """All parameters are random before, also biases, so that no branch is silent by itself."""
    model = next(case for case in timm_page.CASES if case.name == name).create()
    spec = spec_of(model)
    before = outputs_of_blocks(model, spec)
    learngene_bench.initialize(model, DepthScaled, rule="zero-residual")
    passed = outputs_of_blocks(model, spec)
    assert all(torch.equal(x, y) for x, y in passed if x.shape == y.shape)  # CaiT's last two see image and token apart
    assert sum(x.shape == y.shape and not torch.equal(x, y) for x, y in before) >= 2


def test_t_fixup_has_its_scales() -> None:
    """fairseq's start, U(-b, b) with Xavier's b, queries and keys by 1 / sqrt(2); .67 L^(-1/4) on all others."""
    target = replace(SMALL, width=24, heads=2, depth=16)
    base, weights = made("t-fixup", target)
    scale, square, mlp = 0.67 / 2, math.sqrt(6 / 48), math.sqrt(6 / (24 + 96))
    found: dict[str, list[Tensor]] = {}
    for layer in range(16):
        query, key, value = weights[f"blocks.{layer}.attn.qkv.weight"].split(24)
        parts = {"q": query, "k": key, "v": value}
        parts |= {name: weights[f"blocks.{layer}.{name}.weight"] for name in ("attn.proj", "mlp.fc1", "mlp.fc2")}
        for name, part in parts.items():
            found.setdefault(name, []).append(part)
    bounds = {"q": square / 2**0.5, "k": square / 2**0.5, "v": scale * square, "attn.proj": scale * square}
    bounds |= {"mlp.fc1": scale * mlp, "mlp.fc2": scale * mlp}
    assert found.keys() == bounds.keys()
    for name, bound in bounds.items():
        numbers = torch.stack(found[name])
        assert 0.99 * bound < numbers.abs().max() <= bound, name
        assert float(numbers.std()) == pytest.approx(bound / 3**0.5, rel=0.03), name
    matrices = ("attn.qkv.weight", *LAST, "mlp.fc1.weight")
    assert changed(base, weights) == {f"blocks.{layer}.{name}" for layer in range(16) for name in matrices}


def partial_hadamard(rows: int, columns: int) -> Tensor:
    """Released: eye(m, p) @ hadamard(p) / 2^(c / 2) @ eye(p, n)."""
    power = math.ceil(math.log2(rows))
    matrix = torch.tensor(hadamard(2**power)).float() / 2 ** (power / 2)
    return torch.eye(rows, 2**power) @ matrix @ torch.eye(2**power, columns)


@pytest.mark.parametrize("target", [TARGET, replace(TARGET, width=24, heads=3), replace(TARGET, patch_size=3)])
def test_zero_is_the_released_algorithm(target: ViTSpec) -> None:
    base, weights = made("zero", target)
    d, inputs = target.width, target.patch_size**2
    for layer in range(target.depth):
        block = {name: weights[f"blocks.{layer}.{name}"] for name in target.block_shapes()}
        assert torch.equal(block["attn.qkv.weight"], torch.eye(d).repeat(3, 1))
        torch.testing.assert_close(block["mlp.fc1.weight"], partial_hadamard(4 * d, d))
        assert not any(block[name].any() for name in LAST)
        assert not any(each.any() for name, each in block.items() if name.endswith("bias"))
    patch = weights["patch_embed.proj.weight"].view(d, inputs)
    torch.testing.assert_close(patch, partial_hadamard(d, inputs) if d > inputs else torch.eye(d, inputs))
    assert not {"head.weight", "pos_embed", "norm.weight"} & changed(base, weights)


def test_zero_reduces_between_swins_stages_by_the_partial_identity() -> None:
    _, weights = made("zero", SWIN)
    assert torch.equal(weights["layers.1.downsample.reduction.weight"], torch.eye(16, 32))


@pytest.mark.parametrize(
    ("rule", "target", "reason"),
    [
        ("gpt2", replace(SWIN, version=2), "its blocks normalise what a branch adds"),
        ("t-fixup", CONVNEXT, "its blocks have no attention"),
        ("zero", CONVNEXT, "its blocks have no attention"),
        ("fix-init", replace(CONVNEXT, version=2), None),
    ],
)
def test_supported_targets(rule: str, target: ModelSpec, reason: str | None) -> None:
    answer = DepthScaled(DepthScaledOptions(rule=rule)).supports(target, target)  # type: ignore[arg-type]
    assert answer == reason if reason is None else reason in str(answer)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vit_relpos_base_patch32_plus_rpn_256", "its blocks normalise what a branch adds"),
        ("swinv2_cr_tiny_224", "its blocks normalise what a branch adds"),
        ("xcit_nano_12_p16_224", "the place of local_mp.conv1.weight in its blocks is not known"),
        ("levit_128s", "the last layer of attn of its blocks is not known"),
    ],
)
def test_a_model_whose_branches_are_not_known_is_refused(name: str, reason: str) -> None:
    model = next(case for case in timm_page.CASES if case.name == name).create()
    with pytest.raises(UserError, match=reason):
        learngene_bench.initialize(model, DepthScaled)
