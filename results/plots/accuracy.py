"""Accuracy over the axis of a grid, after tuning and as initialized."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from learngene_bench.results.plots import names, style
from learngene_bench.results.plots.page import Page
from learngene_bench.results.plots.style import Look
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.table import Table
from learngene_bench.results.tables.tabulate import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_AXIS_TITLES = {"depth": "Depth (number of blocks)", "width": "Width (embedding dimension)", "task": "Task"}
_LETTERS = 18


def accuracy(results: Results, folder: Path, columns: int = 2) -> list[Path]:
    """Draws every table as a figure, PNG and PDF; the same results give the same bytes.

    Each size of a table has two panels: after tuning, and as initialized. Only complete cells are drawn: the mean over
    seeds with its sample standard deviation, and the seeds as faint points.

    Args:
        results: what `load` read.
        folder: where the files go; created if it is not there.
        columns: 1 or 2 of a two-column paper, how wide the figures are.

    Returns:
        The files written; none where no cell is complete.

    Raises:
        UserError: the folder cannot be written to.
    """
    written = []
    for tuned, initial in panels(results):
        if style.complete(tuned):
            with style.drawing():
                written += _page(tuned, initial, columns).save(folder, style.file_name("accuracy", tuned))
    return written


def _page(tuned: Table, initial: Table, columns: int) -> Page:
    """Two panels for each size, with the names at the ends of the lines in each of them."""
    looks = style.looks(tuned.rows)
    drawn = [row.label for row in tuned.rows if any(entry.mean is not None for entry in row.entries)]
    beside, least = names.room(drawn, _LETTERS)
    sizes = tuned.sizes()
    page = Page(
        f"Top-1 accuracy by {tuned.axis}{style.conditions(tuned)}",
        _caption(tuned),
        count=2 * len(sizes),
        across=columns,
        height=max(1.6, least),
        columns=columns,
        beside=beside,
        below=0.42 if tuned.axis != "task" else 0.8,
    )
    for number, (size, indices) in enumerate(sizes.items()):
        for side, (table, when) in enumerate([(tuned, "after tuning"), (initial, "as initialized")]):
            axes = page.panel(2 * number + side, f"{size}: {when}")
            _lines(axes, table, indices, looks)
            names.write(axes, _ends(table, indices, looks), _LETTERS)
    return page


def _lines(axes: Axes, table: Table, indices: range, looks: Mapping[str, Look]) -> None:
    for row, places in zip(table.rows, _places(table, indices), strict=True):
        look = looks[row.label]
        for index, x in zip(indices, places, strict=True):
            entry = row.entries[index]
            if entry.standard_deviation is not None:
                seeds = list(entry.values.values())
                axes.plot([x] * len(seeds), seeds, ".", color=look.color, markersize=2.5, alpha=0.4)
        axes.errorbar(
            places,
            [_drawable(row.entries[index].mean) for index in indices],
            yerr=[_drawable(row.entries[index].standard_deviation) for index in indices],
            linestyle="none" if table.axis == "task" else look.line,
            capsize=1.5,
            elinewidth=0.7,
            **look.markers,
        )
    axes.set_xlabel(_AXIS_TITLES[table.axis])
    axes.set_ylabel("Top-1 accuracy (%)")
    ticks, step = _ticks(table, indices)
    labels = [table.columns[index].label for index in indices]
    axes.set_xticks(ticks, labels, rotation=30 if table.axis == "task" else 0)
    axes.set_xlim(ticks[0] - 0.4 * step, ticks[-1] + 0.4 * step)


def _ticks(table: Table, indices: range) -> tuple[list[float], float]:
    """Where the columns stand, at their numbers if these differ, else side by side; and their least distance."""
    values = [table.columns[index].target.get(table.axis) for index in indices]
    ticks = [float(value) for value in values if isinstance(value, int | float)]
    if len(set(ticks)) < len(values):
        ticks = [float(place) for place in range(len(values))]
    return ticks, min((b - a for a, b in pairwise(ticks)), default=1.0)


def _places(table: Table, indices: range) -> list[list[float]]:
    """Where each row's points stand, beside each other so that none hides another."""
    ticks, step = _ticks(table, indices)
    count = len(table.rows)
    return [[tick + 0.25 * step * ((number + 0.5) / count - 0.5) for tick in ticks] for number in range(count)]


def _ends(table: Table, indices: range, looks: Mapping[str, Look]) -> list[names.End]:
    """The last complete point of every row that has any."""
    ends = []
    for row, places in zip(table.rows, _places(table, indices), strict=True):
        points = [(x, row.entries[index].mean) for x, index in zip(places, indices, strict=True)]
        if complete := [(x, mean) for x, mean in points if mean is not None]:
            ends.append(names.End(row.label, looks[row.label], *complete[-1]))
    return ends


def _drawable(value: float | None) -> float:
    """What is not there leaves a gap in the line."""
    return math.nan if value is None else value


def _caption(table: Table) -> str:
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
    if left_out := sum(entry.state in ("incomplete", "failed", "pending") for entry in entries):
        sentences.append(f"Incomplete cells are not drawn ({left_out}).")
    return " ".join(sentences)
