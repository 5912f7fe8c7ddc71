from __future__ import annotations

import random

import pytest
from scipy import stats

from learngene_bench.results.statistics import (
    mean,
    paired_difference,
    smallest_sign_flip_p,
    standard_deviation,
    standard_error,
)


def test_spread_agrees_with_scipy() -> None:
    generator = random.Random(0)
    values = [generator.gauss(90, 2) for _ in range(7)]
    assert mean(values) == pytest.approx(stats.tmean(values))
    assert standard_deviation(values) == pytest.approx(stats.tstd(values))
    assert standard_error(values) == pytest.approx(stats.sem(values))


def test_the_paired_difference_is_that_of_a_paired_t_test() -> None:
    first = {0: 91.0, 1: 92.5, 2: 90.0, 7: 50.0}
    second = {2: 88.5, 1: 91.5, 0: 90.5, 9: 10.0}
    difference = paired_difference(first, second)
    reference = stats.ttest_rel([91.0, 92.5, 90.0], [90.5, 91.5, 88.5])
    assert (difference.seeds, difference.n) == ((0, 1, 2), 3)
    assert difference.standard_error is not None
    assert difference.mean / difference.standard_error == pytest.approx(reference.statistic)


def test_few_seeds_say_what_they_cannot() -> None:
    assert paired_difference({0: 1.0}, {0: 0.5}).standard_error is None
    with pytest.raises(ValueError, match="no seed in common"):
        paired_difference({0: 1.0}, {1: 1.0})


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_smallest_sign_flip_p_is_that_of_scipys_exact_test(n: int) -> None:
    exact = stats.permutation_test(
        ([1.0 + seed for seed in range(n)], [0.0] * n),
        lambda x, y: (x - y).sum(),
        permutation_type="samples",
        vectorized=False,
    )
    assert smallest_sign_flip_p(n) == pytest.approx(exact.pvalue)
