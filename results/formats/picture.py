"""Draws a table of metrics as a picture for the page: a line for each method, from the numbers of the table.

It is plain SVG in the looks of all figures, without matplotlib. The page's policy forbids styles in attributes, so
presentation attributes and the page's style sheet say how it looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from learngene_bench.results.plots.style import Look, looks
from learngene_bench.results.tables.report_table import Block, ReportCell, ReportTable

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 24, 14, 40
"""Room for the axes on each side, in the units of the drawing."""
_MOST_TICKS = 6
_MARKERS = {
    "o": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "s": "M-3.5,-3.5h7v7h-7z",
    "^": "M0,-4.5L4,3.5H-4z",
    "v": "M0,4.5L4,-3.5H-4z",
    "<": "M-4.5,0L3.5,-4V4z",
    "D": "M0,-5L5,0L0,5L-5,0z",
    "P": "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "X": "M-4,-2L-2,-4L0,-2L2,-4L4,-2L2,0L4,2L2,4L0,2L-2,4L-4,2L-2,0z",
}
"""Outline of each marker around its place, by matplotlib's name."""


@dataclass(frozen=True)
class Series:
    """The line of a row.

    Attributes:
        color: its colour; that of the text for black, which a dark page would swallow.
        fill: colour inside of its markers.
        marker: outline of its markers.
        dashes: pattern of its line; empty for a solid one.
        line: path of its line; empty where columns are tasks, which have no order.
        points: place of each number, and the number in words.
    """

    label: str
    color: str
    fill: str
    marker: str
    dashes: str
    line: str
    points: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True)
class Picture:
    """All that the page's template draws, in the units of the drawing.

    Attributes:
        ticks: heights of lines across, with their numbers.
        columns: places of the columns, with their names.
        axis: what the columns differ in.
    """

    ticks: tuple[tuple[float, str], ...]
    columns: tuple[tuple[float, str], ...]
    axis: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class _Named:
    """A row as `looks` needs it."""

    label: str
    group: str
    method: str
    variant: str


def picture(table: ReportTable, block: Block) -> Picture | None:
    """Lays out the picture of a block; None for a table that has no two columns of targets with numbers."""
    places = [place for place, column in enumerate(block.columns) if "size" in column.facts]
    rows = [row for row in block.rows if any(row.cells[place].value is not None for place in places)]
    if table.kind != "metric" or len(places) < 2 or not rows:
        return None
    values = [value for row in rows for place in places if (value := row.cells[place].value) is not None]
    ticks = _ticks(min(values), max(values))
    low, high = ticks[0], ticks[-1]

    def height(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    step = (WIDTH - LEFT - RIGHT) / len(places)
    across = [round(LEFT + step * (number + 0.5), 1) for number in range(len(places))]
    named = [_Named(row.label, row.group, row.facts["method"], row.facts["variant"]) for row in rows]
    by_label = looks(named)
    by_task = table.identity["axis"] == "task"
    decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0])))
    return Picture(
        ticks=tuple((height(tick), f"{tick:.{decimals}f}") for tick in ticks),
        columns=tuple((x, block.columns[place].label) for x, place in zip(across, places, strict=True)),
        axis="" if by_task else block.columns[places[0]].span,
        series=tuple(
            _series(
                row.label,
                by_label[row.label],
                [
                    (x, height(cell.value), f"{row.label}, {block.columns[place].text}: {_words(cell)}")
                    for x, place in zip(across, places, strict=True)
                    if (cell := row.cells[place]).value is not None
                ],
                by_task,
            )
            for row in rows
        ),
    )


def _series(label: str, look: Look, points: Sequence[tuple[float, float, str]], by_task: bool) -> Series:
    color = "currentColor" if look.color == "#000000" else look.color
    return Series(
        label=label,
        color=color,
        fill="none" if look.face == "white" else color,
        marker=_MARKERS[look.marker],
        dashes=_dashes(look.line),
        line="" if by_task else "M" + "L".join(f"{x:g},{y:g}" for x, y, _ in points),
        points=tuple(points),
    )


def _dashes(line: Any) -> str:
    """Returns matplotlib's pattern of a line, in the units of the drawing."""
    return " ".join(f"{2 * length:g}" for length in line[1]) if isinstance(line, tuple) else ""


def _words(cell: ReportCell) -> str:
    return f"{cell.text} ±{cell.spread_text}" if cell.spread_text else cell.text


def _ticks(low: float, high: float) -> list[float]:
    """Returns round numbers, at least two, from below the lowest value to above the highest."""
    room = high - low or max(abs(high), 1.0)
    for size in _sizes(room / 100):
        first, last = math.floor(low / size), math.ceil(high / size)
        if last - first < _MOST_TICKS:
            return [size * number for number in range(first, max(last, first + 1) + 1)]
    raise AssertionError("sizes do not end")


def _sizes(least: float) -> Iterator[float]:
    """Yields round steps: 1, 2 and 5 times powers of ten, ascending without an end."""
    power = math.floor(math.log10(least))
    while True:
        yield from (factor * 10.0**power for factor in (1, 2, 5))
        power += 1
