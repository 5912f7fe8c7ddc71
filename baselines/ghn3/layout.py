"""Names and shapes of a hypernetwork's parameters, as the authors publish them; without torch."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from learngene_bench.contracts.family import count
from learngene_bench.util.errors import UserError

Shape = tuple[int, ...]

PRIMITIVES = (
    "max_pool",
    "avg_pool",
    "sep_conv",
    "dil_conv",
    "conv",
    "msa",
    "cse",
    "sum",
    "concat",
    "input",
    "bias",
    "bn",
    "ln",
    "pos_enc",
    "glob_avg",
)
"""Operations of DeepNets-1M in their order (ppuda, `deepnets1m/genotypes.py`); a linear layer is a convolution."""

MAX_DEGREE, MAX_INPUT_DISTANCE, EDGE_VALUES = 100, 1000, 257
CENTRALITY = ("centrality_embed_in", "centrality_embed_out", "input_dist_embed")
"""Embeddings that published files keep at the top, and files of the authors' trainer in the first layer."""


@dataclass(frozen=True)
class Layout:
    """Sizes of a hypernetwork.

    Attributes:
        hidden: width of node embeddings.
        layers: Graphormer layers.
        heads: of their attention.
        channels: output and input channels of a predicted block, hidden in all published networks.
        spatial: side of a predicted kernel, 16 for ImageNet.
        classes: of the task that it is trained on.
    """

    hidden: int
    layers: int
    heads: int
    classes: int
    channels: int
    spatial: int = 16

    @cached_property
    def channel_values(self) -> list[int]:
        """Numbers of channels with an embedding of their own (ppuda, `ShapeEncoder`)."""
        steps = [*range(8, 64, 8), *range(64, 4096, 16), *range(4096, 8193, 32)]
        return sorted({1, 3, self.classes, *steps})

    @cached_property
    def spatial_values(self) -> list[int]:
        """Kernel sizes with an embedding of their own."""
        return sorted({*range(1, max(12, self.spatial), 2), 14, 16})

    def channel_index(self, channels: int) -> int:
        """Row of a number of channels: its own, else the nearest smaller or larger one's; 4 to 7 count as 8."""
        return _nearest(self.channel_values, 8 if 4 <= channels <= 7 else channels)

    def spatial_index(self, size: int) -> int:
        """Row of a kernel size; 2 counts as 3."""
        return _nearest(self.spatial_values, 3 if size == 2 else size)

    def shapes(self) -> dict[str, Shape]:
        """Every parameter, name to shape."""
        hid, most = self.hidden, self.channels
        shapes: dict[str, Shape] = {
            "ln.weight": (hid,),
            "ln.bias": (hid,),
            "embed.weight": (len(PRIMITIVES), hid),
            "shape_enc.embed_spatial.weight": (len(self.spatial_values) + 1, hid // 4),
            "shape_enc.embed_channel.weight": (len(self.channel_values) + 1, hid // 4),
        }
        for layer in range(self.layers):
            own = self._edge_shapes() if layer == 0 else {}
            shapes.update({f"gnn.{layer}.{name}": shape for name, shape in {**self._layer_shapes(), **own}.items()})
        rows = (MAX_DEGREE + 1, MAX_DEGREE + 1, MAX_INPUT_DISTANCE + 1)
        shapes.update({f"{name}.weight": (row, hid) for name, row in zip(CENTRALITY, rows, strict=True)})
        for name, (outputs, inputs) in {
            "decoder.fc.0": (4 * hid * self.spatial**2, hid),
            "decoder.conv.0": (8 * hid, 4 * hid),
            "decoder.conv.2": (most * most, 8 * hid),
            "decoder.class_layer_predictor.1": (self.classes, most),
            "decoder_1d.fc.0": (2 * hid, hid),
            "decoder_1d.fc.2": (2 * most, 2 * hid),
            "bias_class.1": (self.classes, most),
        }.items():
            shapes[f"{name}.weight"] = (outputs, inputs)
            shapes[f"{name}.bias"] = (outputs,)
        return shapes

    def _layer_shapes(self) -> dict[str, Shape]:
        hid = self.hidden
        return {
            "ln1.weight": (hid,),
            "ln1.bias": (hid,),
            "attn.to_qkv.weight": (3 * hid, hid),
            "attn.to_out.0.weight": (hid, hid),
            "attn.to_out.0.bias": (hid,),
            "ln2.weight": (hid,),
            "ln2.bias": (hid,),
            "ff.net.0.weight": (4 * hid, hid),
            "ff.net.0.bias": (4 * hid,),
            "ff.net.3.weight": (hid, 4 * hid),
            "ff.net.3.bias": (hid,),
        }

    def _edge_shapes(self) -> dict[str, Shape]:
        hid = self.hidden
        return {
            "attn.edge_embed.embed.weight": (EDGE_VALUES, hid),
            "attn.proj_e.0.weight": (hid, 2 * hid),
            "attn.proj_e.0.bias": (hid,),
            "attn.proj_e.2.weight": (self.heads, hid),
            "attn.proj_e.2.bias": (self.heads,),
        }

    def parameter_count(self) -> int:
        return count(self.shapes())


def published(hidden: int, layers: int, heads: int) -> Layout:
    """The layout of a network for ImageNet: blocks of (hidden, hidden, 16, 16), 1000 classes."""
    return Layout(hidden, layers, heads, classes=1000, channels=hidden)


PUBLISHED = {"T": published(64, 3, 8), "S": published(128, 5, 16), "L": published(256, 12, 16)}
PUBLISHED["XL"] = published(384, 24, 16)
"""The sizes on the Hugging Face hub: ghn3tm8, ghn3sm8, ghn3lm8, ghn3xlm16."""


def layout_of(found: Mapping[str, Shape], where: str) -> Layout:
    """The layout that a file's tensors have, read off their shapes as the released code does (`from_pretrained`).

    Args:
        found: shapes by `canonical` names.

    Raises:
        UserError: they are not those of a GHN-3.
    """

    def size(name: str, axis: int, dimensions: int = 2) -> int:
        shape = found.get(name)
        if shape is None or len(shape) != dimensions:
            what = "is missing" if shape is None else f"has shape {shape}"
            raise UserError(f"{where}: not the weights of a GHN-3: {name} {what}")
        return shape[axis]

    layers = [int(match[1]) for name in found if (match := re.fullmatch(r"gnn\.(\d+)\.ln1\.weight", name))]
    hidden = size("embed.weight", 1)
    channels = size("decoder.class_layer_predictor.1.weight", 1)
    layout = Layout(
        hidden=hidden,
        layers=max(layers, default=-1) + 1,
        heads=size("gnn.0.attn.proj_e.2.weight", 0),
        classes=size("decoder.class_layer_predictor.1.weight", 0),
        channels=channels,
        spatial=11 if size("shape_enc.embed_spatial.weight", 0) == 9 else 16,
    )
    needed = layout.shapes()
    for name in [*needed, *found]:
        if needed.get(name) != found.get(name):
            raise UserError(
                f"{where}: not the weights of a GHN-3: {name} has shape {found.get(name)}, "
                f"needed is {needed.get(name)} beside the others"
            )
    if hidden % layout.heads or hidden % 4:
        raise UserError(f"{where}: not the weights of a GHN-3: {layout.heads} heads do not divide its width {hidden}")
    return layout


def canonical(name: str) -> str:
    """A parameter's name as published files have it."""
    return name.removeprefix("gnn.0.") if name.startswith(tuple(f"gnn.0.{part}." for part in CENTRALITY)) else name


def _nearest(values: list[int], value: int) -> int:
    """Index of the nearest of sorted values, the smaller of two that are as near."""
    above = bisect_left(values, value)
    return min(range(max(0, above - 1), min(above + 1, len(values))), key=lambda index: abs(values[index] - value))
