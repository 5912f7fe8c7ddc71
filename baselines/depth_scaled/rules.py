"""The two rules that set all matrices of a block: T-Fixup's, and ZerO's without random numbers."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.models.layers import mlp_weights, self_attentions, stacked_matrices
from learngene_bench.models.weights import xavier
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


def t_fixup(target: ModelSpec, generator: Generator) -> dict[str, Tensor]:
    """Draws the matrices of all blocks by T-Fixup's rule."""
    weights: dict[str, Tensor] = {}
    scale = 0.67 * target.depth**-0.25
    for stage in target.stages():
        for layer, attention in product(range(stage.depth), self_attentions(stage)):
            for rows, gain in zip(attention.matrices, (0.5**0.5, 0.5**0.5, scale, scale), strict=True):
                name = stage.parameter(layer, rows.component)
                weight = weights.setdefault(name, torch.empty(stage.shapes[rows.component]))
                weight[rows.start : rows.stop] = gain * xavier((attention.width, attention.width), generator)
        for layer, component in product(range(stage.depth), mlp_weights(stage)):
            parts = stacked_matrices(component, stage.shapes)
            weights[stage.parameter(layer, component)] = scale * xavier(stage.shapes[component], generator, parts)
    return weights


def zero_matrices(target: ModelSpec) -> dict[str, Tensor]:
    """Makes ZerO's matrices, those of last layers like any other, and zeros for the biases of these layers."""
    outside = target.non_block_shapes()
    weights = {
        name: zero_matrix(shape[0], math.prod(shape[1:])).view(shape)
        for name, shape in outside.items()
        if name == "patch_embed.proj.weight" or name.endswith("downsample.reduction.weight")
    }
    if "patch_embed.proj.bias" in outside and "patch_embed.proj.weight" in weights:
        weights["patch_embed.proj.bias"] = torch.zeros(outside["patch_embed.proj.bias"])
    for stage in target.stages():
        block: dict[str, Tensor] = {}
        biases: list[str] = []
        for attention in self_attentions(stage):
            biases += attention.biases
            for rows in attention.matrices:
                weight = block.setdefault(rows.component, torch.empty(stage.shapes[rows.component]))
                weight[rows.start : rows.stop] = zero_matrix(attention.width, attention.width)
        for component in mlp_weights(stage):
            biases.append(component.removesuffix("weight") + "bias")
            outputs, inputs = stage.shapes[component]
            parts = stacked_matrices(component, stage.shapes)
            block[component] = zero_matrix(outputs // parts, inputs).repeat(parts, 1)
        block |= {name: torch.zeros(stage.shapes[name]) for name in biases if name in stage.shapes}
        weights |= {stage.parameter(layer, name): each for layer in range(stage.depth) for name, each in block.items()}
    return weights


def zero_matrix(rows: int, columns: int) -> Tensor:
    """The (partial) identity; with more rows than columns the corner of a Hadamard matrix of unit columns."""
    if rows <= columns:
        return torch.eye(rows, columns)
    hadamard = torch.ones(1, 1)
    while len(hadamard) < rows:
        hadamard = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), hadamard)
    return hadamard[:rows, :columns] / math.sqrt(len(hadamard))
