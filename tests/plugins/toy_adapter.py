"""A method with a recipe of its own: it trains what lies outside the blocks by the recipe `adapter`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench import Initializer, write_weights
from learngene_bench.contracts.initializer import NoOptions
from learngene_bench.expansion.algebra import Expansion

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench import Context, Gene, ModelSpec


class Adapter(Initializer[NoOptions]):
    name = "adapter-first"
    title = "Adapter first"
    group = "other"
    families = None
    recipe_fallbacks = {"adapter": "inheritance"}  # noqa: RUF012 (as a plugin's author would write it)

    def trains(self) -> tuple[str, ...]:
        return ("adapter",)

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        from learngene_bench.expansion.materialised import ExpandedModel

        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        network = ExpandedModel(Expansion(target, {}, {}), weights, train=["non_block"])
        context.train(network, "adapter")
        write_weights(model, network.non_block.detached())
