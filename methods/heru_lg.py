"""Heru-LG: the last blocks of a trained model, at the top of every target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Pretrained
from learngene_bench.expansion.block_genes import BlockInitializer, Scalers, gene_of_blocks, one_hot, too_few_blocks

if TYPE_CHECKING:
    from learngene_bench.contracts.context import Context


class HeruOptions(Section):
    blocks: int = Field(3, ge=1, description="number of the ancestor's last blocks that are inherited")


class HeruLearngene(BlockInitializer[HeruOptions]):
    """W(l) = ancestor's W(A - n + l') for the last n layers (WAVE, Eq. 9): one-hot scalers.

    The ancestor is a 12-layer model of the target's width, trained by the preset's pre-training recipe. Its last three
    blocks become layers L - 3 ... L - 1 of the target; embeddings, final norm and, on the source task, the head are
    inherited too; layers below are left at their base initialization. A model of several stages inherits the last
    blocks of each.

    Faithful to the baseline in Cluster-Learngene (BruceQFWang/NeurIPS24-Cluster-Learngene, `models/__init__.py`), which
    keeps blocks 9, 10 and 11 of DeiT, and to WAVE's parameter count, which says three. That code drops the head, as it
    always fine-tunes on another task.
    Different from the original (Wang et al. 2022): there the layers are chosen by how little their gradients change
    while a network learns tasks in sequence; for Vision Transformers all later papers fix the last three. Their targets
    have no iRPE tables, so the parameter column counts none (WAVE's figure is the same either way); a target that has
    them inherits them.
    """

    name = "heru-lg"
    title = "Heru-LG"
    group = "learngene"
    citation = "Wang et al., Learngene: From Open-World to Your Learning Task, AAAI 2022"
    families = None
    Options = HeruOptions

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        return too_few_blocks(self.options.blocks, target, base) or super().supports(target, base)

    def settings(self) -> dict[str, Any]:
        return {"blocks": self.options.blocks}

    def scalers(self, depth: int, settings: Mapping[str, Any]) -> Scalers:
        blocks = settings["blocks"]
        return [one_hot(layer - (depth - blocks), blocks) for layer in range(depth)]

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        return GeneRequest(family=base, ancestors={"ancestor": Pretrained(base)}, settings=self.settings())

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        blocks = request.settings["blocks"]
        last = [range(stage.depth - blocks, stage.depth) for stage in request.family.stages()]
        return gene_of_blocks(self.name, context.ancestors["ancestor"], request.family, last, request.settings)
