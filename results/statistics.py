"""Spread over seeds, and differences paired by seed: what n seeds can and cannot say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def standard_deviation(values: Sequence[float]) -> float:
    """The sample standard deviation, with n - 1; at least two values."""
    center = mean(values)
    return math.sqrt(math.fsum((value - center) ** 2 for value in values) / (len(values) - 1))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean: the sample standard deviation over the root of n; at least two values."""
    return standard_deviation(values) / math.sqrt(len(values))


@dataclass(frozen=True)
class PairedDifference:
    """The mean difference of two methods over the seeds they share.

    Attributes:
        standard_error: of the mean difference; None with a single seed, which says nothing of the spread.
        seeds: over which seeds, ascending.
    """

    mean: float
    standard_error: float | None
    seeds: tuple[int, ...]

    @property
    def n(self) -> int:
        return len(self.seeds)


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> PairedDifference:
    """First minus second, seed by seed: the same seed gave both the same batches, so most of the noise cancels.

    Args:
        first: values by seed.
        second: values by seed; seeds that only one of the two has are left out.

    Raises:
        ValueError: no seed in common.
    """
    seeds = tuple(sorted(first.keys() & second.keys()))
    if not seeds:
        raise ValueError("no seed in common")
    differences = [first[seed] - second[seed] for seed in seeds]
    return PairedDifference(mean(differences), standard_error(differences) if len(seeds) > 1 else None, seeds)


def ranks(values: Sequence[float]) -> list[float]:
    """1 for the highest; equal values share the mean of their ranks."""
    return [
        sum(other > value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


@dataclass(frozen=True)
class RankCorrelation:
    """How alike two orders of n things are, from -1 (reversed) to 1 (the same).

    Attributes:
        tau: Kendall's tau-b; None with fewer than three things, or where all of one side are equal.
        rho: Spearman's rho; likewise.
    """

    tau: float | None
    rho: float | None
    n: int


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation:
    """Of values that belong together by position."""
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return RankCorrelation(None, None, len(first))
    from scipy import stats

    tau = stats.kendalltau(first, second, variant="b").statistic
    return RankCorrelation(float(tau), float(stats.spearmanr(first, second).statistic), len(first))


def smallest_sign_flip_p(n: int) -> float:
    """The smallest two-sided p that a sign-flip test of n paired differences can reach, 2 / 2^n.

    It is reached when all differences have one sign: 3 seeds never go below 0.25, 6 reach 0.03.
    """
    return 2.0 / 2.0**n
