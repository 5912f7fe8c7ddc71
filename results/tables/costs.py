"""Computes what methods cost for one target and for many: a gene is paid once, the rest for each target.

A method's cost for n targets is that of its genes, each counted once however many targets inherit from it, with the
ancestors that they draw from, and n times initializing and fine-tuning. An ancestor is counted once within a method,
but in full in every method that needs it, although the benchmark trains it once for all: whoever chooses one method has
to train it for that one alone. An ancestor that was loaded instead of trained costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.schema.constants import PHASES, Phase

RESOURCES = ("flops", "epochs", "images", "seconds", "iterations")
"""Resources of a phase's cost, by the names of their fields."""

SHARED_PHASES, TARGET_PHASES = PHASES[:2], PHASES[2:]
"""Phases of the gene, which targets may share, and phases of each target."""


@dataclass(frozen=True)
class Amount:
    """Need of one resource for n targets: `first` for one target, and `marginal` for each further one.

    Attributes:
        marginal: None for a single target, because the marginal cost of a second one is then unknown.
    """

    first: float
    marginal: float | None

    def total(self, targets: int) -> float | None:
        """Returns what so many targets need."""
        if targets == 1:
            return self.first
        return None if self.marginal is None else self.first + (targets - 1) * self.marginal

    def break_even(self, other: Amount) -> int | None:
        """Returns the least number of targets from which on this is no more than the other; None if there is none."""
        if self.marginal is None or other.marginal is None or self.marginal > other.marginal:
            return None
        if self.first <= other.first:
            return 1
        if self.marginal == other.marginal:
            return None
        return 1 + math.ceil(round((self.first - other.first) / (other.marginal - self.marginal), 9))


@dataclass(frozen=True)
class MethodCost:
    """Cost of one row of a table at one model size, as means over its seeds.

    Attributes:
        indices: columns that the row has cells in, its targets.
        genes: number of different genes that these inherit from; 0 for a method without genes.
        phases: what each phase spends on one target, by phase and resource; mean over the targets.
        trained: numbers that each phase trains for one target, by phase; mean over the targets. None where records do
            not tell it.
        amounts: what n targets need, by resource.
        given_ancestors: the same where the ancestors exist already.
        stored: bytes of the genes; None if the runs folder does not hold them all.
        mean: mean of the metric over the columns; None unless all are done.
        done: number of the `expected` cells that are done; if not all are, nothing of the above is known.
        reference: pre-training of the same targets; None if the table does not have it for all of them, and for itself.
    """

    row: MethodRow
    indices: tuple[int, ...]
    genes: float
    phases: Mapping[str, Mapping[str, float]]
    trained: Mapping[str, float | None]
    amounts: Mapping[str, Amount]
    given_ancestors: Mapping[str, Amount]
    stored: Amount | None
    mean: float | None
    done: int
    expected: int
    reference: MethodCost | None = None

    def total(self, resource: str, targets: int) -> float | None:
        """Returns what so many targets need of a resource."""
        return self.amounts[resource].total(targets) if resource in self.amounts else None

    def saving(self, resource: str, targets: int, given_ancestors: bool = False) -> float | None:
        """Returns how many times as much of a resource the reference needs for so many targets.

        Args:
            given_ancestors: True if the method's ancestors exist already; those of the reference are its cost.
        """
        amounts = self.given_ancestors if given_ancestors else self.amounts
        if self.reference is None or resource not in amounts:
            return None
        return _ratio(self.reference.total(resource, targets), amounts[resource].total(targets))

    def stored_saving(self, targets: int) -> float | None:
        """Returns how many times as many bytes the reference stores; None if the method stores nothing."""
        if self.reference is None or self.reference.stored is None or self.stored is None:
            return None
        return _ratio(self.reference.stored.total(targets), self.stored.total(targets))

    @property
    def break_even(self) -> int | None:
        """The least number of targets from which on it needs no more FLOPs than the reference; None if never."""
        if self.reference is None or not (self.amounts and self.reference.amounts):
            return None
        return self.amounts["flops"].break_even(self.reference.amounts["flops"])


@dataclass(frozen=True)
class CostTable:
    """Costs of the rows of a table at one model size.

    Attributes:
        targets: number of columns of the size: the n of "for n targets".
        methods: rows for which anything is planned, in the table's order.
    """

    table: MetricTable
    size: str
    targets: int
    methods: tuple[MethodCost, ...]

    def comparable(self, targets: int) -> list[tuple[MethodCost, float, float]]:
        """Returns the methods with FLOPs for so many targets and mean, both over all columns of the size."""
        found = []
        for method in self.methods:
            flops = method.total("flops", targets)
            if flops is not None and method.mean is not None and len(method.indices) == self.targets:
                found.append((method, flops, method.mean))
        return found

    def pareto_front(self, targets: int) -> list[MethodCost]:
        """Returns the methods that no other beats, cheapest first: none is as good for less, or better for as much.

        Methods with other columns cannot be compared and are left out.
        """
        sign = self.table.measure.sign
        places = [(method, flops, sign * value) for method, flops, value in self.comparable(targets)]
        front = [
            (flops, method)
            for method, flops, merit in places
            if not any(
                other_flops <= flops and other >= merit and (other_flops, other) != (flops, merit)
                for _, other_flops, other in places
            )
        ]
        return [method for _, method in sorted(front, key=lambda place: place[0])]


