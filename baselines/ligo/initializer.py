"""LiGO: learned linear operators that grow a small trained model into a larger one (arXiv 2303.00980)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from learngene_bench.baselines.ligo.operators import first_operators, grown_model
from learngene_bench.config.section import Section
from learngene_bench.contracts.gene import Gene
from learngene_bench.expansion.source_genes import SourceInitializer, write_grown
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context


class LigoOptions(Section):
    source_depth: int = Field(4, ge=1, description="layers of the trained model that is grown")
    noise: float = Field(0.03, ge=0, description="largest first weight of source layers other than the stacked one")
    learn_operators: bool = Field(True, description="false: the control that keeps the operators' start")


class Ligo(SourceInitializer[LigoOptions, ViTSpec]):
    """LiGO (Wang et al., 2023): every tensor of the target is a linear map of the source's, and the map is learned.

    Depth:   W0(l) = sum_i w(l, i) W_i        over the source's layers, w of its own for each module's weight and bias
    Width:   W(l) = [I; B_out] W0(l) [I; B_in]'     biases and norms [I; B_out] b0(l)

    Source channels come first, added ones are mixtures of them. Ties as released: one operator for the residual stream
    (embeddings, norms, whatever reads from or writes to it, the head's input), and for each layer one for queries,
    keys, values (which the projection reads) and hidden units. timm's qkv is split in three and fused again. At the
    source's own width there are no width operators. *Only the operators train*, on the source task.

    Start, as in the authors' command line (`stackbert_noisy rand`, `ligo.py`: 62-78): w(l) is U(0, .03) with entry
    l mod L1 set to 1, divided by its sum, so nearly StackBERT; rows of B are U(0, 1) divided by their sum.

    Differs from the released training: its 100 steps lie within a warm-up of 10,000, so that the learning rate never
    leaves 2e-6 and the operators hardly leave their start. Here they learn by the preset's `inheritance` recipe, the
    same for all methods, whose schedule fits its length.

    Choices of this suite: the released code is for BERT, the mapping to Vision Transformers is ours (patch embedding,
    position and class token as word embeddings; the final norm with the residual stream; no operator for the head's
    outputs); operators get no weight decay; iRPE tables are mixed over depth with a vector of their own. WAVE's tables
    grow a 4-layer model of the base width, hence their dash at depth 4; stored parameters are that model's without
    iRPE tables. (That gives the printed figures, but so would counting the tables; 10.0 in Table 2 follows from
    neither.)
    """

    name = "ligo"
    title = "LiGO"
    group = "transfer"
    citation = "Wang et al., Learning to Grow Pretrained Models for Efficient Transformer Training, ICLR 2023"
    Options = LigoOptions

    def trains(self) -> tuple[str, ...]:
        return ("inheritance",) if self.options.learn_operators else ()

    def ignored_recipe_fields(self, recipe: str, target: ViTSpec, base: ViTSpec) -> tuple[str, ...]:
        return ("meta_batch_size", "weight_decay")  # operators have no weight decay

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        same_width = (target.width, target.hidden) == (base.width, base.hidden)
        if target.depth < self.options.source_depth + same_width:
            return f"its source has {self.options.source_depth} layers already"
        if target.width < base.width or target.hidden < base.hidden:
            return f"narrower than its source of width {base.width}"
        if target.head_dimension != base.head_dimension:
            return f"its source has heads of dimension {base.head_dimension}"
        return None

    def source(self, target: ViTSpec, base: ViTSpec) -> ViTSpec:
        return base.with_depth(self.options.source_depth)

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        assert isinstance(gene.family, ViTSpec)
        family = gene.family
        # Operators are learned on the source task, so by a model with the source's image size and classes.
        learner = replace(
            family, depth=target.depth, width=target.width, heads=target.heads, mlp_ratio=target.mlp_ratio
        )
        operators = first_operators(family, learner, self.options.noise, context.generator("operators"))
        network = grown_model(gene.tensors, family, learner, operators)
        if self.options.learn_operators:
            context.train(network, "inheritance")
        with torch.no_grad():
            weights = network.weights()
        write_grown(model, weights, learner, target, head=context.same_task)
