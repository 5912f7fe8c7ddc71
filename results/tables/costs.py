"""What methods cost for one target and for many: what a gene costs is spent once, the rest for each target.

A method's cost for n targets is that of its genes, each counted once however many targets inherit from it, with the
ancestors that they draw from, and n times initializing and tuning. An ancestor is counted once within a method, too,
but in full in every method that needs it, although the benchmark trains it once for all: whoever chooses one method has
to train it for that one alone. An ancestor that was loaded instead of trained costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from learngene_bench.results.records.selection import Grid, grids
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.table import Row, Table
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.schema.constants import PHASES, Phase

RESOURCES = ("flops", "epochs", "images", "seconds", "iterations")
"""What every phase spends, each a number of `records.Cost`."""

_OF_GENES, _OF_TARGETS = PHASES[:2], PHASES[2:]


@dataclass(frozen=True)
class Amount:
    """What n targets need of one resource: what one needs, and each further one.

    Attributes:
        further: None if there is but one target: nobody can tell whether another would share what that one cost.
    """

    one: float
    further: float | None

    def total(self, targets: int) -> float | None:
        if targets == 1:
            return self.one
        return None if self.further is None else self.one + (targets - 1) * self.further

    def pays_from(self, other: Amount) -> int | None:
        """From how many targets on it is no more than the other; None if it never is for good."""
        if self.further is None or other.further is None or self.further > other.further:
            return None
        if self.one <= other.one:
            return 1
        if self.further == other.further:
            return None
        return 1 + math.ceil(round((self.one - other.one) / (other.further - self.further), 9))


@dataclass(frozen=True)
class MethodCost:
    """What one row of a table costs at one size, as means over its seeds.

    Attributes:
        indices: of the columns that it has cells in, its targets.
        genes: how many different genes these inherit from; a method without genes has none.
        phases: what each phase spends on one target, by phase and resource; mean over the targets.
        amounts: what n targets need, by resource.
        given: the same where the ancestors are there already.
        stored: bytes of the genes; None if the runs folder does not hold them all.
        accuracy: mean over the columns; None unless all are done.
        done: how many of the `expected` cells are; if not all are, nothing of the above is known.
        reference: direct pre-training of the same targets; None if the table does not have it for all of them, and for
            itself.
    """

    row: Row
    indices: tuple[int, ...]
    genes: float
    phases: Mapping[str, Mapping[str, float]]
    amounts: Mapping[str, Amount]
    given: Mapping[str, Amount]
    stored: Amount | None
    accuracy: float | None
    done: int
    expected: int
    reference: MethodCost | None = None

    def total(self, resource: str, targets: int) -> float | None:
        return self.amounts[resource].total(targets) if resource in self.amounts else None

    def saving(self, resource: str, targets: int, given: bool = False) -> float | None:
        """How many times as much of a resource the reference needs for so many targets.

        Args:
            given: whether the method's ancestors are there already; those of the reference are what it costs.
        """
        amounts = self.given if given else self.amounts
        if self.reference is None or resource not in amounts:
            return None
        return _ratio(self.reference.total(resource, targets), amounts[resource].total(targets))

    def stored_saving(self, targets: int) -> float | None:
        """How many times as many bytes the reference stores for so many targets; None if the method stores nothing."""
        if self.reference is None or self.reference.stored is None or self.stored is None:
            return None
        return _ratio(self.reference.stored.total(targets), self.stored.total(targets))

    @property
    def pays_from(self) -> int | None:
        """From how many targets on it needs no more FLOPs than the reference; None if it never does for good."""
        if self.reference is None or not (self.amounts and self.reference.amounts):
            return None
        return self.amounts["flops"].pays_from(self.reference.amounts["flops"])


@dataclass(frozen=True)
class CostTable:
    """What the rows of a table cost at one size.

    Attributes:
        targets: how many columns the size has: the n of "for n targets".
        methods: the rows for which anything is planned, in the table's order.
    """

    table: Table
    size: str
    targets: int
    methods: tuple[MethodCost, ...]

    def comparable(self, targets: int) -> list[tuple[MethodCost, float, float]]:
        """Methods with FLOPs for so many targets and accuracy, both over all columns of the size."""
        found = []
        for method in self.methods:
            flops = method.total("flops", targets)
            if flops is not None and method.accuracy is not None and len(method.indices) == self.targets:
                found.append((method, flops, method.accuracy))
        return found

    def front(self, targets: int) -> list[MethodCost]:
        """The Pareto front, cheapest first: methods than which no other is as accurate for less, or better for as much.

        Of methods with other columns nobody can tell, so they are not among them.
        """
        places = self.comparable(targets)
        front = [
            (flops, method)
            for method, flops, accuracy in places
            if not any(
                others_flops <= flops and others >= accuracy and (others_flops, others) != (flops, accuracy)
                for _, others_flops, others in places
            )
        ]
        return [method for _, method in sorted(front, key=lambda place: place[0])]


def cost_tables(results: Results) -> list[CostTable]:
    """One for every size of every table of accuracies after tuning."""
    return [
        _cost_table(grid, table, size, results)
        for grid, table in zip(grids(results), make_tables(results), strict=True)
        for size in table.sizes()
    ]


def _cost_table(grid: Grid, table: Table, size: str, results: Results) -> CostTable:
    indices = table.sizes()[size]
    references = [row for row in table.rows if row.group == "pre-training" and not row.variant][:1]
    same_targets: dict[tuple[int, ...], MethodCost | None] = {}
    methods = []
    for row in table.rows:
        planned = tuple(index for index in indices if row.entries[index].expected)
        if not planned:
            continue
        for reference in references:
            if planned not in same_targets and all(reference.entries[index].expected for index in planned):
                same_targets[planned] = _method_cost(grid, table, reference, planned, results)
        found = _method_cost(grid, table, row, planned, results)
        methods.append(found if row in references else replace(found, reference=same_targets.get(planned)))
    return CostTable(table, size, len(indices), tuple(methods))


def _method_cost(grid: Grid, table: Table, row: Row, indices: tuple[int, ...], results: Results) -> MethodCost:
    planned = [grid.cells[row.key, table.columns[index].key] for index in indices]
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
        amounts={name: _spent(runs, name, _OF_GENES, results) for name in RESOURCES if runs},
        given={name: _spent(runs, name, _OF_GENES[1:], results) for name in RESOURCES if runs},
        stored=_stored(runs, results) if runs else None,
        accuracy=None if None in means else mean([value for value in means if value is not None]),
        done=done,
        expected=expected,
    )


def _spent(runs: Sequence[Sequence[Record]], resource: str, of_genes: Sequence[Phase], results: Results) -> Amount:
    """Of one resource; `runs` are the records of all targets with one seed each."""

    def own(record: Record) -> float:
        return math.fsum(getattr(record.cost[phase], resource) for phase in _OF_TARGETS)

    def shared(record: Record) -> Iterator[tuple[object, float]]:
        for phase in of_genes:
            yield (phase, _maker(record, phase, results)), getattr(record.cost[phase], resource)

    return _amount(runs, own, shared)


def _stored(runs: Sequence[Sequence[Record]], results: Results) -> Amount | None:
    sizes = {record.gene: results.stored_bytes(record) for run in runs for record in run}
    if None in sizes.values():
        return None
    return _amount(runs, lambda record: 0.0, lambda record: [(record.gene, sizes[record.gene] or 0)])


def _maker(record: Record, phase: str, results: Results) -> object:
    """What a phase of a gene made: the gene, or the ancestors that it draws from, of which only plans know."""
    return (phase == "ancestors" and results.inputs.get(record.gene or "")) or record.gene


def _amount(
    runs: Sequence[Sequence[Record]],
    own: Callable[[Record], float],
    shared: Callable[[Record], Iterable[tuple[object, float]]],
) -> Amount:
    """From what one target needs (the mean over all) and what all need together, to what each further one needs.

    Args:
        own: what a record spent on its own target.
        shared: what it needs besides, each with its name: records that name the same share it.
    """
    one, every = [], []
    for run in runs:
        parts = [dict(shared(record)) for record in run]
        each = [own(record) for record in run]
        one.append(mean(each) + math.fsum(value for part in parts for value in part.values()) / len(run))
        every.append(math.fsum([*each, *{name: value for part in parts for name, value in part.items()}.values()]))
    others = len(runs[0]) - 1
    return Amount(mean(one), (mean(every) - mean(one)) / others if others else None)


def _ratio(reference: float | None, needs: float | None) -> float | None:
    return reference / needs if reference is not None and needs else None
