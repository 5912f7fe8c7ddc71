"""Direct pre-training: every target is trained from scratch by the full recipe; the reference row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Initializer, NoOptions, Pretrained
from learngene_bench.models.weights import inherited_blocks, inherited_non_block, write_weights

if TYPE_CHECKING:
    from torch import nn

    from learngene_bench.contracts.context import Context


class DirectPretraining(Initializer[NoOptions]):
    """The paper's "Direct PT": 150 epochs for every size; on the source task nothing is fine-tuned
    afterwards. On other tasks all but the head is inherited and fine-tuned.

    The parameter column counts iRPE tables on the source task and none on others, as only that gives the figures WAVE
    prints (its Table 3 has 11.0 M for DeiT-S, with tables it would be 11.1 M). They are inherited in both cases.
    """

    name = "direct-pt"
    title = "Direct PT"
    group = "pre-training"
    citation = "Touvron et al., Training data-efficient image transformers, ICML 2021"
    families = None
    is_trained = True

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        # Blocks of some families depend on the image size, which another task may change.
        return target.block_mismatch(_pretrained(target, base))

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        pretrained = _pretrained(target, base)
        return GeneRequest(family=pretrained, ancestors={"itself": Pretrained(pretrained)})

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        return Gene(self.name, request.family, dict(context.ancestors["itself"].named_parameters()))

    def initialize(self, model: nn.Module, target: ModelSpec, gene: Gene | None, context: Context) -> None:
        assert gene is not None
        blocks = inherited_blocks(gene.tensors, gene.family, target)
        current = dict(model.named_parameters())
        others = inherited_non_block(gene.tensors, gene.family, target, current, head=context.same_task)
        write_weights(model, {**blocks, **others})

    def stored_shapes(self, target: ModelSpec, base: ModelSpec) -> Mapping[str, tuple[int, ...]]:
        # Without a head it is counted for the table of another task.
        return {
            name: shape for name, shape in target.parameter_shapes().items() if target.classes or "rpe_" not in name
        }


def _pretrained(target: ModelSpec, base: ModelSpec) -> ModelSpec:
    """The target as it is trained on the source task."""
    return replace(target, image_size=base.image_size, classes=base.classes)
