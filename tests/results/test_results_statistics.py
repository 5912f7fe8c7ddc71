from __future__ import annotations

import random

import pytest
from scipy import stats

from learngene_bench.results.statistics import (
    indistinguishable_from_best,
    mean,
    paired_difference,
    paired_t_p,
    smallest_sign_flip_p,
    standard_deviation,
    standard_error,
    t_distribution_p,
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


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 30])
@pytest.mark.parametrize("t", [0.0, 0.3, -2.0, 12.7, 4000.0])
def test_students_distribution_is_that_of_scipy(t: float, degrees: int) -> None:
    assert t_distribution_p(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-6, abs=1e-15)


def test_the_paired_t_test_is_that_of_scipy() -> None:
    first = {0: 91.0, 1: 92.5, 2: 90.0, 7: 50.0}
    second = {2: 88.5, 1: 91.5, 0: 90.5, 9: 10.0}
    assert paired_t_p(first, second) == pytest.approx(stats.ttest_rel([91.0, 92.5, 90.0], [90.5, 91.5, 88.5]).pvalue)
    assert paired_t_p({0: 0.1 + 0.2, 1: 1.0}, {0: 0.3, 1: 1.0}) == 1.0  # what differs by rounding does not differ
    assert paired_t_p({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0}) == 0.0
    assert paired_t_p({0: 2.0, 1: 3.0}, {0: 1.0}) is None


def test_ties_with_the_best_are_by_the_noise_of_the_differences() -> None:
    best = {0: 90.0, 1: 92.0, 2: 94.0}
    close_behind = {0: 89.8, 1: 91.7, 2: 93.8}  # never better, and nearly always by as much
    erratic = {0: 91.0, 1: 88.0, 2: 90.0}
    far = {0: 20.0, 1: 21.0, 2: 22.0}
    assert indistinguishable_from_best([far, close_behind, {}, best, erratic]) == {3, 4}
    assert indistinguishable_from_best([far, close_behind, {}, {}, erratic]) == {1, 4}


def test_what_cannot_be_tested_ties() -> None:
    assert indistinguishable_from_best([{0: 1.0}, {0: 99.0}, {}]) == {0, 1}
    assert indistinguishable_from_best([{0: 99.0, 1: 98.0}, {2: 10.0, 3: 10.0}]) == {0, 1}
    assert indistinguishable_from_best([{}, {}]) == frozenset()


@pytest.mark.parametrize(("rows", "expected"), [(2, 0.025), (5, 0.06)])
def test_an_equally_good_row_rarely_loses_its_tie(rows: int, expected: float) -> None:
    """The rates that the docstring states: of two rows one is left out in 5 %, so each in 2.5 %."""
    generator, repeats, lost = random.Random(0), 2000, 0
    for _ in range(repeats):
        column = [{seed: generator.gauss(0, 1) for seed in range(3)} for _ in range(rows)]
        lost += rows - len(indistinguishable_from_best(column))
    assert lost / repeats / rows == pytest.approx(expected, abs=0.01)
