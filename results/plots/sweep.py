"""Draws sweeps: the metric on validation images over each swept setting, one line for each method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from learngene_bench.results.plots import style
from learngene_bench.results.plots.page import Drawing, Page
from learngene_bench.results.plots.style import Look
from learngene_bench.results.records.sweeps import Trial, as_number
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.metric_table import MethodRow
from learngene_bench.results.tables.sweep import SweepTable, sweep_tables
from learngene_bench.results.tables.tabulate import make_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOGARITHMIC = 4.0
"""Ratio of the greatest and the least value from which on an axis is logarithmic."""


@Drawing
def sweep(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
    """Draws every sweep as a figure, with a panel for each target and each swept number.

    Trials with a seed missing, and rows that do not depend on what is swept, are not drawn.
    """
    for found in sweep_tables(make_tables(results), results):
        panels = [
            (index, key)
            for index in range(len(found.best.columns))
            for key in found.cells.keys
            if any(_points(found, row, index, key) for row in found.best.rows)
        ]
        if panels:
            yield style.file_name("sweep", found.best), _page(found, panels, columns)


def _page(found: SweepTable, panels: list[tuple[int, str]], columns: int) -> Page:
    looks = style.looks(found.best.rows)
    drawn = [row for row in found.best.rows if any(_points(found, row, *panel) for panel in panels)]
    page = Page(
        f"{found.best.measure.spec.title} on validation images over what is swept: {found.subtitle}",
        f"{_caption(found)} {style.line_styles(drawn)}",
        count=len(panels),
        across=columns,
        height=1.7,
        columns=columns,
        legend={row.label: looks[row.label] for row in drawn},
    )
    for number, (index, key) in enumerate(panels):
        column = found.best.columns[index]
        size = f"{column.size}, " if len(found.best.sizes()) > 1 else ""
        _panel(page.panel(number, f"{size}{found.best.labels([index])}"), found, index, key, looks)
    return page


def _panel(axes: Axes, found: SweepTable, index: int, key: str, looks: Mapping[str, Look]) -> None:
    every: list[float] = []
    for row in found.best.rows:
        look, points = looks[row.label], _points(found, row, index, key)
        if not points:
            continue
        every += [x for x, _ in points]
        axes.errorbar(
            [x for x, _ in points],
            [math.nan if trial.mean is None else trial.mean for _, trial in points],
            yerr=[math.nan if (sd := trial.standard_deviation) is None else sd for _, trial in points],
            linestyle=look.line if len(found.keys_of(row)) == 1 else "none",
            capsize=1.5,
            elinewidth=0.7,
            **look.markers,
        )
        selected = found.choices[row.key, index].selected
        rings = [(x, trial.mean) for x, trial in points if trial is selected and trial.mean is not None]
        for x, y in rings:
            axes.plot([x], [y], "o", markersize=9, markerfacecolor="none", color=look.color, markeredgewidth=0.8)
    if min(every) > 0 and max(every) / min(every) >= _LOGARITHMIC:
        axes.set_xscale("log")
    ticks = sorted(set(every))
    if found.values is not None:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
    axes.set_xlabel(key)
    axes.set_ylabel(found.best.measure.heading)


def _points(found: SweepTable, row: MethodRow, index: int, key: str) -> list[tuple[float, Trial]]:
    """Returns the complete trials of a row by the number that they have for a setting, ascending."""
    choice = found.choices.get((row.key, index))
    if choice is None or not found.is_swept(row, index):
        return []
    points = [(as_number(dict(trial.settings).get(key)), trial) for trial in choice.trials if trial.mean is not None]
    return sorted(((x, trial) for x, trial in points if x is not None), key=lambda point: point[0])


def _caption(found: SweepTable) -> str:
    counts = sorted({len(t.values) for choice in found.choices.values() for t in choice.trials if t.mean is not None})
    sentences = ["Markers: one seed."]
    if counts != [1]:
        sentences = [
            f"Markers: mean over {' or '.join(map(str, counts))} seeds; bars: ± standard deviation (n\u00a0-\u00a01)."
        ]
    return " ".join([*sentences, "Rings: what is selected, and then measured on test images."])
