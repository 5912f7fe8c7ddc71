"""Measured beside published, in each format."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from learngene_bench.results import comparison_wording as wording
from learngene_bench.results.comparison import ComparedRow, Comparison
from learngene_bench.results.exports import harmless
from learngene_bench.results.markdown import escaped, line
from learngene_bench.results.terminal import label, width
from learngene_bench.results.wording import GROUP_TITLES, superscript

_CHOICES = {(0, 1, 2, 3, 4, 5): "", (0, 1, 3, 4): "the differences", (0, 1): "the differences and ranks"}
"""Which of the HEADERS are shown where there is room for no more, and what the note says is missing."""

CSV_COLUMNS = (
    "protocol",
    "setting",
    "setting_description",
    "preset",
    "equal_budget_iterations",
    "axis",
    "size",
    "paper_table",
    "paper_model",
    "group",
    "method",
    "variant",
    "title",
    "columns",
    "mean",
    "paper_mean",
    "difference",
    "rank",
    "paper_rank",
    "rank_difference",
    "remarks",
    "kendall_tau_b",
    "spearman_rho",
    "n",
)
"""Names and order of the columns; new ones are only ever added at the end.

columns are those that both means are over, with spaces between. The correlation is that of all n ranked methods without
the reference, the same in every row of a size.
"""


def comparison_terminal(comparisons: Sequence[Comparison], console: Console) -> None:
    """Prints the comparisons; first differences, then ranks are left out where there is no room."""
    told: set[str] = set()
    for comparison in comparisons:
        console.print(Text(wording.title(comparison), style="bold"))
        console.print(Text(comparison.table.subtitle))
        console.print()
        if not comparison.columns:
            console.print(Text(f"{wording.nothing(comparison)}\n"))
            continue
        grids = [(_grid(comparison, choice), missing) for choice, missing in _CHOICES.items()]
        grid, missing = next((choice for choice in grids if width(choice[0], console) <= console.width), grids[-1])
        console.print(grid)
        console.print()
        for sentence in wording.correlations(comparison):
            console.print(Text(sentence))
        notes = [f"Left out on this narrow terminal: {missing}."] if missing else []
        notes += wording.notes(comparison)
        for note in notes:
            if note not in told:
                console.print(Text(note, style="dim"))
        told.update(notes)
        for text, number in wording.remarks(comparison).items():
            console.print(Text(f"{superscript(number)} {text}", style="dim"))
        console.print()


def _grid(comparison: Comparison, choice: Sequence[int]) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column(Text(f"{comparison.size}\n{wording.beside(comparison)}"), no_wrap=True)
    for index in choice:
        grid.add_column(Text(wording.HEADERS[index].replace(" ", "\n")), justify="right", no_wrap=True)
    group = ""
    for row in comparison.rows:
        if row.row.group != group:
            group = row.row.group
            grid.add_row(Text(GROUP_TITLES[group], style="italic"))
        entries = wording.entries(row)
        grid.add_row(
            label(row.row.label).append(wording.mark(row, comparison)), *(Text(entries[index]) for index in choice)
        )
    return grid


def comparison_markdown(comparisons: Sequence[Comparison]) -> str:
    return "\n".join(text for comparison in comparisons for text in _markdown(comparison))


def _markdown(comparison: Comparison) -> Iterable[str]:
    yield f"### {escaped(wording.title(comparison))}"
    yield ""
    yield escaped(comparison.table.subtitle)
    yield ""
    if not comparison.columns:
        yield escaped(wording.nothing(comparison))
        yield ""
        return
    header = ["", f"{comparison.size} {wording.beside(comparison)}", *wording.HEADERS]
    yield line(map(escaped, header))
    yield line(["---", "---", *["--:"] * len(wording.HEADERS)])
    group = ""
    for row in comparison.rows:
        title = GROUP_TITLES[row.row.group] if row.row.group != group else ""
        group = row.row.group
        yield line([title, escaped(row.row.label) + wording.mark(row, comparison), *wording.entries(row)])
    yield ""
    for sentence in wording.correlations(comparison):
        yield f"- **{escaped(sentence)}**"
    for note in wording.notes(comparison):
        yield f"- {escaped(note)}"
    for text, number in wording.remarks(comparison).items():
        yield f"- {superscript(number)} {escaped(text)}"
    yield ""


def comparison_csv(comparisons: Sequence[Comparison]) -> str:
    """One line for each size and method; the columns are `CSV_COLUMNS`."""
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for comparison in comparisons:
        for row in comparison.rows:
            facts = _facts(comparison, row)
            writer.writerow([harmless(facts[name]) for name in CSV_COLUMNS])
    return text.getvalue()


def _facts(comparison: Comparison, row: ComparedRow) -> dict[str, Any]:
    ranks = comparison.correlations[0].ranks
    return {
        **_about(comparison),
        **_numbers(row),
        "columns": " ".join(row.measured),
        "remarks": wording.remark(row),
        "kendall_tau_b": ranks.tau,
        "spearman_rho": ranks.rho,
        "n": ranks.n,
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
            "unmeasured": list(comparison.unmeasured),
        }
        for comparison in comparisons
    ]


def _about(comparison: Comparison) -> dict[str, Any]:
    table = comparison.table
    names = ("protocol", "setting", "setting_description", "preset", "axis")
    return {
        **{name: getattr(table, name) for name in names},
        "equal_budget_iterations": table.equal_budget and table.equal_budget.iterations,
        "size": comparison.size,
        "paper_table": comparison.series.table,
        "paper_model": comparison.series.title,
    }


def _numbers(row: ComparedRow) -> dict[str, Any]:
    return {
        "group": row.row.group,
        "method": row.row.method,
        "variant": row.row.variant,
        "title": row.row.label,
        "mean": row.measured_mean,
        "paper_mean": row.published_mean,
        "difference": row.difference,
        "rank": row.measured_rank,
        "paper_rank": row.published_rank,
        "rank_difference": row.rank_difference,
    }
