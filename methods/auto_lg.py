"""Auto-LG: a few whole blocks of a trained model, at the bottom of every target (arXiv 2305.02279)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.contracts.family import ModelSpec
from learngene_bench.contracts.gene import Gene
from learngene_bench.contracts.initializer import GeneRequest, Pretrained
from learngene_bench.expansion.block_genes import BlockInitializer, Scalers, gene_of_blocks, one_hot, too_few_blocks
from learngene_bench.schema.cost import Cost
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer
    from torch import Tensor

    from learngene_bench.contracts.context import Context

BATCH = 64
"""Number of images whose representations are computed at once; a matter of memory, not of the result."""


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


def most_similar(similarity: Tensor) -> list[int]:
    """Chooses a layer of the ancestor for each of the pseudo-descendant, rising, with the largest sum of similarities.

    Args:
        similarity: (ancestor's layers, pseudo-descendant's layers).
    """
    layers, pairs = similarity.shape
    choices = torch.combinations(torch.arange(layers), pairs)
    best = similarity[choices, torch.arange(pairs)].sum(dim=1).argmax()
    return choices[best].tolist()


def similarity_to_descendant(context: Context, images: int) -> Tensor:
    """Computes linear CKA of each of the ancestor's blocks with each of the pseudo-descendant's: (L, n)."""
    sample = context.source_images(images)
    roles = ("ancestor", "pseudo-descendant")
    context.spend(Cost(flops=len(sample) * sum(context.ancestor_flops[role] for role in roles)))
    ancestor, descendant = (representations(context, role, sample) for role in roles)
    return torch.stack([torch.stack([linear_cka(block, other) for other in descendant]) for block in ancestor])


def representations(context: Context, role: str, images: Tensor) -> list[Tensor]:
    """Output of each block of an ancestor, averaged over patches: (images, width) in float64."""
    network = cast("VisionTransformer", context.ancestors[role]).to(context.device).eval()
    batches = []
    with torch.no_grad():
        for batch in images.split(BATCH):
            outputs = network.forward_intermediates(batch.to(context.device), output_fmt="NLC", intermediates_only=True)
            batches.append(torch.stack(cast("list[Tensor]", outputs)).mean(dim=2).double().cpu())
    network.cpu()
    return list(torch.cat(batches, dim=1))


def linear_cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear centered kernel alignment of two representations of the same images, from 0 to 1.

    ||y' x||^2 / (||x' x|| ||y' y||), Frobenius norms, columns centered (Kornblith et al. 2019).

    Args:
        x: (images, features), y: (images, other features).
    """
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    return (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
