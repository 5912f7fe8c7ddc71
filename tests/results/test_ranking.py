"""Ranks, Friedman and Nemenyi against scipy, brute force, and the tables of Demšar (2006)."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from learngene_bench.results.statistics.ranking import (
    cliques,
    critical_difference,
    friedman,
    mean_ranks,
    smallest_friedman_p,
)


def test_mean_ranks_are_those_of_scipy() -> None:
    blocks = np.random.default_rng(0).integers(0, 6, size=(7, 5)).astype(float)
    expected = stats.rankdata(-blocks, axis=1).mean(axis=0)
    assert mean_ranks(blocks.tolist()) == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_agrees_with_scipy_where_its_approximation_holds(ties: bool) -> None:
    blocks = np.random.default_rng(5).normal([0.0, 0.2, 0.4, 0.6, 0.2, 0.0], 1, size=(30, 6))
    blocks = blocks.round(0) if ties else blocks
    reference = stats.friedmanchisquare(*blocks.T)
    found = friedman(blocks.tolist())
    assert found.statistic == pytest.approx(reference.statistic)
    assert 0.001 < reference.pvalue < 0.2
    assert found.p == pytest.approx(reference.pvalue, abs=0.01)


def test_friedmans_p_is_that_of_all_orders_of_all_blocks() -> None:
    """Three methods at four targets: 6^4 orders; the chi-squared distribution would say 0.039 for 0.042."""
    blocks = [[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [9.0, 5.0, 4.0], [8.0, 7.0, 6.0]]
    statistic = friedman(blocks).statistic
    assert statistic is not None
    every = [
        stats.friedmanchisquare(*np.array(orders).T).statistic for orders in product(permutations(range(3)), repeat=4)
    ]
    exact = np.mean(np.array(every) >= statistic - 1e-9)
    assert friedman(blocks).p == pytest.approx(exact, abs=0.006)


def test_too_few_blocks_have_no_p() -> None:
    assert friedman([[3.0, 2.0, 1.0]]).p is None
    two = friedman([[3.0, 2.0, 1.0], [6.0, 5.0, 4.0]])
    assert (two.p, two.significant) == (None, False)
    assert smallest_friedman_p(methods=3, blocks=2) == pytest.approx(1 / 6)
    assert friedman([[2.0, 1.0]] * 5).p is None
    six = friedman([[2.0, 1.0]] * 6)
    assert six.p == pytest.approx(2 / 2**6, abs=0.005)


def test_methods_that_are_all_equal_have_no_statistic() -> None:
    assert friedman([[1.0, 1.0], [2.0, 2.0]]).statistic is None


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_critical_differences_are_those_of_demsars_table_5(methods: int, q: float) -> None:
    expected = q * (methods * (methods + 1) / (6 * 14)) ** 0.5
    assert critical_difference(methods, blocks=14) == pytest.approx(expected, rel=1e-3)


def test_methods_within_the_distance_are_cliques() -> None:
    assert cliques([3.0, 1.0, 2.0, 6.0, 6.5], distance=1.0) == [(1, 2), (2, 0), (3, 4)]
    assert cliques([1.0, 1.5, 2.0], distance=1.0) == [(0, 1, 2)]
    assert cliques([1.0, 3.0], distance=1.0) == []
