"""Analyses give the same as other ways of computing it, and known results in known cases."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from timm.models.vision_transformer import VisionTransformer

from learngene_bench.analysis import attention_maps, attention_structure, copies, linear_structure, similarity
from learngene_bench.analysis.blocks import layers_of
from learngene_bench.analysis.models import _drawn
from learngene_bench.analysis.tiles import spread
from learngene_bench.api.initialize import initialize
from learngene_bench.config.preset import BaseInitialization
from learngene_bench.methods.telg import Telg
from learngene_bench.models.vit import ViTSpec
from learngene_bench.training.inputs import new_model

SPEC = ViTSpec(depth=4, width=48, heads=3, patch_size=4, image_size=12, channels=1, classes=10)


def random_model(spec: ViTSpec, seed: int = 0) -> VisionTransformer:
    """All parameters are random, iRPE tables and biases too, so that nothing is hidden behind a zero."""
    model = new_model(spec, BaseInitialization(weight_init="xavier", position_std=0.5), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 1, 12, 12, generator=torch.Generator().manual_seed(seed))


# Diagonals of attention products


def test_a_diagonal_against_numpy() -> None:
    matrix = np.random.default_rng(0).normal(size=(7, 7))
    measured = attention_structure.diagonal(torch.from_numpy(matrix))
    others = [matrix[i, j] for i in range(7) for j in range(7) if i != j]
    assert measured.mean_diagonal == pytest.approx(np.trace(matrix) / 7)
    assert measured.mean_off_diagonal == pytest.approx(np.mean(np.abs(others)))
    assert measured.rms_off_diagonal == pytest.approx(np.sqrt(np.mean(np.square(others))))
    assert measured.ratio == pytest.approx(abs(np.trace(matrix) / 7) / np.mean(np.abs(others)))
    cosine = (matrix * np.eye(7)).sum() / np.linalg.norm(matrix) / np.linalg.norm(np.eye(7))
    assert measured.identity_correlation == pytest.approx(cosine)


def test_multiples_of_the_identity_and_zeros() -> None:
    identity = attention_structure.diagonal(-3 * torch.eye(5))
    assert (identity.mean_diagonal, identity.ratio) == (-3, None)
    assert identity.identity_correlation == pytest.approx(-1)
    assert attention_structure.diagonal(torch.zeros(5, 5)).identity_correlation is None


def test_products_are_those_of_attention() -> None:
    """Scores of a head are x Wq' Wk x'; of one token alone, attention's output is x Wv' Wp'. Both without biases."""
    attention = random_model(SPEC).blocks.get_submodule("1.attn")
    with torch.no_grad():
        for name in ("qkv.bias", "proj.bias"):
            attention.get_parameter(name).zero_()
        x = torch.randn(9, 48)
        q, k, _ = attention.get_submodule("qkv")(x).reshape(9, 3, 3, 16).unbind(1)
        products = attention_structure.query_key_products(attention, 3)
        for head in range(3):
            torch.testing.assert_close(x @ products[head] @ x.T, q[:, head] @ k[:, head].T, rtol=1e-4, atol=1e-3)
        one = x[None, :1]
        alone = one @ attention_structure.value_projection_product(attention)
        torch.testing.assert_close(alone, attention(one), rtol=1e-4, atol=1e-4)


def test_mimetic_models_have_the_products_that_define_them() -> None:
    """Wv' Wp' = .4 Z - .4 I, Z of deviation 1 / sqrt(D); Wq' Wk the best approximation of rank d to .7 (Z + I)."""
    spec = ViTSpec(depth=2, width=192, heads=3, patch_size=4, image_size=12, channels=1, classes=10)
    model = random_model(spec)
    initialize(model, "mimetic", seed=0)
    for of_heads, of_block in attention_structure.products_of(model, spec):
        block = attention_structure.diagonal(of_block)
        assert block.mean_diagonal == pytest.approx(-0.4, abs=0.02)
        assert block.rms_off_diagonal == pytest.approx(0.4 / math.sqrt(192), rel=0.02)
        assert block.ratio == pytest.approx(math.sqrt(192) * math.sqrt(math.pi / 2), rel=0.06)
        assert block.identity_correlation == pytest.approx(-math.sqrt(0.5), abs=0.02)
        for head in of_heads:
            assert np.linalg.matrix_rank(head.numpy(), tol=1e-4) == 64
            assert (attention_structure.diagonal(head).identity_correlation or 0) > 0.4


