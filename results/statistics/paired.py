"""Computes spread over seeds and tests of differences that are paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEVEL = 0.05
"""Level of significance, everywhere."""

DIGITS = 9
"""Digits after the point to which numbers are compared: equal ones may have been added up in another way."""


def mean(values: Sequence[float]) -> float:
    """Returns the mean of at least one value."""
    return math.fsum(values) / len(values)


def standard_deviation(values: Sequence[float]) -> float:
    """Returns the sample standard deviation, with n - 1, of at least two values."""
    center = mean(values)
    return math.sqrt(math.fsum((value - center) ** 2 for value in values) / (len(values) - 1))


def standard_error(values: Sequence[float]) -> float:
    """Returns the standard error of the mean, the standard deviation over the root of n, of at least two values."""
    return standard_deviation(values) / math.sqrt(len(values))


def paired_differences(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """Subtracts the second from the first, seed by seed: the same seed gave both the same batches, so noise cancels.

    Args:
        first: values by seed.
        second: values by seed; seeds that only one of the two has are left out.
    """
    return [round(first[seed] - second[seed], DIGITS) for seed in sorted(first.keys() & second.keys())]


def t_test_p(differences: Sequence[float]) -> float | None:
    """Returns the two-sided p of a paired t-test, from the differences by seed; None with fewer than two.

    It assumes that the differences are normally distributed, which so few seeds cannot show to be wrong. Differences
    that are all the same have p = 0, or 1 if they are zero.
    """
    if len(differences) < 2:
        return None
    if len(set(differences)) == 1:
        return 0.0 if differences[0] else 1.0
    return t_distribution_p(mean(differences) / standard_error(differences), len(differences) - 1)


class Interval(NamedTuple):
    """The ends of an interval."""

    lower: float
    upper: float


def t_interval(values: Sequence[float]) -> Interval | None:
    """Returns the 95 % interval of the mean by Student's t; None for a single value."""
    if len(values) < 2:
        return None
    from scipy import stats

    reach = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * standard_error(values)
    return Interval(mean(values) - reach, mean(values) + reach)


def t_distribution_p(t: float, degrees: int) -> float:
    """Returns the probability that Student's t is further from zero than `t`.

    For whole degrees of freedom it is a finite sum (Abramowitz and Stegun, 26.7.3 and 26.7.4), so that printing a table
    need not wait for scipy. The absolute error is that of rounding, about 1e-15.
    """
    angle = math.atan2(abs(t), math.sqrt(degrees))
    odd = degrees % 2
    terms = [math.cos(angle) if odd else 1.0]
    for k in range(2 + odd, degrees - 1, 2):
        terms.append(terms[-1] * math.cos(angle) ** 2 * (k - 1) / k)
    within = math.sin(angle) * math.fsum(terms if degrees > 1 else [])
    return max(0.0, 1.0 - (2.0 / math.pi * (angle + within) if odd else within))


def indistinguishable_from_best(column: Sequence[Mapping[int, float]]) -> frozenset[int]:
    """Returns the rows of a column that are not significantly worse than the best mean, that row among them.

    A row is worse if the paired t-test against the best says so at the two-sided level of 5 %: if the 95 % interval of
    its mean difference lies below zero. The exact sign-flip test, which assumes less, cannot decide this: with fewer
    than six seeds it never gets below p = 0.05, and every row would tie. There is no correction for the number of rows:
    leaving a row out says something of that row alone, and with Holm's over a dozen rows three seeds tell next to
    nothing apart. Two equally good rows keep their tie in 95 % of all cases; among five equally good ones, each is left
    out in about 6 % (normal differences, simulated with 3 to 10 seeds).

    Rows that share fewer than two seeds with the best cannot be tested and are always returned: with a single seed
    these are all rows, and a highlight would say nothing. To find the second, ask again with the rest of the rows.

    Args:
        column: values by seed of each row, higher is better; empty where the row has none.

    Returns:
        Indices into the column, without those of rows that have no values.
    """
    rows = {index: values for index, values in enumerate(column) if values}
    if not rows:
        return frozenset()
    best = max(rows, key=lambda index: round(mean(list(rows[index].values())), DIGITS))
    p_values = {index: t_test_p(paired_differences(rows[best], values)) for index, values in rows.items()}
    return frozenset(index for index, p in p_values.items() if p is None or p > LEVEL)


def ranks(values: Sequence[float]) -> list[float]:
    """Ranks values, 1 for the highest; equal values share the mean of their ranks."""
    return [
        sum(other > value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


@dataclass(frozen=True)
class RankCorrelation:
    """Similarity of two orders of n things, from -1 (reversed) to 1 (the same).

    Attributes:
        tau: Kendall's tau-b; None with fewer than three things, or where all of one side are equal.
        rho: Spearman's rho; None in the same cases.
    """

    tau: float | None
    rho: float | None
    n: int


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> RankCorrelation:
    """Correlates the orders of values that belong together by position."""
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return RankCorrelation(None, None, len(first))
    from scipy import stats

    tau = stats.kendalltau(first, second, variant="b").statistic
    return RankCorrelation(float(tau), float(stats.spearmanr(first, second).statistic), len(first))


def smallest_sign_flip_p(n: int) -> float:
    """Returns the smallest two-sided p that a sign-flip test of n paired differences can reach, 2 / 2^n.

    It is reached when all differences have one sign: 3 seeds never go below 0.25, 6 reach 0.03.
    """
    return 2.0 / 2.0**n
