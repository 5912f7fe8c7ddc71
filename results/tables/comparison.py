"""Compares measured means with those that the paper prints: differences, ranks, and how alike the orders are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from learngene_bench.results.statistics.paired import RankCorrelation, mean, rank_correlation, ranks
from learngene_bench.results.tables import published
from learngene_bench.results.tables.measure import UNKNOWN
from learngene_bench.results.tables.metric_table import Entry, MethodRow, MetricTable
from learngene_bench.results.tables.numbers import on_axis
from learngene_bench.results.tables.published import Series, series

_DIGITS = 9
"""Digits after the point to which means are compared: sums of other numbers are rounded in another way."""


@dataclass(frozen=True)
class ComparedRow:
    """One method, with one choice of its options, beside the paper's method of this name.

    Attributes:
        measured: measured numbers by label, of the complete columns that the paper has as well.
        published: the paper's numbers for the same columns; empty if it lacks the method, or this variant of it.
        measured_rank: rank among the rows that have both, 1 for the highest mean; None for others and the reference.
        published_rank: the same of the paper's means, among the same rows.
        remarks: what is missing, and why.
    """

    row: MethodRow
    measured: Mapping[str, float]
    published: Mapping[str, float]
    measured_rank: float | None
    published_rank: float | None
    remarks: tuple[str, ...]

    @property
    def measured_mean(self) -> float | None:
        return mean(list(self.measured.values())) if self.measured else None

    @property
    def published_mean(self) -> float | None:
        return mean(list(self.published.values())) if self.published else None

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        return _minus(self.measured_mean, self.published_mean)

    @property
    def rank_difference(self) -> float | None:
        """Measured minus published: less than 0 if it is better placed here than in the paper."""
        return _minus(self.measured_rank, self.published_rank)


@dataclass(frozen=True)
class Correlation:
    """Similarity of the measured and the published order of means.

    Attributes:
        columns: columns that the means are over, if they are not each row's own.
        reference: labels of the reference rows that are among the rows.
        ranks: the statistics.
    """

    columns: tuple[str, ...]
    reference: tuple[str, ...]
    ranks: RankCorrelation


@dataclass(frozen=True)
class SizeComparison:
    """One size of a measured table beside the paper's model.

    Attributes:
        columns: labels of the columns that the paper's table has too.
        other_columns: labels of the columns that it does not have, which are left out.
        correlations: first over all ranked rows, then with the reference, if both have it, then over the columns that
            all ranked rows have, if some row lacks some.
        unmeasured: the paper's methods of which nothing is planned here.
    """

    table: MetricTable
    size: str
    series: Series
    columns: tuple[str, ...]
    other_columns: tuple[str, ...]
    rows: tuple[ComparedRow, ...]
    correlations: tuple[Correlation, ...]
    unmeasured: tuple[str, ...]


def comparisons(tables: Sequence[MetricTable]) -> list[SizeComparison]:
    """Compares every size of every table of the metric that the paper prints, or whose metric is not known yet."""
    paper = published.paper()
    comparable = [
        table
        for table in tables
        if table.axis in paper["tables"] and table.measure.name in (paper["metric"], UNKNOWN.name)
    ]
    return [_comparison(table, size) for table in comparable for size in table.sizes()]


def _comparison(table: MetricTable, size: str) -> SizeComparison:
    indices = table.sizes()[size]
    paper = series(table.axis, size)
    known = {place for values in paper.values.values() for place in values}
    shared = [index for index in indices if _place(table, index) in known]
    rows = [_compared(table, row, shared, paper) for row in table.rows_in(indices)]
    return SizeComparison(
        table=table,
        size=size,
        series=paper,
        columns=_labels(table, shared),
        other_columns=_labels(table, [index for index in indices if index not in shared]),
        rows=_ranked(rows),
        correlations=_correlations(rows, _labels(table, shared)),
        unmeasured=tuple(method for method in paper.values if method not in {row.row.method for row in rows}),
    )


def _place(table: MetricTable, index: int) -> object:
    """Returns the value of a column on the axis."""
    column = table.columns[index]
    return column.task if table.axis == "task" else column.target[table.axis]


def _labels(table: MetricTable, indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(table.columns[index].label for index in indices)


def _compared(table: MetricTable, row: MethodRow, indices: Sequence[int], paper: Series) -> ComparedRow:
    """Returns the row, without ranks."""
    numbers = paper.of(row.method, row.variant)
    measured: dict[str, float] = {}
    printed: dict[str, float] = {}
    lacking: dict[str, list[str]] = {}
    for index in indices:
        label, entry = table.columns[index].label, row.entries[index]
        number = numbers.get(_place(table, index)) if numbers else None
        if entry.mean is None or (numbers and number is None):
            lacking.setdefault(_reason(entry, in_paper=number is not None or not numbers), []).append(label)
            continue
        measured[label] = entry.mean
        if number is not None:
            printed[label] = number
    remarks = []
    if not numbers:
        remarks.append("a variant, which the paper does not have" if row.variant else "not in this table of the paper")
    elif (row.method, row.variant) in paper.ablations:
        remarks.append(f"from the paper's ablations, {published.paper()['ablation_tables']}")
    remarks += [f"without {on_axis(table.axis, labels)}: {reason}" for reason, labels in lacking.items()]
    return ComparedRow(row, measured, printed, None, None, tuple(remarks))


def _reason(entry: Entry, in_paper: bool) -> str:
    """Says why there is nothing to compare in a column."""
    here = {"dash": "a dash here", "not planned": "not planned here", "done": ""}.get(entry.state, "incomplete here")
    return " and ".join(filter(None, [here, "" if in_paper else "a dash in the paper"]))


def _rankable(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """Returns the rows that both have, without the reference, which is no initialization."""
    return [row for row in rows if row.published and not row.row.is_reference]


def _ranked(rows: Sequence[ComparedRow]) -> tuple[ComparedRow, ...]:
    chosen = _rankable(rows)
    measured, published = _means(chosen)
    here, there = (
        {row.row.label: rank for row, rank in zip(chosen, ranks(means), strict=True)} for means in (measured, published)
    )
    return tuple(
        replace(row, measured_rank=here.get(row.row.label), published_rank=there.get(row.row.label)) for row in rows
    )


def _correlations(rows: Sequence[ComparedRow], columns: Sequence[str]) -> tuple[Correlation, ...]:
    chosen = _rankable(rows)
    made = [Correlation((), (), rank_correlation(*_means(chosen)))]
    if reference := [row for row in rows if row.published and row not in chosen]:
        labels = tuple(row.row.label for row in reference)
        made.append(Correlation((), labels, rank_correlation(*_means([*chosen, *reference]))))
    common = tuple(label for label in columns if all(label in row.published for row in chosen))
    if common and any(len(row.published) > len(common) for row in chosen):
        made.append(Correlation(common, (), rank_correlation(*_means(chosen, common))))
    return tuple(made)


def _means(rows: Sequence[ComparedRow], columns: Sequence[str] = ()) -> tuple[list[float], list[float]]:
    """Returns measured and published means of each row, over its own columns or over these."""

    def of(values: Mapping[str, float]) -> float:
        return round(mean([values[label] for label in columns or values]), _DIGITS)

    return [of(row.measured) for row in rows], [of(row.published) for row in rows]


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second
