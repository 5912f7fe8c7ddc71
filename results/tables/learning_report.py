"""Prints instinct and learning ability: the metric by epoch, epochs to the references, speed-up over pre-training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from learngene_bench.results.records.grouping import RowKey
from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.paired import mean, standard_deviation
from learngene_bench.results.tables.learning import EARLY, LearningCurve, MethodCurves, SizeCurves, size_curves
from learngene_bench.results.tables.metric_report import trained_cells
from learngene_bench.results.tables.metric_table import Entry, MethodRow, MetricTable
from learngene_bench.results.tables.notes import TRAINED, about_trained
from learngene_bench.results.tables.numbers import compact
from learngene_bench.results.tables.published import paper
from learngene_bench.results.tables.report_table import (
    NOTHING,
    Footnotes,
    ReportCell,
    ReportColumn,
    ReportTable,
    number,
    slug,
)
from learngene_bench.results.tables.speedup import COUNTS, SpeedUp, speed_reference, speed_ups

SpeedUps = Mapping[tuple[RowKey, int], SpeedUp]

_COUNT_TITLES = {"finetuning": "Fine-tuning alone", "initialize": "With init.", "gene": "With gene share"}


def learning_reports(tables: Sequence[MetricTable], results: Results) -> list[ReportTable]:
    """Returns for every size of every table the metric by epoch, and the speed-up, if pre-training was measured.

    The data of the first have both: a row is one target after one epoch.
    """
    reports = []
    for curves in size_curves(tables, results):
        speeds = speed_ups(curves)
        reports.append(_by_epoch(curves, speeds))
        if reference := speed_reference(curves):
            reports.append(_speed_ups(curves, reference, speeds))
    return reports


def _by_epoch(curves: SizeCurves, speeds: SpeedUps) -> ReportTable:
    table = curves.table
    footnotes = Footnotes()
    better = table.measure.spec.higher_is_better
    columns = [
        *(ReportColumn(label, TRAINED) for label in ("parameters", "epochs")),
        *(ReportColumn(f"{epoch:g}", "Epoch", higher_is_better=better) for epoch in curves.epochs),
        *([ReportColumn("Final", higher_is_better=better)] if curves.last > EARLY else []),
        *(
            ReportColumn(table.columns[index].label, f"To {reference.label}", higher_is_better=False)
            for reference in curves.references
            for index in curves.indices
        ),
    ]
    rows = [
        method.row.report_row(_cells(curves, method), _footnotes(curves, method, footnotes)) for method in curves.rows
    ]
    return ReportTable(
        kind="instinct",
        name=slug("instinct", table.slug, curves.size),
        title=f"Instinct: {table.title.replace('after fine-tuning', 'in the first epochs')}",
        subtitle=table.subtitle,
        identity={**table.identity, "size": curves.size},
        corner=curves.size,
        columns=tuple(columns),
        rows=tuple(rows),
        notes=tuple(_notes(curves)),
        footnotes=footnotes.texts,
        data=tuple(_data(curves, speeds)),
    )


def _footnotes(curves: SizeCurves, method: MethodCurves, footnotes: Footnotes) -> tuple[int, ...]:
    planned = method.planned(curves.indices)
    if not planned or len(planned) == len(curves.indices):
        return ()
    return (footnotes.number(f"means over {curves.table.labels(planned)} only"),)


def _cells(curves: SizeCurves, method: MethodCurves) -> Iterator[ReportCell]:
    measure = curves.table.measure
    entries = [method.row.entries[index] for index in method.planned(curves.indices)]
    done, expected = sum(len(entry.values) for entry in entries), sum(entry.expected for entry in entries)
    if done < expected or not expected:
        missing = ReportCell(f"{done}/{expected}" if expected else NOTHING)
        yield from [missing] * (2 + len(curves.epochs) + (curves.last > EARLY))
    else:
        yield trained_cells(method.row.costs[curves.size])[0]
        yield number(method.initialize_epochs, compact)
        for epoch in curves.epochs:
            value = method.mean_at(epoch, curves.indices)
            yield ReportCell("") if value is None else number(value, measure.text)
        if curves.last > EARLY:
            yield number(mean([entry.mean for entry in entries if entry.mean is not None]), measure.text)
    for reference in curves.references:
        for index in curves.indices:
            goal = reference.entries[index].mean
            yield _epochs_to_reach(method.row.entries[index], method.curves.get(index), goal)


def _epochs_to_reach(entry: Entry, curve: LearningCurve | None, goal: float | None) -> ReportCell:
    """After how many epochs of fine-tuning one row is where another ends."""
    if entry.state == "not planned":
        return ReportCell("")
    if curve is None:
        return ReportCell(NOTHING if entry.state == "dash" else f"{len(entry.values)}/{entry.expected}")
    if goal is None or curve.last == 0:
        return ReportCell(NOTHING)
    epochs = curve.epochs_to_reach(goal)
    if epochs is None:
        return ReportCell(f">{round(curve.last, 1):g}")
    return ReportCell(f"{round(epochs, 1):g}", epochs)


def _notes(curves: SizeCurves) -> Iterator[str]:
    yield (
        f"Epoch: {curves.table.measure.heading} after so many epochs of fine-tuning, 0 as initialized; mean over seeds "
        "and over the columns of the size."
    )
    yield about_trained(curves.table, "epochs")
    if curves.references:
        names = " and ".join(f"to {reference.label}" for reference in curves.references)
        yield (
            f"{names[0].upper()}{names[1:]}: the first epoch of fine-tuning after which the mean over seeds is at "
            "least as good as the mean with which that row ends at the same target; >n: not within the n epochs of "
            "fine-tuning. It is not tested, and may be chance."
        )


def _speed_ups(curves: SizeCurves, reference: MethodRow, speeds: SpeedUps) -> ReportTable:
    table = curves.table
    rows = [
        method.row.report_row(_speed_up(method, speeds, count, index) for count in COUNTS for index in curves.indices)
        for method in curves.rows
        if method.row is not reference
    ]
    return ReportTable(
        kind="speed-up",
        name=slug("speedup", table.slug, curves.size),
        title=f"Speed-up: epochs of {reference.label} over those to an equal result, by {table.axis}",
        subtitle=table.subtitle,
        identity={**table.identity, "size": curves.size},
        corner=curves.size,
        columns=tuple(
            ReportColumn(table.columns[index].label, _COUNT_TITLES[count], higher_is_better=True)
            for count in COUNTS
            for index in curves.indices
        ),
        rows=tuple(rows),
        notes=tuple(_speed_up_notes(curves, reference, speeds)),
    )


def _speed_up(method: MethodCurves, speeds: SpeedUps, count: str, index: int) -> ReportCell:
    entry = method.row.entries[index]
    if entry.state == "not planned":
        return ReportCell("")
    speed = speeds.get((method.row.key, index))
    if speed is None:
        missing = len(entry.values) < entry.expected
        return ReportCell(f"{len(entry.values)}/{entry.expected}" if missing else NOTHING)
    factor, bound = speed.factor(count), speed.bound(count)
    if factor is None:
        return ReportCell(NOTHING if bound is None else f"<{bound:.1f}")
    return ReportCell("∞" if math.isinf(factor) else f"{factor:.1f}", factor)


def _speed_up_notes(curves: SizeCurves, reference: MethodRow, speeds: SpeedUps) -> Iterator[str]:
    epochs = sorted({speed.reference_epochs for speed in speeds.values()})
    trains = f"{' or '.join(f'{value:g}' for value in epochs)} epochs of {reference.label}" if epochs else "its epochs"
    yield (
        f"Speed-up: {trains} over the epochs that a method needs until its mean over seeds is at least as good as "
        f"that of {reference.label} at the same target. Fine-tuning alone: only epochs of fine-tuning. With init.: "
        "also those that the method trains while initializing. With gene share: also those of preparing its gene "
        "(Epoch), divided by the targets that share it. <n: not reached within the fine-tuning, so less than n; ∞: "
        "reached without any epoch. An epoch of a small model counts as one of a large model; the cost table has the "
        "FLOPs of everything, teachers included."
    )
    claim = paper()["speed_up"]
    if curves.table.axis == claim["axis"]:
        yield claim["note"]


def _data(curves: SizeCurves, speeds: SpeedUps) -> Iterator[dict[str, Any]]:
    for method in curves.rows:
        for index, curve in method.curves.items():
            row = method.row
            goals = dict.fromkeys(curves.table.source.references)
            goals |= {reference.method: reference.entries[index].mean for reference in curves.references}
            speed = speeds.get((row.key, index))
            for epoch, values in curve.values.items():
                seeds = list(values.values())
                yield {
                    "column": curves.table.columns[index].label,
                    **row.facts,
                    "initialize_epochs": method.initialize_epochs,
                    "epoch": epoch,
                    "mean": curve.at(epoch),
                    "sd": standard_deviation(seeds) if len(seeds) > 1 else None,
                    "seeds": len(seeds),
                    "last_epoch": curve.last,
                    **{
                        f"epochs_to_{name.replace('-', '_')}": None if goal is None else curve.epochs_to_reach(goal)
                        for name, goal in goals.items()
                    },
                    "reference_epochs": speed and speed.reference_epochs,
                    **{f"speedup_{count}": speed and speed.factor(count) for count in COUNTS},
                }
