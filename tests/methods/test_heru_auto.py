"""Heru-LG and Auto-LG take whole blocks of an ancestor: which ones, and how similarity chooses them."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from block_methods import FAMILY, context, create, initialized, random_weights
from torch import nn

from learngene_bench.contracts.initializer import Pretrained
from learngene_bench.data.batch_augment import DeviceImages, Normalization
from learngene_bench.data.splits import Images
from learngene_bench.methods.auto_lg.similarity import linear_cka, most_similar
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.training.context import SourceData


def random_model(spec: ViTSpec, generator: torch.Generator) -> nn.Module:
    model = build_model(spec)
    write_weights(model, random_weights(spec, generator))
    return model.eval()


@pytest.mark.parametrize("method", ["heru-lg", "auto-lg"])
def test_blocks_of_the_ancestor(method: str, generator: torch.Generator) -> None:
    ancestor = random_model(FAMILY, generator)
    request = create(method, blocks=2).gene_request(FAMILY, FAMILY)
    assert request is not None
    # The gene depends on the request alone: the method that makes it has default options.
    gene = create(method).prepare(request, context(FAMILY, role="auxiliary", ancestors={"ancestor": ancestor}))
    layers = {"heru-lg": [10, 11], "auto-lg": [0, 1]}[method]
    assert gene.facts["layers"] == layers
    model = initialized(create(method), FAMILY.with_depth(5), gene)
    places = {"heru-lg": [3, 4], "auto-lg": [0, 1]}[method]
    for layer, place in zip(layers, places, strict=True):
        expected = dict(ancestor.blocks.get_submodule(str(layer)).named_parameters())
        actual = dict(model.blocks.get_submodule(str(place)).named_parameters())
        assert all(torch.equal(actual[name], expected[name]) for name in expected)
    assert torch.equal(model.get_parameter("head.weight"), ancestor.get_parameter("head.weight"))


@pytest.mark.parametrize("class_token", [False, True])
def test_similarity_chooses_blocks_that_resemble_the_pseudo_descendants(
    class_token: bool, generator: torch.Generator
) -> None:
    """Blocks 0 and 2 of the ancestor do nothing, and the pseudo-descendant has its blocks 1 and 3.

    So the ancestor's representations are (embedding, first, first, second), the pseudo-descendant's (first, second).
    """
    spec = replace(FAMILY, depth=4, irpe=False, class_token=class_token)
    weights = random_weights(spec, generator)
    for name in weights:
        if name.startswith(("blocks.0.attn.proj", "blocks.0.mlp.fc2", "blocks.2.attn.proj", "blocks.2.mlp.fc2")):
            weights[name].zero_()
    ancestor, descendant = build_model(spec), build_model(spec.with_depth(2))
    write_weights(ancestor, weights)
    moved = {"blocks.1.": "blocks.0.", "blocks.3.": "blocks.1."}
    outside = {name: weight for name, weight in weights.items() if not name.startswith("blocks.")}
    inside = {
        new + n.removeprefix(old): w for old, new in moved.items() for n, w in weights.items() if n.startswith(old)
    }
    write_weights(descendant, {**outside, **inside})
    random = np.random.default_rng(0)
    images = Images(random.integers(0, 256, (100, 1, 6, 6), dtype=np.uint8), np.zeros(100, np.int64))
    plain = DeviceImages(images, Normalization((0.5,), (0.3,)), torch.device("cpu"))
    used = context(
        spec,
        role="auxiliary",
        ancestors={"ancestor": ancestor, "pseudo-descendant": descendant},
        ancestor_flops={"ancestor": 3.0, "pseudo-descendant": 2.0},
        source=SourceData(train={}, plain=plain, validation=plain, classes=5),
    )
    request = create("auto-lg", selection="similarity", blocks=2, images=80).gene_request(spec, spec)
    assert request is not None
    assert request.ancestors["pseudo-descendant"] == Pretrained(spec.with_depth(2))
    gene = create("auto-lg").prepare(request, used)
    assert gene.facts["layers"] == [1, 3]
    assert gene.facts["selection"] == "similarity"
    similarity = torch.tensor(gene.facts["similarity"])
    same = torch.tensor([[False, False], [True, False], [True, False], [False, True]])
    torch.testing.assert_close(similarity[same], torch.ones(3))
    assert similarity[~same].max() < 0.995
    assert (used.cost.images, used.cost.flops) == (80, 80 * 5.0)
    assert torch.equal(gene.tensors["templates/attn.proj.weight"][0], weights["blocks.1.attn.proj.weight"])


def test_blocks_are_paired_in_order() -> None:
    """Against the search over all pairings; the best block of each alone would be taken twice, and out of order."""
    similarity = torch.tensor([[0.1, 0.9, 0.3], [0.2, 0.8, 0.2], [0.9, 0.1, 0.4], [0.3, 0.6, 0.1], [0.3, 0.2, 0.4]])
    sums = {chosen: sum(similarity[k, j] for j, k in enumerate(chosen)) for chosen in permutations(range(5), 3)}
    rising = {chosen: total for chosen, total in sums.items() if list(chosen) == sorted(chosen)}
    assert most_similar(similarity) == list(max(rising, key=lambda chosen: float(rising[chosen]))) == [2, 3, 4]


def test_linear_cka_is_that_of_centered_gram_matrices(generator: torch.Generator) -> None:
    x = torch.randn(9, 4, generator=generator).double() + 3
    y = torch.randn(9, 6, generator=generator).double()
    center = torch.eye(9) - 1 / 9
    one, other = (center.double() @ (z @ z.T) @ center.double() for z in (x, y))
    expected = torch.trace(one @ other) / (torch.trace(one @ one) * torch.trace(other @ other)).sqrt()
    torch.testing.assert_close(linear_cka(x, y), expected)
    turned = torch.linalg.qr(torch.randn(4, 4, generator=generator).double()).Q
    torch.testing.assert_close(linear_cka(x, 5 * x @ turned + 1), torch.tensor(1.0).double())


@pytest.mark.parametrize("method", ["heru-lg", "auto-lg"])
def test_a_learngene_is_no_larger_than_the_ancestor(method: str) -> None:
    answer = create(method, blocks=13).supports(FAMILY.with_depth(16), FAMILY)
    assert answer == "its learngene has 13 blocks, the ancestor only 12"
