"""Every cell of docs/timm-models.md: weights are computed again from the definition, refusals have their reason.

What a method writes is found here in live modules (layers called qkv, or q, k and v), not in descriptions of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import pytest
import timm_page
import torch
from timm_page import Outcome
from torch import Tensor, nn

from learngene_bench.models.weights import spec_of
from learngene_bench.util.rng import RngStreams

REASONS = {
    "he": {},
    "mimetic": {
        "vit_pwee_patch16_reg1_gap_256": "has no matrices for query, key, value and projection",
        "xcit_nano_12_p16_224": "attends between channels",
        "edgenext_xx_small": "attends between channels",
        "levit_128s": "keeps query, key and value of a head together",
        "visformer_tiny": "has no matrices for query, key, value and projection",
        "hiera_tiny_224": "has no matrices for query, key, value and projection",
        **dict.fromkeys(["convnext_atto", "convnextv2_atto", "inception_next_atto"], "have no attention"),
    },
    "weight-selection": {},
    "heru-lg": {},
    "heru-lg of a plain ViT": {
        "eva_giant_patch14_224": "MLP ratio 4.34375: its blocks hold an MLP of hidden width 128",
        "vit_so150m_patch16_reg4_gap_256": "MLP ratio 2.5625: its blocks hold an MLP of hidden width 128",
        "vit_small_patch16_18x2_224": "its blocks have 2 attentions each",
        "vit_pwee_patch16_reg1_gap_256": "has no matrices for query, key, value and projection",
        "xcit_nano_12_p16_224": "attends between channels",
        **dict.fromkeys(
            ["vit_relpos_base_patch32_plus_rpn_256", "aimv2_large_patch14_224"],
            "with the same parameters its blocks compute something else",
        ),
        **dict.fromkeys(
            ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"], "a timm Swin Transformer contains no"
        ),
        **dict.fromkeys(["convnext_atto", "convnextv2_atto"], "contains no plain Vision Transformer"),
        **dict.fromkeys(
            [
                *("swinv2_cr_tiny_224", "inception_next_atto", "levit_128s", "pit_ti_224", "twins_pcpvt_small"),
                *("twins_svt_small", "pvt_v2_b0", "hiera_tiny_224", "visformer_tiny", "davit_tiny"),
                *("edgenext_xx_small", "mobilevit_xxs"),
            ],
            "its stages are of several widths",
        ),
    },
}
"""The part of a refusal that tells why, by method and model; everything else is accepted."""


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return list(timm_page.outcomes())


def accepted(outcomes: list[Outcome], column: str) -> Iterator[Outcome]:
    found = [outcome for outcome in outcomes if outcome.column == column and not outcome.refusal]
    assert len(found) >= 39
    yield from found


def assert_written(outcome: Outcome, expected: dict[str, Tensor]) -> None:
    """Asserts that a model has these parameters, and in all others the numbers that it had."""
    for name, tensor in outcome.after.items():
        where = f"{outcome.case.label}, {outcome.column}: {name}"
        torch.testing.assert_close(tensor, expected.get(name, outcome.before[name]), rtol=0, atol=0, msg=where)
    assert outcome.report is not None
    changed = {name for name in outcome.after if not torch.equal(outcome.after[name], outcome.before[name])}
    assert changed <= {*outcome.report.written}, outcome.case.label


def test_the_page_is_current(outcomes: list[Outcome]) -> None:
    assert timm_page.PAGE.read_text(encoding="utf-8") == timm_page.page(outcomes), "run: python tools/timm_page.py"
    assert len({outcome.case.name for outcome in outcomes}) >= 40


def test_refusals_have_the_right_reason_and_change_nothing(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        reason = REASONS[outcome.column].get(outcome.case.name, "")
        if outcome.case.name in timm_page.WITHOUT_BLOCKS:
            reason = "has no blocks: none of its lists of layers holds attention"
        assert bool(outcome.refusal) == bool(reason), (outcome.case.label, outcome.column, outcome.refusal)
        assert reason in outcome.refusal
        assert "\n" not in outcome.refusal
        if reason:
            assert all(torch.equal(tensor, outcome.before[name]) for name, tensor in outcome.after.items())


def test_every_model_with_attention_gets_he_and_something_to_inherit(outcomes: list[Outcome]) -> None:
    for case in timm_page.CASES:
        if case.name not in timm_page.WITHOUT_BLOCKS:
            assert {"he", "weight-selection", "heru-lg"} <= {
                o.column for o in outcomes if o.case == case and not o.refusal
            }


# --- he --------------------------------------------------------------------------------------------------------------


def matrices_of(name: str, module: nn.Module, model: nn.Module) -> int:
    """Matrices that a layer holds: those of query, key and value, and of a gated MLP, count for themselves."""
    parts = name.split(".")
    named = parts[-2] if parts[-1] == "linear" else parts[-1]
    if named in ("qkv", "kv", "qk"):
        return len(named)
    parent = model.get_submodule(".".join(parts[:-1]))
    following = getattr(parent, "fc2", None) if named == "fc1" else None
    inputs = getattr(following, "in_features", None)
    return 2 if inputs and getattr(module, "out_features", None) == 2 * inputs else 1


def test_he_draws_every_matrix_within_its_bound_and_no_bias(outcomes: list[Outcome]) -> None:
    for outcome in accepted(outcomes, "he"):
        layers = dict(outcome.model.named_modules())
        for name, tensor in outcome.after.items():
            layer, _, kind = name.rpartition(".")
            where = f"{outcome.case.label}: {name}"
            if kind.endswith("bias"):
                assert not tensor.any(), where
            elif kind == "weight" and tensor.dim() in (2, 4):
                rows, columns = len(tensor), tensor[0].numel()
                fan_out = rows / matrices_of(layer, layers[layer], outcome.model)
                if layer.endswith("conv_dw"):
                    fan_out = columns
                bound = math.sqrt(6 / (fan_out + columns))
                assert tensor.abs().max() <= bound, where
                if tensor.numel() >= 1000:
                    assert tensor.abs().max() > 0.98 * bound, where
                    assert tensor.square().mean().item() == pytest.approx(bound**2 / 3, rel=0.15), where
            else:
                assert torch.equal(tensor, outcome.before[name]), where


# --- mimetic ---------------------------------------------------------------------------------------------------------


def split_layers(attention: nn.Module) -> list[nn.Module]:
    """The layers that make query, key and value, in this order."""
    children = dict(attention.named_children())
    for names in ("qkv",), ("q_proj", "k_proj", "v_proj"), ("q", "k", "v"), ("q", "kv"), ("qk", "v"):
        if all(isinstance(children.get(name), nn.Linear) for name in names):
            return [children[name] for name in names]
    return []


def attentions_of(model: nn.Module) -> Iterator[tuple[str, nn.Module, int]]:
    """Attentions in the model's blocks, by name, with the number of their heads."""
    spec = spec_of(model)
    for name, module in model.named_modules():
        heads = getattr(module, "num_heads", getattr(module, "heads", None))
        if spec.is_in_block(f"{name}.") and isinstance(heads, int) and split_layers(module):
            yield name, module, heads