def test_what_is_drawn_of_many_is_the_first_the_last_and_some_between() -> None:
    assert spread(4, 6) == [0, 1, 2, 3]
    assert spread(12, 6) == [0, 2, 4, 7, 9, 11]
    assert spread(12, 3) == [0, 6, 11]


# Copies


def test_copies_beside_independent_units() -> None:
    """Both sides of one matrix are repeated, and half of the inputs of another; all others are random."""
    model = random_model(SPEC)
    matrix = "mlp.fc1.weight"
    with torch.no_grad():
        both, half = (model.get_parameter(f"blocks.{layer}.{matrix}") for layer in (1, 2))
        both.copy_(both[:96, :24].tile(2, 2) * (1 + 1e-6 * torch.randn(both.shape)))
        half[:, 36:] = half[:, :12]
    found = copies.repetitions(layers_of(model, SPEC), ["attn.proj.weight", matrix])
    outputs, inputs = found[matrix, "outputs"], found[matrix, "inputs"]
    assert [one.copies for one in outputs] == [0, 1, 0, 0]
    assert [one.copies for one in inputs] == [0, 1, 0.5, 0]
    assert outputs[1].difference < 1e-5
    assert all(0.7 < one.difference < 1.4 for one in (outputs[0], *found["attn.proj.weight", "inputs"]))


# Weights over layers


def test_principal_components_against_scikit_learn() -> None:
    layers = np.random.default_rng(1).normal(size=(6, 40)) + np.outer(np.arange(6), np.ones(40))
    found = linear_structure.structure(torch.from_numpy(layers))
    assert found is not None
    pca = PCA().fit(layers)
    assert found.explained == pytest.approx(pca.explained_variance_ratio_[:5])
    first = pca.transform(layers)[:, 0]
    first *= np.sign(np.corrcoef(first, np.arange(6))[0, 1]) / first.std()
    assert found.coordinates == pytest.approx(first)
    assert found.r2 == pytest.approx(np.corrcoef(first, np.arange(6))[0, 1] ** 2)
    fitted = np.stack([np.polyval(np.polyfit(np.arange(6), column, 1), np.arange(6)) for column in layers.T], axis=1)
    residual = ((layers - fitted) ** 2).sum() / ((layers - layers.mean(0)) ** 2).sum()
    assert found.linear == pytest.approx(1 - residual)


@pytest.mark.parametrize("depth", [3, 4, 12])
def test_telg_varies_over_layers_in_one_direction_and_linearly(depth: int) -> None:
    """Weights are in single precision, as models are stored."""
    base, slope = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0))
    layers = torch.tensor(Telg(Telg.Options()).scalers(depth, {})) @ torch.stack([base, slope])
    found = linear_structure.structure(layers)
    assert found is not None
    assert (found.explained[0], found.r2, found.linear) == pytest.approx((1, 1, 1), abs=1e-9)


def test_independent_layers_share_the_variance_out() -> None:
    """Each of L - 1 directions has about 1 / (L - 1) of it, and so has what is linear in depth."""
    found = linear_structure.structure(torch.randn(12, 20_000, generator=torch.Generator().manual_seed(3)))
    assert found is not None
    assert found.explained == pytest.approx([1 / 11] * 11, rel=0.1)
    assert found.linear == pytest.approx(1 / 11, rel=0.1)
    assert math.fsum(found.explained) == pytest.approx(1)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_what_is_the_same_in_all_layers_has_no_structure(value: float) -> None:
    assert linear_structure.structure(torch.full((5, 30), value)) is None


# Where models look


@pytest.mark.parametrize("class_token", [False, True])
def test_attention_is_what_timm_computes(class_token: bool) -> None:
    """Its slow way shows the matrices, to a hook on the drop-out behind them."""
    spec = replace(SPEC, class_token=class_token)
    model, seen = random_model(spec), []
    found = attention_maps.attention_matrices(model, images(3))
    for block in model.blocks:
        attention = block.get_submodule("attn")
        attention.fused_attn = False  # type: ignore[assignment]
        attention.get_submodule("attn_drop").register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        model(images(3))
    torch.testing.assert_close(found, torch.stack(seen))


