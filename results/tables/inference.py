"""What the records say about methods, and how surely: intervals, ranks, tests, over all targets and tasks of a table.

Runs of one seed share their batches and, for methods that hand one over, the gene: they are off together. So the seed
is what is drawn, flipped and counted wherever the question is whether other seeds would give another result; targets
and tasks are counted where it is whether other targets would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from learngene_bench.results.statistics import bootstrap, profiles, ranking, testing
from learngene_bench.results.statistics.paired import DIGITS, Interval, mean, t_interval, t_test_p
from learngene_bench.results.tables.samples import Sample, samples
from learngene_bench.results.tables.table import Row, Table

TESTS = ("t", "sign_flip", "wilcoxon")
"""The paired t-test over seeds, which takes differences to be normal; the exact sign-flip test over seeds; the exact
signed-rank test over columns, of means over seeds."""


@dataclass(frozen=True)
class Standing:
    """One method among the others.

    Attributes:
        mean: over columns and seeds.
        rank: mean over the columns of the rank among the methods, 1 for the best.
        by_t: 95 % interval of the mean, by Student's t over the seeds' means; None with a single seed.
        by_runs: the same by the stratified bootstrap of single runs; None with too few.
        by_seeds: the same by the bootstrap of whole seeds; None with too few.
        together: how many times as much the seeds' means vary as if runs of one seed were independent.
    """

    row: Row
    mean: float
    rank: float
    by_t: Interval | None
    by_runs: Interval | None
    by_seeds: Interval | None
    together: float | None


@dataclass(frozen=True)
class PValue:
    """A p-value, by itself and with Holm's correction over all pairs of the methods.

    Attributes:
        corrected: None where so few differences could not make even the clearest of so many pairs significant.
    """

    p: float
    corrected: float | None


@dataclass(frozen=True)
class Pair:
    """Two methods; the first has the higher mean.

    Attributes:
        difference: first minus second, mean over columns and seeds.
        interval: 95 % of it by Student's t, over the differences of the seeds' means; None with a single seed.
        tests: by name in `TESTS`; no t-test with a single seed.
        improvement: P(first > second), the probability that a run of the first is better on the same target and task.
        improvement_by_runs: its 95 % interval by the stratified bootstrap of single runs; None with too few.
        improvement_by_seeds: the same by the bootstrap of whole seeds; None with too few.
    """

    first: Row
    second: Row
    difference: float
    interval: Interval | None
    tests: Mapping[str, PValue]
    improvement: float
    improvement_by_runs: Interval | None
    improvement_by_seeds: Interval | None


@dataclass(frozen=True)
class Inference:
    """What a sample of at least two methods says.

    Attributes:
        standings: in the sample's order.
        pairs: every two methods, those with higher means first.
        friedman: whether the methods' ranks differ at all, over the columns.
        critical_difference: how far apart two mean ranks must be (Nemenyi); None unless Friedman's test is significant.
        together: mean of the methods' own.
    """

    sample: Sample
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    friedman: ranking.Friedman
    critical_difference: float | None
    together: float | None

    @property
    def best(self) -> Row:
        """The method with the highest mean."""
        return self.pairs[0].first


def inferences(tables: Sequence[Table]) -> list[Inference]:
    """Of every sample of every table that has at least two methods."""
    found = [inference(sample) for table in tables for sample in samples(table)]
    return [each for each in found if each is not None]


def inference(sample: Sample) -> Inference | None:
    """None of fewer than two methods."""
    if len(sample.rows) < 2:
        return None
    standings = _standings(sample)
    together = [standing.together for standing in standings if standing.together is not None]
    friedman = ranking.friedman(_blocks(sample))
    return Inference(
        sample=sample,
        standings=standings,
        pairs=_pairs(sample),
        friedman=friedman,
        critical_difference=(
            ranking.critical_difference(friedman.methods, friedman.blocks) if friedman.significant else None
        ),
        together=mean(together) if together else None,
    )


def _blocks(sample: Sample) -> list[list[float]]:
    """For each column the methods' means over the seeds."""
    blocks: list[list[float]] = sample.values.mean(axis=2).round(DIGITS).T.tolist()
    return blocks


def _standings(sample: Sample) -> tuple[Standing, ...]:
    values = sample.values
    _, strata, seeds = values.shape
    ranks = ranking.mean_ranks(_blocks(sample))
    by_runs = bootstrap.mean_intervals(values, bootstrap.draws_of_runs(strata, seeds))
    by_seeds = bootstrap.mean_intervals(values, bootstrap.draws_of_seeds(strata, seeds))
    return tuple(
        Standing(
            row=row,
            mean=float(values[place].mean()),
            rank=ranks[place],
            by_t=t_interval(values[place].mean(axis=0).tolist()),
            by_runs=by_runs[place],
            by_seeds=by_seeds[place],
            together=bootstrap.seeds_together(values[place].tolist()),
        )
        for place, row in enumerate(sample.rows)
    )


def _pairs(sample: Sample) -> tuple[Pair, ...]:
    values = sample.values
    _, strata, seeds = values.shape
    means = values.mean(axis=(1, 2)).round(DIGITS).tolist()
    order = sorted(range(len(means)), key=lambda place: -means[place])
    chosen = list(combinations(order, 2))
    over_columns = [(values[first] - values[second]).mean(axis=1).round(DIGITS).tolist() for first, second in chosen]
    over_seeds = [(values[first] - values[second]).mean(axis=0).round(DIGITS).tolist() for first, second in chosen]
    needed = testing.differences_needed(len(chosen))
    tests = {
        "t": _corrected([p for p in map(t_test_p, over_seeds) if p is not None], possible=True),
        "sign_flip": _corrected(testing.sign_flip_p_values(over_seeds), possible=seeds >= needed),
        "wilcoxon": _corrected(testing.wilcoxon_p_values(over_columns), possible=strata >= needed),
    }
    improvements = profiles.improvements(values, chosen)
    by_runs = profiles.improvement_intervals(values, chosen, bootstrap.draws_of_runs(strata, seeds))
    by_seeds = profiles.improvement_intervals(values, chosen, bootstrap.draws_of_seeds(strata, seeds))
    return tuple(
        Pair(
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
    """All of one test; it is not possible where even the smallest p there can be would not be significant."""
    corrected = testing.holm(p_values) if possible else [None] * len(p_values)
    return [PValue(p, other) for p, other in zip(p_values, corrected, strict=True)]
