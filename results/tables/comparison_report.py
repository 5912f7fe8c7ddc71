"""Prints measured means beside the paper's: one table for each model size, with the numbers of both for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from learngene_bench.results.tables.comparison import ComparedRow, Correlation, SizeComparison
from learngene_bench.results.tables.numbers import on_axis, signed
from learngene_bench.results.tables.published import paper
from learngene_bench.results.tables.report_table import Footnotes, ReportCell, ReportColumn, ReportTable, number, slug

_COLUMNS = tuple(ReportColumn(label, span) for span in ("Mean", "Rank") for label in ("here", "paper", "diff."))


def comparison_reports(comparisons: Sequence[SizeComparison]) -> list[ReportTable]:
    """Returns one table for each comparison.

    In their data, columns are those that both means are over, with spaces between, and their values likewise; the
    correlation is that of all n ranked methods without the reference, the same in every row of a size.
    """
    return [_report(comparison) for comparison in comparisons]


def _report(comparison: SizeComparison) -> ReportTable:
    table = comparison.table
    any_column = bool(comparison.columns)
    footnotes = Footnotes()
    rows = [
        row.row.report_row(_cells(comparison, row), (footnotes.number("; ".join(row.remarks)),) if row.remarks else ())
        for row in comparison.rows
        if any_column
    ]
    return ReportTable(
        kind="comparison",
        name=slug("comparison", table.slug, comparison.size),
        title=f"{table.title}: beside the paper",
        subtitle=table.subtitle,
        identity={
            **table.identity,
            "size": comparison.size,
            "paper_table": comparison.series.table,
            "paper_model": comparison.series.title,
        },
        corner=f"{comparison.size} beside {comparison.series.title}",
        columns=_COLUMNS,
        rows=tuple(rows),
        conclusions=tuple(_correlations(comparison) if any_column else [_nothing(comparison)]),
        notes=tuple(_notes(comparison)) if any_column else (),
        footnotes=footnotes.texts,
        data=tuple(_data(comparison, row) for row in comparison.rows),
    )


def _cells(comparison: SizeComparison, row: ComparedRow) -> tuple[ReportCell, ...]:
    text, decimals = comparison.table.measure.text, comparison.table.measure.spec.decimals
    return (
        number(row.measured_mean, text),
        number(row.published_mean, text),
        number(row.difference, lambda value: signed(value, decimals)),
        number(row.measured_rank, "{:g}".format),
        number(row.published_rank, "{:g}".format),
        number(row.rank_difference, lambda value: signed(value, trim=True)),
    )


def _data(comparison: SizeComparison, row: ComparedRow) -> dict[str, Any]:
    ranks = comparison.correlations[0].ranks
    return {
        **row.row.facts,
        "columns": " ".join(row.measured),
        "values": " ".join(f"{value:.9g}" for value in row.measured.values()),
        "paper_values": " ".join(f"{value:.9g}" for value in row.published.values()),
        "mean": row.measured_mean,
        "paper_mean": row.published_mean,
        "difference": row.difference,
        "rank": row.measured_rank,
        "paper_rank": row.published_rank,
        "rank_difference": row.rank_difference,
        "remarks": "; ".join(row.remarks),
        "kendall_tau_b": ranks.tau,
        "spearman_rho": ranks.rho,
        "n": ranks.n,
    }


def _notes(comparison: SizeComparison) -> Iterator[str]:
    table, series = comparison.table, comparison.series
    columns = on_axis(table.axis, comparison.columns)
    yield f"Paper: {paper()['title']}, Table {series.table}, {series.title}. Means over {columns}."
    yield (
        "Rank: among the methods that both have, 1 for the best mean; pre-training is a reference without rank. "
        "Differences: measured minus published, of unrounded means."
    )
    if table.source.preset != paper()["preset"]:
        yield (
            f"The scales differ (the paper's are those of ImageNet, here it is the preset {table.source.preset}): "
            "what can be compared is the order."
        )
    if comparison.correlations[-1].columns:
        yield (
            "A mean over fewer columns than others' (see the remarks) may owe its rank to that; the last correlation "
            "does not."
        )
    if comparison.other_columns:
        yield f"Not in the paper, left out: {on_axis(table.axis, comparison.other_columns)}."
    if comparison.unmeasured:
        yield f"In the paper and not planned here: {', '.join(comparison.unmeasured)}."


def _nothing(comparison: SizeComparison) -> str:
    """Words the absence of a comparison: the paper's table has none of the columns."""
    series, axis = comparison.series, comparison.table.axis
    places = dict.fromkeys(place for values in series.values.values() for place in values)
    known = [f"{place:g}" if isinstance(place, float) else str(place) for place in places]
    return (
        f"{comparison.size}: nothing to compare, Table {series.table} of the {paper()['title']} has "
        f"{on_axis(axis, known)} and this table {on_axis(axis, comparison.other_columns)}."
    )


def _correlations(comparison: SizeComparison) -> list[str]:
    return [_correlation(comparison, correlation) for correlation in comparison.correlations]


def _correlation(comparison: SizeComparison, correlation: Correlation) -> str:
    of = f"n = {correlation.ranks.n} methods"
    if correlation.reference:
        of += f", with the reference {', '.join(correlation.reference)}"
    if correlation.columns:
        of += f", only over {on_axis(comparison.table.axis, correlation.columns)}, which all of them have"
    if correlation.ranks.n < 3:
        return f"No rank correlation of fewer than three methods ({of})."
    if correlation.ranks.tau is None or correlation.ranks.rho is None:
        return f"No rank correlation where all means are equal ({of})."
    return f"Kendall's tau-b {correlation.ranks.tau:.2f}, Spearman's rho {correlation.ranks.rho:.2f} ({of})."