def test_attention_with_relative_positions() -> None:
    """Tables of zeros change nothing, others do; rows sum to 1."""
    spec = replace(SPEC, irpe=True)
    plain, relative = random_model(SPEC), random_model(spec)
    with_tables = attention_maps.attention_matrices(relative, images(2))
    torch.testing.assert_close(with_tables.sum(-1), torch.ones(with_tables.shape[:-1]))
    relative.load_state_dict(plain.state_dict(), strict=False)
    assert not torch.allclose(
        attention_maps.attention_matrices(plain, images(2)), attention_maps.attention_matrices(relative, images(2))
    )
    with torch.no_grad():
        for name, parameter in relative.named_parameters():
            if "rpe_" in name:
                parameter.zero_()
    torch.testing.assert_close(
        attention_maps.attention_matrices(plain, images(2)), attention_maps.attention_matrices(relative, images(2))
    )


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("kind", sorted(attention_maps.MAPS))
def test_maps_are_distributions_over_the_patches(kind: str, class_token: bool) -> None:
    model = random_model(replace(SPEC, class_token=class_token))
    maps = attention_maps.MAPS[kind](model, images(20), torch.arange(20) % 10)
    assert maps.shape == (20, 9)
    assert (maps >= 0).all()
    sums = maps.sum(-1)
    assert all(total == pytest.approx(1) or (kind == "cam" and total == 0) for total in sums.tolist())
    assert (sums > 0).sum() >= 10


@pytest.mark.parametrize("kind", ["rollout", "received"])
def test_where_queries_are_nothing_attention_is_everywhere(kind: str) -> None:
    model = random_model(SPEC)
    with torch.no_grad():
        for block in model.blocks:
            block.get_parameter("attn.qkv.weight")[:48] = 0
            block.get_parameter("attn.qkv.bias")[:48] = 0
    maps = attention_maps.MAPS[kind](model, images(2), torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(maps, torch.full((2, 9), 1 / 9))
    measured = attention_maps.statistics(maps[0])
    assert (measured.entropy, measured.top_share) == pytest.approx((1, 1 / 9))


def test_rollout_by_hand() -> None:
    model = random_model(replace(SPEC, class_token=True, depth=2))
    first, second = attention_maps.attention_matrices(model, images(1)).mean(2)[:, 0].double().numpy()
    arrived = ((second + np.eye(10)) / 2 @ ((first + np.eye(10)) / 2))[0, 1:]
    found = attention_maps.rollout(model, images(1), torch.zeros(1, dtype=torch.int64))
    assert found[0].numpy() == pytest.approx(arrived / arrived.sum(), rel=1e-4)


def test_class_activation_against_differences() -> None:
    """The gradient at every token of one image, by moving each number a little up and down."""
    model, image = random_model(SPEC).double(), images(1).double()
    norm = model.blocks.get_submodule("3.norm1")
    tokens: list[torch.Tensor] = []
    with torch.no_grad():
        hook = norm.register_forward_hook(lambda _, __, output: tokens.append(output))
        model(image)
        hook.remove()
        moves = 1e-5 * torch.eye(9 * 48, dtype=torch.float64).view(-1, 9, 48)
        scores = []
        for sign in (1, -1):
            hook = norm.register_forward_hook(lambda _, __, output, sign=sign: output + sign * moves)
            scores.append(model(image.expand(len(moves), -1, -1, -1))[:, 3])
            hook.remove()
    gradient = ((scores[0] - scores[1]) / 2e-5).view(9, 48)
    expected = (gradient.mean(0) * tokens[0][0]).sum(-1).clamp(min=0)
    found = attention_maps.cam(model, image, torch.tensor([3]))
    assert float(expected.sum()) > 0
    torch.testing.assert_close(found[0], expected / expected.sum(), rtol=1e-5, atol=1e-7)


def test_statistics_of_maps() -> None:
    one = torch.zeros(16)
    one[6] = 1
    assert attention_maps.statistics(one) == attention_maps.Statistics(0.0, 1.0, 1.0, 1, 2)
    assert attention_maps.statistics(torch.zeros(16)) == attention_maps.Statistics(None, None, None, None, None)
    uneven = torch.tensor([0.4, 0.3, 0.2] + [0.1 / 17] * 17)[torch.randperm(20)]
    (padded,) = torch.nn.functional.pad(uneven, (0, 5))[None]
    measured = attention_maps.statistics(padded)
    assert measured.top_share == pytest.approx(0.9)  # a tenth of 25 patches are three
    entropy = -sum(value * math.log(value) for value in uneven.tolist()) / math.log(25)
    assert measured.entropy == pytest.approx(entropy, rel=1e-5)


def test_images_are_of_all_classes_first() -> None:
    labels = np.array([0] * 50 + [1] * 3 + [2])
    drawn = _drawn(labels, 7, seed=1)
    assert sorted(labels[drawn[:3]]) == [0, 1, 2]
    assert sorted(labels[drawn[3:5]]) == [0, 1]
    assert len(set(drawn.tolist())) == 7
    assert drawn.tolist() == _drawn(labels, 7, seed=1).tolist() != _drawn(labels, 7, seed=2).tolist()


# Similarity


def test_likeness_of_tensors() -> None:
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[4.0, -3.0]])
    assert similarity.likeness(a, a) == similarity.Likeness(1.0, 0.0)
    assert similarity.likeness(a, b) == similarity.Likeness(0.0, pytest.approx(math.sqrt(2)))
    assert similarity.likeness(-2 * a, a) == similarity.Likeness(-1.0, 3.0)
    assert similarity.likeness(torch.zeros(2), a.flatten()) == similarity.Likeness(None, 1.0)
    assert similarity.likeness(a, torch.zeros(1, 2)) == similarity.Likeness(None, None)


