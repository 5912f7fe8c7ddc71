"""The graph of a Vision Transformer as GHN-3 sees it, built from its `ViTSpec`; without torch.

The released code traces a model's backward pass (`ghn3/graph.py`); of a Vision Transformer it makes one chain with two
detours in each block:

    input, patch convolution, bias, + positions,
    [ln, qkv, bias, msa, proj, bias, +, ln, fc1, bias, fc2, bias, +] for every block,
    ln, average pool (not where the head reads a class token), head, bias

One node for each weight and each bias of a linear layer; norms have one node, from which weight and bias are predicted.
Not in the graph, so never predicted: the class token, iRPE tables.

This is, node for node, what the released code traces of torchvision's `VisionTransformer` where attention is not fused;
fused attention shows it no softmax, so no msa. Of timm's own `VisionTransformer` it makes a graph without positions and
without the sum that they go into: it keeps parameters of the modules that it lists (`MODULES`), and `pos_embed` is a
parameter of the model itself. It then predicts no positions, and timm's random ones stay. (Where timm has a class of
its own for norms, the released code stops with a `KeyError`.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learngene_bench.models.vit import ViTSpec

CUTOFF = 50
"""Longest path that a virtual edge stands for."""


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        primitive: its kind, one of `layout.PRIMITIVES`.
        parameters: names of the parameters that it stands for; a norm's weight, then its bias.
        shape: of the first of them; positions as (1, D, side, side). Empty for operations without parameters.
    """

    primitive: str
    parameters: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Nodes and lengths of shortest paths between them.

    Attributes:
        spec: the model.
        distances: (N, N), entry i, j the edges from node i to node j; 0 for no path, or one longer than `CUTOFF`.
    """

    spec: ViTSpec
    nodes: tuple[Node, ...]
    distances: NDArray[np.int64]


def graph_of(spec: ViTSpec) -> Graph:
    """The graph of a model."""
    return _Builder(spec).graph()


class _Builder:
    """Adds nodes in the order of the forward pass; `last` is the one that the next begins at."""

    def __init__(self, spec: ViTSpec) -> None:
        self.spec, self.shapes = spec, spec.parameter_shapes()
        self.nodes = [Node("input")]
        self.edges: list[tuple[int, int]] = []
        self.last = 0

    def graph(self) -> Graph:
        self.linear("patch_embed.proj")
        self.positions()
        for layer in range(self.spec.depth):
            self.branch(f"blocks.{layer}.norm1", f"blocks.{layer}.attn.qkv", "msa", f"blocks.{layer}.attn.proj")
            self.branch(f"blocks.{layer}.norm2", f"blocks.{layer}.mlp.fc1", None, f"blocks.{layer}.mlp.fc2")
        self.norm("norm")
        if not self.spec.class_token:
            self.add(Node("glob_avg"))
        if self.spec.classes:
            self.linear("head")
        return Graph(self.spec, tuple(self.nodes), distances(len(self.nodes), self.edges))

    def add(self, node: Node) -> None:
        """A node after the last one."""
        self.nodes.append(node)
        self.edges.append((self.last, len(self.nodes) - 1))
        self.last = len(self.nodes) - 1

    def linear(self, name: str) -> None:
        for primitive, parameter in (("conv", f"{name}.weight"), ("bias", f"{name}.bias")):
            self.add(Node(primitive, (parameter,), self.shapes[parameter]))

    def norm(self, name: str) -> None:
        self.add(Node("ln", (f"{name}.weight", f"{name}.bias"), self.shapes[f"{name}.weight"]))

    def positions(self) -> None:
        """An embedding that nothing leads to, and the sum that it goes into."""
        before, side = self.last, self.spec.image_size // self.spec.patch_size
        self.nodes.append(Node("pos_enc", ("pos_embed",), (1, self.spec.width, side, side)))
        self.last = len(self.nodes) - 1
        self.add(Node("sum"))
        self.edges.append((before, self.last))

    def branch(self, norm: str, first: str, between: str | None, second: str) -> None:
        """A residual branch."""
        before = self.last
        self.norm(norm)
        self.linear(first)
        if between:
            self.add(Node(between))
        self.linear(second)
        self.add(Node("sum"))
        self.edges.append((before, self.last))


def distances(count: int, edges: list[tuple[int, int]], cutoff: int = CUTOFF) -> NDArray[np.int64]:
    """Lengths of shortest paths (count, count) along edges that lead to higher numbers; 0 beyond `cutoff`."""
    far = cutoff + 1
    lengths = np.full((count, count), far, dtype=np.int64)
    np.fill_diagonal(lengths, 0)
    for start, end in sorted(edges, key=lambda edge: edge[1]):  # all paths to `start` are known by then
        lengths[:, end] = np.minimum(lengths[:, end], lengths[:, start] + 1)
    lengths[lengths >= far] = 0
    return lengths
