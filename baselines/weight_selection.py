"""Weight selection: a small model takes every so-many-th channel of a larger one (arXiv 2311.18823)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, Pretrained
from learngene_bench.expansion.source_genes import larger_model
from learngene_bench.models.weights import inherited_blocks, inherited_non_block, write_weights
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from learngene_bench.contracts.context import Context


class WeightSelectionOptions(Section):
    teacher_width: int | None = Field(
        None,
        ge=1,
        description="width of the teacher; twice the base when not given, 8/3 of it for targets wider than the base",
    )
    teacher_depth: int = Field(12, ge=1, description="layers of the teacher")


class WeightSelection(Initializer[WeightSelectionOptions]):
    """Weight selection (Xu et al., 2024): layer l takes a part of the teacher's layer l, chosen evenly on every axis.

    An axis of T in the teacher and S in the target keeps the indices (released `weight_selection.py`: 9-42)

        0, T/S, 2 T/S, ...                    where S divides T
        round(linspace(0, T - 1, S))          otherwise, halves to the even neighbour

    Blocks, embeddings and norms are selected, from the first L layers; the head is not, even on the teacher's task.
    As released, query, key and value are one axis of 3T: where S does not divide T they pick different channels (from
    768 to 576, 96 of a key's 576 are no query's).

    A model of several stages takes, in each, the first layers of the teacher's stage, as the paper's ConvNeXt-F does of
    ConvNeXt-T.

    Choices of this suite: the teacher is one family up, as in the paper (S for Ti), here twice the base width for every
    size, with heads of the same dimension and 12 layers, pre-trained by the preset's recipe. For a target that is wider
    than its base it is 8/3 of the base, rounded down to whole heads: 1024 for DeiT-S, the width of ViT-L. (WAVE's Table
    2 has a figure at 768 and a dash at 1152, so its teacher lies between them.) A target as wide as its teacher has a
    dash: nothing would be selected, it would be a copy of the teacher's first layers. iRPE tables are selected too
    where both models have them. Stored parameters are those of the whole target, with the head and without iRPE, as
    only that gives the figures WAVE prints.
    """

    name = "weight-selection"
    title = "Wt Select"
    group = "transfer"
    citation = "Xu et al., Initializing Models with Larger Ones, ICLR 2024"
    families = None
    Options = WeightSelectionOptions

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        teacher = self._teacher(target, base)
        depths = {stage.component(""): stage.depth for stage in teacher.stages()}
        for stage in target.stages():
            if (key := stage.component("")) not in depths:
                return f"its teacher has no blocks {key}"
            if stage.depth > depths[key]:
                return f"deeper than its teacher of {teacher.depth} layers"
        if target.width >= teacher.width:
            return f"not narrower than its teacher of width {teacher.width}"
        larger = teacher.components()
        for key, (stage, name) in teacher.in_sizes_of(target).components().items():
            if any(s > t for s, t in zip(stage.shapes[name], larger[key][0].shapes[name], strict=True)):
                return f"{key} is larger than its teacher's"
        return None

    def _teacher(self, target: ModelSpec, base: ModelSpec) -> ModelSpec:
        return larger_model(self.name, target, base, self.options.teacher_width, self.options.teacher_depth)

    def fitted_to(self, family: ModelSpec) -> WeightSelection:
        by_default = {"teacher_width": family.width, "teacher_depth": family.depth}
        return WeightSelection(WeightSelectionOptions(**{**by_default, **self.options.model_dump(exclude_unset=True)}))

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        teacher = self._teacher(target, base)
        return GeneRequest(family=teacher, ancestors={"teacher": Pretrained(teacher)})

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        return {name: shape for name, shape in target.parameter_shapes().items() if "rpe_" not in name}

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        parameters, head = context.ancestors["teacher"].named_parameters(), request.family.head_shapes()
        return Gene(self.name, request.family, {name: each for name, each in parameters if name not in head})

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        current = dict(model.named_parameters())
        # The teacher in the target's sizes: other differences, image size and class token, are no matter of selection.
        narrow = replace(gene.family.in_sizes_of(target), classes=0)
        selected = {name: select(gene.tensors[name], shape) for name, shape in narrow.parameter_shapes().items()}
        blocks = inherited_blocks(selected, narrow, target)
        write_weights(model, {**blocks, **inherited_non_block(selected, narrow, target, current, head=False)})


def select(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The evenly chosen part of this shape."""
    for axis, size in enumerate(shape):
        tensor = tensor.index_select(axis, selected_indices(tensor.shape[axis], size))
    return tensor


def selected_indices(teacher: int, target: int) -> Tensor:
    """Chooses `target` of a teacher's channels on one axis; in float32, as released."""
    if teacher % target == 0:
        return torch.arange(target) * (teacher // target)
    return torch.linspace(0, teacher - 1, target, dtype=torch.float32).round().long()
