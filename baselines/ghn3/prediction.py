"""Makes the weights of models out of a hypernetwork's outputs: sliced, tiled, normalised, with noise between copies.

A block is smaller than most weights. The released code (`ghn3/nn.py`, `_tile_params` and `_normalize`) cuts it to the
weight's shape and repeats it where it is too small. Vectors for norms and biases are cut and repeated in the same way.
Then a prediction p becomes, with fan-in the count of numbers in a row:

    matrices, convolutions  p sqrt(2 / fan-in)  (a convolution of one input channel: p sqrt(1 / fan-in))
    weights of norms        2 sigmoid(p / 2)
    biases                  tanh(p / 5), those of norms too
    positions               p
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from learngene_bench.baselines.ghn3.graph import Graph
from learngene_bench.baselines.ghn3.network import GraphBatch, Hypernetwork

NOISE = 1e-5
"""Standard deviation of what is added to predicted matrices."""

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Predicted:
    """Weights of several models.

    Attributes:
        weights: for each model, what is predicted of it, by timm's names.
        norm: sum of the Frobenius norms of all of them.
        flops: operations of the prediction.
    """

    weights: list[Weights]
    norm: Tensor
    flops: float


@dataclass(frozen=True)
class _Place:
    """A parameter to predict: of which model, which node, its name."""

    model: int
    node: int
    name: str


def predict(
    hypernetwork: Hypernetwork, graphs: Sequence[Graph], *, head: bool = True, own_head: bool = True
) -> Predicted:
    """Predicts the weights of several models together, each as if it were alone.

    Args:
        head: True if the class layer is predicted, which then must have the hypernetwork's number of classes.
        own_head: see `GraphBatch.of`.
    """
    device = hypernetwork.ln.weight.device
    batch = GraphBatch.of(graphs, hypernetwork.layout, device, own_head=own_head)
    nodes = hypernetwork.encode(batch)
    found = _Collected([{} for _ in graphs], nodes.new_zeros(()))
    flops = hypernetwork.encoding_flops(batch)
    flops += _predict_blocks(hypernetwork, graphs, nodes, found)
    if head:
        flops += _predict_heads(hypernetwork, graphs, nodes, found)
    _predict_vectors(hypernetwork, graphs, nodes, found)
    return Predicted(found.weights, found.norm, flops)


class _Collected:
    """Weights as they are made, a stack of equal shapes at a time."""

    def __init__(self, weights: list[Weights], norm: Tensor) -> None:
        self.weights, self.norm = weights, norm

    def put(self, places: Sequence[_Place], stack: Tensor) -> None:
        self.norm = self.norm + torch.linalg.vector_norm(stack.flatten(1), dim=1).sum()
        for place, weight in zip(places, stack.unbind(0), strict=True):
            self.weights[place.model][place.name] = weight


def _predict_blocks(hypernetwork: Hypernetwork, graphs: Sequence[Graph], nodes: Tensor, found: _Collected) -> float:
    """Matrices, convolutions, positions: one pass of the decoder for each size of kernel."""
    by_size: dict[int, dict[tuple[int, ...], list[_Place]]] = defaultdict(lambda: defaultdict(list))
    for place, shape in _places(graphs):
        if len(shape) > 1 and not place.name.startswith("head."):
            by_size[shape[2] if len(shape) == 4 else 1][shape].append(place)
    most = hypernetwork.layout.channels
    sizes = [
        (size, *(min(most, max(shape[axis] for shape in by_shape)) for axis in (0, 1)))
        for size, by_shape in by_size.items()
    ]
    chosen = [_chosen(nodes, [place for places in by.values() for place in places]) for by in by_size.values()]
    blocks = hypernetwork.decoder(chosen, sizes)
    for by_shape, block in zip(by_size.values(), blocks, strict=True):
        parts = block.split([len(places) for places in by_shape.values()])
        for (shape, places), stack in zip(by_shape.items(), parts, strict=True):
            stack = fitted(stack[..., 0, 0] if len(shape) == 2 else stack, shape)
            if places[0].name == "pos_embed":
                found.put(places, stack.flatten(-2).mT)  # (n, 1, D, side, side) to (n, 1, patches, D)
            else:
                found.put(places, stack * weight_scale(shape))
    return sum(hypernetwork.decoder.flops(len(x), *size) for x, size in zip(chosen, sizes, strict=True))


def _predict_heads(hypernetwork: Hypernetwork, graphs: Sequence[Graph], nodes: Tensor, found: _Collected) -> float:
    by_shape: dict[tuple[int, ...], list[_Place]] = defaultdict(list)
    for place, shape in _places(graphs):
        if place.name.startswith("head."):
            by_shape[shape].append(place)
    flops = 0.0
    for shape, places in by_shape.items():
        chosen = _chosen(nodes, places)
        if len(shape) == 1:
            found.put(places, bias(hypernetwork.class_vectors(chosen)[:, 1]))
            continue
        columns = min(hypernetwork.layout.channels, shape[1])
        stack = fitted(hypernetwork.decoder.head(chosen, columns), shape)
        found.put(places, stack * weight_scale(shape))
        flops += hypernetwork.decoder.flops(len(chosen), 1, hypernetwork.layout.channels, columns)
    return flops


def _predict_vectors(hypernetwork: Hypernetwork, graphs: Sequence[Graph], nodes: Tensor, found: _Collected) -> None:
    """Norms and biases: one pass of their decoder."""
    by_kind: dict[tuple[int, str], list[_Place]] = defaultdict(list)
    for place, shape in _places(graphs):
        if len(shape) == 1 and not place.name.startswith("head."):
            kind = "norm" if "norm" in place.name and place.name.endswith("weight") else "bias"
            by_kind[shape[0], kind].append(place)
    vectors = hypernetwork.vectors(_chosen(nodes, [place for places in by_kind.values() for place in places]))
    parts = vectors.split([len(places) for places in by_kind.values()])
    for ((length, kind), places), stack in zip(by_kind.items(), parts, strict=True):
        stack = fitted(stack, (2, length))
        found.put(places, norm(stack[:, 0]) if kind == "norm" else bias(stack[:, 1]))


def _places(graphs: Sequence[Graph]) -> list[tuple[_Place, tuple[int, ...]]]:
    """Every parameter to predict, with its shape."""
    return [
        (_Place(model, number, name), node.shape)
        for model, graph in enumerate(graphs)
        for number, node in enumerate(graph.nodes)
        for name in node.parameters
    ]


def _chosen(nodes: Tensor, places: Sequence[_Place]) -> Tensor:
    """Embeddings (n, hidden) of these places' nodes."""
    models, numbers = ([getattr(place, part) for place in places] for part in ("model", "node"))
    model, number = torch.tensor([models, numbers]).to(nodes.device, non_blocking=True)
    return nodes[model, number]


