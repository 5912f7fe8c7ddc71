"""The discrete cosine transform of an axis, as a matrix, and back to an axis of another size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from learngene_bench.expansion.growth import HEADS
from learngene_bench.models.vit import ViTSpec
from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor


def cosine_transform(size: int) -> Tensor:
    """The orthonormal DCT-II: (size, size), a basis vector in each row."""
    places = torch.arange(size, dtype=torch.float64)
    angles = torch.outer(places, 2 * places + 1) * math.pi / (2 * size)
    transform = angles.cos() * math.sqrt(2 / size)
    transform[0] = math.sqrt(1 / size)
    return transform.float()


def inverse_transform(frequencies: int, size: int) -> Tensor:
    """The inverse, (size, frequencies), to an axis of any size; 0 for frequencies that such an axis does not have."""
    inverse = torch.zeros(size, frequencies)
    inverse[:, :size] = cosine_transform(size)[:frequencies].mT
    return inverse


def low_frequencies(spec: ViTSpec, ratio: float = 1.0) -> dict[str, int]:
    """Number of frequencies that are this share of an axis, rounded up; see `expansion.growth`.

    Channels of heads are not transformed within a head, so their number is that of the axis of heads times a head's.
    """

    def kept(size: int) -> int:
        return math.ceil(ratio * size - 1e-9)  # .07 * 100 is a little more than 7

    heads = dict.fromkeys(HEADS, kept(spec.heads) * spec.head_dimension)
    return {"layers": kept(spec.depth), "residual": kept(spec.width), **heads, "hidden": kept(spec.hidden)}
