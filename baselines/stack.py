"""Stacking: a deeper model is made of the layers of a shallower trained one, each copied as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.expansion.source_genes import SourceInitializer, write_grown
from learngene_bench.models.layers import branch_outputs
from learngene_bench.util.errors import UserError
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context

Rule = Literal["stack", "interleave", "zero-block", "dus"]


class StackOptions(Section):
    rule: Rule = Field("stack", description="order of the copied layers; see the method's description")
    source_depth: int = Field(4, ge=1, description="layers of the trained model that is grown")


class Stack(SourceInitializer[StackOptions]):
    """Depth growth by copies: layer l of L is a copy of a layer of the source, which has L0 of them.

    stack: l mod L0, the model on top of itself (StackBERT; G_stack of Du et al., whose growth factor is 4).

    interleave: floor(l L0 / L), each layer several times in a row (the interpolation that Du et al. compare with).

    zero-block: interleave, where copies after the first have projection and `fc2` of 0, with their biases. They add
    nothing at first, so the target computes exactly what its source computes (Net2DeeperNet).

    dus: the first L / 2 layers and then the last L / 2, for an even L of at most 2 L0 (SOLAR's depth up-scaling).

    Embeddings, final norm and, on the source task, the head are inherited too. The rules are those of tongxuluo/prts
    (`prts_lit/scaling`), made for language models. Choices of this suite: the source has `source_depth` layers and is
    trained by the preset's pre-training recipe, which counts; gradual stacking during the training is left out. A model
    of several stages grows stage by stage. Every second block of a Swin shifts its windows, so zero-block is exact
    there only where a window is as large as the image. Stored parameters are those of the source without iRPE tables.
    """

    name = "stack"
    title = "Stacking"
    group = "transfer"
    families = None
    citation = "Du et al., Stacking Your Transformers, NeurIPS 2024; Gong et al., ICML 2019; Kim et al., NAACL 2024"
    Options = StackOptions

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        try:
            source = self.source(target, base)
            if target.depth <= source.depth:
                return f"its source has {source.depth} layers already"
            for theirs, stage in zip(source.stages(), target.stages(), strict=True):
                copied_layers(self.options.rule, stage.depth, theirs.depth)
                if self.options.rule == "zero-block":
                    branch_outputs(stage)
        except UserError as error:
            return str(error)
        return target.block_mismatch(source)

    def source(self, target: ModelSpec, base: ModelSpec) -> ModelSpec:
        return base.with_depth(self.options.source_depth)

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        grown = gene.family.in_sizes_of(target)
        weights = {}
        for theirs, stage in zip(gene.family.stages(), grown.stages(), strict=True):
            layers = copied_layers(self.options.rule, stage.depth, theirs.depth)
            last = branch_outputs(stage) if self.options.rule == "zero-block" else []
            silent = {*last, *(name.removesuffix("weight") + "bias" for name in last)}
            for layer, copied in enumerate(layers):
                for name in stage.shapes:
                    weight = gene.tensors[theirs.parameter(copied, name)]
                    is_silent = name in silent and copied in layers[:layer]
                    weights[stage.parameter(layer, name)] = torch.zeros_like(weight) if is_silent else weight
        weights |= {name: tensor for name, tensor in gene.tensors.items() if not grown.is_in_block(name)}
        write_grown(model, weights, grown, target, head=context.same_task)


def copied_layers(rule: Rule, depth: int, source: int) -> list[int]:
    """Chooses for each layer of a stage of this depth the one of the source's stage that it copies.

    Raises:
        UserError: the rule makes no such stage.
    """
    if depth < source:
        raise UserError(f"its source has a stage of {source} blocks, deeper than {depth}")
    if rule == "stack":
        return [layer % source for layer in range(depth)]
    if rule == "dus" and depth > source:
        if depth % 2 or depth > 2 * source:
            raise UserError(f"dus makes even depths of at most {2 * source} of {source} layers")
        return [*range(depth // 2), *range(source - depth // 2, source)]
    return [layer * source // depth for layer in range(depth)]
