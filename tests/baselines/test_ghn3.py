"""GHN-3: its graph against real models, its equations against the released code's way of computing them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import networkx
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ghn3_models import KINDS, SMALL, TINY, small_hypernetwork
from torch import Tensor, nn

from learngene_bench.baselines.ghn3.graph import Graph, distances, graph_of
from learngene_bench.baselines.ghn3.layout import PRIMITIVES, PUBLISHED, layout_of
from learngene_bench.baselines.ghn3.network import GraphBatch, Hypernetwork
from learngene_bench.baselines.ghn3.prediction import fitted, predict
from learngene_bench.config.preset import BaseInitialization
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import build_model
from learngene_bench.training.inputs import new_model


@pytest.fixture
def hypernetwork() -> Hypernetwork:
    return small_hypernetwork()


# --- The graph ---


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_of_the_real_model_is_in_its_graph_once(kind: str) -> None:
    spec = KINDS[kind]
    model = build_model(spec, device="meta")
    actual = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    named = [name for node in graph_of(spec).nodes for name in node.parameters]
    assert len(named) == len(set(named))
    assert {name for name in actual if name not in named} == {n for n in actual if "rpe_" in n or n == "cls_token"}
    for node in graph_of(spec).nodes:
        for name in node.parameters:
            if name == "pos_embed":
                side = spec.image_size // spec.patch_size
                assert node.shape == (1, actual[name][2], side, side)
                assert side * side == actual[name][1] - spec.class_token
            else:
                assert node.shape == actual[name]


@pytest.mark.parametrize("kind", ["plain", "class token", "iRPE", "colour, wide MLP"])
def test_nodes_come_in_the_order_in_which_the_real_model_computes(kind: str) -> None:
    """Hooks on its modules tell; operations are told by the module that has parameters and what kind it is."""
    spec, seen = KINDS[kind], []
    model = new_model(spec, BaseInitialization(), 0)
    expected = {nn.Conv2d: "conv", nn.Linear: "conv", nn.LayerNorm: "ln"}
    for name, module in model.named_modules():
        if isinstance(module, tuple(expected)):
            kind_of = expected[next(known for known in expected if isinstance(module, known))]
            module.register_forward_hook(lambda *_, entry=(kind_of, f"{name}.weight"): seen.append(entry))
    model(torch.zeros(1, spec.channels, spec.image_size, spec.image_size))
    nodes = graph_of(spec).nodes
    assert seen == [(node.primitive, node.parameters[0]) for node in nodes if node.primitive in ("conv", "ln")]
    kinds = [node.primitive for node in nodes]
    assert (kinds.count("msa"), kinds.count("sum"), kinds.count("input")) == (spec.depth, 2 * spec.depth + 1, 1)
    assert kinds.count("glob_avg") == (not spec.class_token)
    assert set(kinds) <= set(PRIMITIVES)


def test_the_edges_of_one_block() -> None:
    graph = graph_of(replace(TINY, depth=1))
    names = [node.parameters[0] if node.parameters else node.primitive for node in graph.nodes]
    edges = {(names[i], names[j]) for i, j in np.argwhere(graph.distances == 1)}
    stem = ["input", "patch_embed.proj.weight", "patch_embed.proj.bias", "sum"]
    first = ["sum", "blocks.0.norm1.weight", "blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias", "msa"]
    first += ["blocks.0.attn.proj.weight", "blocks.0.attn.proj.bias", "sum"]
    second = ["sum", "blocks.0.norm2.weight", "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc1.bias"]
    second += ["blocks.0.mlp.fc2.weight", "blocks.0.mlp.fc2.bias", "sum"]
    end = ["sum", "norm.weight", "glob_avg", "head.weight", "head.bias"]
    chains = [stem, first, second, end, ["pos_embed", "sum"], ["sum", "sum"]]
    assert edges == {pair for chain in chains for pair in pairwise(chain)}
    sums = [number for number, name in enumerate(names) if name == "sum"]
    assert [graph.distances[i, j] for i, j in pairwise(sums)] == [1, 1]
    assert graph.distances[0, names.index("pos_embed")] == 0


@pytest.mark.parametrize("depth", [1, 12])
def test_distances_are_lengths_of_shortest_paths(depth: int) -> None:
    graph = graph_of(replace(TINY, depth=depth))
    lengths = dict(networkx.all_pairs_shortest_path_length(networkx.DiGraph(graph.distances == 1)))
    for start, ends in lengths.items():
        assert {end: length for end, length in ends.items() if length} == {
            end: length for end, length in enumerate(graph.distances[start]) if length
        }


def test_longer_paths_have_no_virtual_edge() -> None:
    chain = distances(60, [(number, number + 1) for number in range(59)])
    assert chain[0].tolist() == [*range(51), *[0] * 9]


# --- Sizes ---


def test_published_sizes_have_their_parameter_counts_and_the_network_has_their_names() -> None:
    assert PUBLISHED["T"].parameter_count() == 6_906_632
    millions = {size: round(layout.parameter_count() / 1e6, 2) for size, layout in PUBLISHED.items()}
    assert millions == {"T": 6.91, "S": 35.81, "L": 214.67, "XL": 654.37}
    for layout in PUBLISHED.values():
        with torch.device("meta"):
            network = Hypernetwork(layout)
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        assert shapes == layout.shapes()
        assert layout_of(shapes, "it") == layout


def test_shapes_without_an_embedding_take_the_nearest_one() -> None:
    """Rounds as ppuda's look-up tables do: the first of two equally near values wins."""
    layout = PUBLISHED["T"]
    channels = {1: 1, 2: 1, 3: 3, 4: 8, 7: 8, 12: 8, 13: 16, 56: 56, 60: 56, 63: 64, 384: 384, 576: 576, 1000: 1000}
    channels |= {1152: 1152, 200: 192, 201: 208, 9000: 8192}
    assert {c: layout.channel_values[layout.channel_index(c)] for c in channels} == channels
    sizes = {1: 1, 2: 3, 3: 3, 4: 3, 6: 5, 8: 7, 12: 11, 14: 14, 16: 16, 24: 16}
    assert {s: layout.spatial_values[layout.spatial_index(s)] for s in sizes} == sizes


