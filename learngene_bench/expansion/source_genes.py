"""Genes that are a whole trained model, the *source*, which is smaller than the targets that grow from it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, OptionsType, Pretrained, SpecType
from learngene_bench.models.weights import inherited_blocks, inherited_non_block, write_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context


class SourceInitializer(Initializer[OptionsType, SpecType]):
    """A method that grows a source, trained by the preset's pre-training recipe; its training counts.

    Its options have a `source_depth`. Stored parameters are those of the source, with the head of the target's task and
    without iRPE tables.
    """

    @abstractmethod
    def source(self, target: SpecType, base: SpecType) -> SpecType:
        """Describes the model that this target grows from.

        Raises:
            UserError: there is no such model.
        """

    def fitted_to(self, family: SpecType) -> Self:
        by_default = {"source_depth": family.depth}
        return type(self)(self.options.model_validate({**by_default, **self.options.model_dump(exclude_unset=True)}))

    def gene_request(self, target: SpecType, base: SpecType) -> GeneRequest:
        source = self.source(target, base)
        return GeneRequest(family=source, ancestors={"source": Pretrained(source)})

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        return Gene(self.name, request.family, dict(context.ancestors["source"].named_parameters()))

    def stored_shapes(self, target: SpecType, base: SpecType) -> Mapping[str, tuple[int, ...]]:
        shapes = replace(self.source(target, base), classes=target.classes).parameter_shapes()
        return {name: shape for name, shape in shapes.items() if "rpe_" not in name}


def write_grown(
    model: nn.Module, weights: Mapping[str, Tensor], grown: ModelSpec, target: ModelSpec, *, head: bool
) -> None:
    """Writes what a target inherits of a model that was grown to its depth and width.

    Args:
        weights: those of the grown model, which differs from the target in the task and in parts that only one has.
        head: True if they share the task, so that the head is taken over too.
    """
    current = dict(model.named_parameters())
    blocks = inherited_blocks(weights, grown, target)
    write_weights(model, {**blocks, **inherited_non_block(weights, grown, target, current, head=head)})
