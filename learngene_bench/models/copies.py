"""Copies in a model: rows or columns of a matrix that repeat others.

Units with the same numbers get the same gradients, so they stay the same for as long as the model trains: a model of
copies is a narrower one, held in more parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

COPY = 1e-4
"""Largest distance of two copies, in units of `distances`. Noise of 1e-6 on copies does not grow in training."""


def distances(vectors: Tensor) -> Tensor:
    """Computes the distance of every two rows, divided by the root mean square of the rows' norms: (n, n), float64.

    It is 0 for copies, about the square root of 2 for rows that were drawn independently, and 0 where all rows are 0.

    Args:
        vectors: (n, length).
    """
    vectors = vectors.detach().double()
    norm = vectors.square().sum(1).mean().sqrt()
    return torch.cdist(vectors, vectors) / norm.clamp(min=torch.finfo(norm.dtype).tiny)


def distinct(same: Tensor) -> int:
    """Counts the rows that repeat none before them.

    Args:
        same: (n, n), True where a row and another are copies.
    """
    return int((~same.tril(-1).any(1)).sum())


def nearest(vectors: Tensor) -> Tensor:
    """Computes the distance of every row to the one that is most like it, in units of `distances`: (n,).

    Args:
        vectors: (n, length), n at least 2.
    """
    return distances(vectors).fill_diagonal_(float("inf")).min(1).values
