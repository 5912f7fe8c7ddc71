"""Bootstrap intervals, profiles and probabilities of improvement against other ways to compute them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from learngene_bench.results.statistics.bootstrap import (
    DRAWS,
    design_effect,
    draws_of_runs,
    draws_of_seeds,
    mean_intervals,
)
from learngene_bench.results.statistics.profiles import improvement_intervals, improvements, profile, profile_band


def values(methods: int, strata: int, seeds: int) -> np.ndarray:
    generator = np.random.default_rng([methods, strata, seeds])
    return generator.normal(80, 2, size=(methods, strata, seeds)) + generator.normal(0, 9, size=(strata, 1))


def test_runs_are_drawn_within_their_stratum_and_seeds_in_all_alike() -> None:
    runs, seeds = draws_of_runs(4, 6), draws_of_seeds(4, 6)
    assert runs is not None
    assert seeds is not None
    for draws in (runs, seeds):
        assert draws.shape == (DRAWS, 4, 6)
        assert draws.sum(axis=2) == pytest.approx(np.ones((DRAWS, 4)))
    assert (seeds == seeds[:, :1]).all()
    assert not (runs == runs[:, :1]).all()
    assert (draws_of_runs(4, 6) == runs).all()


def test_too_few_seeds_give_no_draws_and_no_interval() -> None:
    assert draws_of_seeds(50, 5) is None
    assert draws_of_runs(50, 2) is None
    assert draws_of_runs(1, 5) is None
    assert draws_of_runs(2, 3) is not None
    assert mean_intervals(values(2, 3, 2), None) == [None, None]
    assert improvement_intervals(values(2, 3, 2), [(0, 1)], None) == [None]


def test_the_interval_of_a_mean_over_runs_is_the_one_of_drawing_by_hand() -> None:
    sample = values(1, 5, 7)
    generator = np.random.default_rng(99)
    drawn = [np.mean([generator.choice(stratum, 7) for stratum in sample[0]]) for _ in range(4000)]
    (interval,) = mean_intervals(sample, draws_of_runs(5, 7))
    assert interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.08)
    # In closed form: each stratum's mean has the variance of its values (with n) over n.
    error = np.sqrt((sample[0].var(axis=1) / 7).sum()) / 5
    assert interval == pytest.approx(sample.mean() + np.array([-1.96, 1.96]) * error, abs=0.08)


def test_the_interval_of_a_mean_over_seeds_is_scipys_of_the_seeds_means() -> None:
    sample = values(2, 5, 9)
    for method, interval in zip(sample, mean_intervals(sample, draws_of_seeds(5, 9)), strict=True):
        reference = stats.bootstrap(
            (method.mean(axis=0),), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
        )
        assert interval == pytest.approx(reference.confidence_interval, abs=0.08)


def test_whole_seeds_are_needed_where_the_runs_of_a_seed_are_off_together() -> None:
    """Ten targets that share one gene for each seed: single runs promise an interval a third as wide as it must be."""
    generator = np.random.default_rng(0)
    covered = {"runs": 0, "seeds": 0}
    for _ in range(100):
        sample = 80 + generator.normal(0, 1, size=(1, 1, 8)) + generator.normal(0, 0.1, size=(1, 10, 8))
        for name, draws in {"runs": draws_of_runs(10, 8), "seeds": draws_of_seeds(10, 8)}.items():
            (interval,) = mean_intervals(sample, draws)
            assert interval is not None
            covered[name] += interval.lower <= 80 <= interval.upper
    assert covered["runs"] < 60
    assert covered["seeds"] > 80


def test_the_design_effect() -> None:
    generator = np.random.default_rng(0)
    independent = [design_effect(generator.normal(0, 1, size=(10, 30)).tolist()) for _ in range(50)]
    assert np.mean([ratio for ratio in independent if ratio]) == pytest.approx(1, abs=0.1)
    off_together = generator.normal(0, 1, size=30) + np.arange(10)[:, None]
    assert design_effect(off_together.tolist()) == pytest.approx(10)
    assert design_effect([[1.0, 2.0]]) is None
    assert design_effect([[1.0], [2.0]]) is None
    assert design_effect([[1.0, 1.0], [2.0, 2.0]]) is None


def test_improvement_is_the_mean_of_mann_whitneys_statistics() -> None:
    sample = values(3, 6, 5).round(0)
    pairs = [(0, 1), (1, 0), (2, 1), (2, 2)]
    reference = [
        np.mean([stats.mannwhitneyu(x, y).statistic / 25 for x, y in zip(sample[first], sample[second], strict=True)])
        for first, second in pairs
    ]
    found = improvements(sample, pairs)
    assert found == pytest.approx(reference)
    assert (found[0] + found[1], found[3]) == pytest.approx((1, 0.5))


def test_the_interval_of_an_improvement_is_that_of_the_drawn_runs() -> None:
    """Each draw by hand: the runs that it names, both methods the same seeds, once more through the statistic."""
    sample = values(3, 3, 4).round(0)
    draws = draws_of_runs(3, 4)
    assert draws is not None
    pairs = [(0, 1), (2, 1)]
    found = improvement_intervals(sample, pairs, draws[:300])
    for (first, second), interval in zip(pairs, found, strict=True):
        drawn = []
        for draw in draws[:300]:
            chosen = [np.repeat(np.arange(4), (4 * weights).round().astype(int)) for weights in draw]
            runs = zip(sample[first], sample[second], chosen, strict=True)
            drawn.append(np.mean([stats.mannwhitneyu(x[seeds], y[seeds]).statistic / 16 for x, y, seeds in runs]))
        assert interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_runs_that_do_not_overlap_have_no_interval_of_certainty() -> None:
    first = values(1, 3, 4)[0]
    sample = np.stack([first, first - 100, first - 0.5])
    assert improvements(sample, [(0, 1)]) == [1.0]
    certain, open_ = improvement_intervals(sample, [(0, 1), (0, 2)], draws_of_runs(3, 4))
    assert certain is None
    assert open_ is not None


def test_a_profile_counts_the_runs_above_each_threshold() -> None:
    sample = values(1, 4, 6)[0]
    thresholds = [0.0, 75.0, float(sample[2, 3]), 100.0]
    expected = [1 - stats.ecdf(sample.ravel()).cdf.evaluate(threshold) for threshold in thresholds]
    assert profile(sample, thresholds) == pytest.approx(expected)
    draws = draws_of_runs(4, 6)
    assert draws is not None
    lower, upper = profile_band(sample, thresholds, draws)
    assert (lower <= profile(sample, thresholds)).all()
    assert (profile(sample, thresholds) <= upper).all()
    assert (lower[0], upper[0], lower[-1], upper[-1]) == pytest.approx((1, 1, 0, 0))


def test_the_band_of_a_profile_is_binomial_in_a_single_stratum() -> None:
    """A draw of 40 runs, 10 of them above the threshold, has a binomial number of those."""
    sample = np.concatenate([np.full(30, 1.0), np.full(10, 3.0)])[None]
    draws = draws_of_runs(1, 40)
    assert draws is not None
    band = profile_band(sample, [2.0], draws)[:, 0]
    assert band * 40 == pytest.approx(stats.binom(40, 0.25).ppf([0.025, 0.975]), abs=1)


def test_all_draws_of_three_runs_in_two_strata() -> None:
    """Few enough to enumerate: 3^6 draws, whose quantiles the 2,000 drawn ones must meet."""
    sample = np.array([[[80.0, 82.0, 87.0], [60.0, 61.0, 65.0]]])
    every = [
        (sample[0, 0, list(a)].mean() + sample[0, 1, list(b)].mean()) / 2
        for a, b in product(product(range(3), repeat=3), repeat=2)
    ]
    (interval,) = mean_intervals(sample, draws_of_runs(2, 3))
    assert interval == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.2)
