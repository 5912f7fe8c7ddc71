"""Measured beside published, as sheets for every format, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learngene_bench.results.tables import comparison_wording as wording
from learngene_bench.results.tables.comparison import ComparedRow, Comparison
from learngene_bench.results.tables.sheet import Heading, Line, Sheet
from learngene_bench.results.tables.table import slug


def comparison_sheets(comparisons: Sequence[Comparison]) -> list[Sheet]:
    """One for each size of a table.

    In their data, columns are those that both means are over, with spaces between; the correlation is that of all n
    ranked methods without the reference, the same in every row of a size.
    """
    return [_sheet(comparison) for comparison in comparisons]


def _sheet(comparison: Comparison) -> Sheet:
    some = bool(comparison.columns)
    lines = [
        Line(row.row.group, row.row.label + wording.mark(row, comparison), tuple(wording.entries(row)))
        for row in comparison.rows
    ]
    return Sheet(
        name="comparison",
        slug=slug("comparison", comparison.table.slug, comparison.size),
        title=wording.title(comparison),
        subtitle=comparison.table.subtitle,
        corner=Heading(comparison.size, f"beside {comparison.series.title}"),
        headings=wording.HEADINGS,
        lines=tuple(lines) if some else (),
        findings=tuple(wording.correlations(comparison) if some else [wording.nothing(comparison)]),
        notes=tuple(wording.notes(comparison)) if some else (),
        footnotes=tuple(wording.remarks(comparison)) if some else (),
        data=tuple(_facts(comparison, row) for row in comparison.rows),
    )


def _facts(comparison: Comparison, row: ComparedRow) -> dict[str, Any]:
    ranks = comparison.correlations[0].ranks
    return {
        **_about(comparison),
        "group": row.row.group,
        "method": row.row.method,
        "variant": row.row.variant,
        "title": row.row.label,
        "columns": " ".join(row.measured),
        **_numbers(row),
        "remarks": wording.remark(row),
        "kendall_tau_b": ranks.tau,
        "spearman_rho": ranks.rho,
        "n": ranks.n,
        "grid": comparison.table.grid,
    }


def comparison_json(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """What stands under "comparisons" in the JSON report; numbers unrounded, null where there is none."""
    return [
        {
            **_about(comparison),
            "columns": list(comparison.columns),
            "other_columns": list(comparison.other_columns),
            "rows": [
                {
                    "group": row.row.group,
                    "method": row.row.method,
                    "variant": row.row.variant,
                    "title": row.row.label,
                    **_numbers(row),
                    "measured": dict(row.measured),
                    "published": dict(row.published),
                    "remarks": list(row.remarks),
                }
                for row in comparison.rows
            ],
            "correlations": [
                {
                    "kendall_tau_b": correlation.ranks.tau,
                    "spearman_rho": correlation.ranks.rho,
                    "n": correlation.ranks.n,
                    "reference": list(correlation.reference),
                    "columns": list(correlation.columns),
                }
                for correlation in comparison.correlations
            ],
            "grid": comparison.table.grid,
            "unmeasured": list(comparison.unmeasured),
        }
        for comparison in comparisons
    ]


def _about(comparison: Comparison) -> dict[str, Any]:
    table = comparison.table
    names = ("protocol", "setting", "setting_description", "preset")
    return {
        **{name: getattr(table, name) for name in names},
        "equal_budget_iterations": table.equal_budget and table.equal_budget.iterations,
        "axis": table.axis,
        "size": comparison.size,
        "paper_table": comparison.series.table,
        "paper_model": comparison.series.title,
    }


def _numbers(row: ComparedRow) -> dict[str, Any]:
    return {
        "mean": row.measured_mean,
        "paper_mean": row.published_mean,
        "difference": row.difference,
        "rank": row.measured_rank,
        "paper_rank": row.published_rank,
        "rank_difference": row.rank_difference,
    }
