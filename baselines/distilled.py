"""Distilled: every target is distilled from the teacher by itself; on request for as long as another method costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import CostOf, Distiller, GeneRequest, Initializer
from learngene_bench.expansion.algebra import Expansion
from learngene_bench.models.weights import inherit_whole_model, on_task_of

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context


class DistilledOptions(Section):
    cost_of: str = Field(
        "", description="name of a method: distil on as many images as it costs; when empty as long as the recipe says"
    )
    targets: int = Field(
        1, ge=1, description="number of targets among which the cost of that method's gene is divided, with `cost_of`"
    )


class Distilled(Initializer[DistilledOptions]):
    """The target itself, distilled from the preset's teacher: what a method has to beat that costs as much.

    A model of the target's own shape starts at the base initialization and is trained on the source task, all its
    parameters, by KL(teacher || target) + cross entropy, as other methods train their auxiliary models. The target
    inherits all of it, on another task all but the head, and is fine-tuned like every target. Nothing is shared between
    targets: each is distilled by itself, and each pays for it.

    `cost_of=wave` makes this as long as WAVE costs for one of `targets` targets: the images that its gene is trained
    on, divided by their number, and those of its initialization. Ancestors count as in the cost table: pre-trained
    ones with the other method, the teacher with both, divided by the number of targets; what is loaded costs nothing.
    The length is rounded down to whole batches, and the schedule is stretched with it. An image counts each time a
    model trains on it, whatever the size of that model, so FLOPs are equal only where the models are: the cost table
    prints them.

    Without `cost_of` it is the recipe `distillation`, which is `condensation` where a preset has none: the
    reference of a target that has a long training of its own.
    """

    name = "distilled"
    title = "Distilled"
    group = "transfer"
    citation = "Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015"
    families = None
    Options = DistilledOptions
    recipe_fallbacks: ClassVar = {"distillation": "condensation"}

    def row_title(self) -> str:
        return f"{self.title} at the cost of {self.options.cost_of}" if self.options.cost_of else self.title

    def at_cost_of(self) -> CostOf | None:
        asked = self.options
        return CostOf(asked.cost_of, "distillation", asked.targets) if asked.cost_of else None

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        # Blocks of some families depend on the image size, which another task may change.
        return target.block_mismatch(on_task_of(base, target))

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        return GeneRequest(on_task_of(base, target), ancestors={"teacher": Distiller()}, trains=("distillation",))

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        from learngene_bench.expansion.materialised import ExpandedModel

        family = request.family
        model = ExpandedModel(Expansion(family, {}, {}), context.base_weights(family), train=("non_block",))
        context.train(model, "distillation", teacher="teacher")
        return Gene(self.name, family, model.non_block.detached())

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        inherit_whole_model(model, gene.tensors, gene.family, target, head=context.same_task)

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        return target.parameter_shapes()
