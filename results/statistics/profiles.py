"""Computes performance profiles and the probability of improvement: whole distributions of runs, not their means.

Both as in Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice (arXiv 2108.13264).
Values are of runs (stratum, seed), where a stratum is a target and task; every stratum counts the same; higher is
better. The draws are those of `bootstrap`.

Each is a few lines of numpy. Their library, rliable, is not used: its bootstrap draws single runs, and runs that share
a gene need draws of whole seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from learngene_bench.results.statistics.bootstrap import percentiles
from learngene_bench.results.statistics.paired import DIGITS, Interval
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[int, int]

_MOST_AT_ONCE = 2_000_000
"""Numbers in memory for one step of the draws."""


def profile(values: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.float64]:
    """Returns the fraction of a method's runs that are above each threshold."""
    return (values[..., None] > np.asarray(thresholds)).mean(axis=(0, 1))


def profile_band(
    values: NDArray[np.float64], thresholds: Sequence[float], draws: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the ends (lower, upper) of the 95 % bootstrap interval of the fraction at each threshold by itself."""
    above = (values[..., None] > np.asarray(thresholds)).astype(float)
    return percentiles(draws.reshape(len(draws), -1) @ above.reshape(-1, len(thresholds)) / len(values))


def improvements(values: NDArray[np.float64], pairs: Sequence[Pair]) -> list[float]:
    """Returns the probability that a run of the first of a pair is better than one of the second in the same stratum.

    It is the mean over strata of the share of all pairs of their runs in which the first is better; a tie counts half.

    Args:
        values: array (method, stratum, seed).
        pairs: indices of two methods each.
    """
    found = sum(_better(values[:, stratum], pairs).mean(axis=1) for stratum in range(values.shape[1]))
    return [float(share) / values.shape[1] for share in found]


def improvement_intervals(
    values: NDArray[np.float64], pairs: Sequence[Pair], draws: NDArray[np.float64] | None
) -> list[Interval | None]:
    """Returns the 95 % bootstrap intervals of `improvements`; both methods get the same draws, as seeds are paired.

    Args:
        values: array (method, stratum, seed).
        pairs: indices of two methods each.
        draws: draws of `bootstrap`; None, for too few seeds, gives no interval.

    Returns:
        None also where every draw gives the same, as if there were no doubt: in no stratum are there runs of the one
        on both sides of a run of the other.
    """
    if draws is None:
        return [None] * len(pairs)
    _, strata, seeds = values.shape
    drawn = np.zeros((len(draws), len(pairs)))
    at_once = max(1, _MOST_AT_ONCE // seeds**2)
    for stratum in range(strata):
        better = _better(values[:, stratum], pairs).T
        for start in range(0, len(draws), at_once):
            weights = draws[start : start + at_once, stratum]
            # How often a draw has both of two runs.
            together = (weights[:, :, None] * weights[:, None, :]).reshape(len(weights), -1)
            drawn[start : start + at_once] += together @ better
    ends = (percentiles(drawn) / strata).T.round(DIGITS)
    return [Interval(float(lower), float(upper)) if lower < upper else None for lower, upper in ends]


def _better(values: NDArray[np.float64], pairs: Sequence[Pair]) -> NDArray[np.float64]:
    """Compares each pair of runs of each pair of methods: 1 if the first is better, one half if they are equal.

    Args:
        values: array (method, seed).
    """

    first, second = (values[list(places)] for places in zip(*pairs, strict=True))
    mine, other = first[:, :, None], second[:, None, :]
    return ((mine > other) + 0.5 * (mine == other)).reshape(len(pairs), -1)
