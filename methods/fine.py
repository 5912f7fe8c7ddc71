"""FINE: each matrix is U diag(s) V' with U and V shared by all layers (arXiv 2409.19289)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from learngene_bench.expansion.factorized import MATRICES, FactorizedBlocks, FactorizedOptions, Tensors
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from learngene_bench.contracts.context import Context


class FineOptions(FactorizedOptions):
    rank: float = Field(1.0, gt=0, le=1, description="singular values of a matrix, over the width")


class Fine(FactorizedBlocks[FineOptions]):
    """W(l) = U diag(s(l)) V': U (outputs, r) and V (inputs, r) of a component are the gene, s (L, r) are the scalers.

    A 12-layer model in this form is distilled from the preset's teacher (`expansion.factorized.FactorizedBlocks`). A
    target's s start as its own, interpolated over relative depth, and learn on source data while U and V stay.

    Faithful to the paper (v2; no code): the factorization, what is shared and what is learned for a target. The paper
    measures diffusion models; its classification row is ImageNet, 74.75 %.
    Choices of this suite, where the paper is silent: r is the width D (`rank`), so that the gene's matrices are 16 D^2
    numbers against 12 D^2 of one block; query, key and value are one matrix; U and V start with orthonormal columns,
    and s with the one value by which matrices have the standard deviation of the preset's base initialization; norms
    and biases are linear in depth, as in TELG; the auxiliary depth; scalers have no weight decay. Nothing keeps U and V
    orthonormal in training, so s are singular values by name only.
    Targets of less width take the first rows of U and V. `smallest_width` below 1 condenses at random widths, which
    makes first rows the most important ones, as SWEET does. Wider targets are not defined.
    """

    name = "fine"
    title = "FINE"
    group = "learngene"
    citation = (
        "Xie et al., FINE: Factorizing Knowledge for Initialization of Variable-sized Diffusion Models, CVPR 2026"
    )
    Options = FineOptions

    def settings(self) -> dict[str, Any]:
        return {"rank": self.options.rank}

    def factor_shapes(self, family: ViTSpec, settings: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        rank, shapes = _rank(family, settings), family.block_shapes()
        sides = {(name, side): shapes[name][axis] for name in MATRICES for axis, side in enumerate(("U", "V"))}
        return {f"{name}/{side}": (size, rank) for (name, side), size in sides.items()}

    def start(
        self, layers: Tensors, family: ViTSpec, settings: Mapping[str, Any], context: Context
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        generator, rank = context.generator("factors"), _rank(family, settings)
        shapes = self.factor_shapes(family, settings)
        factors = {
            name: torch.nn.init.orthogonal_(torch.empty(shape), generator=generator) for name, shape in shapes.items()
        }
        scalers = {}
        for name, each in layers.items():
            # U and V have unit columns, so that a number of the product has variance s^2 r / (outputs inputs).
            value = float(each.square().mean().sqrt()) * math.sqrt(each[0].numel() / rank)
            scalers[name] = torch.full((family.depth, rank), value)
        return factors, scalers

    def contract(self, factors: Tensors, scalers: Tensors, family: ViTSpec) -> dict[str, Tensor]:
        return {
            name: (factors[f"{name}/U"] * each.unsqueeze(1)) @ factors[f"{name}/V"].mT for name, each in scalers.items()
        }

    def contraction_flops(self, family: ViTSpec, settings: Mapping[str, Any]) -> float:
        shapes = family.block_shapes()
        return float(sum(2 * family.depth * math.prod(shapes[name]) * _rank(family, settings) for name in MATRICES))


def _rank(family: ViTSpec, settings: Mapping[str, Any]) -> int:
    return max(1, round(settings["rank"] * family.width))
