"""Turns metric tables into report tables: the layout of the WAVE paper's, a block of columns for each model size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from learngene_bench.results.tables.metric_table import Entry, MethodRow, MetricTable, SizeMean
from learngene_bench.results.tables.notes import legend, mean_labels, notes
from learngene_bench.results.tables.numbers import compact, on_axis
from learngene_bench.results.tables.report_table import NOTHING, ReportCell, ReportColumn, ReportTable

_COST, _ITERATIONS, _SECONDS = 1, 2, 3
"""Priorities: seconds are left out first, then iterations, then epochs, parameters and FLOPs."""


def metric_reports(tables: Sequence[MetricTable]) -> list[ReportTable]:
    """Returns each table ready for every format."""
    return [_report(table) for table in tables]


def _report(table: MetricTable) -> ReportTable:
    initialize = _trains_while_initializing(table)
    return ReportTable(
        kind="metric",
        name=table.slug,
        title=table.title,
        subtitle=table.subtitle,
        identity=table.identity,
        columns=tuple(_columns(table, initialize)),
        rows=tuple(row.report_row(_cells(table, row, initialize)) for row in table.rows),
        corner="Method",
        notes=tuple(notes(table, initialize)),
        legend=legend(table),
        footnotes=table.footnotes,
        data=tuple(_data(table, row) for row in table.rows),
        macro_words=(table.source.name, *(("equal budget",) if table.equal_budget else ()), *table.measure.words),
    )


def _trains_while_initializing(table: MetricTable) -> bool:
    """Tests if any method trains while it initializes, or may do so; otherwise its column would hold only zeros."""
    costs = [costs for row in table.rows for costs in row.costs.values()]
    return any(each.expected and each.initialize_iterations != 0 for each in costs)


def _columns(table: MetricTable, initialize: bool) -> Iterator[ReportColumn]:
    better = table.measure.spec.higher_is_better
    yield ReportColumn("Epoch", priority=_COST)
    for size, indices in table.sizes().items():
        yield ReportColumn("Para.", block=size, priority=_COST)
        for index in indices:
            column = table.columns[index]
            yield ReportColumn(
                column.label,
                span="" if table.axis == "task" else table.axis,
                block=size,
                higher_is_better=better,
                facts={"size": size, "task": column.task, **column.target},
            )
        for label in mean_labels(table):
            yield ReportColumn(label, span="Mean", block=size, higher_is_better=better)
        if initialize:
            yield ReportColumn("iterations", span="Init.", block=size, priority=_ITERATIONS)
            yield ReportColumn("seconds", span="Init.", block=size, priority=_SECONDS)
        if table.equal_budget:
            yield ReportColumn("each", span="FLOPs", block=size, priority=_COST)


def _cells(table: MetricTable, row: MethodRow, initialize: bool) -> Iterator[ReportCell]:
    yield ReportCell(_epochs(row) or NOTHING, row.prepare_epochs[0] if row.prepare_epochs else None)
    for size, indices in table.sizes().items():
        costs = row.costs[size]
        missing = f"{costs.done}/{costs.expected}" if costs.expected else NOTHING
        if all(row.entries[index].state == "not planned" for index in indices):
            missing = ""
        yield _count(costs.stored_parameters, missing)
        yield from (_entry(table, row, index) for index in indices)
        means = row.means.get(size, ())
        yield from (size_mean(table, mean) for mean in means)
        if initialize:
            yield _count(costs.initialize_iterations, missing)
            yield _count(costs.initialize_seconds, missing)
        if table.equal_budget:
            yield _count(costs.target_flops, missing)


def _epochs(row: MethodRow) -> str:
    """Formats the epochs of the cells, as a range if they differ; empty if nothing is prepared."""
    return "–".join(f"{end:g}" for end in dict.fromkeys([*row.prepare_epochs[:1], *row.prepare_epochs[-1:]]))


def _count(value: float | None, missing: str) -> ReportCell:
    return ReportCell(missing if value is None else compact(value), value)


def _entry(table: MetricTable, row: MethodRow, index: int) -> ReportCell:
    entry = row.entries[index]
    addresses = tuple(cell.address for cell in table.cells(row, index).values())
    if entry.mean is None:
        return ReportCell(_missing(entry), footnotes=entry.footnotes, addresses=addresses)
    spread = entry.standard_deviation
    return ReportCell(
        text=table.measure.text(entry.mean),
        value=entry.mean,
        spread=spread,
        spread_text="" if spread is None else table.measure.text(spread),
        highlight=entry.highlight,
        footnotes=entry.footnotes,
        addresses=addresses,
    )


def _missing(entry: Entry) -> str:
    """A dash; how many of the seeds are there, if not all; nothing where nothing is planned."""
    if entry.state == "dash":
        return NOTHING
    return f"{len(entry.values)}/{entry.expected}" if entry.expected else ""


def size_mean(table: MetricTable, mean: SizeMean) -> ReportCell:
    """Prints a mean over the columns of a size; how many cells are done, if not all."""
    if mean.value is None:
        return ReportCell(f"{mean.done}/{mean.expected}" if mean.expected else "")
    return ReportCell(table.measure.text(mean.value), mean.value, footnotes=mean.footnotes)


def _data(table: MetricTable, row: MethodRow) -> dict[str, Any]:
    """One row of the CSV: for each target its mean, standard deviation and number of seeds."""
    facts: dict[str, Any] = {
        **row.facts,
        "prepare_epochs": _epochs(row) or None,
        "missing": sum(entry.expected - len(entry.values) for entry in row.entries),
    }
    for size, indices in table.sizes().items():
        facts[f"{size} stored_parameters"] = row.costs[size].stored_parameters
        for index in indices:
            entry, target = row.entries[index], f"{size} {on_axis(table.axis, [table.columns[index].label])}"
            facts |= {target: entry.mean, f"{target} sd": entry.standard_deviation, f"{target} n": len(entry.values)}
    return facts
