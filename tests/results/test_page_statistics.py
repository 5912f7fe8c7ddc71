"""The page computes in the browser what scipy and the module for reports compute."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import pytest
from scipy import stats

from learngene_bench.results.statistics.predictions import bootstrap_mean, by_thing, overlap, sign_flip_p
from learngene_bench.results.statistics.testing import sign_flip_p_values

Compute = Callable[..., Any]
RANDOM = np.random.default_rng(5)
SAMPLES = [
    *(RANDOM.normal(shift, 2.0, n).round(2).tolist() for n in (2, 3, 4, 5, 6, 9, 10, 12) for shift in (0.0, 1.0, 5.0)),
    [0.1, 0.2, 0.3],  # a sum that depends on the order of its parts
    [1.0, -1.0, 1.0, -1.0, 0.0],
    [3.0, 3.0000000001],
]


@pytest.fixture(scope="module")
def compute(browser: Any) -> Iterator[Compute]:
    """Calls a function of statistics.js for each of several lists of arguments."""
    source = importlib.resources.files("learngene_bench.results") / "formats" / "page" / "statistics.js"
    page = browser.new_page()
    page.evaluate(
        "async (text) => { window.module = await import('data:text/javascript,' + encodeURIComponent(text)) }",
        source.read_text(encoding="utf-8"),
    )
    call = "([name, every]) => every.map((one) => window.module[name](...one))"
    yield lambda name, every: page.evaluate(call, [name, every])
    page.close()


def test_the_t_test_and_its_interval_are_scipys(compute: Compute) -> None:
    for values, p, ends in zip(
        SAMPLES,
        compute("tTestP", [[values] for values in SAMPLES]),
        compute("tInterval", [[values] for values in SAMPLES]),
        strict=True,
    ):
        reference = stats.ttest_1samp(values, 0.0)
        assert p == pytest.approx(reference.pvalue, rel=1e-9, abs=1e-13)
        assert ends == pytest.approx(reference.confidence_interval(0.95), rel=1e-9, abs=1e-12)
    degrees = range(1, 200)
    found = compute("tQuantile", [[one] for one in degrees])
    assert found == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-11)


def test_what_cannot_be_tested(compute: Compute) -> None:
    few = [[[]], [[1.0]], [[2.0, 2.0, 2.0]], [[0.0, 0.0]]]
    assert compute("tTestP", few) == [None, None, 0, 1]
    assert compute("tInterval", few) == [None, None, [2, 2], [0, 0]]
    assert compute("signFlipP", [*few, [[1.0] * 21]]) == [None, 1, 0.25, 1, None]


def test_the_sign_flip_test_is_scipys_and_that_of_reports(compute: Compute) -> None:
    more = [RANDOM.normal(0.5, 2.0, 16).round(3).tolist(), RANDOM.integers(-3, 4, 14).tolist()]
    found = compute("signFlipP", [[values] for values in [*SAMPLES, *more]])
    assert found == [sign_flip_p_values([values])[0] for values in [*SAMPLES, *more]]
    for values, p in zip(SAMPLES[:24], found, strict=False):
        reference = stats.permutation_test(
            (values,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=2**12, vectorized=True
        )
        assert p == pytest.approx(reference.pvalue, abs=1e-12)
    (eighteen,) = compute("signFlipP", [[[1.0] * 15 + [-1.0] * 3]])
    assert eighteen == pytest.approx(stats.binomtest(3, 18).pvalue, rel=1e-12)


def test_mcnemar_is_a_binomial_test_and_of_things_all_signs(compute: Compute) -> None:
    numbers = [(0, 0), (3, 3), (0, 6), (12, 5), (80, 121), (3000, 2800)]
    sums = [[1] * first + [-1] * second + [0] * 50 for first, second in numbers]
    expected = [stats.binomtest(one, one + other).pvalue if one + other else 1.0 for one, other in numbers]
    assert compute("signedSumP", [[one] for one in sums]) == pytest.approx(expected, abs=1e-11)
    things = [RANDOM.integers(-4, 5, n) for n in (1, 2, 11, 300)]
    found = compute("signedSumP", [[one.tolist()] for one in things])
    assert found == pytest.approx([sign_flip_p(one) for one in things], abs=1e-11)


def exact_ends(values: np.ndarray) -> list[int]:
    """Returns the quantiles of the total of as many draws as there are values, by adding one draw after the other."""
    least, distances = int(values.min()), values - values.min()
    one = np.bincount(distances) / len(values)
    below = np.cumsum(reduce(np.convolve, [one] * len(values)))
    return [int(np.argmax(below >= level)) + least * len(values) for level in (0.025, 0.975)]


def test_the_bootstrap_is_that_of_infinitely_many_draws(compute: Compute) -> None:
    cases = [RANDOM.choice([-1, 0, 0, 0, 1], 400), RANDOM.integers(-8, 9, 90), RANDOM.choice([0, 1], 33)]
    cases += [np.full(7, 2), np.array([-1]), RANDOM.integers(3, 6, 64)]
    found = compute("bootstrapEnds", [[one.tolist()] for one in cases])
    assert found == [exact_ends(one) for one in cases]
    values, (ends, *_) = cases[0], found
    reference = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=1)
    assert np.divide(ends, 400) == pytest.approx(reference.confidence_interval, abs=0.004)
    assert np.divide(ends, 400) == pytest.approx(bootstrap_mean(values), abs=0.008)


@pytest.mark.parametrize(("images", "views", "seeds"), [(240, 4, 3), (37, 1, 1), (1000, 1, 2)])
def test_bits_of_images_are_counted(compute: Compute, images: int, views: int, seeds: int) -> None:
    label, *predicted = (RANDOM.integers(0, 3, images) for _ in range(1 + 2 * seeds))
    first, second = predicted[:seeds], predicted[seeds:]
    sides = [[np.packbits(one == label).tolist() for one in side] for side in (first, second)]
    ((found),) = compute("overImages", [[*sides, images, views]])
    shares = np.mean([overlap(a, b, label)[:4] for a, b in zip(first, second, strict=True)], axis=0)
    assert [found[name] for name in ("both", "onlyFirst", "onlySecond", "neither")] == pytest.approx(shares.tolist())
    more = np.sum([(a == label).astype(int) - (b == label) for a, b in zip(first, second, strict=True)], axis=0)
    things = by_thing(more, views)
    assert found["difference"] == pytest.approx(things.mean() / seeds / views)
    assert found["p"] == pytest.approx(sign_flip_p(things), abs=1e-11)
    assert found["interval"] == pytest.approx(np.divide(exact_ends(things), images * seeds).tolist())