def test_mimetic_sets_the_papers_two_products(outcomes: list[Outcome]) -> None:
    """In every attention Wv' Wp' = 0.4 Z - 0.4 I, and Wq' Wk of a head the best approximation to 0.7 Z + 0.7 I."""
    for outcome in accepted(outcomes, "mimetic"):
        spec, written = spec_of(outcome.model), set()
        generator = RngStreams(0).drawn_for("target", spec.identity()).generator("method", "mimetic")
        for name, attention, heads in attentions_of(outcome.model):
            width = attention.proj.in_features
            noise = torch.randn(heads, width, width, generator=generator).double() / width**0.5
            layers = split_layers(attention)
            rows = torch.cat([layer.weight for layer in layers]).detach().double()
            query, key, value = rows.split(width)
            for head, product in enumerate(0.7 * noise + 0.7 * torch.eye(width)):
                _, vectors = torch.linalg.eigh(product.mT @ product)
                leading, part = (
                    vectors[:, -(width // heads) :],
                    slice(head * width // heads, (head + 1) * width // heads),
                )
                expected, where = product @ leading @ leading.mT, f"{outcome.case.label}: {name}"
                torch.testing.assert_close(query[part].mT @ key[part], expected, rtol=1e-3, atol=1e-4, msg=where)
            noise = torch.randn(1, width, width, generator=generator).double()[0] / width**0.5
            projected = value.mT @ attention.proj.weight.detach().double().mT
            torch.testing.assert_close(projected, 0.4 * noise - 0.4 * torch.eye(width), rtol=1e-3, atol=1e-4)
            written |= {f"{name}.{child}" for child, layer in attention.named_children() if layer in layers} | {
                f"{name}.proj"
            }
            written |= {f"{name}.{letter}_bias" for letter in ("q", "k", "v")}
        for name, tensor in outcome.after.items():
            if name in written or name.rpartition(".")[0] in written:
                assert tensor.dim() > 1 or not tensor.any(), name
            else:
                assert torch.equal(tensor, outcome.before[name]), f"{outcome.case.label}: {name}"


# --- weight selection ------------------------------------------------------------------------------------------------


def evenly_chosen(teacher: int, target: int) -> list[int]:
    """The released rule in exact arithmetic; `round` of a fraction goes to the even neighbour."""
    if teacher % target == 0:
        return [i * (teacher // target) for i in range(target)]
    return [round(Fraction(i * (teacher - 1), target - 1)) for i in range(target)]


def test_weight_selection_takes_evenly_chosen_channels(outcomes: list[Outcome]) -> None:
    for outcome in accepted(outcomes, "weight-selection"):
        head = spec_of(outcome.model).head_shapes()
        expected = {}
        for name, teacher in outcome.ancestors["teacher"].named_parameters():
            shape = outcome.before[name].shape if name in outcome.before else ()
            if (
                name in head
                or len(shape) != teacher.dim()
                or any(s > t for s, t in zip(shape, teacher.shape, strict=True))
            ):
                continue
            if name == "rope.freqs" and shape != teacher.shape:
                continue  # frequencies of the model's own depth
            tensor = teacher.detach()
            for axis, size in enumerate(shape):
                tensor = tensor.index_select(axis, torch.tensor(evenly_chosen(tensor.shape[axis], size)))
            expected[name] = tensor
        assert len(expected) >= len(outcome.before) - len(head) - 2, outcome.case.label
        assert_written(outcome, expected)


# --- heru-lg ---------------------------------------------------------------------------------------------------------


def test_heru_lg_takes_the_last_block_of_each_stage(outcomes: list[Outcome]) -> None:
    for outcome in accepted(outcomes, "heru-lg"):
        ancestor, spec = outcome.ancestors["ancestor"], spec_of(outcome.model)
        sources = {(stage.path, stage.first): stage for stage in spec_of(ancestor).stages()}
        parameters = {name: parameter.detach() for name, parameter in ancestor.named_parameters()}
        expected = {
            name: tensor
            for name, tensor in parameters.items()
            if name in outcome.before and tensor.shape == outcome.before[name].shape and not spec.is_in_block(name)
        }
        for stage in spec.stages():
            last = sources[stage.path, stage.first]
            for component in stage.shapes:
                inherited = parameters[last.parameter(last.depth - 1, component)]
                expected[stage.parameter(stage.depth - 1, component)] = inherited
        assert_written(outcome, expected)


# --- a plain Vision Transformer's gene -------------------------------------------------------------------------------


def test_a_gene_of_a_plain_vit_reaches_every_counterpart(outcomes: list[Outcome]) -> None:
    """The last block's attention, norms and plain MLP, the patch embedding, positions, final norm and head."""
    for outcome in accepted(outcomes, "heru-lg of a plain ViT"):
        model, source = outcome.model, outcome.ancestors["ancestor"]
        parameters = {name: parameter.detach() for name, parameter in source.named_parameters()}
        blocks = model.blocks
        path, block, last = f"blocks.{len(blocks) - 1}", blocks[-1], source.blocks[-1]
        expected = {}
        layers = split_layers(block.attn)
        named = {layer: name for name, layer in block.attn.named_children()}
        for kind in ("weight", "bias"):
            parts = dict(zip("qkv", getattr(last.attn.qkv, kind).detach().chunk(3), strict=True))
            for layer in layers:
                if getattr(layer, kind) is not None:
                    letters = named[layer].removesuffix("_proj")
                    expected[f"{path}.attn.{named[layer]}.{kind}"] = torch.cat([parts[letter] for letter in letters])
            for letter in "qkv":
                expected[f"{path}.attn.{letter}_bias"] = parts[letter]
            for layer in ("attn.proj", "norm1", "norm2"):
                expected[f"{path}.{layer}.{kind}"] = getattr(last.get_submodule(layer), kind).detach()
            if block.mlp.fc2.in_features == getattr(block.mlp, "fc1", nn.Linear(1, 1)).out_features:
                for layer in ("fc1", "fc2"):
                    expected[f"{path}.mlp.{layer}.{kind}"] = getattr(last.mlp.get_submodule(layer), kind).detach()
            for name in ("norm", "fc_norm", "head"):
                expected[f"{name}.{kind}"] = parameters[f"{'norm' if name == 'fc_norm' else name}.{kind}"]
            expected[f"patch_embed.proj.{kind}"] = parameters[f"patch_embed.proj.{kind}"]
        expected["embeds.proj.weight"] = parameters["patch_embed.proj.weight"].permute(0, 2, 3, 1).flatten(1)
        expected["embeds.proj.bias"] = parameters["patch_embed.proj.bias"]
        expected["cls_token"] = parameters["cls_token"]
        shapes = {name: tensor.shape for name, tensor in outcome.before.items()}
        expected = {name: tensor for name, tensor in expected.items() if shapes.get(name) == tensor.shape}
        assert_positions(outcome, parameters["pos_embed"])
        expected |= {name: outcome.after[name] for name in outcome.after if name.endswith("pos_embed")}
        assert_written(outcome, expected)
        assert outcome.report is not None
        reached = {name.split(".", 2)[-1] if name.startswith("blocks.") else name for name in expected}
        assert not reached & outcome.report.kept.keys()


def assert_positions(outcome: Outcome, source: Tensor) -> None:
    """Asserts that a model's patches have the source's positions, and its class token that of the source's."""
    after = outcome.after.get("pos_embed")
    if after is None or after.dim() != 3 or outcome.case.arguments.get("img_size") != 32:
        return  # other grids are tested with the rules of resampling
    patches = source[:, 1:]
    assert torch.equal(after[:, -4:], patches), outcome.case.label
    if after.shape[1] > 4 and "cls_token" in outcome.before:
        assert torch.equal(after[:, :1], source[:, :1]), outcome.case.label
        assert torch.equal(after[:, 1:-4], outcome.before["pos_embed"][:, 1:-4])
    else:
        assert torch.equal(after[:, :-4], outcome.before["pos_embed"][:, :-4])
