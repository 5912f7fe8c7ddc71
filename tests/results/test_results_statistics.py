from __future__ import annotations

import random

import pytest
from scipy import stats

from learngene_bench.results.statistics.paired import (
    indistinguishable_from_best,
    mean,
    paired_differences,
    smallest_sign_flip_p,
    standard_deviation,
    standard_error,
    t_distribution_p,
    t_interval,
    t_test_p,
)


def test_spread_agrees_with_scipy() -> None:
    generator = random.Random(0)
    values = [generator.gauss(90, 2) for _ in range(7)]
    assert mean(values) == pytest.approx(stats.tmean(values))
    assert standard_deviation(values) == pytest.approx(stats.tstd(values))
    assert standard_error(values) == pytest.approx(stats.sem(values))


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
    differences = paired_differences(first, second)
    reference = stats.ttest_rel([91.0, 92.5, 90.0], [90.5, 91.5, 88.5])
    assert t_test_p(differences) == pytest.approx(reference.pvalue)
    assert t_interval(differences) == pytest.approx(reference.confidence_interval(0.95))


def test_differences_without_spread() -> None:
    assert t_test_p(paired_differences({0: 0.1 + 0.2, 1: 1.0}, {0: 0.3, 1: 1.0})) == 1.0  # only rounding
    assert t_test_p([2.0, 2.0]) == 0.0
    assert t_test_p([2.0]) is None
    assert t_interval([2.0]) is None


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
