"""Weight subcloning: a small model takes the most active channels, heads and hidden units of a larger trained one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field

from learngene_bench.baselines.subclone.scores import kept_units, unit_scores
from learngene_bench.config.section import Section
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained
from learngene_bench.expansion.growth import Copies, Growth, model_of_parts, parts_of_model
from learngene_bench.expansion.source_genes import larger_model, write_grown
from learngene_bench.models.vit import ViTSpec
from learngene_bench.schema.cost import Cost
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context


class SubcloneOptions(Section):
    teacher_width: int | None = Field(None, ge=1, description="width of the teacher; weight-selection's by default")
    teacher_depth: int = Field(12, ge=1, description="layers of the teacher")
    selection: Literal["importance", "uniform"] = Field(
        "importance", description="units that are kept: by activation, or evenly spaced (the ablation without images)"
    )
    images: int = Field(2048, ge=1, description="importance: training images that the teacher is shown")


class Subclone(Initializer[SubcloneOptions, ViTSpec]):
    """Weight subcloning (Samragh et al., 2023): the units that matter most, the same ones in all tensors they occur in.

    The teacher sees training images once; a unit's score is its mean activation (`scores.unit_scores`): of channels
    summed over the model, so that there is *one* ranking, of heads and hidden units in each layer. The first D, h and H
    are kept, in their order. Matrices are multiplied by the square root of inputs before / inputs kept; norms, biases
    and embeddings are not. Of the teacher's blocks the first ceil(L / 2) and the last floor(L / 2) are kept: the middle
    is removed. On the source task the head is selected too.

    Faithful: ranking, scaling, removal of the middle, as the paper and a third-party notebook (SonicCodes/subcloning).
    Choices of this suite: the score of heads, where the notebook takes the variance of attention; kept units stay in
    their order, and fc1's rows and fc2's columns share them, unlike with the notebook's `topk(sorted=False)`; the
    teacher is weight-selection's. Stored parameters are those of the target, without iRPE tables.
    """

    name = "subclone"
    title = "Subcloning"
    group = "transfer"
    citation = (
        "Samragh et al., Weight Subcloning: Direct Initialization of Transformers Using Larger Pretrained Ones, 2023"
    )
    Options = SubcloneOptions

    def reads_images(self) -> bool:
        return self.options.selection == "importance"

    def supports(self, target: ViTSpec, base: ViTSpec) -> str | None:
        teacher = self._teacher(target, base)
        if target.depth > teacher.depth:
            return f"deeper than its teacher of {teacher.depth} layers"
        if target.width > teacher.width:
            return f"wider than its teacher of width {teacher.width}"
        if (target.width, target.hidden, target.depth) == (teacher.width, teacher.hidden, teacher.depth):
            return f"its teacher has {teacher.depth} layers of width {teacher.width} already"
        if target.head_dimension != teacher.head_dimension:
            return f"its teacher has heads of dimension {teacher.head_dimension}"
        if target.hidden > teacher.hidden:
            return f"its teacher has an MLP of hidden width {teacher.hidden}"
        return None

    def _teacher(self, target: ViTSpec, base: ViTSpec) -> ViTSpec:
        return larger_model(self.name, target, base, self.options.teacher_width, self.options.teacher_depth)

    def fitted_to(self, family: ViTSpec) -> Subclone:
        by_default = {"teacher_width": family.width, "teacher_depth": family.depth}
        return Subclone(SubcloneOptions(**{**by_default, **self.options.model_dump(exclude_unset=True)}))

    def gene_request(self, target: ViTSpec, base: ViTSpec) -> GeneRequest:
        teacher = self._teacher(target, base)
        settings: dict[str, Any] = {"selection": self.options.selection}
        if self.options.selection == "importance":
            settings["images"] = self.options.images
        return GeneRequest(family=teacher, ancestors={"teacher": Pretrained(teacher)}, settings=settings)

    def stored_shapes(self, target: ViTSpec, base: ViTSpec) -> Mapping[str, tuple[int, ...]]:
        return {name: shape for name, shape in target.parameter_shapes().items() if "rpe_" not in name}

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        teacher, family = context.ancestors["teacher"], cast(ViTSpec, request.family)
        tensors = {f"teacher/{name}": parameter.detach() for name, parameter in teacher.named_parameters()}
        if request.settings["selection"] == "importance":
            images = context.source_images(request.settings["images"])
            context.spend(Cost(flops=len(images) * context.ancestor_flops["teacher"]))
            scores = unit_scores(teacher.to(context.device).eval(), images.to(context.device), family.heads)
            teacher.cpu()
            tensors |= {f"scores/{kind}": score.float().cpu() for kind, score in scores.items()}
        return Gene(self.name, family, tensors, dict(request.settings))

    def initialize(self, model: nn.Module, target: ViTSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        teacher, scores = cast(ViTSpec, gene.family), gene.part("scores")
        grown, first = teacher.in_sizes_of(target), target.depth - target.depth // 2
        layers = torch.tensor([*range(first), *range(teacher.depth - target.depth // 2, teacher.depth)])
        kept = {axis: i if i.dim() == 1 else i[layers] for axis, i in kept_units(scores, teacher, grown).items()}
        before = {axis: teacher.hidden if axis == "hidden" else teacher.width for axis in kept}
        scales = {axis: math.sqrt(before[axis] / index.shape[-1]) for axis, index in kept.items()}
        stacks, outside = parts_of_model(gene.part("teacher"), teacher)
        growth = Growth(
            dict.fromkeys(stacks, Copies(layers)),
            outputs={axis: Copies(index) for axis, index in kept.items()},
            inputs={axis: Copies(index, scale=scales[axis]) for axis, index in kept.items()},
        )
        weights = model_of_parts(growth.blocks(stacks), growth.non_block(outside), teacher)
        write_grown(model, weights, grown, target, head=context.same_task)
