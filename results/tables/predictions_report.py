"""Prints what the predictions of methods have in common, for every column of a table with predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.bootstrap import DRAWS
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.numbers import interval, on_axis, plural, probability, signed
from learngene_bench.results.tables.predictions import (
    ColumnPairs,
    Pair,
    RowPredictions,
    column_pairs,
    column_predictions,
)
from learngene_bench.results.tables.report_table import (
    NOTHING,
    Footnotes,
    ReportCell,
    ReportColumn,
    ReportTable,
    number,
    slug,
)

_SAME, _RIGHT = 1, 2
"""Priorities: the images that both or neither classify right are left out first where there is no room."""


def prediction_reports(tables: Sequence[MetricTable], results: Results) -> list[ReportTable]:
    """Returns a table for every column in which at least two rows have predictions.

    The rows are compared with the best; the data are of all pairs, and of each seed.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
    """
    found = []
    for table in tables:
        for index, rows in enumerate(column_predictions(table, results)):
            pairs = column_pairs(table, index, rows)
            if pairs.pairs:
                found.append(_report(pairs))
    return found


def _report(found: ColumnPairs) -> ReportTable:
    table, column, footnotes = found.table, found.table.columns[found.index], Footnotes()
    best = found.best.row.label
    where = on_axis(table.axis, [column.label])
    rows = [one.row.report_row(_cells(pair), _footnotes(one, pair, footnotes)) for one, pair in found.of_best()]
    return ReportTable(
        kind="predictions",
        name=slug("predictions", table.slug, column.size, column.label),
        title=f"Predictions of {best} and the others for the same images, {where}",
        subtitle=table.subtitle,
        identity={**table.identity, "size": column.size, "column": column.label},
        corner=column.size,
        columns=(
            ReportColumn("both", "Right (%)", priority=_RIGHT),
            ReportColumn(f"only {best}", "Right (%)"),
            ReportColumn("only this", "Right (%)"),
            ReportColumn("neither", "Right (%)", priority=_RIGHT),
            ReportColumn("(%)", "Same class", priority=_SAME),
            ReportColumn("κ", "Same errors", priority=_SAME),
            ReportColumn("points", f"{best} minus this"),
            ReportColumn("95 %", f"{best} minus this"),
            ReportColumn("p", "McNemar"),
        ),
        rows=tuple(rows),
        notes=tuple(_notes(found)),
        footnotes=footnotes.texts,
        data=tuple(row for pair in found.pairs for row in _data(pair)),
    )


def _cells(pair: Pair | None) -> Iterator[ReportCell]:
    if pair is None:
        yield from [ReportCell(NOTHING)] * 9
        return
    overlap = pair.overlap
    for share in overlap:
        yield number(100 * share, "{:.1f}".format)
    yield number(overlap.consistency, "{:.2f}".format)
    yield ReportCell(signed(pair.difference), pair.difference)
    yield ReportCell(interval(pair.interval, 1))
    yield number(pair.corrected, probability)


def _footnotes(one: RowPredictions, pair: Pair | None, footnotes: Footnotes) -> tuple[int, ...]:
    """Says why a row has no numbers, or which seeds they are of."""
    lines = list(one.problems)
    if not lines and not one.by_seed:
        lines.append("no predictions are kept here: `lgbench evaluate` makes them where the models are")
    elif pair is None:
        lines.append("no seed with predictions for the same images as the best")
    elif len(pair.by_seed) < one.expected:
        lines.append(f"{plural(len(pair.by_seed), 'seed')} of {one.expected}")
    return tuple(map(footnotes.number, lines))


def _notes(found: ColumnPairs) -> Iterator[str]:
    best = found.best.row.label
    images, things = found.pairs[0].images, found.pairs[0].things
    seeds = sorted({len(pair.by_seed) for pair in found.pairs})
    views = "" if images == things else f" ({images // things} of each of {things} things)"
    yield (
        f"Right: share of the {images} images{views} that both models, only one of them, or neither classify right; "
        f"mean over {' or '.join(map(str, seeds))} {'seed' if seeds == [1] else 'seeds'}. Same class: both predict one "
        "class, right or wrong. Same errors: Cohen's κ of being right, 1 if both are right for the same images, 0 if "
        "they agree no more than two independent models of these accuracies."
    )
    drawn = "images" if images == things else "things, each with all of its images,"
    yield (
        f"{best} minus this: difference of the accuracies, percentage points; 95 %: percentile bootstrap of {DRAWS} "
        f"draws, in which {drawn} are drawn again, the same for both models and all seeds. It tells what other images "
        "would change, not what other seeds would."
    )
    test = (
        "McNemar's exact test of the images that only one of the two classifies right"
        if images == things and seeds == [1]
        else "McNemar's exact test, in which images of one thing, and of all seeds, count as one observation (exact "
        "sign-flip test of their sums)"
    )
    yield f"McNemar: {test}; two-sided, by Holm over all {plural(len(found.pairs), 'pair')} of methods here."


def _data(pair: Pair) -> Iterator[dict[str, Any]]:
    """One row for each seed, and one for all of them with the tests."""
    rows = {
        **{f"first_{key}": value for key, value in pair.first.facts.items()},
        **{f"second_{key}": value for key, value in pair.second.facts.items()},
    }
    for seed, overlap in (("all", pair.overlap), *((str(seed), one) for seed, one in pair.by_seed.items())):
        whole = seed == "all"
        yield {
            **rows,
            "seed": seed,
            "images": pair.images,
            "things": pair.things,
            "both_right": overlap.both,
            "only_first_right": overlap.only_first,
            "only_second_right": overlap.only_second,
            "neither_right": overlap.neither,
            "same_class": overlap.same,
            "consistency": overlap.consistency,
            "difference": 100 * (overlap.only_first - overlap.only_second),
            "lower": pair.interval.lower if whole else None,
            "upper": pair.interval.upper if whole else None,
            "p": pair.p if whole else None,
            "p_holm": pair.corrected if whole else None,
        }
