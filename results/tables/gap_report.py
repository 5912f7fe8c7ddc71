"""Prints gaps to the references over the length of fine-tuning or the share of images, and where they close."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.gaps import Gap, PlaceGaps, place_gaps
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.results.tables.numbers import signed, way
from learngene_bench.results.tables.report_table import (
    NOTHING,
    Footnotes,
    ReportCell,
    ReportColumn,
    ReportTable,
    slug,
)


@dataclass(frozen=True)
class Scale:
    """The axis of gaps in words.

    Attributes:
        title: end of a table's title.
        unit: what stands after a position in sentences.
    """

    title: str
    unit: str

    def text(self, position: float) -> str:
        """Prints a position to three digits."""
        return f"{position:.3g}" if position < 1000 else f"{position:.0f}"


SCALES = {"horizon": Scale("epochs of fine-tuning", "epochs"), "share": Scale("% of the training images", "%")}
"""Axes along which gaps are computed."""


def gap_reports(tables: Sequence[MetricTable], results: Results, axis: str) -> list[ReportTable]:
    """Returns a table of gaps for every target of every table of one axis.

    Args:
        tables: tables of metrics after fine-tuning.
        results: the results that they were made from.
        axis: one of `SCALES`.
    """
    return [_report(place, SCALES[axis]) for place in place_gaps(tables, results, axis)]


def _report(place: PlaceGaps, scale: Scale) -> ReportTable:
    table, footnotes = place.table, Footnotes()
    rows = tuple(row.report_row(_cells(place, row, scale, footnotes)) for row in place.rows)
    return ReportTable(
        kind="gap",
        name=slug("gap", table.slug, place.place),
        title=f"Gaps to {' and '.join(row.label for row in place.references)} over {scale.title}: "
        f"{table.measure.heading}",
        subtitle=table.subtitle,
        identity={**table.identity, "place": place.place},
        corner=place.place,
        columns=tuple(_columns(place, scale)),
        rows=rows,
        notes=tuple(_notes(place, scale)),
        footnotes=footnotes.texts,
        data=tuple(_data(place)),
    )


def _columns(place: PlaceGaps, scale: Scale) -> Iterator[ReportColumn]:
    for reference in place.references:
        span = f"Gap to {reference.label}"
        for position in place.positions:
            yield ReportColumn(scale.text(position), span, higher_is_better=True)
        yield ReportColumn("closes at", span)
        yield ReportColumn("open at", span)


def _cells(place: PlaceGaps, row: MethodRow, scale: Scale, footnotes: Footnotes) -> Iterator[ReportCell]:
    decimals = place.table.measure.spec.decimals
    for reference in place.references:
        gap = place.gaps.get((row.label, reference.label))
        if gap is None:
            missing = "" if row is reference else _missing(place, row)
            yield from [ReportCell(missing)] * (len(place.positions) + 2)
            continue
        means = dict(zip(gap.positions, gap.means, strict=True))
        for index, position in zip(place.indices, place.positions, strict=True):
            if position not in means:
                yield ReportCell(_missing_entry(row, index) or NOTHING)
                continue
            spread = gap.spread(position)
            text = "" if spread is None else f"{spread:.{decimals}f}"
            yield ReportCell(signed(means[position], decimals), means[position], spread, text)
        yield _closes(gap, scale, footnotes)
        yield ReportCell(NOTHING if gap.open_at is None else scale.text(gap.open_at), gap.open_at)


def _missing(place: PlaceGaps, row: MethodRow) -> str:
    texts = {_missing_entry(row, index) for index in place.indices}
    return texts.pop() if len(texts) == 1 else NOTHING


def _missing_entry(row: MethodRow, index: int) -> str:
    """A dash; how many of the seeds are there, if not all; nothing where nothing is planned."""
    entry = row.entries[index]
    if entry.state in ("dash", "done"):
        return NOTHING
    return f"{len(entry.values)}/{entry.expected}" if entry.expected else ""


def _closes(gap: Gap, scale: Scale, footnotes: Footnotes) -> ReportCell:
    """Prints where the mean gap closes, and in brackets where those of the seeds do."""
    if not gap.is_there:
        note = f"no gap at {scale.text(gap.positions[0])} {scale.unit} that a test over the seeds tells from zero"
        return ReportCell(NOTHING, footnotes=(footnotes.number(note),))
    last = gap.positions[-1]
    ends = [_point(point, last, scale) for point in dict.fromkeys((gap.seeds_close_at[0], gap.seeds_close_at[-1]))]
    closes = _point(math.inf if gap.closes_at is None else gap.closes_at, last, scale)
    several = f" ({' to '.join(dict.fromkeys(ends))})" if len(gap.seeds_close_at) > 1 and set(ends) != {closes} else ""
    return ReportCell(f"{closes}{several}", gap.closes_at)


def _point(position: float, last: float, scale: Scale) -> str:
    return f">{scale.text(last)}" if math.isinf(position) else scale.text(position)


def _notes(place: PlaceGaps, scale: Scale) -> Iterator[str]:
    axis = place.table.axis
    yield (
        "Gap: mean over seeds of the row minus the reference, seed by seed, ± standard deviation (n - 1); above zero "
        f"the row is better. Columns: {scale.title}."
    )
    if axis == "horizon":
        values = [place.table.columns[index].key.fact(axis) for index in place.indices]
        named = (
            f"{way(axis, value)} is {scale.text(at)} epochs" for value, at in zip(values, place.positions, strict=True)
        )
        yield f"Each length is a training of its own with a whole schedule, from the same weights: {', '.join(named)}."
    else:
        yield "Each share is trained on in as many steps as all images are; each seed draws other images."
    yield (
        f"Closes at: {scale.unit} at which the mean gap first reaches zero, a straight line over log {scale.unit} "
        "between two columns; in brackets, from the first to the last of the seeds by themselves; >n: not up to n."
    )
    yield (
        f"Open at: {scale.unit} up to which, from the first column on, the 95 % interval of the gap (Student's t over "
        "the seeds) is on one side of zero. With few seeds an interval is wide: a gap that is not told from zero may "
        "still be there."
    )
    for row in place.constant:
        yield f"{row.label} is not fine-tuned: the same model stands in every column."


def _data(place: PlaceGaps) -> Iterator[dict[str, Any]]:
    """One row for each row, reference and position."""
    for gap in place.gaps.values():
        ends = [None if math.isinf(point) else point for point in (gap.seeds_close_at or (math.inf,))]
        for position, average, interval in zip(gap.positions, gap.means, gap.intervals, strict=True):
            column = place.table.columns[place.indices[place.positions.index(position)]]
            yield {
                **gap.row.facts,
                "reference": gap.reference.method,
                "column": column.label,
                "position": position,
                "gap": average,
                "sd": gap.spread(position),
                "lower": interval and interval.lower,
                "upper": interval and interval.upper,
                "seeds": len(gap.at(position)),
                "closes_at": gap.closes_at,
                "closes_at_first_seed": ends[0],
                "closes_at_last_seed": ends[-1],
                "open_at": gap.open_at,
                "last": gap.positions[-1],
            }
