"""Splits the variance over crossed seeds of every method and target, and of differences to the references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learngene_bench.results.records.grouping import SeedPair
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import DIGITS
from learngene_bench.results.statistics.variance import VarianceSplit, split_by_both, split_by_gene, split_by_target
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable


@dataclass(frozen=True)
class CrossedEntry:
    """All runs of a method at a target, by both seeds.

    Attributes:
        index: column of the table.
        values: the metric by the seeds that decide something.
        expected: number of planned runs.
        addresses: cells behind them.
    """

    row: MethodRow
    index: int
    values: Mapping[SeedPair, float]
    expected: int
    addresses: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """True if every planned run has a usable value, and every gene seed meets every target seed."""
        genes = {seeds.gene for seeds in self.values}
        targets = {seeds.target for seeds in self.values}
        return len(self.values) == self.expected == len(genes) * len(targets) > 0

    @property
    def split(self) -> VarianceSplit | None:
        """The variance of the runs; None unless all are there."""
        return split_of(self.values) if self.is_done else None


@dataclass(frozen=True)
class CrossedDifference:
    """Differences of a method to a reference, at every gene seed and target seed that both have.

    Attributes:
        split: mean and variance of the differences; above zero the method is better.
    """

    entry: CrossedEntry
    reference: MethodRow
    split: VarianceSplit


def crossed_entries(table: MetricTable, results: Results) -> list[CrossedEntry]:
    """Returns the entries of a table that have runs of crossed seeds: all columns of a row, row by row."""
    found = []
    for row in table.rows:
        for index, column in enumerate(table.columns):
            cells = table.source.crossed.get((row.key, column.key), {})
            values = {}
            for seeds, cell in sorted(cells.items(), key=lambda item: item[1].seeds):
                outcome = results.outcome(cell)
                value = outcome.metrics.get(table.measure.name) if isinstance(outcome, Record) else None
                if value is not None and table.measure.usable(value):
                    values[seeds] = value
            if cells:
                addresses = tuple(cell.address for cell in cells.values())
                found.append(CrossedEntry(row, index, values, len(cells), addresses))
    return found


def crossed_differences(table: MetricTable, entries: Sequence[CrossedEntry]) -> list[CrossedDifference]:
    """Returns the differences of every entry to the references of the grid, in the order of the entries."""
    found = []
    for entry in entries:
        for method in table.source.references:
            reference = next((e for e in entries if e.row.key == (method, "") and e.index == entry.index), None)
            if reference is None or reference is entry or not (entry.is_done and reference.is_done):
                continue
            differences = _differences(entry.values, reference.values, table.measure.sign)
            if differences:
                found.append(CrossedDifference(entry, reference.row, split_of(differences)))
    return found


def _differences(
    first: Mapping[SeedPair, float], second: Mapping[SeedPair, float], sign: float
) -> dict[SeedPair, float]:
    """Subtracts at equal seeds; a seed that does not decide one of the two is the same for all of its runs."""
    found: dict[SeedPair, float] = {}
    for a, value in first.items():
        for b, other in second.items():
            if all(None in pair or pair[0] == pair[1] for pair in zip(a, b, strict=True)):
                gene = b.gene if a.gene is None else a.gene
                target = b.target if a.target is None else a.target
                found[SeedPair(gene, target)] = sign * round(value - other, DIGITS)
    return found


def split_of(values: Mapping[SeedPair, float]) -> VarianceSplit:
    """Splits the variance of runs by the seeds that decide them; every gene seed has every target seed."""
    genes = list(dict.fromkeys(seeds.gene for seeds in values))
    targets = list(dict.fromkeys(seeds.target for seeds in values))
    if genes == [None]:
        return split_by_target(list(values.values()))
    if targets == [None]:
        return split_by_gene(list(values.values()))
    return split_by_both([[values[SeedPair(gene, target)] for target in targets] for gene in genes])
