"""Prints measured means beside figures whose protocol is unknown: with their caveat, without ranks or differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from learngene_bench.results.tables import published
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable, TargetColumn
from learngene_bench.results.tables.report_table import Footnotes, ReportColumn, ReportTable, number, slug

_COLUMNS = (ReportColumn("here"), ReportColumn("reported"))


def reported_reports(tables: Sequence[MetricTable]) -> list[ReportTable]:
    """Returns a table for each measured column of which `published/reported.csv` has a figure of the same metric."""
    return [
        _report(table, index, figures)
        for table in tables
        for index, column in enumerate(table.columns)
        if (figures := list(_figures(table, column)))
    ]


def _figures(table: MetricTable, column: TargetColumn) -> Iterator[Mapping[str, Any]]:
    for figure in published.table("reported"):
        if figure["metric"] == table.measure.name and figure["dataset"] == column.task:
            yield figure


def _report(table: MetricTable, index: int, figures: Sequence[Mapping[str, Any]]) -> ReportTable:
    column, text, footnotes = table.columns[index], table.measure.text, Footnotes()
    by_method = {figure["method"]: figure for figure in figures}
    rows: list[tuple[MethodRow, Mapping[str, Any]]] = [
        (row, by_method.get(row.method, {}) if not row.variant else {}) for row in table.rows
    ]
    return ReportTable(
        kind="reported",
        name=slug("reported", table.slug, column.size, column.label),
        title=f"{table.title}: {column.task} beside figures of unknown protocol",
        subtitle=table.subtitle,
        identity={**table.identity, "size": column.size, "task": column.task},
        corner=f"{column.size}, {column.task}",
        columns=_COLUMNS,
        rows=tuple(
            row.report_row(
                (number(row.entries[index].mean, text), number(figure.get("value"), text)),
                (footnotes.number(figure["caveat"]),) if figure else (),
            )
            for row, figure in rows
        ),
        notes=tuple(map(_note, figures)),
        footnotes=footnotes.texts,
        data=tuple(
            {
                **row.facts,
                "mean": row.entries[index].mean,
                "reported": figure.get("value"),
                "caveat": figure.get("caveat"),
            }
            for row, figure in rows
        ),
    )


def _note(figure: Mapping[str, Any]) -> str:
    return (
        f"{figure['method']} on {figure['dataset']}: {figure['value']:g}, {figure['caveat']}. Size, decoder and "
        "schedule are not known either, so nothing follows from a difference."
    )
