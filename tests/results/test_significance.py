"""Exact tests and Holm's correction, against scipy and against counting by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from learngene_bench.results.statistics.paired import LEVEL, smallest_sign_flip_p
from learngene_bench.results.statistics.testing import holm, minimum_n, sign_flip_p_values, wilcoxon_p_values


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_sign_flips_are_counted_as_by_hand(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.4, 1, size=(4, n)).round(1)
    for values, p in zip(differences, sign_flip_p_values(differences.tolist()), strict=True):
        sums = [abs(np.dot(signs, values)) for signs in product([-1, 1], repeat=n)]
        assert p == pytest.approx(np.mean(np.array(sums) >= abs(values.sum()) - 1e-9))


def test_sign_flips_agree_with_scipys_permutation_test() -> None:
    first, second = np.random.default_rng(1).normal(size=(2, 8))
    reference = stats.permutation_test(
        (first, second), lambda x, y, axis: (x - y).mean(axis=axis), permutation_type="samples", vectorized=True
    )
    assert sign_flip_p_values([(first - second).tolist()]) == pytest.approx([reference.pvalue])


def test_differences_of_one_sign_have_the_smallest_p() -> None:
    assert sign_flip_p_values([[0.1, 2.0, 3.0], [-1.0, -1.0, -1.0]]) == [smallest_sign_flip_p(3)] * 2
    assert sign_flip_p_values([[0.0, 0.0, 0.0]]) == [1.0]


def test_many_differences_are_drawn_and_near_the_exact_p() -> None:
    """20 differences: a million ways to sign them, of which 65,536 are drawn."""
    values = np.random.default_rng(3).normal(0.7, 1, size=20)
    every = np.zeros(1)
    for value in values:
        every = np.concatenate([every + value, every - value])
    exact = np.mean(np.abs(every) >= abs(values.sum()) - 1e-9)
    assert 0.01 < exact < 0.2
    assert sign_flip_p_values([values.tolist()]) == pytest.approx([exact], rel=0.05)
    assert sign_flip_p_values([[1.0] * 40]) == [1 / 65_536]


@pytest.mark.parametrize("n", [4, 7, 13])
def test_signed_ranks_agree_with_scipy(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.3, 1, size=(5, n))
    reference = [stats.wilcoxon(values, method="exact").pvalue for values in differences]
    assert wilcoxon_p_values(differences.tolist()) == pytest.approx(reference)


def test_equal_distances_share_their_rank_and_zeros_have_none() -> None:
    """scipy does the same by permutation, where its own exact distribution does not hold."""
    values = [1.0, -1.0, 2.0, 2.0, 0.0, 3.0, -0.5]
    reference = stats.wilcoxon(values, zero_method="wilcox", method=stats.PermutationMethod())
    assert wilcoxon_p_values([values]) == pytest.approx([reference.pvalue])


def test_holm_rejects_what_its_definition_rejects() -> None:
    """Step by step: the smallest p against level / m, the next against level / (m - 1), until one fails."""
    generator = np.random.default_rng(0)
    for _ in range(200):
        p_values = (generator.random(6) ** 3).round(3).tolist()
        rejected: set[int] = set()
        for step, index in enumerate(sorted(range(6), key=lambda index: p_values[index])):
            if p_values[index] > LEVEL / (6 - step):
                break
            rejected.add(index)
        assert {index for index, p in enumerate(holm(p_values)) if p <= LEVEL + 1e-12} == rejected
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([]) == []


@pytest.mark.parametrize("pairs", [1, 2, 3, 10, 78])
def test_one_difference_fewer_than_needed_can_never_be_significant(pairs: int) -> None:
    needed = minimum_n(pairs)
    clearest = [holm([p, *[1.0] * (pairs - 1)])[0] for p in (smallest_sign_flip_p(n) for n in (needed - 1, needed))]
    assert clearest[1] <= LEVEL < clearest[0]