def fitted(stack: Tensor, shape: Sequence[int]) -> Tensor:
    """Cuts blocks (n, rows, columns, ...) to a weight's output and input channels, or repeats them to fill them."""
    for axis, needed in enumerate(shape[:2], start=1):
        there = min(stack.shape[axis], needed)
        if there < stack.shape[axis]:
            stack = stack.narrow(axis, 0, there)
        if there < needed:
            copies = [1] * stack.dim()
            copies[axis] = math.ceil(needed / there)
            stack = stack.repeat(copies).narrow(axis, 0, needed)
    return stack


def weight_scale(shape: Sequence[int]) -> float:
    """The factor that a predicted weight of this shape is multiplied by."""
    gain = 1.0 if len(shape) == 4 and shape[1] == 1 else 2.0
    return math.sqrt(gain / math.prod(shape[1:]))


def norm(vector: Tensor) -> Tensor:
    return 2 * torch.sigmoid(vector / 2)


def bias(vector: Tensor) -> Tensor:
    return torch.tanh(0.2 * vector)


def with_noise(weights: Mapping[str, Tensor], generator: Generator) -> Weights:
    """Adds noise to matrices and convolutions, so that tiled copies can grow apart.

    Norms, biases, positions and the head get none, as in the released code (ppuda, `utils/init.py`, `init`; called in
    `ghn3/trainer.py`): it visits the modules whose `weight` has two axes or more, and leaves out the last of them, the
    head. Query, key and value of torchvision's models are not reached so, as their weight is called `in_proj_weight`;
    here they get noise, as they would in timm's.

    A choice of this suite: the noise of all weights has the scale `NOISE`. The released code multiplies it, weight by
    weight, by the standard deviation of the entries of a correlation matrix (`get_corr`), a factor of at most 1. The
    correlations are those between the rows of the weight, or between its columns where there are more columns.
    """
    noisy = dict(weights)
    for name, weight in weights.items():
        if name.startswith(("blocks.", "patch_embed.")) and weight.dim() > 1:
            noisy[name] = weight + NOISE * torch.randn(weight.shape, generator=generator)
    return noisy
