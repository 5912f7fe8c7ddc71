"""Tests paired differences without assuming a distribution, and corrects for many such tests.

All pairs of methods are tested with one set of signs. `scipy.stats` has the same tests for one pair at a time
(`permutation_test`, `wilcoxon`), and is what the tests of this module compare with.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from learngene_bench.results.statistics.paired import LEVEL
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXACT = 16
"""Up to so many differences all ways to sign them are tried; of more, 2^16 are drawn, always the same ones."""

_SEED = 0
_BLOCK = 2**12
_ROUNDING = 1e-9


def sign_flip_p_values(differences: Sequence[Sequence[float]]) -> list[float]:
    """Returns the two-sided p of a sign-flip (permutation) test for each of several comparisons.

    If two methods are equally good, each paired difference might as well have the other sign. p is the share of all
    2^n ways to sign them whose sum is at least as far from zero as the one observed. With more than 16 differences
    65,536 ways are drawn, the observed one among them: p is then never below 1 / 65,536.

    Args:
        differences: paired differences of each comparison, of all the same number n.
    """
    values = np.array(differences, dtype=float).T
    observed = np.abs(values.sum(axis=0)) - _ROUNDING * np.abs(values).sum(axis=0)
    as_far, ways = np.zeros(values.shape[1]), 0
    for signs in _signs(len(values)):
        sums = signs @ values
        as_far += np.count_nonzero(np.abs(sums, out=sums) >= observed, axis=0)
        ways += len(signs)
    return [float(count) / ways for count in as_far]


def _signs(n: int) -> Iterator[NDArray[np.floating[Any]]]:
    """Yields rows of n signs, some thousands at a time; the first row is the observed one, all positive."""
    if n <= _EXACT:
        # Flipping all signs leaves the distance from zero alone: the last one may stay.
        numbers = np.arange(2 ** (n - 1))[:, None]
        for start in range(0, len(numbers), _BLOCK):
            yield 1.0 - 2.0 * (numbers[start : start + _BLOCK] >> np.arange(n) & 1)
        return
    generator = np.random.default_rng(_SEED)
    for start in range(0, 2**_EXACT, _BLOCK):
        signs = 1.0 - 2.0 * generator.integers(2, size=(_BLOCK, n))
        signs[0] = 1.0 if start == 0 else signs[0]
        yield signs


def wilcoxon_p_values(differences: Sequence[Sequence[float]]) -> list[float]:
    """Returns the two-sided p of Wilcoxon's signed-rank test for each of several comparisons.

    It is the sign-flip test of the ranks of the differences: it asks how many are above zero and how far out these
    are, not how large they are. Equal distances share their ranks, zeros are left out (Wilcoxon's own way).
    """
    return sign_flip_p_values([_signed_ranks(values) for values in differences])


def _signed_ranks(differences: Sequence[float]) -> list[float]:
    """Ranks differences by their distance from zero, 1 for the nearest, with their signs; zeros have no rank."""
    from scipy.stats import rankdata

    ranks = iter(rankdata([abs(value) for value in differences if value]))
    return [math.copysign(float(next(ranks)), value) if value else 0.0 for value in differences]


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects the p-values of a family for their number (Holm, 1979).

    If those at most `LEVEL` are called significant, the probability that any of them is so by chance is at most that.
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = least
    return corrected


def minimum_n(comparisons: int = 1) -> int:
    """Returns the least number of paired differences with which a sign-flip or signed-rank test can reach `LEVEL`.

    The smallest p of n differences is 2 / 2^n, and Holm's correction takes the smallest of a family times its size.

    >>> [minimum_n(comparisons) for comparisons in (1, 3, 12, 78)]
    [6, 7, 9, 12]
    """
    return math.ceil(math.log2(2 * comparisons / LEVEL))