# --- The network, against the released code's way ---


def encoded_as_released(network: Hypernetwork, graph: Graph) -> Tensor:
    """Node embeddings of one graph: every pair through the MLP, every head by itself."""
    weights, layout = network.state_dict(), network.layout
    direct = torch.from_numpy(graph.distances == 1)
    rows = []
    for number, node in enumerate(graph.nodes):
        out, inp, *kernel = (*node.shape, 1, 1, 1)[:4] if node.shape else (None,) * 4
        if out is None:
            indices = [len(layout.channel_values)] * 2 + [len(layout.spatial_values)] * 2
        else:
            indices = [layout.channel_index(c) for c in (out, inp)] + [layout.spatial_index(s) for s in kernel]
        tables = ["embed_channel", "embed_channel", "embed_spatial", "embed_spatial"]
        shape = torch.cat([weights[f"shape_enc.{table}.weight"][i] for table, i in zip(tables, indices, strict=True)])
        rows.append(
            weights["embed.weight"][PRIMITIVES.index(node.primitive)]
            + shape
            + weights["centrality_embed_in.weight"][direct[:, number].sum()]
            + weights["centrality_embed_out.weight"][direct[number].sum()]
            + weights["input_dist_embed.weight"][graph.distances[0, number]]
        )
    x = torch.stack(rows)
    both = torch.from_numpy(np.stack([graph.distances, graph.distances.T], -1)) + 2
    pairs = weights["gnn.0.attn.edge_embed.embed.weight"][both].flatten(-2)
    edges = network.gnn[0].attn.proj_e(pairs)  # (N, N, heads)
    for layer in network.gnn:
        query, key, value = layer.attn.to_qkv(layer.ln1(x)).chunk(3, -1)
        size, heads = query.shape[-1] // layout.heads, []
        for head in range(layout.heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size) + edges[..., head]
            heads.append(scores.softmax(-1) @ value[:, part])
        x = x + layer.attn.to_out(torch.cat(heads, -1))
        x = x + layer.ff(layer.ln2(x))
    return network.ln(x)


def test_encoding_is_the_released_one(hypernetwork: Hypernetwork) -> None:
    hypernetwork.double()
    for spec in (TINY, KINDS["class token"]):
        graph = graph_of(spec)
        own = hypernetwork.encode(GraphBatch.of([graph], SMALL, torch.device("cpu")))[0]
        torch.testing.assert_close(own, encoded_as_released(hypernetwork, graph), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 4, 7, 14, 16, 20])
def test_blocks_are_the_middle_of_whole_ones(hypernetwork: Hypernetwork, size: int) -> None:
    """The released decoder computes the whole of every block, then cuts."""
    decoder, nodes = hypernetwork.decoder, torch.randn(3, SMALL.hidden)
    whole = decoder.fc(nodes).view(3, -1, 16, 16)
    first, end = max(0, 8 - size // 2), 8 + math.ceil(size / 2)
    whole = decoder.conv(whole[:, :, first:end, first:end].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    whole = whole.reshape(3, 16, 16, *whole.shape[2:])
    if size > 16:
        whole = torch.stack([F.interpolate(block, (size, size), mode="bilinear") for block in whole])
    one, other = decoder([nodes, nodes[:1]], [(size, 16, 16), (min(size, 2), 5, 7)])
    torch.testing.assert_close(one, whole, rtol=1e-4, atol=1e-5)
    middle = decoder([nodes[:1]], [(min(size, 2), 16, 16)])[0]
    torch.testing.assert_close(other, middle[:, :5, :7], rtol=1e-4, atol=1e-5)
    classes = decoder.class_layer_predictor(decoder([nodes], [(1, 16, 16)])[0][..., 0, 0].mT).mT
    torch.testing.assert_close(decoder.head(nodes, 9), classes[..., :9], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 3), (16, 16), (40, 16), (16, 37), (50, 33)])
