"""Baselines against their definitions, computed in another way: loops over elements, timm's modules, float64."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from baseline_models import SMALL, STACKING, context, initialized, ligo_gene, of, random_weights
from scipy.stats import ks_2samp
from timm.models.vision_transformer import VisionTransformer
from whole_runs import lgbench_here

from learngene_bench.baselines.jax_default import JaxDefault
from learngene_bench.baselines.ligo.initializer import Ligo, LigoOptions
from learngene_bench.baselines.mimetic import Mimetic, MimeticOptions, split
from learngene_bench.baselines.weight_selection import WeightSelection, WeightSelectionOptions, selected_indices
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import Initializer, NoOptions, Pretrained
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.errors import UserError

# --- mimetic ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "heads", "depth"), [(8, 2, 1), (24, 3, 3), (48, 3, 2), (12, 1, 2)])
def test_mimetic_attention_computes_with_the_papers_products(width: int, heads: int, depth: int) -> None:
    """timm's own modules: scores are x A_d y', and a single token, which can only attend to itself, gives x A2.

    A_d is found without a singular value decomposition, as A times the projector on A' A's leading eigenvectors.
    """
    target = replace(SMALL, width=width, heads=heads, depth=depth)
    options = MimeticOptions(a1=0.6, b1=0.8, a2=0.3, b2=0.5)
    model = initialized(Mimetic(options), target).double()
    generator = context(target).generator("mimetic")
    x = torch.randn(2, 1, width, dtype=torch.float64)
    for block in model.blocks:
        attention = block.get_submodule("attn")
        noise = torch.randn(heads, width, width, generator=generator).double() / width**0.5
        query, key, _ = attention.get_submodule("qkv")(x).view(2, 3, heads, -1).unbind(1)
        for head in range(heads):
            product = 0.6 * noise[head] + 0.8 * torch.eye(width)
            _, vectors = torch.linalg.eigh(product.mT @ product)
            leading = vectors[:, -target.head_dimension :]
            wanted = x[0] @ product @ leading @ leading.mT @ x[1].mT
            torch.testing.assert_close(query[0, head] @ key[1, head], wanted.view(()), rtol=1e-4, atol=1e-4)
        noise = torch.randn(width, width, generator=generator).double() / width**0.5
        torch.testing.assert_close(attention(x), x @ (0.3 * noise - 0.5 * torch.eye(width)), rtol=1e-4, atol=1e-4)


def test_mimetic_products_have_the_papers_statistics() -> None:
    target = replace(SMALL, width=192, heads=3, depth=2)
    model = of(initialized(Mimetic(MimeticOptions()), target))
    for layer in range(2):
        weight = model[f"blocks.{layer}.attn.qkv.weight"]
        product = weight[384:].mT @ model[f"blocks.{layer}.attn.proj.weight"].mT
        assert product.diagonal().mean() == pytest.approx(-0.4, abs=0.01)
        assert (product + 0.4 * torch.eye(192)).std() == pytest.approx(0.4 / 192**0.5, rel=0.02)
        for head in range(3):
            rows = slice(64 * head, 64 * head + 64)
            assert torch.linalg.matrix_rank(weight[:192][rows].mT @ weight[192:384][rows], rtol=1e-4) == 64
    assert not torch.equal(model["blocks.0.attn.qkv.weight"], model["blocks.1.attn.qkv.weight"])


def test_mimetic_leaves_all_but_attention_as_it_was() -> None:
    base = context(SMALL).base_weights(SMALL)
    weights = of(initialized(Mimetic(MimeticOptions()), SMALL))
    changed = {name.partition(".attn.")[2] for name in base if not torch.equal(base[name], weights[name])}
    assert changed == {"qkv.weight", "proj.weight"}


@pytest.mark.parametrize("class_token", [False, True])
def test_mimetic_sine_cosine_positions(class_token: bool) -> None:
    target = replace(SMALL, width=16, heads=4, class_token=class_token)
    found = of(initialized(Mimetic(MimeticOptions(positions="sincos")), target))["pos_embed"][0]
    if class_token:
        assert not found[0].any()
    waves = [10000 ** (-k / 4) for k in range(4)]
    for patch in range(9):
        row, column = divmod(patch, 3)
        angles = torch.tensor([place * wave for place in (row, column) for wave in waves])
        torch.testing.assert_close(found[int(class_token) + patch], torch.cat([angles.sin(), angles.cos()]))


def test_splitting_is_the_best_approximation_of_its_rank(generator: torch.Generator) -> None:
    """No matrix of that rank is nearer: the error is that of the singular values left out (Eckart and Young)."""
    product = torch.randn(3, 10, 10, generator=generator, dtype=torch.float64)
    left, right = split(product, 4)
    error = (product - left @ right.mT).square().sum((-1, -2))
    torch.testing.assert_close(error, torch.linalg.svdvals(product)[:, 4:].square().sum(-1))


# --- jax -------------------------------------------------------------------------------------------------------------


def test_jax_has_the_statistics_of_timms_own() -> None:
    target = replace(SMALL, width=96, heads=6, depth=4, patch_size=8, image_size=24, channels=3, class_token=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"img_size": 24, "patch_size": 8, "num_classes": 5, "embed_dim": 96, "depth": 4, "num_heads": 6}
        theirs = of(VisionTransformer(**sizes, weight_init="jax"))
    ours = of(initialized(JaxDefault(NoOptions()), target))
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"pos_embed", "cls_token"}:
        if theirs[name].std() == 0:
            assert torch.equal(ours[name], theirs[name])
            continue
        assert ks_2samp(ours[name].flatten(), theirs[name].flatten()).pvalue > 1e-3, name
        if ours[name].dim() > 1:  # uniform or truncated: where the distribution ends
            assert ours[name].abs().max() == pytest.approx(float(theirs[name].abs().max()), rel=0.02), name


# --- weight selection ------------------------------------------------------------------------------------------------


def released_indices(teacher: int, target: int) -> list[int]:
    """The released rule in exact arithmetic; `round` of a fraction goes to the even neighbour."""
    if teacher % target == 0:
        return [i * (teacher // target) for i in range(target)]
    return [round(Fraction(i * (teacher - 1), target - 1)) for i in range(target)]


def selection_gene(teacher: ViTSpec, generator: torch.Generator) -> Gene:
    weights = random_weights(teacher, generator)
    return Gene("weight-selection", teacher, {name: weights[name] for name in weights if "head" not in name})


@pytest.mark.parametrize(("wide", "width"), [(16, 8), (24, 8), (16, 12), (20, 8), (12, 12)])
@pytest.mark.parametrize("depth", [1, 3])
def test_weight_selection_takes_the_released_elements(
    wide: int, width: int, depth: int, generator: torch.Generator
) -> None:
    teacher = replace(SMALL, width=wide, heads=wide // 4, depth=3, irpe=True)
    target = replace(SMALL, width=width, heads=width // 4, depth=depth, irpe=True)
    gene = selection_gene(teacher, generator)
    weights = of(initialized(WeightSelection(WeightSelectionOptions()), target, gene))
    for name, found in weights.items():
        if name.startswith("head"):
            assert torch.equal(found, context(target).base_weights(target)[name])
            continue
        source, expected = gene.tensors[name], torch.zeros(found.shape)
        axes = [released_indices(t, s) for t, s in zip(source.shape, found.shape, strict=True)]
        for place in np.ndindex(*found.shape):
            expected[place] = source[tuple(axis[i] for axis, i in zip(axes, place, strict=True))]
        assert torch.equal(found, expected), name


def test_fused_queries_and_keys_pick_other_channels() -> None:
    """768 to 576 channels, and 96 of 576: the exact rule and float32 agree at the paper's widths."""
    query, key, value = (selected_indices(3 * 768, 3 * 576).view(3, 576) - 768 * torch.arange(3).view(3, 1)).tolist()
    assert len(set(query) - set(key)) == len(set(value) - set(key)) == 96
    assert all(0 <= index < 768 for part in (query, key, value) for index in part)
    halved = selected_indices(3 * 768, 3 * 384).view(3, 384) - 768 * torch.arange(3).view(3, 1)
    assert torch.equal(halved, torch.arange(0, 768, 2).expand(3, -1))
    for teacher, target in [(768, 576), (2304, 1728), (3072, 2304), (1024, 768), (3072, 2304), (4096, 3072)]:
        assert selected_indices(teacher, target).tolist() == released_indices(teacher, target)


