"""GHN-3's equations: from graphs to node embeddings (a Graphormer), from embeddings to blocks of weights (decoders).

Modules are named as in the released code, so that its state dicts load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learngene_bench.baselines.ghn3.graph import CUTOFF, Graph, Node
from learngene_bench.baselines.ghn3.layout import EDGE_VALUES, MAX_DEGREE, MAX_INPUT_DISTANCE, PRIMITIVES, Layout

MASKED = -(2.0**15)


@dataclass(frozen=True)
class GraphBatch:
    """Graphs padded to the largest one's N nodes.

    Attributes:
        primitives: (B, N), indices into `PRIMITIVES`.
        shapes: (B, N, 4), rows of the shape embeddings: output and input channels, kernel height and width.
        distances: (B, N, N), as in `Graph`.
        valid: (B, N), False for padding.
    """

    primitives: Tensor
    shapes: Tensor
    distances: Tensor
    valid: Tensor

    @staticmethod
    def of(graphs: Sequence[Graph], layout: Layout, device: torch.device, *, own_head: bool = True) -> GraphBatch:
        """Pads graphs.

        Args:
            own_head: True to show the head with the model's number of classes, False to show it with the number that
                the hypernetwork was trained on.
        """
        most = max(len(graph.nodes) for graph in graphs)
        nothing = (len(layout.channel_values),) * 2 + (len(layout.spatial_values),) * 2
        primitives = torch.zeros(len(graphs), most, dtype=torch.int64)
        shapes = torch.tensor(nothing).repeat(len(graphs), most, 1)
        distances = torch.zeros(len(graphs), most, most, dtype=torch.int64)
        valid = torch.zeros(len(graphs), most, dtype=torch.bool)
        for number, graph in enumerate(graphs):
            count = len(graph.nodes)
            primitives[number, :count] = torch.tensor([PRIMITIVES.index(node.primitive) for node in graph.nodes])
            rows = [_shape_rows(node, layout, own_head) or nothing for node in graph.nodes]
            shapes[number, :count] = torch.tensor(rows)
            distances[number, :count, :count] = torch.from_numpy(graph.distances)
            valid[number, :count] = True
        return GraphBatch(*(each.to(device, non_blocking=True) for each in (primitives, shapes, distances, valid)))


def _shape_rows(node: Node, layout: Layout, own_head: bool) -> tuple[int, int, int, int] | None:
    """Rows of the shape embeddings; None for an operation without parameters."""
    if not node.parameters:
        return None
    shape = node.shape
    if node.parameters[0].startswith("head.") and not own_head:
        shape = (layout.classes, *shape[1:])
    outputs, inputs, height, width = (*shape, 1, 1, 1)[:4]
    return (
        layout.channel_index(outputs),
        layout.channel_index(inputs),
        layout.spatial_index(height),
        layout.spatial_index(width),
    )


class Hypernetwork(nn.Module):
    """GHN-3 of a layout; `encode` graphs, then ask `decoder`, `vectors` or `class_vectors` for blocks of weights."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        hid, most = layout.hidden, layout.channels
        self.layout = layout
        self.ln = nn.LayerNorm(hid)
        self.embed = nn.Embedding(len(PRIMITIVES), hid)
        self.shape_enc = ShapeEncoding(layout)
        self.gnn = nn.ModuleList([GraphormerLayer(layout, edges=layer == 0) for layer in range(layout.layers)])
        self.centrality_embed_in = nn.Embedding(MAX_DEGREE + 1, hid)
        self.centrality_embed_out = nn.Embedding(MAX_DEGREE + 1, hid)
        self.input_dist_embed = nn.Embedding(MAX_INPUT_DISTANCE + 1, hid)
        self.decoder = BlockDecoder(layout)
        self.decoder_1d = VectorDecoder(layout)
        self.bias_class = nn.Sequential(nn.ReLU(), nn.Linear(most, layout.classes))
        self._start()

    def _start(self) -> None:
        """The released start (`_init_small`, `_init_embed`): small last layers; embeddings of norm 1, edges' too."""
        for last in (self.decoder_1d.fc[2], self.decoder.conv[2], self.decoder.class_layer_predictor[1]):
            last = cast(nn.Linear, last)
            with torch.no_grad():
                last.weight.div_(5.0)
                last.bias.zero_()
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.trunc_normal_(module.weight, std=module.embedding_dim**-0.5)

    def encode(self, graphs: GraphBatch) -> Tensor:
        """Embeddings of all nodes: (B, N, hidden); those of padding mean nothing."""
        direct = graphs.distances == 1
        x = self.embed(graphs.primitives) + self.shape_enc(graphs.shapes)
        x = x + self.centrality_embed_in(direct.sum(1).clamp(max=MAX_DEGREE))
        x = x + self.centrality_embed_out(direct.sum(2).clamp(max=MAX_DEGREE))
        x = x + self.input_dist_embed(graphs.distances[:, 0].clamp(max=MAX_INPUT_DISTANCE))
        x = x * graphs.valid.unsqueeze(-1)
        bias = self.gnn[0].get_submodule("attn").edge_bias(graphs)  # type: ignore[operator]
        for layer in self.gnn:
            x = layer(x, bias)
        return self.ln(x)

    def vectors(self, nodes: Tensor) -> Tensor:
        """Decodes nodes (n, hidden): (n, 2, channels), rows for a norm's weight and for a bias."""
        return self.decoder_1d(nodes)

    def class_vectors(self, nodes: Tensor) -> Tensor:
        """The same for the head's bias: (n, 2, classes)."""
        return self.bias_class(self.decoder_1d(nodes))

    def encoding_flops(self, graphs: GraphBatch) -> float:
        """Operations of the matrix products of one `encode`."""
        batch, count = graphs.primitives.shape
        hid = self.layout.hidden
        layer = 2 * count * hid * (3 + 1 + 4 + 4) * hid + 2 * 2 * count * count * hid
        return float(batch * self.layout.layers * layer)


