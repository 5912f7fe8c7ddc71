"""GHN-3: its graph against real models, its equations against the released code's way of computing them, its files."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import joblib
import networkx
import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.func import functional_call

import learngene_bench
from learngene_bench.augment import DeviceImages, Normalization
from learngene_bench.baselines.ghn3.graph import Graph, distances, graph_of
from learngene_bench.baselines.ghn3.initializer import Ghn3, Ghn3Options
from learngene_bench.baselines.ghn3.layout import CENTRALITY, PRIMITIVES, PUBLISHED, Layout, layout_of
from learngene_bench.baselines.ghn3.meta_batch import PENALTY, Family, MetaBatch, start_at_unit_variance
from learngene_bench.baselines.ghn3.network import GraphBatch, Hypernetwork
from learngene_bench.baselines.ghn3.prediction import NOISE, fitted, predict
from learngene_bench.cli.common import build_request
from learngene_bench.cli.main import run_command
from learngene_bench.config import BaseInitialization, Compute, Recipe, load_preset
from learngene_bench.context import Context
from learngene_bench.datasets import Images
from learngene_bench.errors import UserError
from learngene_bench.gene import Gene
from learngene_bench.materials import new_model
from learngene_bench.models import build_model
from learngene_bench.plan import Plan
from learngene_bench.planner import make_plan
from learngene_bench.registry import Registry
from learngene_bench.spec import ModelSpec
from learngene_bench.streams import Streams
from learngene_bench.training import Phase, Trained, train

SMALL = Layout(hidden=16, layers=2, heads=4, classes=5, channels=16)
TINY = ModelSpec(depth=3, width=24, heads=3, patch_size=4, image_size=12, channels=1, classes=5)
KINDS = {
    "plain": TINY,
    "narrow": replace(TINY, width=8, heads=1),
    "class token": replace(TINY, class_token=True),
    "iRPE": replace(TINY, irpe=True),
    "colour, wide MLP": replace(TINY, channels=3, mlp_ratio=6.0, depth=1),
    "large patches": replace(TINY, patch_size=20, image_size=40),
    "many patches": replace(TINY, patch_size=2, image_size=36),
    "no head": replace(TINY, classes=0),
}


@pytest.fixture
def hypernetwork() -> Hypernetwork:
    """With weights of its own size in every layer, so that no part of the equations is too small to see."""
    torch.manual_seed(0)
    network = Hypernetwork(SMALL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network


@pytest.fixture
def weights(hypernetwork: Hypernetwork, tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(hypernetwork.state_dict(), path)
    return path


def context(seed: int = 0, *, same_task: bool = True) -> Context:
    base = BaseInitialization(matrices="xavier", position_std=0.5)
    return Context(seed, torch.device("cpu"), Compute(), base, same_task=same_task)


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
    """As in ppuda's look-up tables, where the first of two that are as near wins."""
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
    network: Hypernetwork, spec: ModelSpec, nodes: Tensor, number: dict[str, int]
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


# --- As an initializer ---


def gene_of(hypernetwork: Hypernetwork, family: ModelSpec = TINY) -> Gene:
    return Gene("ghn3", family, {name: tensor.detach() for name, tensor in hypernetwork.state_dict().items()})


def initialized(gene: Gene, target: ModelSpec, where: Context) -> tuple[VisionTransformer, dict[str, Tensor]]:
    """A target after the method, and its weights before."""
    model = build_model(target)
    before = where.base_weights(target)
    model.load_state_dict(before)
    Ghn3(Ghn3Options()).initialize(model, target, gene, where)
    return model, before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_in_the_graph_keeps_the_base_initialization(hypernetwork: Hypernetwork, kind: str) -> None:
    target = replace(KINDS[kind], depth=2)
    model, before = initialized(gene_of(hypernetwork), target, context())
    kept = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    assert kept == {name for name in before if "rpe_" in name or name == "cls_token"}
    if target.class_token:
        assert torch.equal(model.pos_embed[:, 0], before["pos_embed"][:, 0])
        assert not torch.equal(model.pos_embed[:, 1], before["pos_embed"][:, 1])
    assert all(parameter.is_leaf and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("classes", "same_task"), [(5, False), (7, True), (7, False)])
def test_the_head_of_another_task_keeps_the_base_initialization(
    hypernetwork: Hypernetwork, classes: int, same_task: bool
) -> None:
    """And all else is predicted as if it had the classes that the hypernetwork knows."""
    own, _ = initialized(gene_of(hypernetwork), TINY, context())
    model, before = initialized(gene_of(hypernetwork), replace(TINY, classes=classes), context(same_task=same_task))
    for name, parameter in model.named_parameters():
        expected = before[name] if name.startswith("head.") else own.get_parameter(name)
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-6)


