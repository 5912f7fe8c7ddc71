"""Copies for models of another width, by Net2Net (Chen et al. 2016), and two ways to tell the copies apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench.util.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor


WIDTH_NOISE = 0.1
"""Default size of `opposed_noise` for all methods that copy units, 20 dB.

On validation images sizes from 0 to 0.316 cannot be told apart (docs/methods.md). With none, copies stay copies.
"""


def repeated(old: int, new: int) -> Tensor:
    """Assigns to each of `new` positions the one of `old` that it copies: 0, 1, ..., old - 1, 0, 1, ..."""
    return torch.arange(new) % old


def repetitions(index: Tensor) -> Tensor:
    """Counts, at each position, the positions that copy the same one."""
    return torch.bincount(index)[index]


def opposed_noise(scalers: Tensor, index: Tensor, size: float, generator: Generator) -> Tensor:
    """Draws noise on widened scalers that tells the copies of a block apart, and cancels over them.

    Copies with the same numbers get the same gradients, so they would stay copies for as long as the model trains.
    Among the columns that copy one input, each second gets the negative of the noise of the one before (HyperCloning's
    `add_noise`), so that an evenly widened model still computes the same function; an odd last one gets none.

    Args:
        scalers: (L, n, rows, columns) of a matrix.
        index: (columns,), the input that each column copies.
        size: root mean square of the noise over that of a layer's scalers.
    """
    column, count = torch.arange(len(index)), torch.bincount(index)
    order = torch.argsort(index, stable=True)  # copies of one input one after another, in the order of columns
    place = torch.empty_like(order).scatter_(0, order, column)
    rank = place - (count.cumsum(0) - count)[index]  # of a column among the copies of its input
    sign = 1 - 2 * (rank % 2)
    has_partner = rank + sign < count[index]
    partner = torch.where(has_partner, order[(place + sign).clamp(max=len(index) - 1)], column)
    drawn = torch.randn(scalers.shape, generator=generator).index_select(-1, torch.minimum(column, partner))
    root_mean_square = scalers.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt()
    return drawn * sign * has_partner * size * root_mean_square


def copies_and_mean(old: int, new: int) -> Tensor:
    """Makes the rows (new - old, old) that are added to `old` channels: whole copies, and the mean for what is left."""
    rows = torch.full((new - old, old), 1.0 / old)
    copies = repeated(old, new // old * old)[old:]
    rows[: len(copies)] = torch.eye(old)[copies]
    return rows


def projected(drawn: Tensor, wanted: Tensor, index: Tensor) -> Tensor:
    """Moves drawn columns as little as possible, so that those of the copies of one input sum to what is wanted.

    Args:
        drawn: (..., columns), at least as many as the index has; the others stay.
        wanted: (..., inputs).
        index: (copies,), the input that each column copies.
    """
    sums = torch.zeros_like(wanted).index_add_(-1, index, drawn[..., : len(index)])
    missing = (wanted - sums) / torch.bincount(index)
    return torch.cat([drawn[..., : len(index)] + missing[..., index], drawn[..., len(index) :]], dim=-1)
