"""Spread over seeds, and differences paired by seed: what n seeds can and cannot say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

LEVEL = 0.05
"""What counts as significant, everywhere."""

DIGITS = 9
"""Numbers that differ only behind these are equal: the same ones, added up or rounded in another way."""


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def standard_deviation(values: Sequence[float]) -> float:
    """The sample standard deviation, with n - 1; at least two values."""
    center = mean(values)
    return math.sqrt(math.fsum((value - center) ** 2 for value in values) / (len(values) - 1))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean: the sample standard deviation over the root of n; at least two values."""
    return standard_deviation(values) / math.sqrt(len(values))


def paired_differences(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """First minus second, seed by seed: the same seed gave both the same batches, so most of the noise cancels.

    Args:
        first: values by seed.
        second: values by seed; seeds that only one of the two has are left out.
    """
    return [round(first[seed] - second[seed], DIGITS) for seed in sorted(first.keys() & second.keys())]


def t_test_p(differences: Sequence[float]) -> float | None:
    """The two-sided p of a paired t-test, from the differences by seed; None with fewer than two.

    It takes the differences to be normally distributed, which so few seeds cannot show to be wrong. Differences that
    are all the same have p = 0, or 1 if they are zero.
    """
    if len(differences) < 2:
        return None
    if len(set(differences)) == 1:
        return 0.0 if differences[0] else 1.0
    return t_distribution_p(mean(differences) / standard_error(differences), len(differences) - 1)


class Interval(NamedTuple):
    lower: float
    upper: float


def t_interval(values: Sequence[float]) -> Interval | None:
    """The 95 % interval of the mean by Student's t; None of a single value."""
    if len(values) < 2:
        return None
    from scipy import stats

    reach = float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1)) * standard_error(values)
    return Interval(mean(values) - reach, mean(values) + reach)


def t_distribution_p(t: float, degrees: int) -> float:
    """The probability that Student's t with so many degrees of freedom is further from zero than this.

    For whole degrees it is a finite sum (Abramowitz and Stegun, 26.7.3 and 26.7.4), so that printing a table need not
    wait for scipy. The absolute error is that of rounding, about 1e-15.
    """
    angle = math.atan2(abs(t), math.sqrt(degrees))
    odd = degrees % 2
    terms = [math.cos(angle) if odd else 1.0]
    for k in range(2 + odd, degrees - 1, 2):
        terms.append(terms[-1] * math.cos(angle) ** 2 * (k - 1) / k)
    within = math.sin(angle) * math.fsum(terms if degrees > 1 else [])
    return max(0.0, 1.0 - (2.0 / math.pi * (angle + within) if odd else within))


def indistinguishable_from_best(column: Sequence[Mapping[int, float]]) -> frozenset[int]:
    """Which rows of a column are not significantly worse than the one with the highest mean, that one among them.

    A row is worse if the paired t-test against the best says so at the two-sided level of 5 %: if the 95 % interval of
    its mean difference lies below zero. The exact sign-flip test, which assumes less, cannot decide this: with fewer
    than six seeds it never gets below p = 0.05, and every row would tie. There is no correction for the number of rows:
    leaving a row out says something of that row alone, and with Holm's over a dozen rows three seeds tell next to
    nothing apart. Two equally good rows keep their tie in 95 % of all cases; among five equally good ones, each is left
    out in about 6 % (normal differences, simulated with 3 to 10 seeds).

    Rows that share fewer than two seeds with the best cannot be told from it and are always among them: with a single
    seed these are all rows, and a mark would say nothing. To find the second, ask again with the rest of the rows.

    Args:
        column: for each row its values by seed, higher is better; empty where the row has none.

    Returns:
        Indices into the column; none of rows without values.
    """
    rows = {index: values for index, values in enumerate(column) if values}
    if not rows:
        return frozenset()
    best = max(rows, key=lambda index: round(mean(list(rows[index].values())), DIGITS))
    p_values = {index: t_test_p(paired_differences(rows[best], values)) for index, values in rows.items()}
    return frozenset(index for index, p in p_values.items() if p is None or p > LEVEL)


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
