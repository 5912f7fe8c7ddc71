"""SWEET: all matrices of all layers are one Tucker tensor, condensed at random widths (arXiv 2601.19694)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from learngene_bench.expansion.factorized import FactorizedBlocks, FactorizedOptions, Tensors
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from learngene_bench.contracts.context import Context


class SweetOptions(FactorizedOptions):
    smallest_width: float = Field(
        0.5,
        gt=0,
        le=1,
        description="condensation: each batch sees a width between this part of the whole and the whole",
    )
    templates: int | None = Field(
        None, ge=1, description="slices of the shared template (r1); twice those of a block when not given"
    )


class Sweet(FactorizedBlocks[SweetOptions]):
    """The D x D slices of all matrices, 12 in a layer, are X(l) applied to templates that all slices share.

    Slices are q, k, v, projection, four of fc1 and four of fc2. Their stack (12 L, D, D) is G x1 X x2 U x3 V: slice i
    is sum_a X(i, a) U G(a) V'. G (r1, D, D) is the shared template; X (12 L, r1), U and V (D, D) are its scalers. A
    model in this form is condensed (`expansion.factorized.FactorizedBlocks`), each batch at a width D' drawn anew, by
    the first D' rows of U and V. A target's X start as the auxiliary model's, interpolated over relative depth; X, U
    and V learn on source data while G stays.

    Faithful to the paper (no code): slices, factorization, random widths, what learns in a target.
    Choices of this suite, where the paper is silent: r1 = 24 (two for each slice, as in WAVE, but shared by all), r2 =
    r3 = D; U and V start as the identity, G as ordinary matrices and X as WAVE's linear padding: slice i of layer l is
    G(i) + (l - 1) / (L - 1) G(12 + i). Widths are all whole heads from `smallest_width`; norms, biases, embeddings and
    head take the first channels too; norms and biases are linear in depth, as in TELG. The parameter column counts U
    and V, of which a target starts.
    Different: the paper trains without labels by a loss that cannot be read from it; here the auxiliary model is
    distilled as every learngene of the suite. Targets wider than the gene are not defined here.
    """

    name = "sweet"
    title = "SWEET"
    group = "learngene"
    citation = "Xie et al., Self-Supervised Weight Templates for Scalable Vision Model Initialization, 2026"
    Options = SweetOptions

    def settings(self) -> dict[str, Any]:
        return {"templates": self.options.templates}

    def learned_factors(self) -> tuple[str, ...]:
        return ("U", "V")

    def factor_shapes(self, family: ViTSpec, settings: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        square = (family.width, family.width)
        return {"G": (settings["templates"] or 2 * slices(family), *square), "U": square, "V": square}

    def start(
        self, layers: Tensors, family: ViTSpec, settings: Mapping[str, Any], context: Context
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        each, count = slices(family), self.factor_shapes(family, settings)["G"][0]
        cut = torch.cat([sliced(layers[name], family) for name in GRIDS], dim=1)  # (L, slices, D, D)
        templates = torch.stack([cut[(a // each) % family.depth, a % each] for a in range(count)])
        relative = torch.linspace(0, 1, family.depth)
        scalers = torch.zeros(family.depth, each, count)
        for a in range(count):
            scalers[:, a % each, a] = relative ** (a // each)
        for i in range(count, each):  # fewer templates than slices: those that have none of their own share
            scalers[:, i, i % count] = 1.0
        identity = torch.eye(family.width)
        return {"G": templates, "U": identity, "V": identity.clone()}, {"X": scalers}

    def contract(self, factors: Tensors, scalers: Tensors, family: ViTSpec) -> dict[str, Tensor]:
        templates = factors["U"] @ factors["G"] @ factors["V"].mT
        made = torch.einsum("lia,aor->lior", scalers["X"], templates)
        matrices, first = {}, 0
        for name in GRIDS:
            rows, columns = grid(name, family)
            part = made[:, first : first + rows * columns].unflatten(1, (rows, columns))
            matrices[name] = part.transpose(2, 3).flatten(3, 4).flatten(1, 2)
            first += rows * columns
        return matrices

    def contraction_flops(self, family: ViTSpec, settings: Mapping[str, Any]) -> float:
        count, width = self.factor_shapes(family, settings)["G"][0], family.width
        return float(4 * count * width**3 + 2 * family.depth * slices(family) * count * width**2)


GRIDS = ("attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight")
"""Components in the order of their slices."""


def grid(name: str, family: ViTSpec) -> tuple[int, int]:
    """Slices below one another and side by side in a component."""
    rows, columns = family.block_shapes()[name]
    return rows // family.width, columns // family.width


def slices(family: ViTSpec) -> int:
    """Counts the slices of one layer."""
    return sum(rows * columns for rows, columns in (grid(name, family) for name in GRIDS))


def sliced(layers: Tensor, family: ViTSpec) -> Tensor:
    """Cuts matrices (L, rows, columns) into slices (L, number, D, D), row by row."""
    width = family.width
    return layers.unfold(1, width, width).unfold(2, width, width).flatten(1, 2)
