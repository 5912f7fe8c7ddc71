"""Prints how far the confidence of models is from their accuracy, for every size of a table with predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.predictions import BINS, Calibration
from learngene_bench.results.tables.highlight import highlighted
from learngene_bench.results.tables.measure import Measure
from learngene_bench.results.tables.metric_report import entry_cell
from learngene_bench.results.tables.metric_table import Entry, EntryState, MethodRow, MetricTable
from learngene_bench.results.tables.notes import legend
from learngene_bench.results.tables.predictions import RowPredictions, row_predictions
from learngene_bench.results.tables.report_table import Footnotes, ReportCell, ReportColumn, ReportTable, slug
from learngene_bench.schema.metric import MetricSpec

ERROR = Measure(
    MetricSpec(name="ece", title="Calibration error", unit="%", bounds=(0.0, 100.0), higher_is_better=False, decimals=1)
)
"""Expected calibration error."""
_CONFIDENCE, _ACCURACY = 1, 2
"""Priorities: the accuracy is left out first where there is no room, then the confidence."""

_PARTS: tuple[tuple[str, Callable[[Calibration], float], int], ...] = (
    ("Mean confidence (%)", lambda found: found.mean_confidence, _CONFIDENCE),
    ("Accuracy (%)", lambda found: found.mean_accuracy, _ACCURACY),
)
"""Title, function and priority of what stands beside the error."""


def calibration_reports(tables: Sequence[MetricTable], results: Results) -> list[ReportTable]:
    """Returns a table for every size of every table in which any row has predictions.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
    """
    found = []
    for table in tables:
        for size, indices in table.sizes().items():
            rows = {
                row.label: [row_predictions(table, row, index, results) for index in indices]
                for row in table.rows_in(indices)
            }
            if any(one.by_seed for of_row in rows.values() for one in of_row):
                found.append(_report(table, size, indices, rows))
    return found


def _report(table: MetricTable, size: str, indices: range, kept: Mapping[str, Sequence[RowPredictions]]) -> ReportTable:
    footnotes, labels = Footnotes(), [table.columns[index].label for index in indices]
    errors = [
        replace(
            row,
            entries=tuple(
                _entries([row.entries[index] for index in indices], kept[row.label], lambda found: found.error)
            ),
        )
        for row in table.rows_in(indices)
    ]
    rows = highlighted(errors, ERROR)
    return ReportTable(
        kind="calibration",
        name=slug("calibration", table.slug, size),
        title=f"Calibration: confidence and accuracy of the predicted class, by {table.axis}",
        subtitle=table.subtitle,
        identity={**table.identity, "size": size},
        corner=size,
        columns=(
            *(ReportColumn(label, f"{ERROR.heading}", higher_is_better=False) for label in labels),
            *(ReportColumn(label, title, priority=priority) for title, _, priority in _PARTS for label in labels),
        ),
        rows=tuple(
            row.report_row(_cells(table, row, indices, kept[row.label]), _footnotes(kept[row.label], footnotes))
            for row in rows
        ),
        notes=tuple(_notes()),
        legend=legend(replace(table, rows=rows, measure=ERROR)),
        footnotes=footnotes.texts,
        data=tuple(line for row in rows for line in _data(table, row, indices, kept[row.label])),
    )


def _entries(
    planned: Sequence[Entry], kept: Sequence[RowPredictions], part: Callable[[Calibration], float]
) -> Iterator[Entry]:
    """Yields a part of the calibration in each column, in percent, for as many seeds as the planned entries have."""
    for entry, one in zip(planned, kept, strict=True):
        values = {seed: 100 * part(found) for seed, found in one.calibrations().items()}
        state: EntryState = entry.state if not entry.expected else "pending"
        if values:
            state = "done" if len(values) == one.expected else "incomplete"
        yield Entry(state, values, entry.expected)


def _cells(table: MetricTable, row: MethodRow, indices: range, kept: Sequence[RowPredictions]) -> Iterator[ReportCell]:
    for index, entry in zip(indices, row.entries, strict=True):
        yield entry_cell(ERROR, entry, (), tuple(cell.address for cell in table.cells(row, index).values()))
    for _, part, _ in _PARTS:
        yield from (entry_cell(ERROR, entry) for entry in _entries(row.entries, kept, part))


def _footnotes(kept: Sequence[RowPredictions], footnotes: Footnotes) -> tuple[int, ...]:
    return tuple(footnotes.number(line) for one in kept for line in one.problems)


def _notes() -> Iterator[str]:
    yield (
        f"Calibration error: images are sorted by the probability of their predicted class into {BINS} bins of equal "
        "width; the mean distance between accuracy and mean probability of a bin, weighted by its images (expected "
        "calibration error). Mean over seeds ± standard deviation (n - 1). With few images it is too large by chance: "
        "compare methods on the same images only."
    )
    yield (
        "Confidence above accuracy is overconfidence. Nothing is recalibrated. k/n: only k of n seeds have predictions "
        "(`lgbench evaluate` makes them where the models are)."
    )


def _data(
    table: MetricTable, row: MethodRow, indices: range, kept: Sequence[RowPredictions]
) -> Iterator[dict[str, Any]]:
    """One row for each bin, column and seed: what a reliability diagram shows."""
    for index, one in zip(indices, kept, strict=True):
        for seed, found in one.calibrations().items():
            for place, images in enumerate(found.images.tolist()):
                yield {
                    **row.facts,
                    "column": table.columns[index].label,
                    "seed": seed,
                    "images": int(found.images.sum()),
                    "ece": found.error,
                    "mean_confidence": found.mean_confidence,
                    "accuracy": found.mean_accuracy,
                    "bin_from": place / BINS,
                    "bin_to": (place + 1) / BINS,
                    "bin_images": images,
                    "bin_confidence": float(found.confidence[place]) if images else None,
                    "bin_accuracy": float(found.accuracy[place]) if images else None,
                }
