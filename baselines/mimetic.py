"""Mimetic initialization: attention layers that start with the products seen in trained models (arXiv 2305.09828)."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.layers import SelfAttention, attention_mismatch, self_attentions
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import write_weights
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene


class MimeticOptions(Section):
    a1: float = Field(0.7, ge=0, description="noise in the product of query and key weights")
    b1: float = Field(0.7, ge=0, description="identity in the product of query and key weights")
    a2: float = Field(0.4, ge=0, description="noise in the product of value and projection weights")
    b2: float = Field(0.4, ge=0, description="negative identity in the product of value and projection weights")
    positions: Literal["learned", "sincos"] = Field(
        "learned", description="start of position embeddings: as for every method, or the paper's sine-cosine"
    )


class Mimetic(Initializer[MimeticOptions]):
    """Mimetic initialization (Trockman and Kolter, 2023): in each head, and for each block, two products are set.

    Query and key, for each head:      Wq' Wk = the best approximation of rank D / heads of  a1 Z + b1 I
    Value and projection, for a block: Wv' Wp' = a2 Z - b2 I

    Z (D x D) is drawn anew each time, iid normal of standard deviation 1 / sqrt(D); A = U S V' is split into U sqrt(S)
    and V sqrt(S). W are timm's weights, y = x W': scores are x Wq' Wk x', and a block's output, where all heads attend
    alike, is x Wv' Wp'. Biases of these layers are 0; all else keeps the preset's base. Attention of D x D matrices is
    set in every stage; a model whose blocks have another attention, or none, is refused.
    The only public code, a third party's (osiriszjq/structured_init), draws Z uniformly and has another product of
    values. A choice of this suite: positions start as for all methods; the paper's are `positions = "sincos"`.
    """

    name = "mimetic"
    title = "Mimetic"
    group = "direct"
    families = None
    citation = "Trockman and Kolter, Mimetic Initialization of Self-Attention Layers, ICML 2023"
    Options = MimeticOptions

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        if self.options.positions == "sincos":
            if not isinstance(target, ViTSpec):
                return "two-dimensional sine-cosine positions are defined here for plain Vision Transformers"
            if target.width % 4:
                return f"two-dimensional sine-cosine positions need a width that 4 divides, not {target.width}"
        return attention_mismatch(target)

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        generator = context.generator("mimetic")
        weights: dict[str, Tensor] = {}
        for stage in (stage for stage in target.stages() if stage.heads):
            for layer, attention in product(range(stage.depth), self_attentions(stage)):
                matrices = (
                    *self._query_and_key(attention, generator),
                    *self._value_and_projection(attention, generator),
                )
                for rows, matrix in zip(attention.matrices, matrices, strict=True):
                    name = stage.parameter(layer, rows.component)
                    weight = weights.setdefault(name, torch.empty(stage.shapes[rows.component]))
                    weight[rows.start : rows.stop] = matrix
                for name in attention.biases:
                    weights[stage.parameter(layer, name)] = torch.zeros(stage.shapes[name])
        if self.options.positions == "sincos":
            assert isinstance(target, ViTSpec)
            weights["pos_embed"] = sine_cosine_positions(target)
        write_weights(model, weights)

    def _query_and_key(self, attention: SelfAttention, generator: Generator) -> tuple[Tensor, Tensor]:
        """timm's query and key weights of one layer, each (D, D), the heads one below another."""
        noise = standard_noise(attention.heads, attention.width, generator)
        scores = self.options.a1 * noise + self.options.b1 * torch.eye(attention.width)
        left, right = split(scores, attention.width // attention.heads)
        return left.mT.reshape(attention.width, -1), right.mT.reshape(attention.width, -1)

    def _value_and_projection(self, attention: SelfAttention, generator: Generator) -> tuple[Tensor, Tensor]:
        """timm's value and projection weights of one layer, each (D, D)."""
        noise = standard_noise(1, attention.width, generator)[0]
        left, right = split(self.options.a2 * noise - self.options.b2 * torch.eye(attention.width), attention.width)
        return left.mT, right


def standard_noise(count: int, width: int, generator: Generator) -> Tensor:
    """Z: matrices (count, D, D) whose rows have a length of about 1."""
    return torch.randn(count, width, width, generator=generator) / math.sqrt(width)


def split(product: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """L and R (..., D, rank) such that L R' is the best approximation of this rank to a matrix (..., D, D)."""
    left, values, right = torch.linalg.svd(product)
    root = values.sqrt().unsqueeze(-2)
    return (left * root)[..., :rank], (right.mT * root)[..., :rank]


def sine_cosine_positions(spec: ViTSpec) -> Tensor:
    """Sines and cosines of both coordinates at D / 4 wavelengths (MoCo-v3, `vits.py`): (1, tokens, D).

    A class token's position is 0. The order of the channels is timm's, which no initialization here depends on.
    """
    from timm.layers import build_sincos2d_pos_embed

    side = spec.image_size // spec.patch_size
    patches = build_sincos2d_pos_embed([side, side], dim=spec.width)
    return torch.cat([torch.zeros(int(spec.class_token), spec.width), patches]).unsqueeze(0)
