"""Structured initialization against its definition: NumPy's decomposition of D x D matrices; what attention does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from baseline_models import SMALL, context, initialized, of

from learngene_bench.baselines.impulse import Impulse, ImpulseOptions
from learngene_bench.models.vit import ViTSpec

TARGET = replace(SMALL, depth=2, width=12, heads=3, image_size=8)  # 4 x 4 patches
PLACES = [(0, 0), (-1, 0), (0, 1), (0, -1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)]
"""Rows down and columns right: centre, up, right, left, down, corners."""


def normalised(positions: np.ndarray) -> np.ndarray:
    centred = positions - positions.mean(1, keepdims=True)
    return centred / np.sqrt(positions.var(1, keepdims=True) + 1e-6)


@pytest.mark.parametrize("class_token", [False, True])
def test_products_solve_for_the_maps_of_neighbours(class_token: bool) -> None:
    """A = P+ W P+' with the truncated pseudo-inverse, of which Wq' Wk is the best approximation of rank d, scaled."""
    target = replace(TARGET, class_token=class_token)
    where = context(target)
    base, weights = where.base_weights(target), of(initialized(Impulse(ImpulseOptions()), target, None, where))
    generator, tokens = context(target).generator("impulse"), 16 + class_token
    drawn = torch.nn.init.trunc_normal_(torch.empty(1, tokens, 12), std=0.02, generator=generator)
    torch.testing.assert_close(weights["pos_embed"], 18 * drawn)
    positions = normalised(weights["pos_embed"][0, int(class_token) :].double().numpy())
    left, values, right = np.linalg.svd(positions, full_matrices=False)
    inverse = right[:4].T @ np.diag(1 / values[:4]) @ left[:, :4].T
    for layer in range(2):
        noise = torch.empty(3, 16, 16)
        noise = torch.nn.init.trunc_normal_(noise, std=0.6, generator=generator).double().numpy()
        query, key, value = weights[f"blocks.{layer}.attn.qkv.weight"].double().split(12)
        for head in range(3):
            wanted = 3 * noise[head]
            down, right_by = PLACES[head]
            for row in range(4):
                for column in range(4):
                    if 0 <= row + down < 4 and 0 <= column + right_by < 4:
                        wanted[4 * row + column, 4 * (row + down) + column + right_by] = 1000
            u, s, v = np.linalg.svd(inverse @ wanted @ inverse.T)
            q, k = u[:, :4] * np.sqrt(s[:4]), v[:4].T * np.sqrt(s[:4])
            expected = 49 * (q / np.linalg.norm(q)) @ (k / np.linalg.norm(k)).T
            rows = slice(4 * head, 4 * head + 4)
            found = (query[rows].mT @ key[rows]).numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        uniform = torch.empty(12, 12).uniform_(-1, 1, generator=generator).double() * (3 / 12) ** 0.5
        product = value.mT @ weights[f"blocks.{layer}.attn.proj.weight"].double().mT
        torch.testing.assert_close(product, 0.4 * uniform - 0.4 * torch.eye(12), rtol=1e-4, atol=1e-5)
    changed = {name for name in base if not torch.equal(base[name], weights[name])}
    attention = {f"blocks.{layer}.attn.{name}.weight" for layer in range(2) for name in ("qkv", "proj")}
    assert changed == attention | {"pos_embed"}


def test_patches_attend_to_their_neighbours() -> None:
    """DeiT-Ti's grid and width: between positions, 79 % of the attention is on the one neighbour, all on the centre."""
    target = ViTSpec(depth=1, width=192, heads=3, patch_size=16, image_size=224, classes=2)
    weights = of(initialized(Impulse(ImpulseOptions()), target))
    positions = torch.from_numpy(normalised(weights["pos_embed"][0].double().numpy()))
    query, key, _ = weights["blocks.0.attn.qkv.weight"].double().split(192)
    inner = [14 * row + column for row in range(1, 13) for column in range(1, 13)]
    for head, (down, right) in enumerate(PLACES[:3]):
        rows = slice(64 * head, 64 * head + 64)
        scores = positions @ query[rows].mT @ key[rows] @ positions.mT / 8
        attention = scores.softmax(-1)
        on_neighbour = attention[inner, [place + 14 * down + right for place in inner]]
        assert float(on_neighbour.mean()) == pytest.approx(0.79 if head else 1.0, abs=0.04)


def test_the_control_has_the_norms_and_the_positions_only() -> None:
    where = context(TARGET)
    method = Impulse(ImpulseOptions(structured=False, query_norm=5, position_std=0.2))
    base, weights = where.base_weights(TARGET), of(initialized(method, TARGET, None, where))
    assert float(weights["pos_embed"].std()) == pytest.approx(0.2, rel=0.2)
    for layer in range(2):
        name = f"blocks.{layer}.attn.qkv.weight"
        for part, (old, new) in enumerate(zip(base[name].split(12), weights[name].split(12), strict=True)):
            for ours, theirs in zip(new.split(4), old.split(4), strict=True):
                expected = theirs if part == 2 else 5 * theirs / theirs.norm()
                torch.testing.assert_close(ours, expected)
        assert torch.equal(weights[f"blocks.{layer}.attn.proj.weight"], base[f"blocks.{layer}.attn.proj.weight"])


def test_heads_larger_than_the_rank_of_positions_are_refused() -> None:
    method = Impulse(ImpulseOptions())
    assert method.supports(TARGET, TARGET) is None
    one_head = replace(TARGET, heads=1)
    assert method.supports(one_head, one_head) == "its heads of dimension 12 are larger than the rank of positions, 11"
