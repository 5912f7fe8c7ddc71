"""Conditioned initialization: attention matrices whose singular values are all 1 (ICLR 2026)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer, NoOptions
from learngene_bench.models.layers import attention_mismatch, self_attentions
from learngene_bench.models.weights import set_rows, write_weights
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene


class Conditioned(Initializer[NoOptions]):
    """Query, key and value of each head have condition number 1, which bounds that of attention's Jacobian.

    In each head, of dimension d, the weights W_Q and W_K (D x d) are semi-orthogonal, W'W = I, and drawn independently;
    W_V is a rectangular identity. All else keeps the preset's base initialization, biases included.

    Written from the abstract and a review of the paper (openreview cKNOCYPo2W); its code is announced only. A choice of
    this suite: head i has channels i d ... i d + d - 1 as its identity, so that the values of all heads together are
    the identity. The same block for every head would leave all channels but the first d unread. Any attention of D x D
    matrices is set, in every stage; a model whose blocks have another one is refused.
    """

    name = "conditioned"
    title = "Conditioned"
    group = "direct"
    families = None
    citation = "Conditioned Initialization for Attention, ICLR 2026"

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        return attention_mismatch(target)

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        generator, current = context.generator("conditioned"), dict(model.named_parameters())
        weights: dict[str, Tensor] = {}
        for stage in (stage for stage in target.stages() if stage.heads):
            for layer, attention in product(range(stage.depth), self_attentions(stage)):
                shape = (attention.width // attention.heads, attention.width)
                for rows in (attention.query, attention.key):
                    heads = [
                        torch.nn.init.orthogonal_(torch.empty(shape), generator=generator)
                        for _ in range(attention.heads)
                    ]
                    set_rows(weights, stage.parameter(layer, rows.component), rows, torch.cat(heads), current)
                rows, identity = attention.value, torch.eye(attention.width)
                set_rows(weights, stage.parameter(layer, rows.component), rows, identity, current)
        write_weights(model, weights)
