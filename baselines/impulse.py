"""Structured initialization: each head starts by attending to one neighbour of a patch (arXiv 2505.19985)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import write_weights
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene

ORDER = (4, 1, 5, 3, 7, 0, 2, 6, 8)
"""Places of a 3 x 3 neighbourhood in the order of heads: centre, up, right, left, down, corners."""


class ImpulseOptions(Section):
    position_std: float = Field(0.36, gt=0, description="standard deviation of positions: 18 times .02")
    query_norm: float = Field(7.0, gt=0, description="Frobenius norm of each head's query and key matrices")
    structured: bool = Field(
        True, description="false: the control with the same positions and norms, but without the structure"
    )


class Impulse(Initializer[ImpulseOptions, ViTSpec]):
    """Structured initialization (Zheng et al., 2025): attention starts as the shifts of a 3 x 3 convolution.

    Positions are drawn with `position_std`; P (N, D) is their LayerNorm, without weights. Head i attends from a patch
    to its neighbour of place `ORDER[i mod 9]`: the target map W (N, N) is 1000 there and 3 z elsewhere, z truncated
    normal of deviation .6 in [-2, 2]. Query and key solve P A P' = W by A = P+ W P+', with the pseudo-inverse through
    the d leading eigenvectors E of P'P = E L E'. So A = E C E' with C = L^-1 E'P'W P E L^-1, a d x d matrix. Its
    singular value decomposition U S V' gives Wq' = E U sqrt(S) and Wk' = E V sqrt(S), each scaled to norm
    `query_norm`. Value and projection, once for a block: Wv' Wp' = .4 Z - .4 I, Z uniform of deviation 1 / sqrt(D). All
    else keeps the base, biases included.

    Faithful to osiriszjq/structured_initialization (7cd02f1, `timm/models/vision_transformer.py`: 82-135, 715-738), in
    which positions are 18 times timm's; here their deviation does not depend on the preset. Choices of this suite: z
    is drawn for each head. A class token has a position but no place in the map.

    Read its row beside `impulse:structured=false`, the authors' control `default18_7_1`: positions and norms change
    attention without any structure. The authors claim gains on small data sets and none on ImageNet; an independent
    run (89.1, 92.0 and 92.5 % on CIFAR-10 for default, mimetic and this) found a higher variance over seeds.
    """

    name = "impulse"
    title = "Impulse"
    group = "direct"
    citation = "Zheng et al., Structured Initialization for Vision Transformers, NeurIPS 2025"
    Options = ImpulseOptions

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        if target.head_dimension > (most := min(target.patches, target.width - 1)):
            return f"its heads of dimension {target.head_dimension} are larger than the rank of positions, {most}"
        return None

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Context) -> None:
        generator, current = context.generator("impulse"), dict(model.named_parameters())
        positions = torch.empty(1, target.tokens, target.width)
        torch.nn.init.trunc_normal_(positions, std=0.02, generator=generator)
        weights = {"pos_embed": positions * (self.options.position_std / 0.02)}
        patches = weights["pos_embed"][0, int(target.class_token) :].double()
        normalised = torch.nn.functional.layer_norm(patches, patches.shape[-1:], eps=1e-6)
        for layer in range(target.depth):
            attention = f"blocks.{layer}.attn"
            fused = current[f"{attention}.qkv.weight"].detach().cpu().float()
            query, key, value = (part.unflatten(0, (target.heads, -1)) for part in fused.chunk(3))
            if self.options.structured:
                query, key = query_and_key(neighbour_maps(target, generator), normalised, target.head_dimension)
                left, right = value_and_projection(target.width, generator)
                value, weights[f"{attention}.proj.weight"] = left.unflatten(0, (target.heads, -1)), right
            query, key = (self.options.query_norm * part / part.norm(dim=(1, 2), keepdim=True) for part in (query, key))
            weights[f"{attention}.qkv.weight"] = torch.cat([part.flatten(0, 1) for part in (query, key, value)])
        write_weights(model, weights)


def neighbour_maps(target: ViTSpec, generator: Generator) -> Tensor:
    """Makes W for each head: (heads, N, N), 1000 from a patch to the head's neighbour, noise elsewhere."""
    side = target.image_size // target.patch_size
    noise = torch.empty(target.heads, target.patches, target.patches)
    maps = 3.0 * torch.nn.init.trunc_normal_(noise, std=0.6, generator=generator)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    for head in range(target.heads):
        down, right = (offset - 1 for offset in divmod(ORDER[head % 9], 3))
        inside = (row + down).clamp(0, side - 1).eq(row + down) & (column + right).clamp(0, side - 1).eq(column + right)
        here = (row * side + column)[inside]
        maps[head, here, here + down * side + right] = 1000.0
    return maps.double()


def query_and_key(maps: Tensor, positions: Tensor, dimension: int) -> tuple[Tensor, Tensor]:
    """Solves for timm's query and key weights of each head, (heads, d, D), not yet scaled."""
    values, vectors = torch.linalg.eigh(positions.mT @ positions)
    leading = vectors[:, -dimension:] / values[-dimension:]
    left, scale, right = torch.linalg.svd(leading.mT @ positions.mT @ maps @ positions @ leading)
    root = scale.sqrt().unsqueeze(-1)
    basis = vectors[:, -dimension:].mT
    return (root * left.mT @ basis).float(), (root * right @ basis).float()


def value_and_projection(width: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Makes timm's value and projection weights of a block, (D, D), whose product is .4 Z - .4 I."""
    noise = torch.empty(width, width).uniform_(-1.0, 1.0, generator=generator) * math.sqrt(3 / width)
    left, scale, right = torch.linalg.svd(0.4 * noise - 0.4 * torch.eye(width))
    root = scale.sqrt()
    return (left * root).mT.contiguous(), (root[:, None] * right).mT.contiguous()
