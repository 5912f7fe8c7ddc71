"""Finds where a gap between two methods closes, along an axis that is measured at a few points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from learngene_bench.results.statistics.paired import Interval


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


def last_open(intervals: Sequence[Interval | None]) -> int | None:
    """Returns the index up to which, from the first on, intervals lie on the side of zero of the first one.

    Args:
        intervals: intervals of the gap; None where nothing can be said.

    Returns:
        None if not even the first excludes zero.
    """
    sides = [_side(interval) for interval in intervals]
    open_ones = next((index for index, side in enumerate(sides) if side == 0 or side != sides[0]), len(sides))
    return open_ones - 1 if open_ones else None


def _side(interval: Interval | None) -> int:
    """Returns the sign of all numbers of an interval; 0 if it holds zero, or is not known."""
    if interval is None or interval.lower <= 0 <= interval.upper or math.isnan(interval.lower):
        return 0
    return 1 if interval.lower > 0 else -1
