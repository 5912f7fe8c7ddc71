"""Controls whose blocks do little or nothing at first: Fixup-like scales of the last layer of each residual branch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from learngene_bench.baselines.depth_scaled.rules import t_fixup, zero_matrices
from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.initializer import Initializer
from learngene_bench.models.layers import branch_outputs, self_attentions
from learngene_bench.models.weights import write_weights
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context
    from learngene_bench.contracts.gene import Gene

Rule = Literal["zero-residual", "fix-init", "gpt2", "t-fixup", "zero"]
TITLES: Mapping[Rule, str] = {
    "zero-residual": "Zero residual",
    "fix-init": "Fix-init",
    "gpt2": "GPT-2 scale",
    "t-fixup": "T-Fixup scale",
    "zero": "ZerO",
}


class DepthScaledOptions(Section):
    rule: Rule = Field("fix-init", description="scale of the last layer of each branch; see the method's description")


class DepthScaled(Initializer[DepthScaledOptions]):
    """Five rules for what a residual branch adds at first, on top of the preset's base initialization.

    A *branch* is what a block adds to its input: attention and MLP, or a ConvNeXt's only one. Its last layer is the
    projection of the attention, or `fc2`. L is the number of blocks, n that of branches in the model, and n(l) that of
    branches up to block l, itself included: 2 L and 2 l in a Transformer.

    zero-residual: last layers 0, with their biases, so that every block is the identity (Fixup, SkipInit, ReZero).

    fix-init: last weights / sqrt(n(l)) (timm's `fix_init_weight`, from BEiT).

    gpt2: last weights / sqrt(n) (GPT-2, section 2.3).

    t-fixup: Xavier, times .67 L^(-1/4) for MLP, values and projections, times 2^(-1/2) for queries and keys (T-Fixup,
    `fairseq/modules/transformer_layer.py`: 31-50, on fairseq's start of an attention).

    zero: ZerO, Algorithm 1 (`example_mnist.ipynb`). Last layers 0; other matrices the (partial) identity, or where they
    have more rows than columns the corner of a Hadamard matrix / sqrt(p), p the next power of 2; their biases 0. Patch
    embedding and Swin's layers between stages count as matrices.

    Differs from the sources: Fixup, ReZero and SkipInit proper learn one more number for each branch, and Fixup and
    T-Fixup drop the norms (T-Fixup warm-up too, and it scales embeddings); those are other architectures. Here they are
    what reviewers ask for, a control of scale. Choices of this suite: blocks are counted through all stages; LayerScale
    stays as it is; in ZerO, query, key, value and gates are matrices of their own, and all else keeps the base.

    A model whose blocks normalise what a branch adds is refused, since no scale of its last layer counts there.
    """

    name = "depth-scaled"
    title = "Depth-scaled"
    group = "direct"
    families = None
    citation = (
        "Zhang et al., Fixup Initialization, ICLR 2019; Bao et al., BEiT, ICLR 2022; Radford et al., GPT-2, 2019; "
        "Huang et al., T-Fixup, ICML 2020; Zhao et al., ZerO Initialization, TMLR 2022"
    )
    Options = DepthScaledOptions

    def row_title(self) -> str:
        return TITLES[self.options.rule]

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        try:
            for stage in target.stages():
                branch_outputs(stage)
                if self.options.rule in ("t-fixup", "zero"):
                    self_attentions(stage)
        except UserError as error:
            return str(error)
        return None

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        weights: dict[str, Tensor] = {}
        if self.options.rule == "t-fixup":
            weights = t_fixup(target, context.generator("depth-scaled"))
        elif self.options.rule == "zero":
            weights = zero_matrices(target)
        if self.options.rule != "t-fixup":
            weights |= self._last_layers(target, {name: each.detach() for name, each in model.named_parameters()})
        write_weights(model, weights)

    def _last_layers(self, target: ModelSpec, current: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Makes the last layer of every branch: what it is now, scaled; or zeros."""
        weights: dict[str, Tensor] = {}
        branches, total = 0, sum(stage.depth * len(branch_outputs(stage)) for stage in target.stages())
        for stage in target.stages():
            last = branch_outputs(stage)
            for layer in range(stage.depth):
                branches += len(last)
                for name in (stage.parameter(layer, component) for component in last):
                    if self.options.rule in ("fix-init", "gpt2"):
                        weights[name] = current[name] / math.sqrt(total if self.options.rule == "gpt2" else branches)
                    else:
                        both = (name, name.removesuffix("weight") + "bias")
                        weights |= {each: torch.zeros_like(current[each]) for each in both if each in current}
        return weights
