"""TELG: every weight of a block is a linear function of its depth (arXiv 2312.05614)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from learngene_bench.config.section import Section
from learngene_bench.expansion.block_genes import DistilledBlocks, Scalers
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


class TelgOptions(Section):
    auxiliary_depth: int = Field(12, ge=2, description="blocks of the auxiliary model that is condensed")


class Telg(DistilledBlocks[TelgOptions]):
    """W(l) = base + l / L * slope, l from 0, L the model's own depth: two templates, scalers {1, l / L}.

    The auxiliary model of 12 blocks is distilled while base and slope are all that its blocks are made of; a target of
    depth L is base + l / L * slope with *its* L. Every weight, bias and norm of a block is made this way.

    Faithful to the authors' code (AlphaXia/TLEG): what is linear, the coefficient, and where it starts: base and slope
    of a matrix are both drawn like an ordinary matrix, of a bias both are 0, of a norm weight the base is 1 and the
    slope 0. So the slope of whatever starts alike in all layers is 0.
    Choices of this suite: matrices are drawn by the preset's base initialization, which is the authors' truncated
    normal of std .02 except where very small models need another. The authors' models have no iRPE, so the parameter
    column counts no tables; where the preset's models have them, they are linear in depth too, from 0.
    Different from the authors' code: its released auxiliary and target models disagree on norm-then-pool and on the
    norms' epsilon, so that what is inherited computes another function (5 % off at the output); here they agree. Its
    loss is KL alone, divided by batch and classes; here it is the preset's KL + cross entropy, as for every method.

    The coefficient l / L never reaches 1, while WAVE's linear padding, (l - 1) / (L - 1) with l from 1, does: TELG's
    target of L blocks is the first L blocks of a padded target of L + 1.
    """

    name = "telg"
    title = "TELG"
    group = "learngene"
    citation = "Xia et al., Transformer as Linear Expansion of Learngene, AAAI 2024"
    families = None
    Options = TelgOptions

    def auxiliary_depth(self) -> int:
        return self.options.auxiliary_depth

    def scalers(self, depth: int, settings: Mapping[str, Any]) -> Scalers:
        return [[1.0, layer / depth] for layer in range(depth)]

    def initial_templates(self, name: str, layers: Tensor) -> Tensor:
        base, slope = layers
        return torch.stack([base, torch.zeros_like(slope) if torch.equal(base, slope) else slope])
