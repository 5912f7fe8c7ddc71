"""Draws reliability diagrams: accuracy over confidence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from learngene_bench.results.plots import names, style
from learngene_bench.results.plots.page import Drawing, Page
from learngene_bench.results.plots.style import GREY
from learngene_bench.results.records.types import Results
from learngene_bench.results.statistics.predictions import BINS, Calibration, pooled
from learngene_bench.results.tables.metric_table import MethodRow, MetricTable
from learngene_bench.results.tables.numbers import on_axis
from learngene_bench.results.tables.predictions import RowPredictions, row_predictions
from learngene_bench.results.tables.tabulate import make_tables

_LETTERS = 18
"""Longest line of a name beside a panel, in letters."""
_LEAST = 0.005
"""Least share of the images that a bin must have to be drawn: accuracies of a few images are chance."""


@Drawing
def reliability(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
    """Draws a reliability diagram for every size of every table with predictions: a panel for each column."""
    for table in make_tables(results):
        for size, indices in table.sizes().items():
            kept = {index: _kept(table, index, results) for index in indices}
            panels = {index: rows for index, rows in kept.items() if rows}
            if panels:
                yield style.file_name("reliability", table, size), _page(table, size, panels, columns)


def _kept(table: MetricTable, index: int, results: Results) -> list[tuple[MethodRow, Calibration]]:
    """The calibration of each row of a column whose seeds all have predictions, over all of them."""
    rows = [row_predictions(table, row, index, results) for row in table.rows_in([index])]
    return [(one.row, pooled(list(found.values()))) for one in rows if (found := _whole(one))]


def _whole(one: RowPredictions) -> Mapping[int, Calibration]:
    found = one.calibrations()
    return found if len(found) == one.expected else {}


def _page(
    table: MetricTable, size: str, panels: Mapping[int, Sequence[tuple[MethodRow, Calibration]]], columns: int
) -> Page:
    looks = style.looks(table.rows)
    rooms = [names.room([row.label for row, _ in rows], _LETTERS) for rows in panels.values()]
    page = Page(
        f"Reliability: accuracy over confidence, {size}{style.conditions(table)}",
        f"Images by the probability of their predicted class, in {BINS} bins of equal width, over all seeds; bins with "
        f"fewer than {100 * _LEAST:g} % of the images are left out. Grey: accuracy as high as confidence; below it a "
        f"model is overconfident. {style.line_styles(table.rows)}",
        count=len(panels),
        across=columns,
        height=max(1.9, *(height for _, height in rooms)),
        columns=columns,
        beside=max(width for width, _ in rooms),
    )
    for number, (index, rows) in enumerate(panels.items()):
        axes = page.panel(number, on_axis(table.axis, [table.columns[index].label]))
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, zorder=1)
        ends = []
        for row, found in rows:
            look, shown = looks[row.label], found.images >= _LEAST * found.images.sum()
            confidence, accuracy = found.confidence[shown].tolist(), found.accuracy[shown].tolist()
            axes.plot(confidence, accuracy, linestyle=look.line, **look.markers)
            ends.append(names.LineEnd(row.label, look, confidence[-1], accuracy[-1]))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("Confidence")
        axes.set_ylabel("Accuracy")
        names.write(axes, ends, _LETTERS)
    return page
