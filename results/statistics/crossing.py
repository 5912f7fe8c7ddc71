"""Finds where a gap between two methods closes, along an axis that is measured at a few points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from learngene_bench.results.statistics.paired import LEVEL, mean, t_test_p


def closing_point(positions: Sequence[float], gaps: Sequence[float]) -> float | None:
    """Returns the first position at which a gap is zero, or has the other sign than at the first.

    Between two positions the gap is taken as a straight line over the logarithm of the position.

    Args:
        positions: at least one, above zero, ascending.
        gaps: the gap at each.

    Returns:
        None if it keeps its sign at all positions.
    """
    if gaps[0] == 0:
        return positions[0]
    for (start, before), (end, after) in pairwise(zip(positions, gaps, strict=True)):
        if after * gaps[0] <= 0:
            return start * (end / start) ** (before / (before - after))
    return None


def last_open(differences: Sequence[Sequence[float]]) -> int | None:
    """Returns the index up to which, from the first on, a gap is told from zero and has the sign of the first.

    It is told from zero if a paired t-test says so: if the 95 % interval of the mean difference excludes zero.

    Args:
        differences: differences by seed at each position.

    Returns:
        None if not even the first gap is told from zero, as with a single seed.
    """
    sides = [_side(by_seed) for by_seed in differences]
    open_ones = next((index for index, side in enumerate(sides) if side == 0 or side != sides[0]), len(sides))
    return open_ones - 1 if open_ones else None


def _side(differences: Sequence[float]) -> int:
    """Returns the sign of a mean difference; 0 if no test tells it from zero."""
    p = t_test_p(differences)
    if p is None or p > LEVEL:
        return 0
    return 1 if mean(differences) > 0 else -1
