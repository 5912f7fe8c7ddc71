"""Similarity of a trained model's blocks to those of a small one: linear CKA, and the best pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from learngene_bench.schema.cost import Cost
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer
    from torch import Tensor

    from learngene_bench.contracts.context import Context

BATCH = 64
"""Number of images whose representations are computed at once; a matter of memory, not of the result."""


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