def test_noise_tells_tiled_copies_apart_and_is_all_that_the_seed_changes(hypernetwork: Hypernetwork) -> None:
    gene = gene_of(hypernetwork)
    models = [initialized(gene, TINY, context(seed))[0] for seed in (0, 1)]
    rows = models[0].get_parameter("blocks.0.mlp.fc1.weight")
    apart = (rows[0] - rows[16]).detach().abs().max()
    assert 0 < float(apart) < 10 * NOISE
    for (name, one), other in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        noisy = one.dim() > 1 and name.startswith(("blocks.", "patch_embed."))
        assert torch.equal(one, other) != noisy, name
        if noisy:
            assert float((one - other).std()) == pytest.approx(math.sqrt(2) * NOISE, rel=0.2)


def test_on_a_model_of_ones_own(weights: Path) -> None:
    """Without the benchmark, on timm's plain DeiT; sizes are the file's."""
    arguments = {"img_size": 12, "patch_size": 4, "in_chans": 1, "num_classes": 5}
    model = timm.create_model("deit_tiny_patch16_224", **arguments, depth=2, embed_dim=24, num_heads=3)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    report = learngene_bench.initialize(model, "ghn3", weights=weights, seed=3)
    assert report.kept == ("cls_token",)
    assert torch.equal(model.pos_embed[:, 0], before["pos_embed"][:, 0])
    with pytest.raises(UserError, match=r"ghn3 trains to make its gene \(hypernetwork\), on data that are missing"):
        learngene_bench.initialize(model, "ghn3")


# --- Training ---


def test_the_loss_is_the_mean_over_models_of_cross_entropy_and_norms(hypernetwork: Hypernetwork) -> None:
    family = Family(replace(TINY, class_token=True))
    network = MetaBatch(hypernetwork, family, 3)
    network.draw(torch.Generator().manual_seed(0))
    images, labels = torch.randn(6, 1, 12, 12), torch.arange(6) % 5
    expected = torch.zeros(())
    for spec in network.drawn:
        (weights,) = predict(hypernetwork, [graph_of(spec)]).weights
        model = build_model(spec)
        zeros = {"cls_token": torch.zeros(1, 1, spec.width)}
        weights = {**weights, **zeros, "pos_embed": F.pad(weights["pos_embed"], (0, 0, 1, 0))}
        logits = functional_call(model, weights, (images,))
        norms = sum(weight.norm() for weight in weights.values())
        expected = expected + (F.cross_entropy(logits, labels, label_smoothing=0.1) + PENALTY * norms) / 3
    loss = network(images, labels, 0.1)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    flops, _ = network.step_operations()
    assert flops == sum(spec.forward_flops() for spec in network.drawn)
    loss.backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_models_are_drawn_around_the_base() -> None:
    base = ModelSpec(12, 384, 6, 16, 224, irpe=True)
    drawn = Family(base).draw(500, torch.Generator().manual_seed(0))
    assert {spec.depth for spec in drawn} == set(range(3, 13))
    assert {spec.width for spec in drawn} == {192, 256, 320, 384, 448, 512, 576}
    assert all((spec.head_dimension, spec.irpe, spec.mlp_ratio) == (64, False, 4.0) for spec in drawn)


def test_training_here_starts_with_matrices_of_variance_two_over_fan_in() -> None:
    torch.manual_seed(0)
    hypernetwork = Hypernetwork(Layout(hidden=24, layers=1, heads=4, classes=5, channels=24))
    start_at_unit_variance(hypernetwork, Family(TINY))
    with torch.no_grad():
        (weights,) = predict(hypernetwork, [graph_of(TINY)]).weights
    for name, weight in weights.items():
        if weight.dim() == 2:
            assert float(weight.var()) == pytest.approx(2 / weight.shape[1], rel=0.4), name


def some_images() -> DeviceImages:
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 5
    images = generator.integers(0, 60, (40, 1, 12, 12)) + labels[:, None, None, None] * 40
    return DeviceImages(Images(images.astype(np.uint8), labels), Normalization((0.4,), (0.3,)), torch.device("cpu"))


class Killed(Exception):
    pass


