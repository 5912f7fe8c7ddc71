"""Computes bootstrap intervals: how much a statistic changes when the runs behind it are drawn again.

Runs lie in strata (a target and task each) that are never mixed. Either single runs are drawn within each stratum: the
stratified bootstrap of Agarwal et al. (arXiv 2108.13264), which assumes that all runs are independent. Or whole seeds
are drawn, the same in every stratum. Only this is right if the errors of one seed's runs are correlated, as those of
targets that share one gene; `design_effect` measures it.

All methods get the same draws, so that what is paired stays so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from learngene_bench.results.statistics.paired import LEVEL, Interval, mean, standard_deviation
from learngene_bench.results.statistics.testing import minimum_n
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 2_000
_SEED = 0


def draws_of_runs(strata: int, seeds: int) -> NDArray[np.float64] | None:
    """Returns the weights of the runs in each of `DRAWS` draws: how often each was drawn, as a share of its stratum.

    Returns:
        An array (draw, stratum, seed), always the same; None with fewer than three seeds, or six runs in all.
    """
    return _draws(strata, seeds) if seeds >= 3 and strata * seeds >= minimum_n() else None


def draws_of_seeds(strata: int, seeds: int) -> NDArray[np.float64] | None:
    """Returns the same with whole seeds, each drawn in all strata alike.

    Returns:
        None with fewer than six seeds: an interval of drawn means is never wider than from the least to the greatest
        seed, and misses the middle of all possible seeds whenever all of them lie on one side, in 2 / 2^n of all cases.
    """
    return np.repeat(_draws(1, seeds), strata, axis=1) if seeds >= minimum_n() else None


def draws(strata: int, seeds: int) -> NDArray[np.float64] | None:
    """Returns draws of whole seeds if these are enough, else those of runs, if any."""
    whole = draws_of_seeds(strata, seeds)
    return draws_of_runs(strata, seeds) if whole is None else whole


def _draws(strata: int, seeds: int) -> NDArray[np.float64]:
    return np.random.default_rng(_SEED).multinomial(seeds, [1 / seeds] * seeds, size=(DRAWS, strata)) / seeds


def percentiles(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the ends (lower, upper) of the 95 % percentile interval, of values whose first axis are the draws."""
    return np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2], axis=0)


def mean_intervals(values: NDArray[np.float64], draws: NDArray[np.float64] | None) -> list[Interval | None]:
    """Computes the interval of each method's mean over strata and seeds.

    Args:
        values: array (method, stratum, seed).
        draws: draws of this module; None, for too few seeds, gives no interval.
    """
    if draws is None:
        return [None] * len(values)
    means = draws.reshape(len(draws), -1) @ values.reshape(len(values), -1).T / values.shape[1]
    return [Interval(float(lower), float(upper)) for lower, upper in percentiles(means).T]


def design_effect(strata: Sequence[Sequence[float]]) -> float | None:
    """Computes how many times as much the seeds' means vary as they would if the runs of one seed were independent.

    It is the variance of the seeds' means over the strata, divided by that of independent runs (Kish's design effect of
    clustered samples): about 1 if runs are independent, up to the number of strata if all runs of a seed have the same
    error.

    Args:
        strata: for each stratum the values by seed, in one order.

    Returns:
        None with a single stratum or seed, or where seeds make no difference.
    """
    if len(strata) < 2 or len(strata[0]) < 2:
        return None
    independent = math.fsum(standard_deviation(values) ** 2 for values in strata) / len(strata) ** 2
    means = [mean(values) for values in zip(*strata, strict=True)]
    return standard_deviation(means) ** 2 / independent if independent else None
