"""Genes that are a whole trained model, the *source*, which is smaller than the targets that grow from it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, OptionsType, Pretrained, SpecType
from learngene_bench.models.vit import ViTSpec
from learngene_bench.models.weights import inherited_blocks, inherited_non_block, write_weights
from learngene_bench.util.errors import UserError

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


class ViTGrowthOptions(Section):
    """The options of a `ViTGrowth`."""

    source_depth: int | None = Field(
        None, ge=1, description="layers of the trained model that is grown; the target's when not given"
    )


ViTGrowthOptionsType = TypeVar("ViTGrowthOptionsType", bound=ViTGrowthOptions)


class ViTGrowth(SourceInitializer[ViTGrowthOptionsType, ViTSpec]):
    """A method that grows plain Vision Transformers in width, and in depth where `source_depth` is given.

    The source has the base's width, and as many layers as the target, or those of `source_depth`.
    """

    def source(self, target: ViTSpec, base: ViTSpec) -> ViTSpec:
        return base.with_depth(self.options.source_depth or target.depth)

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        source = self.source(target, base)
        if target.width < base.width or target.hidden < base.hidden:
            return f"narrower than its source of width {base.width}"
        if target.head_dimension != base.head_dimension:
            return f"its source has heads of dimension {base.head_dimension}"
        if target.depth < source.depth:
            return f"its source has {source.depth} layers"
        if (target.depth, target.width, target.hidden) == (source.depth, source.width, source.hidden):
            return f"its source has {source.depth} layers of width {source.width} already"
        return None

    @abstractmethod
    def grown(
        self, tensors: Mapping[str, Tensor], source: ViTSpec, target: ViTSpec, context: Context
    ) -> dict[str, Tensor]:
        """Makes all weights of a model that differs from the source in depth and width only.

        Args:
            tensors: those of the source, by the model's names.
        """

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        assert isinstance(gene.family, ViTSpec)
        grown = gene.family.in_sizes_of(target)
        weights = self.grown(gene.tensors, gene.family, grown, context)
        write_grown(model, weights, grown, target, head=context.same_task)


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


def larger_model(name: str, target: SpecType, base: SpecType, width: int | None, depth: int) -> SpecType:
    """Describes the model that a smaller one is selected from.

    Without a width it is twice the base's; for a target wider than its base 8/3 of it, rounded down to whole heads.

    Args:
        name: the method's, for the message.

    Raises:
        UserError: the family has none of this width.
    """
    step = base.width_step()
    by_default = 8 * base.width // (3 * step) * step if target.width > base.width else 2 * base.width
    width = width or by_default
    if width % step:
        raise UserError(f"{name}: teacher_width {width} is not a multiple of the head dimension {step}")
    return base.with_depth(depth).with_width(width)