class ShapeEncoding(nn.Module):
    """Four look-ups of a quarter of the width each (ppuda, `ShapeEncoder`)."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.embed_spatial = nn.Embedding(len(layout.spatial_values) + 1, layout.hidden // 4)
        self.embed_channel = nn.Embedding(len(layout.channel_values) + 1, layout.hidden // 4)

    def forward(self, shapes: Tensor) -> Tensor:
        channels, sizes = self.embed_channel(shapes[..., :2]), self.embed_spatial(shapes[..., 2:])
        return torch.cat([channels.flatten(-2), sizes.flatten(-2)], -1)


class GraphormerLayer(nn.Module):
    """Pre-norm attention and MLP (`graphormer.py`)."""

    def __init__(self, layout: Layout, edges: bool) -> None:
        super().__init__()
        hid = layout.hidden
        self.ln1 = nn.LayerNorm(hid)
        self.attn = GraphAttention(layout, edges)
        self.ln2 = nn.LayerNorm(hid)
        self.ff = FeedForward(hid)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x), bias)
        return x + self.ff(self.ln2(x))


class FeedForward(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        # The third is the released code's dropout of rate 0, which numbers the layers.
        self.net = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Identity(), nn.Linear(4 * hidden, hidden))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class GraphAttention(nn.Module):
    """Attention between all nodes, biased by how far apart they are.

    Args:
        edges: True if it makes the bias, which all layers use.
    """

    def __init__(self, layout: Layout, edges: bool) -> None:
        super().__init__()
        hid = layout.hidden
        self.heads = layout.heads
        self.to_qkv = nn.Linear(hid, 3 * hid, bias=False)
        self.to_out = nn.Sequential(nn.Linear(hid, hid))
        if edges:
            self.edge_embed = EdgeEmbedding(hid)
            self.proj_e = nn.Sequential(nn.Linear(2 * hid, hid), nn.ReLU(), nn.Linear(hid, layout.heads))

    def edge_bias(self, graphs: GraphBatch) -> Tensor:
        """MLP(e(d_ij), e(d_ji)) for every pair of nodes, and so little for padding that it gets no attention.

        Edges lead forward, so one of the two distances is 0: there are 2 `CUTOFF` + 1 different pairs, and only these
        go through the MLP.

        Returns:
            (B, heads, N, N).
        """
        far = torch.arange(1, CUTOFF + 1, device=graphs.distances.device)
        forward, backward = F.pad(far, (1, CUTOFF)), F.pad(far, (CUTOFF + 1, 0))
        pairs = self.edge_embed(torch.stack([forward, backward], -1) + 2).flatten(-2)
        table = self.proj_e(pairs)
        back = graphs.distances.mT
        which = graphs.distances + torch.where(back > 0, back + CUTOFF, 0)
        bias = F.embedding(which, table).permute(0, 3, 1, 2)
        return bias.masked_fill(~graphs.valid[:, None, None, :], MASKED)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, count, hidden = x.shape
        q, k, v = self.to_qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.mT * (hidden // self.heads) ** -0.5 + bias
        return self.to_out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, count, hidden))


class EdgeEmbedding(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(EDGE_VALUES, hidden)

    def forward(self, distances: Tensor) -> Tensor:
        return self.embed(distances)


class VectorDecoder(nn.Module):
    """Decodes embeddings to norms and biases (`decoder_1d`, an `MLP`)."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        hid = layout.hidden
        self.fc = nn.Sequential(nn.Linear(hid, 2 * hid), nn.ReLU(), nn.Linear(2 * hid, 2 * layout.channels))

    def forward(self, nodes: Tensor) -> Tensor:
        return self.fc(nodes).view(len(nodes), 2, -1)