def run(checkpoint: Path | None = None, kill_at: int | None = None) -> tuple[dict[str, Tensor], Trained]:
    torch.manual_seed(0)
    network = MetaBatch(Hypernetwork(SMALL), Family(TINY, depths=(1, 2)), 2, drop_path=0.2)
    steps = 0

    def step(module: nn.Module, _: object) -> None:
        nonlocal steps
        steps += module.training
        if module.training and steps == kill_at:
            raise Killed

    network.register_forward_pre_hook(step)
    recipe = Recipe(iterations=8, batch_size=10, learning_rate=1e-3, clip_gradient=5.0, mixup=0.8, label_smoothing=0.1)
    phase = Phase("hypernetwork", Streams(0), Compute(checkpoint_seconds=1e-9), 5, checkpoint=checkpoint)
    trained = train(network, some_images(), recipe, phase)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}, trained


def test_a_killed_training_continues_to_the_same_bits_and_the_same_cost(tmp_path: Path) -> None:
    expected, whole = run()
    for kill_at in (6, 2):
        with pytest.raises(Killed):
            run(tmp_path / "checkpoint.pt", kill_at)
    weights, continued = run(tmp_path / "checkpoint.pt")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert continued.curve == whole.curve
    assert (continued.cost.flops, continued.cost.images) == (whole.cost.flops, whole.cost.images)
    assert whole.cost.images == 80
    assert whole.cost.flops > 3 * 80 * 2 * replace(TINY, depth=1, width=16, heads=2).forward_flops()


# --- Files of weights, and what a plan makes of them ---


def plan_of(*settings: str, methods: str = "ghn3") -> Plan:
    return make_plan(build_request(methods, "depth", "digits", 1, list(settings), Registry(), False))


def test_addresses_depend_on_what_is_in_the_file_and_not_on_where_it_lies(weights: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes(weights.read_bytes())
    one, same = plan_of(f"ghn3.weights={weights}"), plan_of(f"ghn3.weights={elsewhere}")
    assert one.stages.keys() == same.stages.keys()
    assert str(tmp_path) not in "".join(f"{stage.config}{stage.label}" for stage in one.stages.values())
    tensors = load_file(weights)
    save_file({**tensors, "ln.bias": tensors["ln.bias"] + 1}, weights)
    other = plan_of(f"ghn3.weights={weights}")
    assert not other.stages.keys() & same.stages.keys()
    assert other.rows[0].variant != same.rows[0].variant


def test_rows_say_whether_the_weights_are_published_ones(weights: Path) -> None:
    plan = plan_of(methods=f"ghn3,ghn3:weights={weights}")
    titles = {(row.title, row.group, row.variant == "") for row in plan.rows}
    assert titles == {("GHN-3-style, trained here", "direct", True), ("GHN-3, published weights", "direct", False)}
    assert {(cell.row.title, cell.prepare_epochs, cell.stored_parameters) for cell in plan.cells} == {
        ("GHN-3-style, trained here", plan.preset.recipe_of("hypernetwork", 48).epochs, 0),
        ("GHN-3, published weights", None, 0),
    }


def test_a_preset_without_the_recipe_trains_by_that_of_condensation() -> None:
    preset = load_preset("digits")
    assert preset.model_copy(update={"hypernetwork": None}).recipe_of("hypernetwork", 48) == preset.condensation
    assert preset.recipe_of("hypernetwork", 48).model_dump()["networks"] == 2
    assert "networks" not in preset.condensation.model_dump()  # or all addresses of before would be others


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("ln.bias"), "ln.bias has shape None, needed is (16,)"),
        (lambda t: t.update({"more": torch.zeros(2)}), "more has shape (2,), needed is None"),
        (lambda t: t.update({"ln.bias": torch.zeros(3)}), "ln.bias has shape (3,), needed is (16,)"),
        (lambda t: t.pop("embed.weight"), "embed.weight is missing"),
        (lambda t: t.update({"ln.bias": torch.zeros(16, dtype=torch.int64)}), "numbers of type F32, I64"),
    ],
)
def test_another_file_is_refused_in_one_line(
    weights: Path, capsys: pytest.CaptureFixture[str], change: object, message: str
) -> None:
    tensors = load_file(weights)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, weights)
    assert run_command(["plan", "--method", "ghn3", "--set", f"ghn3.weights={weights}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"lgbench: ghn3.weights: {weights}: not the weights of a GHN-3: ")
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"no weights", b""])
def test_a_file_that_is_none_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert run_command(["plan", "--method", "ghn3", "--set", f"ghn3.weights={path}"]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_a_run_with_weights_from_a_file(weights: Path, tmp_path: Path) -> None:
    """Its record says what the weights are and what they left alone; another file in its place is not taken for it."""
    arguments = ["run", "--method", "ghn3", "--set", f"ghn3.weights={weights}", "--runs", str(tmp_path / "runs")]
    arguments += ["--quick", "--set", "model.class_token=true", "--set", "grid.depths=[1]"]
    assert run_command(arguments) == 0
    (path,) = (tmp_path / "runs" / "cell").glob("*/result.json")
    record = json.loads(path.read_text())
    assert record["cell"]["title"] == "GHN-3, published weights"
    assert record["kept_tensors"] == ["cls_token", "head.weight", "head.bias"]  # the file's task has 5 classes
    (path,) = (tmp_path / "runs" / "gene").glob("*/config.json")
    config = json.loads(path.read_text())
    (found,) = config["config"]["files"].values()
    assert config["execution"]["files"][found] == str(weights)
    rerun = ["rerun", record["address"][:8], str(tmp_path / "runs"), "--output"]
    assert run_command([*rerun, str(tmp_path / "again")]) == 0
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights)
    assert run_command([*rerun, str(tmp_path / "of-another-file")]) == 2
    assert run_command([*rerun, str(tmp_path / "with-its-gene"), "--keep-inputs"]) == 0


