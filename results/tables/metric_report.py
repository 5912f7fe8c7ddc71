"""Turns metric tables into report tables: the layout of the WAVE paper's, a block of columns for each model size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables import reruns
from learngene_bench.results.tables.measure import Measure
from learngene_bench.results.tables.metric_table import Entry, MethodRow, MetricTable, SizeCosts, SizeMean
from learngene_bench.results.tables.notes import TRAINED, legend, mean_labels, notes
from learngene_bench.results.tables.numbers import compact, on_axis
from learngene_bench.results.tables.report_table import NOTHING, ReportCell, ReportColumn, ReportTable

_COST, _TRAINED_PARAMETERS, _TRAINED_ITERATIONS, _RERUN = 1, 2, 3, 3
"""Priorities: what is trained at initialization is left out first, its iterations, with who has computed cells again,
before its parameters; then epochs, stored parameters and FLOPs."""


def metric_reports(tables: Sequence[MetricTable]) -> list[ReportTable]:
    """Returns each table ready for every format."""
    return [_report(table) for table in tables]


def _report(table: MetricTable) -> ReportTable:
    return ReportTable(
        kind="metric",
        name=table.slug,
        title=table.title,
        subtitle=table.subtitle,
        identity=table.identity,
        columns=tuple(_columns(table)),
        rows=tuple(row.report_row(_cells(table, row)) for row in table.rows),
        corner="Method",
        notes=tuple(notes(table)),
        legend=legend(table),
        footnotes=table.footnotes,
        data=tuple(_data(table, row) for row in table.rows),
        macro_words=(table.source.name, *(("equal budget",) if table.equal_budget else ()), *table.measure.words),
    )


def _columns(table: MetricTable) -> Iterator[ReportColumn]:
    better = table.measure.spec.higher_is_better
    yield ReportColumn("Epoch", priority=_COST)
    for size, indices in table.sizes().items():
        yield ReportColumn("Para.", block=size, priority=_COST)
        for index in indices:
            column = table.columns[index]
            yield ReportColumn(
                column.label.removeprefix(f"{column.span} "),
                span=column.span,
                block=size,
                higher_is_better=better,
                facts={"size": size, "task": column.task, **column.target},
            )
        for label in mean_labels(table):
            yield ReportColumn(label, span="Mean", block=size, higher_is_better=better)
        if table.trains_at_initialization:
            yield ReportColumn("parameters", span=TRAINED, block=size, priority=_TRAINED_PARAMETERS)
            yield ReportColumn("iterations", span=TRAINED, block=size, priority=_TRAINED_ITERATIONS)
        if table.equal_budget:
            yield ReportColumn("each", span="FLOPs", block=size, priority=_COST)
        if table.reruns:
            yield ReportColumn(reruns.HEADING, block=size, priority=_RERUN)


def _cells(table: MetricTable, row: MethodRow) -> Iterator[ReportCell]:
    yield ReportCell(_epochs(row) or NOTHING, row.prepare_epochs[0] if row.prepare_epochs else None)
    for size, indices in table.sizes().items():
        costs = row.costs[size]
        planned = any(row.entries[index].state != "not planned" for index in indices)
        missing = costs.missing if planned else ""
        yield _count(costs.stored_parameters, missing)
        yield from (_entry(table, row, index) for index in indices)
        means = row.means.get(size, ())
        yield from (size_mean(table, each) for each in means)
        if table.trains_at_initialization:
            yield from trained_cells(costs) if planned else [ReportCell("")] * 2
        if table.equal_budget:
            yield _count(costs.target_flops, missing)
        if table.reruns:
            yield reruns.rerun_cell(row.reruns[size])


def _epochs(row: MethodRow) -> str:
    """Formats the epochs of the cells, as a range if they differ; empty if nothing is prepared."""
    return "–".join(f"{round(end, 1):g}" for end in dict.fromkeys([*row.prepare_epochs[:1], *row.prepare_epochs[-1:]]))


def trained_cells(costs: SizeCosts) -> tuple[ReportCell, ReportCell]:
    """Prints how many numbers are trained at initialization, and in how many iterations.

    Where targets differ, the text of the first is a range; its value is the mean.
    """
    counts = costs.initialize_parameters
    parameters = ReportCell(costs.missing)
    if counts:
        parameters = ReportCell("–".join(dict.fromkeys(map(compact, (counts[0], counts[-1])))), mean(counts))
    return parameters, _count(costs.initialize_iterations, costs.missing)


def _count(value: float | None, missing: str) -> ReportCell:
    return ReportCell(missing if value is None else compact(value), value)


def _entry(table: MetricTable, row: MethodRow, index: int) -> ReportCell:
    entry = row.entries[index]
    addresses = tuple(cell.address for cell in table.cells(row, index).values())
    return entry_cell(table.measure, entry, entry.footnotes, addresses)


def entry_cell(
    measure: Measure, entry: Entry, footnotes: tuple[int, ...] = (), addresses: tuple[str, ...] = ()
) -> ReportCell:
    """Prints an entry: its mean, else how many of its seeds are there.

    Args:
        footnotes: numbers of footnotes of the table that it is printed in.
        addresses: the cells behind it.
    """
    if entry.mean is None:
        return ReportCell(_missing(entry), footnotes=footnotes, addresses=addresses)
    spread = entry.standard_deviation
    return ReportCell(
        text=measure.text(entry.mean),
        value=entry.mean,
        spread=spread,
        spread_text="" if spread is None else measure.text(spread),
        highlight=entry.highlight,
        footnotes=footnotes,
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
        costs = row.costs[size]
        facts[f"{size} stored_parameters"] = costs.stored_parameters
        facts[f"{size} initialize_parameters"] = trained_cells(costs)[0].value
        facts[f"{size} initialize_iterations"] = costs.initialize_iterations
        for index in indices:
            entry, target = row.entries[index], f"{size} {on_axis(table.axis, [table.columns[index].label])}"
            facts |= {target: entry.mean, f"{target} sd": entry.standard_deviation, f"{target} n": len(entry.values)}
    return facts
