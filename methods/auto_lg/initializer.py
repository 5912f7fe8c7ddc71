"""Auto-LG: a few whole blocks of a trained model, at the bottom of every target (arXiv 2305.02279)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Pretrained
from learngene_bench.expansion.block_genes import BlockInitializer, Scalers, gene_of_blocks, one_hot, too_few_blocks
from learngene_bench.methods.auto_lg.similarity import most_similar, similarity_to_descendant

if TYPE_CHECKING:
    from learngene_bench.contracts.context import Context


class AutoOptions(Section):
    blocks: int = Field(4, ge=1, description="number of the ancestor's blocks that are inherited")
    selection: Literal["first", "similarity"] = Field(
        "first", description="rule that chooses the blocks: the first, or by similarity"
    )
    images: int = Field(512, ge=2, description="similarity: source images on which representations are compared")


class AutoLearngene(BlockInitializer[AutoOptions]):
    """W(l) = ancestor's W(k(l)) for the first n layers (WAVE, Eq. 10): one-hot scalers.

    The ancestor is a 12-layer model of the target's width, trained by the preset's pre-training recipe. n = 4 of its
    blocks become the first layers of the target, in their order; embeddings, final norm and, on the source task, the
    head are inherited too; layers above are left at their base initialization.

    Which blocks, by `selection`; the gene's facts say which rule was used and which layers it chose:

    - `first` (default): blocks 0 ... n - 1, as in the WAVE paper, whose parameter count says four, and in
      Cluster-Learngene's baseline (`models/__init__.py`, which keeps six).
    - `similarity`: the idea of the original, whose code for Vision Transformers was never released. There,
      meta-networks learn how similar each layer of the ancestor is to each of a *pseudo-descendant*, a small model, and
      the most similar layers are the learngene. Here nothing is learned for it: the pseudo-descendant is a model of n
      blocks and the ancestor's width, trained from scratch by the same pre-training recipe and seed; similarity is
      linear CKA (Kornblith et al. 2019) between block outputs, averaged over patches, on the first 512 training images;
      and each block of the pseudo-descendant is paired with one of the ancestor's, in rising order, so that the
      similarities of all pairs add up to the most. (Without pairs, the most similar blocks are neighbours, each nearly
      a copy of the next.)

    The original's targets have no iRPE tables, so the parameter column counts none (WAVE's figure is the same either
    way); a target that has them inherits them.
    """

    name = "auto-lg"
    title = "Auto-LG"
    group = "learngene"
    citation = (
        "Wang et al., Learngene: Inheriting Condensed Knowledge from the Ancestry Model to Descendant Models, 2023"
    )
    Options = AutoOptions

    def supports(self, target: ModelSpec, base: ModelSpec) -> str | None:
        return too_few_blocks(self.options.blocks, target, base) or super().supports(target, base)

    def reads_images(self) -> bool:
        return self.options.selection == "similarity"

    def settings(self) -> dict[str, Any]:
        used = ("blocks", "selection", "images") if self.options.selection == "similarity" else ("blocks", "selection")
        return {name: getattr(self.options, name) for name in used}

    def scalers(self, depth: int, settings: Mapping[str, Any]) -> Scalers:
        return [one_hot(layer, settings["blocks"]) for layer in range(depth)]

    def gene_request(self, target: ModelSpec, base: ModelSpec) -> GeneRequest:
        ancestors = {"ancestor": Pretrained(base)}
        if self.options.selection == "similarity":
            ancestors["pseudo-descendant"] = Pretrained(base.with_depth(self.options.blocks))
        return GeneRequest(family=base, ancestors=ancestors, settings=self.settings())

    def prepare(self, request: GeneRequest, context: Context) -> Gene:
        facts = dict(request.settings)
        layers: Sequence[int] = range(facts["blocks"])
        if facts["selection"] == "similarity":
            similarity = similarity_to_descendant(context, facts["images"])
            layers = most_similar(similarity)
            facts["similarity"] = similarity.tolist()
        return gene_of_blocks(self.name, context.ancestors["ancestor"], request.family, [layers], facts)
