"""Performance profiles and the probability of improvement: whole distributions of runs instead of their means.

Both as in Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice (arXiv 2108.13264).
Values are of runs (stratum, seed), where a stratum is a target and task; every stratum counts the same. The draws are
those of `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from learngene_bench.results.bootstrap import percentiles
from learngene_bench.results.statistics import DIGITS, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def profile(values: NDArray[np.float64], thresholds: Sequence[float]) -> NDArray[np.float64]:
    """The fraction of a method's runs that are above each threshold."""
    import numpy as np

    return (values[..., None] > np.asarray(thresholds)).mean(axis=(0, 1))


def profile_band(
    values: NDArray[np.float64], thresholds: Sequence[float], draws: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The ends (lower, upper) of the 95 % bootstrap interval of the fraction at each threshold, each on its own."""
    import numpy as np

    above = (values[..., None] > np.asarray(thresholds)).astype(float)
    return percentiles(draws.reshape(len(draws), -1) @ above.reshape(-1, len(thresholds)) / len(values))


def improvement(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """The probability that a run of the first is better than one of the second on the same target and task.

    The mean over strata of the share of all pairs of their runs in which the first is better; a draw counts half.
    """
    return float(_better(first, second).mean())


def improvement_interval(
    first: NDArray[np.float64], second: NDArray[np.float64], draws: NDArray[np.float64] | None
) -> Interval | None:
    """The 95 % bootstrap interval of `improvement`; both methods get the same draws, since their seeds are paired.

    Args:
        draws: None, for too few seeds, gives no interval.

    Returns:
        None as well where every draw gives the same, as if there were no doubt: in no stratum are there runs of the one
        on both sides of a run of the other.
    """
    if draws is None:
        return None
    by_stratum = draws.transpose(1, 0, 2)
    drawn = ((by_stratum @ _better(first, second)) * by_stratum).sum(axis=(0, 2)) / len(first)
    lower, upper = (float(end) for end in percentiles(drawn))
    return Interval(lower, upper) if round(upper - lower, DIGITS) else None


def _better(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each stratum and pair of runs: 1 if the first is better, one half if they are equal."""
    mine, other = first[:, :, None], second[:, None, :]
    return (mine > other) + 0.5 * (mine == other)
