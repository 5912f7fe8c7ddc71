"""The rule by which WAVE cuts the parameters of a block into templates, and how scalers lay them out again."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

from learngene_bench.contracts.family import ModelSpec, Shapes
from learngene_bench.expansion.widening import repeated, repetitions
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

Part = Literal["attention", "projection", "mlp", "norm"]
PARTS: dict[str, Part] = {
    "attn.qkv": "attention",
    "attn.q_bias": "attention",
    "attn.v_bias": "attention",
    "attn.rpe_q": "attention",
    "attn.rpe_k": "attention",
    "attn.rpe_v": "attention",
    "attn.relative_position_bias_table": "attention",
    "attn.cpb_mlp.0": "attention",
    "attn.cpb_mlp.2": "attention",
    "attn.logit_scale": "attention",
    "conv_dw": "attention",  # a depthwise convolution stands where a Transformer has attention
    "attn.proj": "projection",
    "mlp.fc1": "mlp",
    "mlp.fc2": "mlp",
    "mlp.grn": "mlp",
    "gamma": "mlp",  # scales what the MLP adds
    "norm": "norm",
    "norm1": "norm",
    "norm2": "norm",
}
POSITIONS = ("attn.rpe_", "attn.relative_position_bias_table", "attn.cpb_mlp.")
"""Beginnings of the components that hold or make relative positions."""


class Layout:
    """The rule by which the parameters of a base's blocks are cut into templates of one size.

    A matrix is a grid of square blocks, `size` wide where the model is as wide as its first stage. All else that grows
    with the width is a row of blocks with size / D of it each: a vector, a depthwise kernel, a table with a column for
    each head. What does not grow is one block, as an iRPE table is. Every block position has templates of its own, one
    for each power of relative depth.

    Each stage of a model has a layout of its own. Its blocks are larger by as much as it is wider than the first, so
    that all stages have the same grids.

    Attributes:
        shapes: parameter shapes of the blocks, by component as in a gene.
        tiles: blocks along a side of length D.
    """

    def __init__(self, family: ModelSpec, size: int, per_position: int) -> None:
        self.family, self.size, self.per_position = family, size, per_position
        self.tiles = family.width // size
        self._places = family.components()
        self.shapes: Shapes = {key: stage.shapes[name] for key, (stage, name) in self._places.items()}
        wider = family.with_width(2 * family.width).components()
        self._growing = {
            key: [
                axis for axis, length in enumerate(shape) if wider[key][0].shapes[self._places[key][1]][axis] > length
            ]
            for key, shape in self.shapes.items()
        }

    def is_matrix(self, key: str) -> bool:
        """Returns True for a component whose rows and columns both grow with the width."""
        return len(self._growing[key]) == 2

    def side(self, key: str) -> int:
        """Side of the square templates of a component's stage."""
        return self.size * self._places[key][0].width // self.family.width

    def powers(self, key: str) -> int:
        """Templates per block position; by default Table 8's 2 for matrices, 4 for vectors, 6 for tables.

        Kernels have as many as matrices; what makes relative positions has as many as tables of them; a number for each
        head counts as a vector.
        """
        if self._places[key][1].startswith(POSITIONS):
            return 3 * self.per_position
        return self.per_position if self._is_weight(key) else 2 * self.per_position

    def _is_weight(self, key: str) -> bool:
        """Returns True for matrices and kernels: drawn anew for each layer, and no table of positions."""
        name = self._places[key][1]
        return name.endswith(".weight") and len(self.shapes[key]) > 1 and not name.startswith(POSITIONS)

    def block(self, key: str) -> tuple[int, ...]:
        """Shape of one template; a qkv bias keeps an axis of 3, so that it widens part by part."""
        shape, growing = self.shapes[key], self._growing[key]
        if len(growing) == 2:
            return (self.side(key), self.side(key))
        if growing and len(shape) == 1:
            parts = _parts(key, 0, self.shapes)
            return (parts, shape[0] // parts // self.tiles)
        return tuple(length // self.tiles if axis in growing else length for axis, length in enumerate(shape))

    def grid(self, key: str) -> tuple[int, ...]:
        """Block positions along each axis."""
        shape, growing = self.shapes[key], self._growing[key]
        if len(growing) == 2:
            return (shape[0] // self.side(key), shape[1] // self.side(key))
        if growing and len(shape) == 1:
            return (1, self.tiles)
        return tuple(self.tiles if axis in growing else 1 for axis in range(len(shape)))

    def template_shape(self, key: str) -> tuple[int, ...]:
        """Shape (n, *block) of a component's templates, position after position, in each the powers."""
        return (math.prod(self.grid(key)) * self.powers(key), *self.block(key))

    def misfit(self) -> str | None:
        """The reason why templates of this size do not make the family's blocks, or None if they do."""
        matrices = [key for key in self.shapes if self.is_matrix(key)]
        for key in matrices:
            length, side = self.shapes[key][1], self.side(key)
            if length % side:
                return f"templates of side {side} do not tile a side of {length} evenly"
        for key, shape in self.shapes.items():
            for axis in self._growing[key]:
                if key not in matrices and shape[axis] % (self.tiles * _parts(key, axis, self.shapes)):
                    return f"templates of side {self.side(key)} do not cut {key} of shape {shape} evenly"
        return None

    def initial_templates(self, key: str, weights: Mapping[str, Tensor], generator: Generator) -> Tensor:
        """Templates before condensation, shaped (n, *block).

        Power k of a matrix or a kernel is cut out of the k-th layer of `weights`, an ordinary model. All else starts so
        that the first layer is the ordinary model's: the constant template holds it, the linear one is 0 where layers
        start alike, as norms and biases do, and those beyond, whose scalers start at 0, are small random numbers, so
        that either can learn.
        """
        stage, name = self._places[key]
        grid, block, powers = self.grid(key), self.block(key), self.powers(key)
        templates = torch.zeros(*grid, powers, *block)
        layers = templates.movedim(len(grid), 0)
        drawn = [weights[stage.parameter(layer, name)] for layer in range(powers if self._is_weight(key) else 2)]
        for power, weight in enumerate(drawn):
            if power == 0 or not torch.equal(weight, drawn[0]):
                layers[power] = cut(weight, grid, block)
        if not self._is_weight(key):
            templates.view(-1, powers, *block)[:, 2:].normal_(std=0.02, generator=generator)
        return templates.reshape(self.template_shape(key))

    def padding(self, key: str, depth: int) -> Tensor:
        """Linear padding (Eq. 7) of the family's own grid, without noise: (depth, n, *grid).

        At its own block position the template of power k has ((l - 1) / (L - 1)) ** k, elsewhere 0. Of all but matrices
        and kernels only the constant and the linear template are used at first.

        Args:
            depth: that of the component's stage, within which layers are counted.
        """
        powers = self.powers(key)
        used = powers if self._is_weight(key) else 2
        relative_depth = torch.linspace(0, 1, depth)
        weights = torch.stack([relative_depth**k * float(k < used) for k in range(powers)], dim=1)
        positions = torch.eye(math.prod(self.grid(key)))
        scalers = torch.einsum("lk,pq->lpkq", weights, positions)
        return scalers.reshape(depth, -1, *self.grid(key))

    def widen(self, key: str, scalers: Tensor, width: int, *, divide: bool = True) -> Tensor:
        """Scalers (L, n, *grid) for the grid of a model of this width, by Net2Net (Chen et al. 2016).

        Blocks are repeated in order, queries, keys and values each within their own third.

        Args:
            divide: True to divide a matrix by how often the input of a column is repeated, so that an evenly widened
                model computes the same function; False for the ones that Eq. 7 prints.
        """
        tiles, grid = width // self.size, self.grid(key)
        if tiles == self.tiles:
            return scalers
        if self.is_matrix(key):
            rows = _repeated_in_parts(grid[0], grid[0] * tiles // self.tiles, _parts(key, 0, self.shapes))
            columns = repeated(grid[1], grid[1] * tiles // self.tiles)
            widened = scalers.index_select(-2, rows).index_select(-1, columns)
            return widened / repetitions(columns) if divide else widened
        for axis in self._growing[key]:
            of_grid = 1 if len(self.shapes[key]) == 1 else axis
            scalers = scalers.index_select(2 + of_grid, repeated(self.tiles, tiles))
        return scalers


def cut(weight: Tensor, grid: tuple[int, ...], block: tuple[int, ...]) -> Tensor:
    """Cuts a parameter into blocks: (*grid, *block)."""
    dims = len(grid)
    woven = weight.view([length for pair in zip(grid, block, strict=True) for length in pair])
    return woven.permute([*range(0, 2 * dims, 2), *range(1, 2 * dims, 2)])


def widen_non_block(tensors: Mapping[str, Tensor], narrow: ModelSpec, wide: ModelSpec) -> dict[str, Tensor]:
    """Embeddings, layers between stages, final norm and head for another width, repeated as by `Layout.widen`.

    Args:
        narrow: the model that they are of.
        wide: the same model with another width.
    """
    old, new = ({**spec.non_block_shapes(), **spec.head_shapes()} for spec in (narrow, wide))
    widened = dict(tensors)
    for name, tensor in tensors.items():
        for axis, (length, wanted) in enumerate(zip(old[name], new[name], strict=True)):
            if wanted == length:
                continue
            index = _repeated_in_parts(length, wanted, _parts(name, axis, old))
            tensor = tensor.index_select(axis, index)
            if axis == 1 and name.endswith(".weight"):  # an input
                tensor = tensor / repetitions(index).view(-1, *[1] * (tensor.dim() - 2))
        widened[name] = tensor
    return widened


def _repeated_in_parts(old: int, new: int, parts: int) -> Tensor:
    """Assigns positions as `repeated` does, in each of several equal parts of an axis by itself."""
    index = repeated(old // parts, new // parts)
    return torch.cat([index + part * (old // parts) for part in range(parts)])


def _parts(name: str, axis: int, shapes: Shapes) -> int:
    """Counts what an axis holds one after another: queries, keys and values; four neighbours that Swin merges.

    Args:
        shapes: of the parameters that lie beside it, by name.
    """
    if "qkv" in name:
        return 3 if axis == 0 else 1
    merging = shapes.get(f"{name.partition('.downsample.')[0]}.downsample.reduction.weight", ())
    return 4 if merging and shapes[name][axis] == merging[1] else 1


def components(spec: ModelSpec, parts: Collection[str]) -> list[str]:
    """Names the components of blocks that belong to these parts, and so are made of templates."""
    return [
        key
        for key, (_, name) in spec.components().items()
        if PARTS[name.removesuffix(".weight").removesuffix(".bias")] in parts
    ]
