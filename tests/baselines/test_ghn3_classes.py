"""GHN-3 on a task with other classes: the head that the hypernetwork is shown, and the head that a target has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ghn3_models import TINY
from safetensors.torch import save_file
from torch import Tensor

from learngene_bench.baselines.ghn3.graph import graph_of
from learngene_bench.baselines.ghn3.initializer import Ghn3, Ghn3Options
from learngene_bench.baselines.ghn3.layout import Layout
from learngene_bench.baselines.ghn3.network import GraphBatch, Hypernetwork
from learngene_bench.baselines.ghn3.prediction import NOISE, predict
from learngene_bench.config.preset import BaseInitialization, Compute
from learngene_bench.conformance.fixtures import shared_benchmark
from learngene_bench.contracts.gene import Gene
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model, write_weights
from learngene_bench.training.context import MeteredContext

IMAGENET = Layout(hidden=16, layers=2, heads=4, classes=1000, channels=16)
BASE = BaseInitialization(weight_init="xavier", position_std=0.5)


def on_another_task(target: ViTSpec) -> MeteredContext:
    return MeteredContext(0, torch.device("cpu"), Compute(), BASE, target, same_task=False)


@pytest.fixture
def imagenet_hypernetwork() -> Hypernetwork:
    torch.manual_seed(0)
    return Hypernetwork(IMAGENET).eval()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[GraphBatch]:
    """Every graph that a hypernetwork is shown."""
    batches: list[GraphBatch] = []
    encode = Hypernetwork.encode

    def remember(self: Hypernetwork, graphs: GraphBatch) -> Tensor:
        batches.append(graphs)
        return encode(self, graphs)

    monkeypatch.setattr(Hypernetwork, "encode", remember)
    return batches


def published_gene(hypernetwork: Hypernetwork, folder: Path) -> Gene:
    """The gene of a file of weights."""
    save_file(hypernetwork.state_dict(), folder / "weights.safetensors")
    method = Ghn3(Ghn3Options(weights=folder / "weights.safetensors"))
    request = method.gene_request(TINY, TINY)
    return method.prepare(request, on_another_task(TINY))


def gene_trained_here() -> Gene:
    """The gene of a training of a few steps, for 10 classes."""
    benchmark = shared_benchmark("vit")
    base = benchmark.targets()[0].base
    method = Ghn3(Ghn3Options(hidden=16, layers=2, heads=4))
    request = method.gene_request(base, base)
    recipes = benchmark.recipes(request.trains, base.width, method.recipe_fallbacks)
    return method.prepare(request, benchmark.context("auxiliary", base, recipes, 0))


def initialized(gene: Gene, target: ViTSpec) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights of a target on another task after the method, and before."""
    where = on_another_task(target)
    model, before = build_model(target), where.base_weights(target)
    write_weights(model, before)
    Ghn3(Ghn3Options()).initialize(model, target, gene, where)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}, before


def seen_with(hypernetwork: Hypernetwork, target: ViTSpec) -> dict[str, Tensor]:
    """Predictions for a target whose classes the hypernetwork is shown."""
    with torch.no_grad():
        return predict(hypernetwork, [graph_of(target)], head=False).weights[0]


def released_row(channels: int, known: int) -> int:
    """The row of a number of channels in the look-up table of ppuda's `ShapeEncoder` for `known` classes."""
    values = np.unique([1, 3, known, *range(8, 64, 8), *range(64, 4096, 16), *range(4096, 8193, 32)])
    return int(np.argmin(abs(values - (8 if 4 <= channels < 8 else channels))))


def rows_of(shown: GraphBatch, target: ViTSpec, *, head: bool) -> list[list[int]]:
    """Rows of the shape embeddings of the head's two nodes, or of all other nodes."""
    nodes = graph_of(target).nodes
    rows = shown.shapes[0].tolist()
    is_head = [any(name.startswith("head.") for name in node.parameters) for node in nodes]
    return [row for row, mine in zip(rows, is_head, strict=True) if mine is head]


@pytest.mark.parametrize("classes", [2, 5, 24, 37, 100, 1000, 9000])
def test_published_weights_see_the_targets_own_number_of_classes(
    imagenet_hypernetwork: Hypernetwork, seen: list[GraphBatch], classes: int, tmp_path: Path
) -> None:
    """Compares with what the released code does as it runs, whatever it is told about the class layer.

    ppuda's `ShapeEncoder.forward` has a branch that shows the classes of the training. It is for keys `cls_w` and
    `cls_b`, and the keys that `_map_net_params` makes are tuples of sizes.
    """
    target = replace(TINY, classes=classes)
    found, before = initialized(published_gene(imagenet_hypernetwork, tmp_path), target)
    weight, bias = rows_of(seen[-1], target, head=True)
    assert weight[:2] == [released_row(classes, 1000), released_row(TINY.width, 1000)]
    assert bias[:2] == [released_row(classes, 1000), released_row(1, 1000)]
    expected = seen_with(imagenet_hypernetwork, target)
    as_imagenet = seen_with(imagenet_hypernetwork, replace(TINY, classes=1000))
    assert rows_of(seen[-2], target, head=False) == rows_of(seen[-1], target, head=False)
    assert found.keys() == expected.keys() | {"head.weight", "head.bias"}
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=10 * NOISE)
        if tensor.dim() == 2:
            change = float((tensor - as_imagenet[name]).norm() / as_imagenet[name].norm())
            assert 0.005 < change < 0.1 if classes != 1000 else change == 0, (name, change)
    assert all(torch.equal(found[name], before[name]) for name in ("head.weight", "head.bias"))


@pytest.mark.parametrize("classes", [3, 10, 100])
def test_weights_trained_here_see_the_classes_that_they_were_trained_on(seen: list[GraphBatch], classes: int) -> None:
    gene = gene_trained_here()
    family = gene.family
    assert isinstance(family, ViTSpec)
    target, known = (replace(family, depth=3, classes=number) for number in (classes, family.classes))
    (found, before), (same, _) = initialized(gene, target), initialized(gene, known)
    assert torch.equal(seen[-2].shapes, seen[-1].shapes)
    weight, _ = rows_of(seen[-2], target, head=True)
    assert weight[0] == released_row(10, 10)
    for name, tensor in found.items():
        if name.startswith("head."):
            assert torch.equal(tensor, before[name])
        elif "rpe_" not in name:
            torch.testing.assert_close(tensor, same[name], rtol=0, atol=10 * NOISE)