def test_alignment_does_not_see_rotation_scale_or_place() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(30, 12, generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64))
    assert similarity.cka(features, features) == pytest.approx(1)
    assert similarity.cka(features, 3 * features @ rotation + 7) == pytest.approx(1)
    assert similarity.cka(features, features[:, torch.randperm(12)]) == pytest.approx(1)
    other = torch.randn(30, 9, generator=generator, dtype=torch.float64)
    assert similarity.cka(features, other) == pytest.approx(similarity.cka(other, features) or 0)
    assert similarity.cka(features, torch.ones(30, 4)) is None


def test_alignment_of_what_is_independent_is_0_on_average() -> None:
    """Even with more features than images, where the biased estimate is near 1."""
    generator = torch.Generator().manual_seed(0)
    values = [
        similarity.cka(torch.randn(20, 200, generator=generator), torch.randn(20, 200, generator=generator)) or 0.0
        for _ in range(200)
    ]
    assert np.mean(values) == pytest.approx(0, abs=4 * np.std(values) / math.sqrt(200))
    assert abs(np.mean(values)) < 0.03


def test_the_estimate_is_the_mean_over_different_images() -> None:
    """Computes it by its definition, over all pairs, triples and quadruples of different indices."""
    features = np.random.default_rng(0).normal(size=(2, 6, 3))
    k, l = (f @ f.T for f in features)  # noqa: E741
    pairs = np.mean([k[i, j] * l[i, j] for i, j in itertools.permutations(range(6), 2)])
    triples = np.mean([k[i, j] * l[i, m] for i, j, m in itertools.permutations(range(6), 3)])
    fours = np.mean([k[i, j] * l[m, n] for i, j, m, n in itertools.permutations(range(6), 4)])
    found = similarity._hsic(torch.from_numpy(k), torch.from_numpy(l))
    assert float(found) == pytest.approx(pairs + fours - 2 * triples)


def test_a_model_beside_itself_and_beside_one_of_other_channels() -> None:
    """Permuted hidden channels of an MLP are other weights, and compute the same."""
    model, other = random_model(SPEC), random_model(SPEC)
    order = torch.randperm(192, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        for block in other.blocks:
            for name in ("mlp.fc1.weight", "mlp.fc1.bias"):
                block.get_parameter(name).copy_(block.get_parameter(name)[order].clone())
            block.get_parameter("mlp.fc2.weight").copy_(block.get_parameter("mlp.fc2.weight")[:, order].clone())
    grams, permuted = (similarity.grams_of(m, SPEC, images(24), batch=10) for m in (model, other))
    assert len(grams) == 5
    for gram, same in zip(grams, permuted, strict=True):
        assert similarity._cka(gram, same) == pytest.approx(1)
    weights = [m.blocks.get_submodule("0").get_parameter("mlp.fc1.weight") for m in (model, other)]
    assert abs(similarity.likeness(*weights).cosine or 1) < 0.2
