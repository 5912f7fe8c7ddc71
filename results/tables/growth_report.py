"""Prints what a start from a trained model keeps of its function, and the FLOPs that it saves against scratch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.growth import KEPT, GrownTarget, Saving, grown_targets
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.results.tables.numbers import signed
from learngene_bench.results.tables.report_table import NOTHING, ReportCell, ReportColumn, ReportTable, slug

_COUNTS = {"target": "target", "whole": "with gene"}
"""Headings of what is counted, by the attributes of `Saving`."""


def growth_reports(tables: Sequence[MetricTable], results: Results) -> list[ReportTable]:
    """Returns a table for every target of every grid with a source model.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
    """
    return [_report(target) for target in grown_targets(tables, results)]


def _report(target: GrownTarget) -> ReportTable:
    table = target.table
    columns = [ReportColumn("difference", "From source", higher_is_better=False)]
    columns += [
        ReportColumn(heading, f"Saved to {reference.label}", higher_is_better=True)
        for reference in target.references
        for heading in _COUNTS.values()
    ]
    return ReportTable(
        kind="growth",
        name=slug("growth", table.slug, target.place),
        title=f"FLOPs saved to an equal result, {target.place}: {table.measure.heading}",
        subtitle=table.subtitle,
        identity={**table.identity, "place": target.place},
        corner=table.columns[target.index].label,
        columns=tuple(columns),
        rows=tuple(row.report_row(_cells(target, row)) for row in target.rows),
        notes=tuple(_notes(target)),
        data=tuple(_data(target)),
    )


def _cells(target: GrownTarget, row: MethodRow) -> Iterator[ReportCell]:
    entry, difference = row.entries[target.index], target.differences.get(row.label)
    missing = f"{len(entry.values)}/{entry.expected}" if len(entry.values) < entry.expected else NOTHING
    if difference is None:
        yield ReportCell(missing)
    else:
        yield ReportCell("kept" if difference <= KEPT else f"{difference:.2f}", difference)
    for reference in target.references:
        saving = target.savings.get((row.label, reference.label))
        for count in _COUNTS:
            if row is reference:
                yield ReportCell("")
            else:
                yield _saved(saving, count) if saving else ReportCell(missing)


def _saved(saving: Saving, count: str) -> ReportCell:
    share = getattr(saving, count)
    text = f"{signed(100 * share, 0)} %"
    return ReportCell(text, share) if saving.is_reached else ReportCell(f"<{text}")


def _notes(target: GrownTarget) -> Iterator[str]:
    yield (
        "From source: largest difference of an output from the source model's, as initialized, over the largest output "
        f"of the source model, on the same validation images and over all seeds; kept: at most {KEPT:g}, as rounding "
        "makes it."
    )
    if target.references:
        names = " or ".join(f"to {reference.label}" for reference in target.references)
        yield (
            f"Saved {names}: FLOPs that a row saves until its mean over seeds is at least as good as the mean with "
            "which that reference ends at the same target, as a share of all FLOPs of the reference. Target: only what "
            "is spent on the target itself, as papers count. With gene: also the gene and the models that it is made "
            "of, in full for this one target. Below zero: it needs more; <n: not reached within the fine-tuning, so "
            "less than n. It is not tested, and may be chance."
        )


def _data(target: GrownTarget) -> Iterator[dict[str, Any]]:
    """One row for each row and reference."""
    for row in target.rows:
        for reference in target.references:
            saving = target.savings.get((row.label, reference.label))
            if row is not reference:
                yield {
                    **row.facts,
                    "reference": reference.method,
                    "column": target.table.columns[target.index].label,
                    "difference": target.differences.get(row.label),
                    "saved_target": saving and saving.target,
                    "saved_with_gene": saving and saving.whole,
                    "reached": saving and saving.is_reached,
                }
