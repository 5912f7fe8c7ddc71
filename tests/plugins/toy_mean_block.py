"""A method with a gene: every block of a target is the mean of the blocks of a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from learngene_bench import Gene, GeneRequest, Initializer, Pretrained, Section, write_weights
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench import Context, ModelSpec


class MeanBlockOptions(Section):
    noise: float = Field(0.0, ge=0, description="standard deviation of the noise that is added to every block")


class MeanBlock(Initializer[MeanBlockOptions]):
    """Averages the blocks of an ancestor; noise tells the blocks of a target apart."""

    name = "mean-block"
    title = "Mean block"
    group = "learngene"
    families = None  # any family, as nothing here depends on one
    Options = MeanBlockOptions

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        return target.block_mismatch(base)

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        return GeneRequest(family=base, ancestors={"source": Pretrained(base)})

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        weights = {name: weight.detach() for name, weight in context.ancestors["source"].named_parameters()}
        means = {  # a model is one or several stages of equal blocks, and each stage has a mean of its own
            component: torch.stack([weights[stage.parameter(layer, name)] for layer in range(stage.depth)]).mean(0)
            for component, (stage, name) in request.family.components().items()
        }
        return Gene(self.name, request.family, means)

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        return {component: stage.shapes[name] for component, (stage, name) in base.components().items()}

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        generator = context.generator("noise")  # all randomness comes from the context, so that seeds are paired
        weights = {}
        for component, (stage, name) in target.components().items():
            for layer in range(stage.depth):
                mean = gene.tensors[component]
                noise = torch.randn(mean.shape, generator=generator)
                weights[stage.parameter(layer, name)] = mean + self.options.noise * noise
        write_weights(model, weights)  # what is not written keeps the preset's base initialization