def test_blocks_are_cut_then_repeated(shape: tuple[int, int]) -> None:
    block = torch.randn(2, 16, 16)
    rows, columns = (min(16, size) for size in shape)
    expected = [[block[1, i % rows, j % columns] for j in range(shape[1])] for i in range(shape[0])]
    assert torch.equal(fitted(block, shape)[1], torch.tensor(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_predicted_weights(hypernetwork: Hypernetwork, kind: str) -> None:
    """Names and shapes of a real model; each number from its node, by the released normalisation."""
    spec = KINDS[kind]
    graph = graph_of(spec)
    with torch.no_grad():
        found = predict(hypernetwork, [graph])
    weights = found.weights[0]
    shapes = replace(spec, class_token=False, irpe=False).parameter_shapes()
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == shapes
    assert float(found.norm) == pytest.approx(sum(float(weight.norm()) for weight in weights.values()), rel=1e-5)
    nodes = hypernetwork.encode(GraphBatch.of([graph], SMALL, torch.device("cpu")))[0]
    number = {name: index for index, node in enumerate(graph.nodes) for name in node.parameters}
    for name, expected in _by_hand(hypernetwork, spec, nodes, number):
        torch.testing.assert_close(weights[name], expected, rtol=1e-4, atol=1e-6)


def _by_hand(
    network: Hypernetwork, spec: ViTSpec, nodes: Tensor, number: dict[str, int]
) -> Iterator[tuple[str, Tensor]]:
    hidden, width, patch = spec.hidden, spec.width, spec.patch_size
    vectors = {name: network.decoder_1d.fc(nodes[index]).view(2, -1) for name, index in number.items()}
    norm = vectors["blocks.0.norm2.weight"]
    yield "blocks.0.norm2.weight", (2 / (1 + (-norm[0] / 2).exp())).repeat(2)[:width]
    yield "blocks.0.norm2.bias", (norm[1] * 0.2).tanh().repeat(2)[:width]
    yield "blocks.0.mlp.fc1.bias", (vectors["blocks.0.mlp.fc1.bias"][1] * 0.2).tanh().repeat(9)[:hidden]
    (block,) = network.decoder([nodes[number["blocks.0.mlp.fc2.weight"]][None]], [(1, 16, 16)])
    rows = min(width, 16)
    tiled = block[0, :rows, :, 0, 0].repeat(2, 9)[:width, :hidden]
    yield "blocks.0.mlp.fc2.weight", tiled * math.sqrt(2 / hidden)
    (block,) = network.decoder([nodes[number["patch_embed.proj.weight"]][None]], [(patch, 16, spec.channels)])
    fan_in = spec.channels * patch**2
    gain = 1 if spec.channels == 1 else 2
    yield "patch_embed.proj.weight", block[0].repeat(2, 1, 1, 1)[:width] * math.sqrt(gain / fan_in)
    side = spec.image_size // patch
    (block,) = network.decoder([nodes[number["pos_embed"]][None]], [(side, 1, 16)])
    yield "pos_embed", block[0, 0].flatten(1).T.repeat(1, 2)[None, :, :width]
    if spec.classes:
        logits = network.bias_class(vectors["head.bias"])
        yield "head.bias", (logits[1] * 0.2).tanh()
        head = network.decoder.head(nodes[number["head.weight"]][None], 16)
        yield "head.weight", head[0, :, : min(width, 16)].repeat(1, 2)[:, :width] * math.sqrt(2 / width)


def test_a_meta_batch_predicts_what_each_network_alone_would(hypernetwork: Hypernetwork) -> None:
    """Padding and masks change nothing."""
    graphs = [
        graph_of(replace(TINY, depth=depth, width=8 * heads, heads=heads)) for depth, heads in [(1, 1), (5, 3), (3, 2)]
    ]
    with torch.no_grad():
        together = predict(hypernetwork, graphs)
        alone = [predict(hypernetwork, [graph]) for graph in graphs]
    for ours, (theirs,) in zip(together.weights, (one.weights for one in alone), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)
    assert float(together.norm) == pytest.approx(sum(float(one.norm) for one in alone), rel=1e-5)
