"""The rule by which WAVE cuts the parameters of a block into templates, and how scalers lay them out again."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

from learngene_bench.expansion.widening import repeated, repetitions
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

Part = Literal["attention", "projection", "mlp", "norm"]
PARTS: dict[str, Part] = {
    "attn.qkv": "attention",
    "attn.rpe_q": "attention",
    "attn.rpe_k": "attention",
    "attn.rpe_v": "attention",
    "attn.proj": "projection",
    "mlp.fc1": "mlp",
    "mlp.fc2": "mlp",
    "norm1": "norm",
    "norm2": "norm",
}


class Layout:
    """The rule by which the parameters of a base's blocks are cut into templates of one size.

    A matrix is a grid of `size` x `size` blocks, a vector a row of blocks with size / D of it each, an iRPE table one
    block. Every block position has templates of its own, one for each power of relative depth.
    """

    def __init__(self, family: ViTSpec, size: int, per_position: int) -> None:
        self.family, self.size, self.per_position = family, size, per_position
        self.shapes = family.block_shapes()
        self.tiles = family.width // size

    def powers(self, name: str) -> int:
        """Templates per block position; by default Table 8's 2 for matrices, 4 for vectors, 6 for tables."""
        return self.per_position * {2: 1, 1: 2}.get(len(self.shapes[name]), 3)

    def block(self, name: str) -> tuple[int, ...]:
        """Shape of one template; a qkv bias keeps an axis of 3, so that it widens part by part."""
        shape = self.shapes[name]
        if len(shape) == 2:
            return (self.size, self.size)
        if len(shape) == 1:
            parts = 3 if "qkv" in name else 1
            return (parts, shape[0] // parts // self.tiles)
        return shape

    def grid(self, name: str) -> tuple[int, ...]:
        """Block positions along each axis."""
        shape = self.shapes[name]
        if len(shape) == 2:
            return (shape[0] // self.size, shape[1] // self.size)
        return (1, self.tiles) if len(shape) == 1 else (1,) * len(shape)

    def template_shape(self, name: str) -> tuple[int, ...]:
        """Shape (n, *block) of a component's templates, position after position, in each the powers."""
        return (math.prod(self.grid(name)) * self.powers(name), *self.block(name))

    def initial_templates(self, name: str, weights: Mapping[str, Tensor], generator: Generator) -> Tensor:
        """Templates before condensation, shaped (n, *block).

        Power k of a matrix is cut out of the k-th layer of `weights`, an ordinary model. Vectors and tables start so
        that the materialised value is 1 for norm weights and 0 otherwise: the constant template holds it, the linear
        one is 0, and those beyond, whose scalers start at 0, are small random numbers, so that either can learn.
        """
        grid, block, powers = self.grid(name), self.block(name), self.powers(name)
        templates = torch.zeros(*grid, powers, *block)
        if len(self.shapes[name]) == 2:
            for power in range(powers):
                matrix = weights[f"blocks.{power}.{name}"]
                templates[:, :, power] = matrix.view(grid[0], block[0], grid[1], block[1]).transpose(1, 2)
        else:
            positions = templates.view(-1, powers, *block)
            positions[:, 0] = float("norm" in name and name.endswith("weight"))
            positions[:, 2:].normal_(std=0.02, generator=generator)
        return templates.reshape(self.template_shape(name))

    def padding(self, name: str, depth: int) -> Tensor:
        """Linear padding (Eq. 7) of the family's own grid, without noise: (depth, n, *grid).

        At its own block position the template of power k has ((l - 1) / (L - 1)) ** k, elsewhere 0. Of vectors and
        tables only the constant and the linear template are used at first.
        """
        powers = self.powers(name)
        used = powers if len(self.shapes[name]) == 2 else 2
        relative_depth = torch.linspace(0, 1, depth)
        weights = torch.stack([relative_depth**k * float(k < used) for k in range(powers)], dim=1)
        positions = torch.eye(math.prod(self.grid(name)))
        scalers = torch.einsum("lk,pq->lpkq", weights, positions)
        return scalers.reshape(depth, -1, *self.grid(name))

    def widen(self, name: str, scalers: Tensor, width: int, *, divide: bool = True) -> Tensor:
        """Scalers (L, n, *grid) for the grid of a model of this width, by Net2Net (Chen et al. 2016).

        Blocks are repeated in order, queries, keys and values each within their own third.

        Args:
            divide: True to divide a matrix by how often the input of a column is repeated, so that an evenly widened
                model computes the same function; False for the ones that Eq. 7 prints.
        """
        tiles = width // self.size
        if tiles == self.tiles or len(self.shapes[name]) > 2:
            return scalers
        grid = self.grid(name)
        if len(self.shapes[name]) == 1:
            return scalers.index_select(-1, repeated(self.tiles, tiles))
        parts = 3 if "qkv" in name else 1
        rows = repeated(grid[0] // parts, grid[0] // parts * tiles // self.tiles)
        rows = torch.cat([rows + part * (grid[0] // parts) for part in range(parts)])
        columns = repeated(grid[1], grid[1] * tiles // self.tiles)
        widened = scalers.index_select(-2, rows).index_select(-1, columns)
        return widened / repetitions(columns) if divide else widened


def widen_non_block(tensors: Mapping[str, Tensor], old: int, new: int) -> dict[str, Tensor]:
    """Embeddings, final norm and head for another width, by the same repetition as `Layout.widen`."""
    if new == old:
        return dict(tensors)
    index = repeated(old, new)
    widened = {}
    for name, tensor in tensors.items():
        if name == "head.weight":
            widened[name] = tensor.index_select(1, index) / repetitions(index)
        elif name == "head.bias":
            widened[name] = tensor
        else:
            widened[name] = tensor.index_select(0 if name.startswith(("patch_embed", "norm")) else -1, index)
    return widened


def over_relative_depth(scalers: Tensor, depth: int) -> Tensor:
    """Scalers (L, n, *grid) learned at one depth, interpolated linearly over relative depth to another."""
    place = torch.linspace(0, len(scalers) - 1, depth)
    below = place.floor().long().clamp(max=len(scalers) - 2)
    share = (place - below).view(-1, *[1] * (scalers.dim() - 1))
    return torch.lerp(scalers[below], scalers[below + 1], share)


def components(spec: ViTSpec, parts: Collection[str]) -> list[str]:
    """Names a block's parameters that belong to these parts, and so are made of templates."""
    return [name for name in spec.block_shapes() if PARTS[name.removesuffix(".weight").removesuffix(".bias")] in parts]
