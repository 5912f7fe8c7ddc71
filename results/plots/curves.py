"""Learning curves: accuracy, and training loss, while a target is trained, whoever trains it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learngene_bench.results.plots import style
from learngene_bench.results.plots.page import Page
from learngene_bench.results.plots.style import Look
from learngene_bench.results.records.details import Point, details
from learngene_bench.results.records.selection import Grid, grids
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.table import Row, Table
from learngene_bench.results.tables.tabulate import make_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = list[tuple[float, float]]
"""Iterations spent on the target, and what was measured then."""


@dataclass(frozen=True)
class Measure:
    """What a figure shows of the points of a learning curve.

    Attributes:
        kind: of the figure; the beginning of its file's name.
        field: of a `Point`.
        margin: what the axis has beyond the least and greatest value, whatever their distance.
    """

    kind: str
    field: str
    title: str
    axis: str
    description: str
    margin: float

    def of(self, point: Point) -> float | None:
        value: float | None = getattr(point, self.field)
        return value if value is not None and math.isfinite(value) else None


_ACCURACY = Measure(
    "curves", "top1", "Learning curves", "Top-1 accuracy (%)", "Accuracy on the test images", margin=0.5
)
_LOSS = Measure(
    "losses", "loss", "Training loss", "Training loss", "Training loss, mean since the point before", margin=0.02
)


def curves(results: Results, folder: Path, columns: int = 2) -> list[Path]:
    """Draws a figure for each size of each table, with a panel for each of its columns, PNG and PDF.

    Arguments, result and errors are those of `accuracy`.
    """
    return _figures(_ACCURACY, results, folder, columns)


def losses(results: Results, folder: Path, columns: int = 2) -> list[Path]:
    """The same of the training loss while tuning (the WAVE paper's Figure 5), which all methods of a table have alike.

    Arguments, result and errors are those of `accuracy`.
    """
    return _figures(_LOSS, results, folder, columns)


def _figures(measure: Measure, results: Results, folder: Path, columns: int) -> list[Path]:
    written = []
    for grid, table in zip(grids(results), make_tables(results), strict=True):
        for size, indices in table.sizes().items():
            drawn = {
                (row.label, index): curve
                for row in table.rows
                for index in indices
                if row.entries[index].mean is not None
                and (curve := _curve(measure, _records(grid, row, table, index, results)))
            }
            if any(len(curve) > 1 for curve in drawn.values()):
                with style.drawing():
                    page = _page(measure, table, size, drawn, columns)
                    written += page.save(folder, style.file_name(measure.kind, table, size))
    return written


def _records(grid: Grid, row: Row, table: Table, index: int, results: Results) -> list[Record]:
    cells = grid.cells[row.key, table.columns[index].key]
    return [results.records[cell.folder] for _, cell in sorted(cells.items())]


def _curve(measure: Measure, records: Sequence[Record]) -> Curve:
    """The mean over the seeds, at the iterations at which all of them were measured."""
    by_seed = []
    for record in records:
        begin = record.cost["initialize"].iterations
        points = details(record).curve
        by_seed.append({begin + p.iterations: value for p in points if (value := measure.of(p)) is not None})
    common = sorted(set.intersection(*map(set, by_seed)))
    return [(iterations, mean([points[iterations] for points in by_seed])) for iterations in common]


def _page(measure: Measure, table: Table, size: str, drawn: Mapping[tuple[str, int], Curve], columns: int) -> Page:
    rows = [row for row in table.rows if any(label == row.label for label, _ in drawn)]
    looks = {label: look for label, look in style.looks(table.rows).items() if label in {row.label for row in rows}}
    indices = [index for index in table.sizes()[size] if any(index == place for _, place in drawn)]
    last = max(iterations for curve in drawn.values() for iterations, _ in curve)
    heights = [value for curve in drawn.values() for _, value in curve]
    margin = 0.05 * (max(heights) - min(heights)) + measure.margin
    page = Page(
        f"{measure.title}, {size}, by {table.axis}{style.conditions(table)}",
        _caption(measure, table, rows, size, drawn),
        count=len(indices),
        across=3 if columns == 2 else 2,
        height=1.25,
        columns=columns,
        legend=looks,
    )
    for number, index in enumerate(indices):
        label = table.columns[index].label
        axes = page.panel(number, label if table.axis == "task" else f"{table.axis} {label}")
        for row in rows:
            if curve := drawn.get((row.label, index)):
                _line(axes, curve, looks[row.label], last)
        axes.set_xlim(-0.03 * last, 1.03 * last)
        axes.set_ylim(min(heights) - margin, max(heights) + margin)
        axes.set_xlabel("Iterations on the target")
        axes.set_ylabel(measure.axis)
    return page


def _line(axes: Axes, curve: Curve, look: Look, last: float) -> None:
    """A curve with a few markers; one of a single point is a level, which no tuning changes."""
    x, y = zip(*curve, strict=True)
    if len(curve) == 1:
        x, y = (0.0, last), y * 2
    axes.plot(x, y, linestyle=look.line, markevery=max(1, len(x) // 4), **look.markers)


def _caption(
    measure: Measure, table: Table, rows: Sequence[Row], size: str, drawn: Mapping[tuple[str, int], Curve]
) -> str:
    entries = [row.entries[index] for row in table.rows for index in table.sizes()[size]]
    seeds = sorted({entry.expected for entry in entries if entry.mean is not None})
    over = "of one seed" if seeds == [1] else f"mean over {' or '.join(map(str, seeds))} seeds"
    sentences = [
        f"{measure.description}, {over}, against the iterations that a target is trained in all: where a curve "
        "begins later, its method trained the target before, while initializing it."
    ]
    if measure is _ACCURACY and any(len(curve) == 1 for curve in drawn.values()):
        sentences.append("Level lines: models that are not tuned.")
    sentences.append(style.line_styles(rows))
    if left_out := sum(entry.state in ("incomplete", "failed", "pending") for entry in entries):
        sentences.append(f"Incomplete cells are not drawn ({left_out}).")
    return " ".join(sentences)