# --- what they share -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source_has", ["class token", "irpe", "neither"])
@pytest.mark.parametrize("target_has", ["class token", "irpe", "neither"])
@pytest.mark.parametrize("name", ["weight-selection", "ligo"])
def test_class_token_and_irpe_on_either_side(
    name: str, source_has: str, target_has: str, generator: torch.Generator
) -> None:
    """The head is left out, as the target is of another task of as many classes."""
    method, gene_of = {
        "weight-selection": (WeightSelection(WeightSelectionOptions()), selection_gene),
        "ligo": (Ligo(STACKING), ligo_gene),
    }[name]
    source = replace(SMALL, depth=4, class_token=source_has == "class token", irpe=source_has == "irpe")
    target = replace(SMALL, depth=4, class_token=target_has == "class token", irpe=target_has == "irpe")
    target = target.with_depth(5) if name == "ligo" else target
    gene = gene_of(source, generator)
    weights = of(initialized(method, target, gene, context(target, same_task=False)))
    own = context(target).base_weights(target)
    assert torch.equal(weights["head.weight"], own["head.weight"])
    assert torch.equal(weights["blocks.3.attn.qkv.weight"], gene.tensors["blocks.3.attn.qkv.weight"])
    patches, theirs = (
        tensor[:, int(spec.class_token) :]
        for tensor, spec in ((weights["pos_embed"], target), (gene.tensors["pos_embed"], source))
    )
    assert torch.equal(patches, theirs)
    if target.class_token:
        expected = gene.tensors if source.class_token else own
        assert torch.equal(weights["cls_token"], expected["cls_token"])
        assert torch.equal(weights["pos_embed"][:, :1], expected["pos_embed"][:, :1])
    if target.irpe:
        table = "blocks.3.attn.rpe_k"
        assert torch.equal(weights[table], (gene.tensors if source.irpe else own)[table])


