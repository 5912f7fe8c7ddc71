"""Draws learning curves: the primary metric and the training loss over all images that a target is trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from learngene_bench.results.plots import style
from learngene_bench.results.plots.page import Drawing, Page
from learngene_bench.results.plots.style import Look
from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import mean
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.schema.metric import CurvePoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = list[tuple[float, float]]
"""(images that the target was trained on, value measured after them)."""


@dataclass(frozen=True)
class Quantity:
    """One quantity of the points of a learning curve.

    Attributes:
        kind: name of the figure; its file's name begins with it.
        value: reads the quantity from a point; None where it was not measured.
        margin: least distance of the curves from the ends of the vertical axis, in units of the quantity.
    """

    kind: str
    title: str
    axis: str
    description: str
    margin: float
    value: Callable[[CurvePoint], float | None]


def _metric(table: MetricTable) -> Quantity:
    name = style.metric_name(table)
    return Quantity(
        kind="curves",
        title="Learning curves",
        axis=table.measure.heading,
        description=f"{name[:1].upper()}{name[1:]} on the test images",
        margin=0.5,
        value=lambda point: (point.metrics or {}).get(table.measure.spec.name),
    )


def _loss(table: MetricTable) -> Quantity:
    return Quantity(
        kind="losses",
        title="Training loss",
        axis="Training loss",
        description="Training loss, mean since the previous point",
        margin=0.02,
        value=lambda point: point.loss,
    )


@Drawing
def curves(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
    """Draws the primary metric: a figure for each size of each table, with a panel for each of its columns."""
    return _figures(_metric, results, columns)


@Drawing
def losses(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
    """Draws the training loss during fine-tuning (arXiv 2406.17503, Figure 5), in the layout of `curves`."""
    return _figures(_loss, results, columns)


def _figures(
    quantity_of: Callable[[MetricTable], Quantity], results: Results, columns: int
) -> Iterator[tuple[str, Page]]:
    for table in make_tables(results):
        quantity = quantity_of(table)
        for size, indices in table.sizes().items():
            drawn = {
                (row.label, index): curve
                for row in table.rows
                for index in indices
                if row.entries[index].mean is not None
                and (
                    curve := _curve(
                        quantity, [results.records[cell.folder] for cell in table.cells(row, index).values()]
                    )
                )
            }
            if any(len(curve) > 1 for curve in drawn.values()):
                yield style.file_name(quantity.kind, table, size), _page(quantity, table, size, drawn, columns)


def _curve(quantity: Quantity, records: Iterable[Record]) -> Curve:
    """Averages the seeds' curves at the numbers of images after which all seeds were measured.

    Images and not iterations, as batches may differ between initialization and fine-tuning.
    """
    by_seed = []
    for record in records:
        start, finetuning = record.cost.initialize.images, record.cost.finetune
        batch = finetuning.images / max(1, finetuning.iterations)
        values = {start + round(point.iterations * batch): quantity.value(point) for point in details(record).curve}
        by_seed.append({x: y for x, y in values.items() if y is not None and math.isfinite(y)})
    common = sorted(set.intersection(*map(set, by_seed)))
    return [(images, mean([points[images] for points in by_seed])) for images in common]


def _page(
    quantity: Quantity, table: MetricTable, size: str, drawn: Mapping[tuple[str, int], Curve], columns: int
) -> Page:
    rows = [row for row in table.rows if any(label == row.label for label, _ in drawn)]
    looks = {label: look for label, look in style.looks(table.rows).items() if label in {row.label for row in rows}}
    indices = [index for index in table.sizes()[size] if any(index == column for _, column in drawn)]
    last = max(images for curve in drawn.values() for images, _ in curve)
    heights = [value for curve in drawn.values() for _, value in curve]
    margin = 0.05 * (max(heights) - min(heights)) + quantity.margin
    page = Page(
        f"{quantity.title}, {size}, by {table.axis}{style.conditions(table)}",
        _caption(quantity, table, rows, size, drawn),
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
        axes.set_xlabel("Images trained on")
        axes.set_ylabel(quantity.axis)
    return page


def _line(axes: Axes, curve: Curve, look: Look, last: float) -> None:
    """Draws a curve with a few markers; a single point (a model that is not fine-tuned) becomes a horizontal line."""
    x, y = zip(*curve, strict=True)
    if len(curve) == 1:
        x, y = (0.0, last), y * 2
    axes.plot(x, y, linestyle=look.line, markevery=max(1, len(x) // 4), **look.markers)


def _caption(
    quantity: Quantity, table: MetricTable, rows: Sequence[MethodRow], size: str, drawn: Mapping[tuple[str, int], Curve]
) -> str:
    entries = [row.entries[index] for row in table.rows for index in table.sizes()[size]]
    seeds = sorted({entry.expected for entry in entries if entry.mean is not None})
    over = "of one seed" if seeds == [1] else f"mean over {' or '.join(map(str, seeds))} seeds"
    sentences = [
        f"{quantity.description}, {over}, against all images that a target is trained on: a curve that begins later "
        "belongs to a method that trains the target while initializing it."
    ]
    if quantity.kind == "curves" and any(len(curve) == 1 for curve in drawn.values()):
        sentences.append("Horizontal lines: models that are not fine-tuned.")
    sentences.append(style.line_styles(rows))
    if excluded := sum(entry.state in ("incomplete", "failed", "pending") for entry in entries):
        sentences.append(f"Incomplete cells are not drawn ({excluded}).")
    return " ".join(sentences)
