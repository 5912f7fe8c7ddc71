"""Computes intervals, ranks and tests of methods, over all targets and tasks of a table.

Runs of one seed share their batches and, for methods that have one, the gene: their errors are correlated. So the seed
is drawn, flipped and counted wherever the question is whether other seeds would give another result; targets and tasks
are counted where the question is whether other targets would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from learngene_bench.results.statistics import bootstrap, profiles, ranking, testing
from learngene_bench.results.statistics.paired import DIGITS, Interval, mean, t_interval, t_test_p
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.results.tables.samples import Sample, samples

TESTS = ("t", "sign_flip", "wilcoxon")
"""The paired t-test over seeds, which takes differences to be normal; the exact sign-flip test over seeds; the exact
signed-rank test over columns, of means over seeds."""


@dataclass(frozen=True)
class MethodStatistics:
    """Statistics of one method among the others.

    Attributes:
        mean: mean over columns and seeds.
        rank: mean over the columns of the rank among the methods, 1 for the best.
        by_t: 95 % interval of the mean, by Student's t over the seeds' means; None with a single seed.
        by_runs: the same by the stratified bootstrap of single runs; None with too few.
        by_seeds: the same by the bootstrap of whole seeds; None with too few.
        design_effect: variance of the seeds' means over that of independent runs; None where it is undefined.
    """

    row: MethodRow
    mean: float
    rank: float
    by_t: Interval | None
    by_runs: Interval | None
    by_seeds: Interval | None
    design_effect: float | None


@dataclass(frozen=True)
class PValue:
    """A p-value, by itself and with Holm's correction over all pairs of the methods.

    Attributes:
        corrected: None where so few differences could not make even the clearest of so many pairs significant.
    """

    p: float
    corrected: float | None


@dataclass(frozen=True)
class PairStatistics:
    """Statistics of two methods; the first has the better mean.

    Attributes:
        difference: first minus second, mean over columns and seeds.
        interval: its 95 % interval by Student's t, over the differences of the seeds' means; None with a single seed.
        tests: p-values by name in `TESTS`; no t-test with a single seed.
        improvement: probability that a run of the first is better than one of the second on the same target and task.
        improvement_by_runs: its 95 % interval by the stratified bootstrap of single runs; None with too few.
        improvement_by_seeds: the same by the bootstrap of whole seeds; None with too few.
    """

    first: MethodRow
    second: MethodRow
    difference: float
    interval: Interval | None
    tests: Mapping[str, PValue]
    improvement: float
    improvement_by_runs: Interval | None
    improvement_by_seeds: Interval | None


@dataclass(frozen=True)
class Inference:
    """Statistics of a sample of at least two methods.

    Attributes:
        methods: statistics of each method, in the sample's order.
        pairs: statistics of every two methods, those with better means first.
        friedman: test of whether the methods' ranks differ at all, over the columns.
        critical_difference: least difference of two mean ranks that is significant (Nemenyi); None unless Friedman's
            test is.
        design_effect: mean of the methods' design effects.
    """

    sample: Sample
    methods: tuple[MethodStatistics, ...]
    pairs: tuple[PairStatistics, ...]
    friedman: ranking.Friedman
    critical_difference: float | None
    design_effect: float | None

    @property
    def best(self) -> MethodRow:
        """The method with the best mean."""
        return self.pairs[0].first


def inferences(tables: Sequence[MetricTable]) -> list[Inference]:
    """Computes the statistics of every sample of every table that has at least two methods."""
    found = [inference(sample) for table in tables for sample in samples(table)]
    return [each for each in found if each is not None]


def inference(sample: Sample) -> Inference | None:
    """Computes the statistics of a sample; returns None for fewer than two methods."""
    if len(sample.rows) < 2:
        return None
    methods = _methods(sample)
    effects = [method.design_effect for method in methods if method.design_effect is not None]
    friedman = ranking.friedman(_blocks(sample))
    return Inference(
        sample=sample,
        methods=methods,
        pairs=_pairs(sample),
        friedman=friedman,
        critical_difference=(
            ranking.critical_difference(friedman.methods, friedman.blocks) if friedman.significant else None
        ),
        design_effect=mean(effects) if effects else None,
    )


def _blocks(sample: Sample) -> list[list[float]]:
    """Returns for each column the methods' means over the seeds, with the sign that makes a higher one better."""
    blocks: list[list[float]] = sample.merits.mean(axis=2).round(DIGITS).T.tolist()
    return blocks


def _methods(sample: Sample) -> tuple[MethodStatistics, ...]:
    values = sample.values
    _, strata, seeds = values.shape
    ranks = ranking.mean_ranks(_blocks(sample))
    by_runs = bootstrap.mean_intervals(values, bootstrap.draws_of_runs(strata, seeds))
    by_seeds = bootstrap.mean_intervals(values, bootstrap.draws_of_seeds(strata, seeds))
    return tuple(
        MethodStatistics(
            row=row,
            mean=float(values[place].mean()),
            rank=ranks[place],
            by_t=t_interval(values[place].mean(axis=0).tolist()),
            by_runs=by_runs[place],
            by_seeds=by_seeds[place],
            design_effect=bootstrap.design_effect(values[place].tolist()),
        )
        for place, row in enumerate(sample.rows)
    )


def _pairs(sample: Sample) -> tuple[PairStatistics, ...]:
    values = sample.values
    _, strata, seeds = values.shape
    merits = sample.merits.mean(axis=(1, 2)).round(DIGITS).tolist()
    order = sorted(range(len(merits)), key=lambda place: -merits[place])
    chosen = list(combinations(order, 2))
    over_columns = [(values[first] - values[second]).mean(axis=1).round(DIGITS).tolist() for first, second in chosen]
    over_seeds = [(values[first] - values[second]).mean(axis=0).round(DIGITS).tolist() for first, second in chosen]
    needed = testing.minimum_n(len(chosen))
    tests = {
        "t": _corrected([p for p in map(t_test_p, over_seeds) if p is not None], possible=True),
        "sign_flip": _corrected(testing.sign_flip_p_values(over_seeds), possible=seeds >= needed),
        "wilcoxon": _corrected(testing.wilcoxon_p_values(over_columns), possible=strata >= needed),
    }
    improvements = profiles.improvements(sample.merits, chosen)
    by_runs = profiles.improvement_intervals(sample.merits, chosen, bootstrap.draws_of_runs(strata, seeds))
    by_seeds = profiles.improvement_intervals(sample.merits, chosen, bootstrap.draws_of_seeds(strata, seeds))
    return tuple(
        PairStatistics(
            first=sample.rows[first],
            second=sample.rows[second],
            difference=mean(over_seeds[place]),
            interval=t_interval(over_seeds[place]),
            tests={name: found[place] for name, found in tests.items() if found},
            improvement=improvements[place],
            improvement_by_runs=by_runs[place],
            improvement_by_seeds=by_seeds[place],
        )
        for place, (first, second) in enumerate(chosen)
    )


def _corrected(p_values: Sequence[float], possible: bool) -> list[PValue]:
    """Corrects the p-values of one test, unless even the smallest p there can be would not be significant."""
    corrected = testing.holm(p_values) if possible else [None] * len(p_values)
    return [PValue(p, other) for p, other in zip(p_values, corrected, strict=True)]
