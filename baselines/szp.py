"""Shrink, zero-pad and perturb: a trained model in a corner of a larger one, with fresh numbers added everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from learngene_bench.expansion.growth import HEADS, Added, AxisMap, Copies, Growth, model_of_parts, parts_of_model
from learngene_bench.expansion.source_genes import ViTGrowth, ViTGrowthOptions
from learngene_bench.expansion.widening import repeated
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from learngene_bench.contracts.context import Context


class SzpOptions(ViTGrowthOptions):
    shrink: float = Field(0.4, ge=0, le=1, description="factor of the source's matrices")
    noise: float = Field(
        1.0, ge=0, description="factor of the base initialization that is added; without it added units stay 0"
    )


class Szp(ViTGrowth[SzpOptions]):
    """Growth that keeps no function (Mallik et al., 2024, 2026): W = shrink * [W0, 0; 0, 0] + noise * R.

    W0 is a matrix of the source, R one of the target's base initialization. Added channels of the residual stream,
    heads (after the source's, whole) and hidden units begin with R alone. Embedding of patches and, on the source task,
    the head are matrices too. Vectors (biases, norms) and positions are those of the source, and of the base
    initialization where they are added.

    It is the null hypothesis for `net2net` and `lemon`: its authors find that a grown model need not compute what its
    source does, that growth by two is best, and that training from scratch wins beyond some factor. LayerNorm takes its
    mean over added channels too, so nothing is kept exactly even at `shrink=1`, `noise=0`, unless only the depth grows.

    Faithful: shrink, pad, perturb by the scale of a fresh initialization. Choices of this suite: `shrink` is .4, as the
    text that could be read gives no number (1 is the control without it); R is the preset's base initialization, where
    the authors take that of muP; vectors and positions are not shrunk, iRPE tables unchanged. The source has the base's
    width and the target's depth; or `source_depth` layers, whose stack is repeated (l mod L0). Stored parameters: the
    source's.
    """

    name = "szp"
    title = "SZP"
    group = "transfer"
    citation = (
        "Mallik et al., Warmstarting for Scaling Language Models, 2024; "
        "Mallik et al., When is Warmstarting Effective for Scaling Language Models?, 2026"
    )
    Options = SzpOptions

    def grown(
        self, tensors: Mapping[str, Tensor], source: ViTSpec, target: ViTSpec, context: Context
    ) -> dict[str, Tensor]:
        stacks, outside = parts_of_model(tensors, source)
        fresh_stacks, fresh_outside = parts_of_model(context.base_weights(target), target)
        width = _zeros_after(source.width, target.width)
        padding: dict[str, AxisMap] = {"residual": width, **dict.fromkeys(HEADS, width)}
        padding["hidden"] = _zeros_after(source.hidden, target.hidden)
        layers = Copies(repeated(source.depth, target.depth))
        growth = Growth(dict.fromkeys(stacks, layers), outputs=padding, inputs=padding)
        blocks = self._perturbed(growth.blocks(stacks), growth.blocks(_ones(stacks)), fresh_stacks, matrix=3)
        non_block = self._perturbed(growth.non_block(outside), growth.non_block(_ones(outside)), fresh_outside, 2)
        return model_of_parts(blocks, non_block, source)

    def _perturbed(
        self, padded: Mapping[str, Tensor], old: Mapping[str, Tensor], fresh: Mapping[str, Tensor], matrix: int
    ) -> dict[str, Tensor]:
        """Adds fresh numbers to what is padded with zeros.

        Args:
            old: 1 where the source has a number, 0 elsewhere.
            matrix: dimensions that a weight has at least if it is a matrix.
        """
        shrink, noise = self.options.shrink, self.options.noise
        return {
            name: shrink * tensor + noise * fresh[name]
            if name.endswith("weight") and tensor.dim() >= matrix
            else torch.where(old[name] > 0, tensor, fresh[name])
            for name, tensor in padded.items()
        }


def _zeros_after(old: int, new: int) -> Added:
    return Added(torch.zeros(new - old, old))


def _ones(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.ones_like(tensor) for name, tensor in tensors.items()}
