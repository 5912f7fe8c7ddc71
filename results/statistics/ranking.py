"""Ranks methods over targets and tasks, and says which ranks differ: Friedman's test, Nemenyi's critical difference.

As in Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets (JMLR 7, 2006). A block is what all methods
are ranked on together, such as one target and task; it has one value for each method, higher is better.

A table has few blocks, for which the usual p of Friedman's test is too coarse: here it is by permutation. What is left
for a library such as scikit-posthocs to do is one formula (`critical_difference`), which is not worth a dependency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learngene_bench.results.statistics.paired import LEVEL, mean, ranks
from learngene_bench.util.lazy import np

_PERMUTATIONS = 4_999
_SEED = 0


def mean_ranks(blocks: Sequence[Sequence[float]]) -> list[float]:
    """Returns each method's mean rank over the blocks: 1 for the highest, equal values share theirs."""
    return [mean(of_method) for of_method in zip(*map(ranks, blocks), strict=True)]


@dataclass(frozen=True)
class Friedman:
    """Result of Friedman's test, whether the ranks of methods differ at all.

    Attributes:
        statistic: chi-squared, corrected for ties; None where all values of every block are equal.
        p: by permutation; None where not even the same order in every block would be significant.
    """

    statistic: float | None
    p: float | None
    methods: int
    blocks: int

    @property
    def significant(self) -> bool:
        return self.p is not None and self.p <= LEVEL


def friedman(blocks: Sequence[Sequence[float]]) -> Friedman:
    """Tests at least one block of at least two methods.

    p comes from ranking each of the blocks at random, 4,999 times and always the same ones, for the usual chi-squared
    distribution is too coarse for few blocks (Demšar: fewer than eleven, or fewer than six methods).
    """
    table = np.array([ranks(block) for block in blocks])
    n, k = table.shape
    expected = n * (k + 1) / 2
    tied = n * k * (k + 1) ** 2 / 4
    spread = float((table**2).sum()) - tied
    distance = float(((table.sum(axis=0) - expected) ** 2).sum())
    statistic = (k - 1) * distance / spread if spread > 0 else None
    if statistic is None or smallest_friedman_p(k, n) > LEVEL:
        return Friedman(statistic, None, k, n)
    generator = np.random.default_rng(_SEED)
    # Block by block, so that the memory needed does not grow with their number.
    sums = np.zeros((_PERMUTATIONS, k))
    for row in table:
        sums += generator.permuted(np.broadcast_to(row, sums.shape), axis=1)
    as_far = int((((sums - expected) ** 2).sum(axis=1) >= distance - 1e-9 * distance).sum())
    return Friedman(statistic, (1 + as_far) / (1 + _PERMUTATIONS), k, n)


def smallest_friedman_p(methods: int, blocks: int) -> float:
    """Returns the probability that all blocks have the same order: no p of Friedman's test is smaller, except for ties.

    >>> round(smallest_friedman_p(methods=3, blocks=2), 3)
    0.167
    """
    return math.exp(-(blocks - 1) * math.lgamma(methods + 1))


def critical_difference(methods: int, blocks: int) -> float:
    """Returns the difference from which on any two mean ranks differ at `LEVEL` (Nemenyi)."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - LEVEL, methods, math.inf))
    return quantile / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * blocks))


def cliques(mean_ranks: Sequence[float], distance: float) -> list[tuple[int, ...]]:
    """Returns the largest sets of methods in which no two mean ranks are further apart than the distance.

    Args:
        mean_ranks: mean rank of each method, in any order.
        distance: the critical difference.

    Returns:
        Indices, from the lowest mean rank to the highest; only sets of at least two, and none within another.
    """
    order = sorted(range(len(mean_ranks)), key=lambda index: mean_ranks[index])
    found: list[tuple[int, ...]] = []
    for place, first in enumerate(order):
        near = tuple(index for index in order[place:] if mean_ranks[index] - mean_ranks[first] <= distance)
        if len(near) > 1 and not (found and set(near) <= set(found[-1])):
            found.append(near)
    return found
