"""Finds from how many targets on one method costs no more than another, with an interval over the seeds.

A method costs something once, for all targets together, and something for each target. So the difference of two methods
for n targets is a straight line over n, and there is at most one number at which it is zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from learngene_bench.results.statistics.paired import LEVEL, Interval, mean


@dataclass(frozen=True)
class BreakEven:
    """Numbers of targets for which one method costs no more than another.

    Attributes:
        first: the least such number, 1 for "at once"; infinite for "never".
        last: the greatest; infinite where there is none.
        interval: the 95 % interval of the number at which the sign changes: there, and nowhere beside it, a paired test
            over the seeds does not tell the costs apart. It ends at 1 or at infinity where the sign may not change at
            all. None with one seed, and where the test tells them apart throughout.
    """

    first: float
    last: float
    interval: Interval | None


def break_even(once: Sequence[float], each: Sequence[float]) -> BreakEven:
    """Returns the numbers of targets for which a method costs no more than another.

    The point is that of the means. The interval is Fieller's for the ratio of two means that are paired by seed.

    Args:
        once: what the method costs once, less what the other does, by seed.
        each: what it costs for each target, less what the other does, in the same order.
    """
    shared, own = mean(once), mean(each)
    crossing = -shared / own if own else math.inf
    if shared + own <= 0:  # cheaper for a single target
        first, last = 1.0, crossing if own > 0 else math.inf
        at = last if own > 0 else 1.0
    else:
        first, last = crossing if own < 0 else math.inf, math.inf
        at = first
    around = [part for part in undecided(once, each) if part.lower <= at <= part.upper]
    return BreakEven(first, last, around[0] if around else None)


def undecided(once: Sequence[float], each: Sequence[float]) -> list[Interval]:
    """Returns the intervals of n >= 1 in which a paired t-test does not tell `once + n * each` from zero, ascending.

    They are where the square of the mean is at most t^2 times that of its standard error, which is quadratic in n.
    Numbers that do not differ between seeds have no error: they are told from zero unless they are zero.
    """
    count = len(once)
    if count < 2:
        return []
    from scipy import stats

    factor = float(stats.t.ppf(1 - LEVEL / 2, count - 1)) ** 2 / count
    # In units of the largest number, as operations are large and their squares larger.
    unit = max(map(abs, [*once, *each])) or 1.0
    shared, own = [value / unit for value in once], [value / unit for value in each]
    a = mean(own) ** 2 - factor * _covariance(own, own)
    b = mean(shared) * mean(own) - factor * _covariance(shared, own)
    c = mean(shared) ** 2 - factor * _covariance(shared, shared)
    return [
        Interval(max(1.0, lower), upper) for lower, upper in _at_most_zero(a, b, c) if upper >= 1.0 and lower <= upper
    ]


def _covariance(first: Sequence[float], second: Sequence[float]) -> float:
    centers = mean(first), mean(second)
    products = [(x - centers[0]) * (y - centers[1]) for x, y in zip(first, second, strict=True)]
    return math.fsum(products) / (len(products) - 1)


def _at_most_zero(a: float, b: float, c: float) -> list[tuple[float, float]]:
    """Returns the intervals in which a n^2 + 2 b n + c <= 0, ascending."""
    if a == 0:
        if b == 0:
            return [(-math.inf, math.inf)] if c <= 0 else []
        root = -c / (2 * b)
        return [(-math.inf, root)] if b > 0 else [(root, math.inf)]
    inside = b * b - a * c
    if inside < 0:
        # Rounding may take a double root away, where the numbers do not differ between the seeds.
        if a > 0 and inside < -1e-12 * b * b:
            return []
        if a < 0:
            return [(-math.inf, math.inf)]
        inside = 0.0
    # The root of larger size first, as the other would lose digits.
    q = -(b + math.copysign(math.sqrt(inside), b))
    roots = sorted((q / a, c / q if q else 0.0))
    return [(roots[0], roots[1])] if a > 0 else [(-math.inf, roots[0]), (roots[1], math.inf)]
