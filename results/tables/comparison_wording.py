"""Measured beside published, in words: titles, entries and notes, the same in every format."""

from __future__ import annotations

from learngene_bench.results.tables.comparison import ComparedRow, Comparison, Correlation
from learngene_bench.results.tables.sheet import Heading
from learngene_bench.results.tables.wording import NOTHING, on_axis, printed, superscript

PAPER = "WAVE paper (arXiv 2406.17503)"

HEADINGS = tuple(Heading(span, label) for span in ("Mean", "Rank") for label in ("here", "paper", "diff."))


def title(comparison: Comparison) -> str:
    return f"{comparison.table.title}: beside the paper"


def entries(row: ComparedRow) -> list[str]:
    """The numbers of a row, under `HEADINGS`."""
    means = [NOTHING if mean is None else printed(mean) for mean in (row.measured_mean, row.published_mean)]
    ranks = [NOTHING if rank is None else f"{rank:g}" for rank in (row.measured_rank, row.published_rank)]
    return [*means, _signed(row.difference, ".1f"), *ranks, _signed(row.rank_difference, "g")]


def remarks(comparison: Comparison) -> dict[str, int]:
    """The rows' remarks with their numbers from 1, each once, in the order in which a reader meets them."""
    texts = dict.fromkeys(remark(row) for row in comparison.rows if row.remarks)
    return {text: number for number, text in enumerate(texts, start=1)}


def remark(row: ComparedRow) -> str:
    return "; ".join(row.remarks)


def mark(row: ComparedRow, comparison: Comparison) -> str:
    """The reference to the row's remark."""
    return superscript(remarks(comparison)[remark(row)]) if row.remarks else ""


def correlations(comparison: Comparison) -> list[str]:
    """One sentence for each set of methods and columns."""
    return [_correlation(comparison, correlation) for correlation in comparison.correlations]


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know of the numbers above."""
    table, series = comparison.table, comparison.series
    lines = [
        f"Paper: {PAPER}, Table {series.table}, {series.title}. Means over {on_axis(table.axis, comparison.columns)}.",
        "Rank: among the methods that both have, 1 for the highest mean; pre-training is a reference without rank. "
        "Differences: measured minus published, of unrounded means.",
    ]
    if table.preset != "imagenet":
        lines.append(
            f"The scales differ (the paper's are those of ImageNet, here it is the preset {table.preset}): "
            "what can be compared is the order."
        )
    if comparison.correlations[-1].columns:
        lines.append(
            "A mean over fewer columns than others' (see the remarks) may owe its rank to that; the last correlation "
            "does not."
        )
    if comparison.other_columns:
        lines.append(f"Not in the paper, left out: {on_axis(table.axis, comparison.other_columns)}.")
    if comparison.unmeasured:
        lines.append(f"In the paper and not planned here: {', '.join(comparison.unmeasured)}.")
    return lines


def nothing(comparison: Comparison) -> str:
    """What stands in place of a comparison where the paper's table has none of the columns."""
    series, axis = comparison.series, comparison.table.axis
    places = dict.fromkeys(place for values in series.values.values() for place in values)
    known = [f"{place:g}" if isinstance(place, float) else str(place) for place in places]
    return (
        f"{comparison.size}: nothing to compare, Table {series.table} of the {PAPER} has {on_axis(axis, known)} "
        f"and this table {on_axis(axis, comparison.other_columns)}."
    )


def _correlation(comparison: Comparison, correlation: Correlation) -> str:
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


def _signed(value: float | None, form: str) -> str:
    """A difference, to a tenth; zero has no sign."""
    if value is None:
        return NOTHING
    value = round(value, 1) or 0.0
    return f"{value:{'+' if value else ''}{form}}".replace("-", "−")
