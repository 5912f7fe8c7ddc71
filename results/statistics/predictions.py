"""Compares what two models predict for the same images, and how far a model's confidence is from its accuracy.

Images that show one thing, such as four views of one digit, are no four observations. What is drawn or tested here are
therefore *things*: the sums over the images of each. Where every image is a thing of its own, nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from learngene_bench.results.statistics.bootstrap import DRAWS, percentiles
from learngene_bench.results.statistics.paired import Interval
from learngene_bench.util.lazy import np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15
"""Number of bins of the calibration error, as in C. Guo et al., On Calibration of Modern Neural Networks (2017)."""
_SEED = 0


class Overlap(NamedTuple):
    """Shares of images by which of two models is right, and by whether they predict the same class.

    Attributes:
        both: both are right.
        only_first, only_second: one is right, the other wrong: complementary errors.
        neither: both are wrong.
        same: both predict one class, right or wrong.
    """

    both: float
    only_first: float
    only_second: float
    neither: float
    same: float

    @property
    def consistency(self) -> float | None:
        """Cohen's kappa of being right (error consistency, R. Geirhos et al., NeurIPS 2020).

        1 if both are right for the same images, 0 if errors are as common to both as to two independent models of
        these accuracies; None if that is all or nothing anyway.
        """
        first, second = self.both + self.only_first, self.both + self.only_second
        expected = first * second + (1 - first) * (1 - second)
        return (self.both + self.neither - expected) / (1 - expected) if expected < 1 else None


def overlap(first: NDArray[np.integer], second: NDArray[np.integer], label: NDArray[np.integer]) -> Overlap:
    """Counts the images by what two models predict for them, as shares of all.

    Args:
        first, second: predicted classes, (N,).
        label: true classes, (N,).
    """
    right, other = first == label, second == label
    shares = (right & other, right & ~other, ~right & other, ~right & ~other, first == second)
    return Overlap(*(float(share.mean()) for share in shares))


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Returns the two-sided p of McNemar's exact test, from the images that only one of two models classifies right.

    If both are equally good, each such image is one of the first with probability 1/2: a binomial test.
    """
    n, least = only_first + only_second, min(only_first, only_second)
    ways = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(least + 1))
    return min(1.0, 2 * math.fsum(math.exp(each - n * math.log(2)) for each in ways))


def sign_flip_p(sums: NDArray[np.integer]) -> float:
    """Returns the two-sided p of the exact sign-flip test of whole numbers, one for each thing.

    If both models are equally good, the sum of a thing might as well have the other sign. p is the share of all ways to
    sign them whose total is at least as far from zero. Where every sum is -1, 0 or 1, this is McNemar's exact test. The
    distribution of the total comes from its characteristic function, the product of the cosines of all sums, to about
    1e-12.

    Args:
        sums: for each thing, how many more of its images the first model classifies right than the second, (N,).
    """
    distances, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    if len(distances) < 2:
        first, second = int((sums > 0).sum()), int((sums < 0).sum())
        return mcnemar_p(first, second)
    size = 2 ** math.ceil(math.log2(2 * int(distances @ counts) + 2))
    angles = 2 * np.pi * np.arange(size) / size
    wave = np.ones(size)
    for distance, count in zip(distances.tolist(), counts.tolist(), strict=True):
        wave *= np.cos(distance * angles) ** count
    share = np.fft.ifft(wave).real
    totals = np.minimum(np.arange(size), size - np.arange(size))
    return float(min(1.0, max(0.0, share[totals >= abs(int(sums.sum()))].sum())))


def by_thing(values: NDArray[np.integer], views: int) -> NDArray[np.integer]:
    """Adds up the values of the images that show one thing.

    Args:
        values: a number for each image, (N,).
        views: number of images in a row that show one thing; N is a multiple of it.
    """
    return values.reshape(-1, views).sum(1)


def bootstrap_mean(values: NDArray[np.float64]) -> Interval:
    """Returns the 95 % percentile interval of a mean over things that are drawn again, with replacement.

    Args:
        values: a number for each thing. Few of them differ, so that how often each is drawn comes from a multinomial
            distribution: the same as to draw the things one by one.
    """
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(_SEED).multinomial(len(values), counts / len(values), size=DRAWS)
    lower, upper = percentiles(drawn @ distinct / len(values))
    return Interval(float(lower), float(upper))


class Calibration(NamedTuple):
    """Agreement of confidence and accuracy of one model.

    Attributes:
        images: number of images in each bin of confidence; bin b of n is from b / n, excluded, to (b + 1) / n.
        confidence: mean confidence of each bin; 0 where it is empty.
        accuracy: share of right images of each bin; 0 where it is empty.
    """

    images: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance of accuracy and confidence of a bin, weighted by its images."""
        return float((self.images * abs(self.accuracy - self.confidence)).sum() / self.images.sum())

    @property
    def mean_confidence(self) -> float:
        return float((self.images * self.confidence).sum() / self.images.sum())

    @property
    def mean_accuracy(self) -> float:
        return float((self.images * self.accuracy).sum() / self.images.sum())


def calibration(confidence: NDArray[np.float32], right: NDArray[np.bool_], bins: int = BINS) -> Calibration:
    """Sorts images into bins of equal width by their confidence.

    Args:
        confidence: probability of the predicted class, (N,), in 0..1.
        right: True where the predicted class is the label, (N,).
    """
    exact = confidence.astype(np.float64)
    place = np.clip(np.ceil(exact * bins).astype(np.int64) - 1, 0, bins - 1)
    images = np.bincount(place, minlength=bins)
    shared = np.maximum(images, 1)
    return Calibration(
        images,
        np.bincount(place, weights=exact, minlength=bins) / shared,
        np.bincount(place, weights=right, minlength=bins) / shared,
    )


def pooled(found: Sequence[Calibration]) -> Calibration:
    """Returns the calibration of the images of several models together, such as those of all seeds."""
    images = np.sum([one.images for one in found], axis=0)
    shared = np.maximum(images, 1)
    confidence, accuracy = (
        np.sum([one.images * part(one) for one in found], axis=0) / shared
        for part in (lambda one: one.confidence, lambda one: one.accuracy)
    )
    return Calibration(images, confidence, accuracy)