def as_published(hypernetwork: Hypernetwork, path: Path, *, old: bool = False) -> None:
    """A bare state dict; the first had pointwise convolutions, the authors' trainer keeps some names elsewhere."""
    state = dict(hypernetwork.state_dict())
    if old:
        for name in ("decoder.conv.0.weight", "decoder.conv.2.weight", "decoder.class_layer_predictor.1.weight"):
            state[name] = state[name][:, :, None, None]
        for name in CENTRALITY:
            state[f"gnn.0.{name}.weight"] = state.pop(f"{name}.weight")
    joblib.dump(state, path)


@pytest.mark.parametrize("old", [False, True])
def test_a_published_file_makes_the_round_trip(hypernetwork: Hypernetwork, tmp_path: Path, old: bool) -> None:
    path = tmp_path / "ghn3tm8.pt"
    as_published(hypernetwork, path, old=old)
    assert run_command(["gene", "convert-ghn3", str(path), "--trust"]) == 0
    converted = load_file(path.with_suffix(".safetensors"))
    assert all(torch.equal(converted[name], tensor) for name, tensor in hypernetwork.state_dict().items())
    assert converted.keys() == hypernetwork.state_dict().keys()
    assert plan_of(f"ghn3.weights={path.with_suffix('.safetensors')}").rows[0].title == "GHN-3, published weights"


class Hostile:
    """Does what it likes when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return (Path.touch, (self.mark,))


def test_nothing_is_unpickled_without_trust(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, mark = tmp_path / "hostile.pt", tmp_path / "ran"
    joblib.dump(Hostile(mark), path)
    assert run_command(["gene", "convert-ghn3", str(path)]) == 2
    assert "to read a pickle is to run the code in it" in capsys.readouterr().err
    assert not mark.exists()
    assert run_command(["gene", "convert-ghn3", str(path), "--trust"]) == 2  # it ran, and still is no state dict
    assert mark.exists()
    assert "holds an object of type NoneType, not a state dict" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda state: {**state, "more": "text"}, "entry 'more' is no tensor of floats, but a str"),
        (lambda state: {**state, "ln.bias": torch.full((16,), float("nan"))}, "numbers in ln.bias are not finite"),
        (lambda state: {"ln.bias": torch.zeros(16)}, "embed.weight is missing"),
        (lambda state: [state], "holds an object of type list"),
    ],
)
def test_what_is_no_state_dict_is_not_converted(
    hypernetwork: Hypernetwork, tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, message: str
) -> None:
    path = tmp_path / "file.pt"
    joblib.dump(make(dict(hypernetwork.state_dict())), path)  # type: ignore[operator]
    assert run_command(["gene", "convert-ghn3", str(path), "--trust"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.safetensors"))


def test_conversion_overwrites_nothing(hypernetwork: Hypernetwork, weights: Path, tmp_path: Path) -> None:
    path, before = tmp_path / "weights.pt", weights.read_bytes()
    as_published(hypernetwork, path)
    assert run_command(["gene", "convert-ghn3", str(path), "--trust"]) == 2
    assert run_command(["gene", "convert-ghn3", str(path), "--trust", "-o", str(tmp_path / "other.pt")]) == 2
    assert weights.read_bytes() == before
    assert run_command(["gene", "convert-ghn3", str(path), "--trust", "-o", str(tmp_path / "x.safetensors")]) == 0