@pytest.mark.parametrize(
    "method", [JaxDefault(NoOptions()), Mimetic(MimeticOptions()), Ligo(LigoOptions(learn_operators=False))]
)
def test_random_ones_follow_the_seed_and_nothing_else(method: Initializer, generator: torch.Generator) -> None:
    gene = ligo_gene(SMALL.with_depth(4), generator)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    runs = [
        of(initialized(method, SMALL, gene, context(SMALL, seed)))["blocks.1.attn.qkv.weight"] for seed in (3, 3, 4)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("method", "target", "reason"),
    [
        (Mimetic(MimeticOptions(positions="sincos")), replace(SMALL, width=6, heads=1), "width that 4 divides"),
        (Mimetic(MimeticOptions()), replace(SMALL, width=6, heads=1), None),
        (
            WeightSelection(WeightSelectionOptions()),
            replace(SMALL, width=20, heads=5),
            "not narrower than its teacher of",
        ),
        (WeightSelection(WeightSelectionOptions()), replace(SMALL, width=16, heads=4), None),
        (WeightSelection(WeightSelectionOptions(teacher_width=24)), replace(SMALL, width=20, heads=5), None),
        (WeightSelection(WeightSelectionOptions(teacher_width=8)), SMALL, "not narrower than its teacher of width 8"),
        (WeightSelection(WeightSelectionOptions()), SMALL.with_depth(13), "deeper than its teacher of 12"),
        (WeightSelection(WeightSelectionOptions(teacher_depth=16)), SMALL.with_depth(13), None),
        (WeightSelection(WeightSelectionOptions()), replace(SMALL, mlp_ratio=9), "mlp.fc1.weight is larger"),
        (Ligo(LigoOptions()), SMALL.with_depth(4), "4 layers already"),
        (Ligo(LigoOptions(source_depth=3)), SMALL.with_depth(4), None),
        (Ligo(LigoOptions()), replace(SMALL, width=4, heads=1), "narrower than its source of width 8"),
        (Ligo(LigoOptions()), replace(SMALL, mlp_ratio=2), "narrower than its source"),
        (Ligo(LigoOptions()), replace(SMALL, heads=4), "heads of dimension 4"),
    ],
)
def test_supported_targets(method: Initializer, target: ViTSpec, reason: str | None) -> None:
    answer = method.supports(target, SMALL)
    assert answer == reason if reason is None else reason in str(answer)


def test_ancestors_of_other_sizes() -> None:
    asked = WeightSelection(WeightSelectionOptions()).gene_request(SMALL.with_depth(4), SMALL).ancestors
    assert asked == {"teacher": Pretrained(replace(SMALL, width=16, heads=4))}
    wider = replace(SMALL, width=12, heads=3)
    asked = WeightSelection(WeightSelectionOptions()).gene_request(wider, SMALL).ancestors
    assert asked == {"teacher": Pretrained(replace(SMALL, width=20, heads=5))}  # 8/3 of the base in whole heads
    asked = Ligo(LigoOptions()).gene_request(replace(SMALL, depth=6, width=16, heads=4), SMALL).ancestors
    assert asked == {"source": Pretrained(SMALL.with_depth(4))}
    with pytest.raises(UserError, match="teacher_width 10 is not a multiple of the head dimension 4"):
        WeightSelection(WeightSelectionOptions(teacher_width=10)).gene_request(SMALL, SMALL)


@pytest.mark.slow
def test_a_whole_run(tmp_path: Path) -> None:
    methods = "mimetic,weight-selection,ligo,jax"
    done = lgbench_here("run", "--executor", "inline", "-m", methods, "--quick", "--runs", str(tmp_path / "runs"))
    for title in ("Mimetic", "Wt Select", "LiGO", "timm jax", "its source has 4 layers already"):
        assert title in done.stdout
