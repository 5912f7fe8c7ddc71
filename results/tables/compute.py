"""Computes what accuracy costs in total: preparation divided among n targets, initialization, and fine-tuning so far.

What targets share is seen in the records: a gene or an ancestor that two targets of a size have in common is paid once
for both. So the gene of a learngene is divided by n, and the training of each target in direct pre-training is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.break_even import BreakEven, break_even
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.costs import SHARED_PHASES, product
from learngene_bench.results.tables.learning import MethodCurves, SizeCurves, size_curves
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable

Resource = Literal["flops", "seconds"]


@dataclass(frozen=True)
class ComputeChoice:
    """The choices of a reader.

    Attributes:
        counts: numbers of targets n.
        goal: value of the metric that is to be reached; None for those of the references.
        resource: what is counted.
    """

    counts: tuple[int, ...] = (1, 3, 10)
    goal: float | None = None
    resource: Resource = "flops"


@dataclass(frozen=True)
class Spending:
    """Learning curve of a row over what it costs, as the mean over the targets of a size; of one seed or of the mean.

    Attributes:
        once: cost of what all targets share, paid once.
        each: cost of every further target before fine-tuning; None where nobody can tell, as with a single target.
        tuned: cost of fine-tuning one target up to each point, ascending from 0.
        values: the metric at these points.
        sign: -1 if lower values are better, else 1.
    """

    once: float
    each: float | None
    tuned: tuple[float, ...]
    values: tuple[float, ...]
    sign: float

    def before(self, targets: int) -> float | None:
        """Returns what one of so many targets costs before fine-tuning."""
        if targets == 1 or not self.once:
            return self.once + (self.each or 0.0)
        return None if self.each is None else self.once / targets + self.each

    def total(self, targets: int) -> float | None:
        """Returns what one of so many targets costs in all."""
        before = self.before(targets)
        return None if before is None else before + self.tuned[-1]

    def to_reach(self, goal: float) -> float | None:
        """Returns the cost of fine-tuning until a value is reached, on straight lines between points; None if never."""
        points = list(zip(self.tuned, self.values, strict=True))
        if self.sign * self.values[0] >= self.sign * goal:
            return self.tuned[0]
        for (start, before), (end, after) in pairwise(points):
            if self.sign * after >= self.sign * goal:
                return start + (end - start) * (goal - before) / (after - before)
        return None

    def value_for(self, budget: float, targets: int) -> float | None:
        """Returns the value for a total cost, on straight lines between points; None if fine-tuning has not begun.

        Where the budget is more than all, it is the last value.
        """
        before = self.before(targets)
        if before is None or budget < before:
            return None
        left = budget - before
        for (start, here), (end, there) in pairwise(zip(self.tuned, self.values, strict=True)):
            if left < end:
                return here + (there - here) * (left - start) / (end - start)
        return self.values[-1]


@dataclass(frozen=True)
class MethodCompute:
    """One row of a table at one model size, over all of its targets.

    Attributes:
        seeds: by seed.
    """

    row: MethodRow
    seeds: Mapping[int, Spending]

    @cached_property
    def mean(self) -> Spending:
        """The means over the seeds, point by point."""
        found = list(self.seeds.values())
        each = [one.each for one in found if one.each is not None]
        return Spending(
            once=mean([one.once for one in found]),
            each=mean(each) if len(each) == len(found) else None,
            tuned=tuple(map(mean, zip(*(one.tuned for one in found), strict=True))),
            values=tuple(map(mean, zip(*(one.values for one in found), strict=True))),
            sign=found[0].sign,
        )

    def to_reach(self, goal: float, targets: int) -> float | None:
        """Returns what one of so many targets costs until the mean value is reached; None if that is never."""
        before, tuned = self.mean.before(targets), self.mean.to_reach(goal)
        return None if before is None or tuned is None else before + tuned

    def breaks_even(self, other: MethodCompute, goal: float | None = None) -> BreakEven | None:
        """Returns the numbers of targets for which a value costs no more than with another row; None if unknown.

        The point is that of the mean curves. The interval is over the seeds that both have, and None unless each
        of them reaches the value with both.

        Args:
            goal: the value; None for what the other row ends with, each seed with its own.
        """
        final = other.mean.values[-1] if goal is None else goal
        mine, its = _paid(self.mean, final), _paid(other.mean, final)
        if mine is None or its is None:
            return None
        point = break_even([mine[0] - its[0]], [mine[1] - its[1]])
        pairs = [(self.seeds[seed], other.seeds[seed]) for seed in sorted(self.seeds.keys() & other.seeds.keys())]
        goals = [two.values[-1] if goal is None else goal for _, two in pairs]
        paid = [(_paid(one, end), _paid(two, end)) for (one, two), end in zip(pairs, goals, strict=True)]
        known = [(one, two) for one, two in paid if one is not None and two is not None]
        if len(known) < len(pairs):
            return point
        once, each = ([one[part] - two[part] for one, two in known] for part in (0, 1))
        return BreakEven(point.first, point.last, break_even(once, each).interval)


@dataclass(frozen=True)
class SizeCompute:
    """The rows of a table at one model size that are done on all of its targets.

    Attributes:
        excluded: labels of rows with other targets, or with results missing: their means are of something else.
        references: rows that the others are compared with, as the grid names them.
    """

    curves: SizeCurves
    rows: tuple[MethodCompute, ...]
    excluded: tuple[str, ...]
    references: tuple[MethodCompute, ...]

    @property
    def table(self) -> MetricTable:
        return self.curves.table

    @property
    def size(self) -> str:
        return self.curves.size


def size_computes(tables: Sequence[MetricTable], results: Results, resource: Resource) -> list[SizeCompute]:
    """Computes the curves over total cost of every size of every table whose columns are different targets.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
        resource: what is counted.
    """
    found = []
    for curves in size_curves(tables, results):
        rows, excluded = [], []
        for method in curves.rows:
            if len(method.curves) == len(curves.indices) and (seeds := _seeds(method, curves, results, resource)):
                rows.append(MethodCompute(method.row, seeds))
            else:
                excluded.append(method.row.label)
        references = [one for row in curves.references for one in rows if one.row is row]
        if any(one.mean.total(1) for one in rows):  # records of stages that nobody counted have nothing to compare
            found.append(SizeCompute(curves, tuple(rows), tuple(excluded), tuple(references)))
    return found


def _seeds(method: MethodCurves, curves: SizeCurves, results: Results, resource: Resource) -> dict[int, Spending]:
    """Returns the curves of the seeds that all targets have, at the points that all of them have.

    A point is a share of a target's own fine-tuning, as the tasks of a grid may be fine-tuned for different lengths.
    """
    columns = list(curves.indices)
    epochs = [_by_share(method.curves[index].values) for index in columns]
    points = sorted(set.intersection(*map(set, epochs)))
    seeds = set.intersection(*(set(method.records[index]) for index in columns))
    if not points:
        return {}
    found = {}
    for seed in sorted(seeds):
        records = [method.records[index][seed] for index in columns]
        once, each = _before(records, results, resource)
        found[seed] = Spending(
            once=once,
            each=each,
            tuned=tuple(
                mean([_tuned(record, own[point], resource) for record, own in zip(records, epochs, strict=True)])
                for point in points
            ),
            values=tuple(
                mean(
                    [method.curves[index].values[own[point]][seed] for index, own in zip(columns, epochs, strict=True)]
                )
                for point in points
            ),
            sign=curves.table.measure.sign,
        )
    return found


def _by_share(epochs: Iterable[float]) -> dict[float, float]:
    """Finds the epochs of a curve by their share of its last one; a curve without training has its end only."""
    known = sorted(epochs)
    return {epoch / known[-1] if known[-1] else 1.0: epoch for epoch in known}


def _before(records: Sequence[Record], results: Results, resource: Resource) -> tuple[float, float | None]:
    """Returns what all targets share, and what each costs beside that before fine-tuning.

    For one target both together are the mean over the targets; each further one adds the second.
    """
    own = mean([getattr(record.cost.initialize, resource) for record in records])
    once, each = 0.0, own
    for phase in SHARED_PHASES:
        amounts = [getattr(record.cost[phase], resource) for record in records]
        different = {product(record, phase, results): amount for record, amount in zip(records, amounts, strict=True)}
        first, together = mean(amounts), math.fsum(different.values())
        if first and len(records) == 1:
            return own + first, None
        further = (together - first) / (len(records) - 1) if first else 0.0
        if not math.isclose(first, further):
            once += first - further
        each += further
    return once, each


def _tuned(record: Record, epoch: float, resource: Resource) -> float:
    """Returns what a record's fine-tuning spent up to an epoch: all batches cost the same."""
    spent = record.cost.finetune
    return getattr(spent, resource) * min(1.0, epoch / spent.epochs) if spent.epochs else 0.0


def _paid(one: Spending, goal: float) -> tuple[float, float] | None:
    """Returns what a seed pays once and for each target until a value is reached; None where it is not, or unknown."""
    tuned = one.to_reach(goal)
    return None if tuned is None or one.each is None else (one.once, one.each + tuned)