def cost_tables(tables: Sequence[MetricTable], results: Results) -> list[CostTable]:
    """Computes the costs of every size of every table whose columns are different targets.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
    """
    return [_cost_table(table, size, results) for table in tables if table.compares_targets for size in table.sizes()]


def _cost_table(table: MetricTable, size: str, results: Results) -> CostTable:
    indices = table.sizes()[size]
    references = [row for row in table.rows if row.is_reference and not row.variant][:1]
    same_targets: dict[tuple[int, ...], MethodCost | None] = {}
    methods = []
    for row in table.rows:
        planned = tuple(index for index in indices if row.entries[index].expected)
        if not planned:
            continue
        for reference in references:
            if planned not in same_targets and all(reference.entries[index].expected for index in planned):
                same_targets[planned] = _method_cost(table, reference, planned, results)
        cost = _method_cost(table, row, planned, results)
        methods.append(cost if row in references else replace(cost, reference=same_targets.get(planned)))
    return CostTable(table, size, len(indices), tuple(methods))


def _method_cost(table: MetricTable, row: MethodRow, indices: tuple[int, ...], results: Results) -> MethodCost:
    planned = [table.cells(row, index) for index in indices]
    by_target = [
        {seed: record for seed, cell in cells.items() if (record := results.records.get(cell.folder))}
        for cells in planned
    ]
    done, expected = sum(map(len, by_target)), sum(map(len, planned))
    seeds = sorted(set.intersection(*map(set, by_target))) if done == expected else []
    runs = [[records[seed] for records in by_target] for seed in seeds]
    means = [row.entries[index].mean for index in indices]
    return MethodCost(
        row=row,
        indices=indices,
        genes=mean([len({record.gene for record in run if record.gene}) for run in runs]) if runs else 0,
        phases={
            phase: {name: mean([getattr(r.cost[phase], name) for run in runs for r in run]) for name in RESOURCES}
            for phase in PHASES
            if runs
        },
        trained={phase: _trained(phase, runs) for phase in PHASES if runs},
        amounts={name: _spent(runs, name, SHARED_PHASES, results) for name in RESOURCES if runs},
        given_ancestors={name: _spent(runs, name, SHARED_PHASES[1:], results) for name in RESOURCES if runs},
        stored=_stored(runs, results) if runs else None,
        mean=None if None in means else mean([value for value in means if value is not None]),
        done=done,
        expected=expected,
    )


def _trained(phase: Phase, runs: Sequence[Sequence[Record]]) -> float | None:
    counts = [record.cost[phase].counted_parameters for run in runs for record in run]
    known = [count for count in counts if count is not None]
    return mean(known) if len(known) == len(counts) else None


def _spent(runs: Sequence[Sequence[Record]], resource: str, shared_phases: Sequence[Phase], results: Results) -> Amount:
    """Sums a resource over n targets; `runs` are the records of all targets with one seed each."""

    def on_target(record: Record) -> float:
        return math.fsum(getattr(record.cost[phase], resource) for phase in TARGET_PHASES)

    def shared(record: Record) -> Iterator[tuple[object, float]]:
        for phase in shared_phases:
            yield (phase, product(record, phase, results)), getattr(record.cost[phase], resource)

    return _amount(runs, on_target, shared)


def _stored(runs: Sequence[Sequence[Record]], results: Results) -> Amount | None:
    sizes = {record.gene: results.stored_bytes(record) for run in runs for record in run}
    if None in sizes.values():
        return None
    return _amount(runs, lambda record: 0.0, lambda record: [(record.gene, sizes[record.gene] or 0)])


def product(record: Record, phase: str, results: Results) -> object:
    """Identifies the product of a shared phase: the gene, or its ancestors, which only plans know."""
    return (phase == "ancestors" and results.inputs.get(record.gene or "")) or record.gene


def _amount(
    runs: Sequence[Sequence[Record]],
    on_target: Callable[[Record], float],
    shared: Callable[[Record], Iterable[tuple[object, float]]],
) -> Amount:
    """Derives the marginal amount from what one target needs (the mean over all) and what all need together.

    Args:
        on_target: returns what a record spent on its own target.
        shared: returns what it needs besides, each with its name: records that name the same share it.
    """
    first, together = [], []
    for run in runs:
        parts = [dict(shared(record)) for record in run]
        each = [on_target(record) for record in run]
        first.append(mean(each) + math.fsum(value for part in parts for value in part.values()) / len(run))
        together.append(math.fsum([*each, *{name: value for part in parts for name, value in part.items()}.values()]))
    others = len(runs[0]) - 1
    return Amount(mean(first), (mean(together) - mean(first)) / others if others else None)


def _ratio(reference: float | None, needs: float | None) -> float | None:
    return reference / needs if reference is not None and needs else None
