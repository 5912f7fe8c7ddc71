"""Draws the primary metric over the axis of a grid, after fine-tuning and as initialized."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from learngene_bench.results.plots import names, style
from learngene_bench.results.plots.page import Drawing, Page
from learngene_bench.results.plots.style import Look
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.tabulate import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXIS_TITLES = {
    "depth": "Depth (number of blocks)",
    "width": "Width (embedding dimension)",
    "depth and width": "Depth × width",
    "task": "Task",
    "horizon": "Length of fine-tuning",
    "share": "Training images",
}
_LETTERS = 18
"""Longest line of a name beside a panel, in letters."""


@Drawing
def accuracy(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
    """Draws every table as a figure.

    Each size of a table has two panels: after fine-tuning, and as initialized. Where columns are one target that is
    fine-tuned in several ways, each target has two, and their axis is logarithmic. Only complete cells are drawn: the
    mean over seeds with its sample standard deviation, and the seeds as faint points.
    """
    for final, initial in panels(results):
        if any(entry.mean is not None for row in final.rows for entry in row.entries):
            yield style.file_name("accuracy", final), _page(final, initial, columns)


def _page(final: MetricTable, initial: MetricTable, columns: int) -> Page:
    """Lays out two panels for each size or target, with the methods' names at the ends of their lines."""
    looks = style.looks(final.rows)
    labels = [row.label for row in final.rows if any(entry.mean is not None for entry in row.entries)]
    beside, least = names.room(labels, _LETTERS)
    places = final.places()
    page = Page(
        f"{final.measure.spec.title} by {final.axis}{style.conditions(final)}",
        _caption(final),
        count=2 * len(places),
        across=columns,
        height=max(1.6, least),
        columns=columns,
        beside=beside,
        below=0.42 if final.axis != "task" else 0.8,
    )
    for number, (place, indices) in enumerate(places.items()):
        for side, (table, when) in enumerate([(final, "after fine-tuning"), (initial, "as initialized")]):
            axes = page.panel(2 * number + side, f"{place}: {when}")
            _lines(axes, table, indices, looks)
            names.write(axes, _ends(table, indices, looks), _LETTERS)
    return page


def _lines(axes: Axes, table: MetricTable, indices: range, looks: Mapping[str, Look]) -> None:
    for row, positions in zip(table.rows, _positions(table, indices), strict=True):
        look = looks[row.label]
        for index, x in zip(indices, positions, strict=True):
            entry = row.entries[index]
            if entry.standard_deviation is not None:
                seeds = list(entry.values.values())
                axes.plot([x] * len(seeds), seeds, ".", color=look.color, markersize=2.5, alpha=0.4)
        axes.errorbar(
            positions,
            [_drawable(row.entries[index].mean) for index in indices],
            yerr=[_drawable(row.entries[index].standard_deviation) for index in indices],
            linestyle="none" if table.axis == "task" else look.line,
            capsize=1.5,
            elinewidth=0.7,
            **look.markers,
        )
    axes.set_xlabel(_AXIS_TITLES[table.axis])
    axes.set_ylabel(table.measure.heading)
    ticks, step = _ticks(table, indices)
    labels = [table.columns[index].label.removeprefix(f"{table.columns[index].span} ") for index in indices]
    axes.set_xticks(ticks, labels, rotation=30 if table.axis == "task" else 0)
    axes.set_xlim(ticks[0] - 0.4 * step, ticks[-1] + 0.4 * step)


def _ticks(table: MetricTable, indices: range) -> tuple[list[float], float]:
    """Returns the position of each column (its number if all numbers differ, else its index) and the least distance.

    Of numbers that say how a target is fine-tuned it is the logarithm.
    """
    values = [table.columns[index].key.fact(table.axis) for index in indices]
    ticks = [float(value) for value in values if isinstance(value, int | float)]
    if not table.compares_targets:
        ticks = [math.log10(tick) for tick in ticks]
    if len(set(ticks)) < len(values):
        ticks = [float(index) for index in range(len(values))]
    return ticks, min((b - a for a, b in pairwise(ticks)), default=1.0)


def _positions(table: MetricTable, indices: range) -> list[list[float]]:
    """Returns the horizontal positions of each row's points, shifted so that no point hides another."""
    ticks, step = _ticks(table, indices)
    count = len(table.rows)
    return [[tick + 0.25 * step * ((number + 0.5) / count - 0.5) for tick in ticks] for number in range(count)]


def _ends(table: MetricTable, indices: range, looks: Mapping[str, Look]) -> list[names.LineEnd]:
    """Returns the last complete point of each row that has one."""
    ends = []
    for row, positions in zip(table.rows, _positions(table, indices), strict=True):
        points = [(x, row.entries[index].mean) for x, index in zip(positions, indices, strict=True)]
        if complete := [(x, mean) for x, mean in points if mean is not None]:
            ends.append(names.LineEnd(row.label, looks[row.label], *complete[-1]))
    return ends


def _drawable(value: float | None) -> float:
    """Replaces a missing value by NaN, which leaves a gap in the line."""
    return math.nan if value is None else value


def _caption(table: MetricTable) -> str:
    entries = [entry for row in table.rows for entry in row.entries]
    counts = sorted({entry.expected for entry in entries if entry.mean is not None})
    sentences = ["Markers: the result of one seed."]
    if counts != [1]:
        seeds = " or ".join(map(str, counts))
        sentences = [
            f"Markers: mean over {seeds} seeds; bars: ± standard deviation (n\u00a0-\u00a01); faint points: the seeds."
        ]
    sentences.append(f"{' or '.join(map(str, table.test_images))} test images.")
    if table.axis != "task":
        sentences.append(style.line_styles(table.rows))
    sentences.append("Points are shifted sideways only for legibility.")
    if excluded := sum(entry.state in ("incomplete", "failed", "pending") for entry in entries):
        sentences.append(f"Incomplete cells are not drawn ({excluded}).")
    return " ".join(sentences)