class BlockDecoder(nn.Module):
    """Decodes embeddings to blocks of matrices and kernels (`ConvDecoder3`).

    The released code computes whole blocks and cuts out what is needed; here only that is computed.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        hid, most = layout.hidden, layout.channels
        self.layout = layout
        self.fc = nn.Sequential(nn.Linear(hid, 4 * hid * layout.spatial**2), nn.ReLU())
        self.conv = nn.Sequential(nn.Linear(4 * hid, 8 * hid), nn.ReLU(), nn.Linear(8 * hid, most * most))
        self.class_layer_predictor = nn.Sequential(nn.ReLU(), nn.Linear(most, layout.classes))

    def forward(self, nodes: Sequence[Tensor], sizes: Sequence[tuple[int, int, int]]) -> list[Tensor]:
        """The middle of the predicted kernels, for several sizes of them.

        Args:
            nodes: (n, hidden) for each size.
            sizes: of the kernels, one larger than the largest being interpolated; and how many output and input
                channels are needed, at most `layout.channels`.

        Returns:
            (n, output channels, input channels, size, size) for each size.
        """
        largest = min(self.layout.spatial, max(size for size, _, _ in sizes))
        # All sizes are cut out of one piece: the gradient of every cut is as large as what it is cut from.
        weight, bias = self._middle(largest)
        blocks = []
        for x, (size, rows, columns) in zip(nodes, sizes, strict=True):
            cut = min(size, self.layout.spatial)
            inside = _centre(cut, largest)
            own = weight[:, inside, inside].flatten(0, 2), bias[:, inside, inside].flatten()
            x = F.linear(x, *own).relu().view(len(x), -1, cut, cut)
            x = F.linear(self.conv[:2](x.permute(0, 2, 3, 1)), *self._last(rows, columns))
            block = x.view(len(x), cut, cut, rows, columns).permute(0, 3, 4, 1, 2)
            if cut < size:
                resized = F.interpolate(block.flatten(1, 2), (size, size), mode="bilinear")
                block = resized.view(len(x), rows, columns, size, size)
            blocks.append(block)
        return blocks

    def _middle(self, size: int) -> tuple[Tensor, Tensor]:
        """Weight (4 hidden, size, size, hidden) and bias of the first layer for the middle of the kernels."""
        first, spatial = cast(nn.Linear, self.fc[0]), self.layout.spatial
        places = torch.arange(len(first.bias), device=first.bias.device).view(-1, spatial, spatial)
        inside = _centre(size, spatial)
        chosen = places[:, inside, inside].flatten()
        weight, bias = first.weight.index_select(0, chosen), first.bias.index_select(0, chosen)
        return weight.view(-1, size, size, weight.shape[-1]), bias.view(-1, size, size)

    def _last(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Weight (rows * columns, 8 hidden) and bias of the last layer for the first channels."""
        last, most = cast(nn.Linear, self.conv[2]), self.layout.channels
        if rows == columns == most:
            return last.weight, last.bias
        places = torch.arange(len(last.bias), device=last.bias.device).view(most, most)
        chosen = places[:rows, :columns].flatten()
        return last.weight.index_select(0, chosen), last.bias.index_select(0, chosen)

    def head(self, nodes: Tensor, columns: int) -> Tensor:
        """Decodes nodes (n, hidden) to the class layer: (n, classes, columns)."""
        (blocks,) = self([nodes], [(1, self.layout.channels, columns)])
        return self.class_layer_predictor(blocks[..., 0, 0].mT).mT

    def flops(self, nodes: int, size: int, rows: int, columns: int) -> float:
        """Operations of the matrix products of `forward`."""
        hid, places = self.layout.hidden, min(size, self.layout.spatial) ** 2
        return 2.0 * nodes * places * (4 * hid * hid + 32 * hid * hid + 8 * hid * rows * columns)


def _centre(size: int, whole: int) -> slice:
    """The middle of an axis, as the released code takes it: an odd size is longer by one before the middle's right."""
    return slice(whole // 2 - size // 2, whole // 2 + (size + 1) // 2)
