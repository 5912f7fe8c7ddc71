"""Figures for a paper: accuracy over the axis of a grid, after tuning and as initialized.

Every method has a colour (Okabe and Ito's, which colour-blind readers can tell apart) and a marker, every group of
methods a line style, and each name stands at the end of its line: the figure can be read in greyscale.
"""

from __future__ import annotations

import io
import math
import os
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learngene_bench.errors import UserError
from learngene_bench.results import wording
from learngene_bench.results.records import Results
from learngene_bench.results.table import Row, Table
from learngene_bench.results.tabulate import panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_LINES: dict[str, Any] = {
    "direct": (0, (1, 1.5)),
    "transfer": (0, (5, 2)),
    "learngene": "-",
    "pre-training": (0, (6, 1.5, 1, 1.5)),
    "other": (0, (3, 1, 1, 1, 1, 1)),
}
_LINE_NAMES = {
    "direct": "dotted",
    "transfer": "dashed",
    "learngene": "solid",
    "pre-training": "dash-dotted",
    "other": "dash-dot-dotted",
}
_AXIS_TITLES = {"depth": "Depth (number of blocks)", "width": "Width (embedding dimension)", "task": "Task"}
_STYLE: Any = {
    "font.family": "DejaVu Sans",  # the one font that matplotlib brings along: the same figure everywhere
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,  # journals ask for embedded TrueType
    "text.parse_math": False,  # a dollar sign in a method's name is a dollar sign
}


def accuracy(results: Results, folder: Path) -> list[Path]:
    """Draws every table as a figure, PNG and PDF; the same results give the same bytes.

    Each size of a table is a row of two panels: after tuning, and as initialized. Only complete cells are drawn: the
    mean over seeds with its sample standard deviation, and the seeds as faint points.

    Args:
        results: what `load` read.
        folder: where the files go; created if it is not there.

    Returns:
        The files written; none where no cell is complete.

    Raises:
        UserError: the folder cannot be written to.
    """
    from matplotlib import rc_context

    written = []
    for tuned, initial in panels(results):
        if not any(entry.mean is not None for row in tuned.rows for entry in row.entries):
            continue
        with rc_context(_STYLE):
            figure = _figure(tuned, initial)
            for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None})):
                path = folder / f"{_file_name(tuned)}{suffix}"
                _save(figure, path, metadata)
                written.append(path)
    return written


@dataclass(frozen=True)
class _Look:
    """How a method is drawn, the same in every panel: colour and marker are its own, the line is its group's."""

    color: str
    marker: str
    face: str
    line: Any

    @property
    def markers(self) -> dict[str, Any]:
        return {"color": self.color, "marker": self.marker, "markerfacecolor": self.face, "markeredgewidth": 0.9}


def _looks(rows: Sequence[Row]) -> dict[str, _Look]:
    looks = {}
    for index, row in enumerate(rows):
        color = _COLORS[index % len(_COLORS)]
        hollow = index // len(_MARKERS) % 2
        looks[row.label] = _Look(
            color, _MARKERS[index % len(_MARKERS)], "white" if hollow else color, _LINES[row.group]
        )
    return looks


def _figure(tuned: Table, initial: Table) -> Figure:
    """Two panels for each size, laid out in inches so that the names at the line ends have the room they need."""
    from matplotlib.figure import Figure

    looks = _looks(tuned.rows)
    drawn = [row for row in tuned.rows if any(entry.mean is not None for entry in row.entries)]
    sizes = tuned.sizes()
    left, panel, between, top = 0.55, 2.4, 0.5, 0.45
    height = max(1.9, 0.15 * len(drawn))
    names = 0.45 + 0.058 * max(len(line) for row in drawn for line in _name(row).splitlines())
    below = 0.5 if tuned.axis != "task" else 1.0
    width = left + panel + names + between + panel + names
    caption = textwrap.fill(_caption(tuned), int(width / 0.054))
    bottom = 0.2 + 0.13 * len(caption.splitlines())
    total = top + len(sizes) * (0.25 + height + below) + bottom
    figure = Figure(figsize=(width, total), dpi=200)
    budget = f" {wording.at_equal_budget(tuned.equal_budget)}" if tuned.equal_budget else ""
    title = f"Top-1 accuracy by {tuned.axis}{budget}: {tuned.subtitle}"
    figure.text(0.1 / width, 1 - 0.12 / total, title, va="top", size=9)
    figure.text(0.1 / width, 0.08 / total, caption, va="bottom", size=7, color="#444444", linespacing=1.3)
    for number, (size, indices) in enumerate(sizes.items(), start=1):
        y = total - top - number * (0.25 + height) - (number - 1) * below
        panels = [(tuned, left, "after tuning"), (initial, left + panel + names + between, "as initialized")]
        for table, x, when in panels:
            axes = figure.add_axes((x / width, y / total, panel / width, height / total))
            axes.set_title(f"{size}: {when}")
            _lines(axes, table, indices, looks)
            _names(axes, table, indices, looks)
    return figure


def _lines(axes: Axes, table: Table, indices: range, looks: dict[str, _Look]) -> None:
    for row, places in zip(table.rows, _places(table, indices), strict=True):
        look = looks[row.label]
        for index, x in zip(indices, places, strict=True):
            entry = row.entries[index]
            if entry.standard_deviation is not None:
                seeds = list(entry.values.values())
                axes.plot([x] * len(seeds), seeds, ".", color=look.color, markersize=3, alpha=0.4)
        axes.errorbar(
            places,
            [_drawable(row.entries[index].mean) for index in indices],
            yerr=[_drawable(row.entries[index].standard_deviation) for index in indices],
            linestyle="none" if table.axis == "task" else look.line,
            capsize=2,
            elinewidth=0.8,
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


def _drawable(value: float | None) -> float:
    """What is not there leaves a gap in the line."""
    return math.nan if value is None else value


def _names(axes: Axes, table: Table, indices: range, looks: dict[str, _Look]) -> None:
    """Each method's marker and name right of the panel, at the height of its line's end where there is room."""
    inch = 1 / (axes.bbox.width / axes.figure.dpi)
    line = 0.12 / (axes.bbox.height / axes.figure.dpi)
    to_panel = axes.transData + axes.transAxes.inverted()
    ends = []
    for row, places in zip(table.rows, _places(table, indices), strict=True):
        means = [(x, row.entries[index].mean) for x, index in zip(places, indices, strict=True)]
        if complete := [(x, mean) for x, mean in means if mean is not None]:
            x, y = to_panel.transform(complete[-1])
            ends.append((y, x, row))
    ends.sort(key=lambda end: end[0])
    rooms = [line * (0.2 + len(_name(row).splitlines())) for _, _, row in ends]
    for (y, x, row), spot in zip(ends, _apart([end[0] for end in ends], rooms), strict=True):
        look = looks[row.label]
        outside: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
        axes.plot([x, 1, 1 + 0.2 * inch], [y, y, spot], color=look.color, lw=0.5, alpha=0.6, zorder=0, **outside)
        axes.plot([1 + 0.2 * inch], [spot], **look.markers, **outside)
        axes.text(1 + 0.28 * inch, spot, _name(row), va="center", size=7, **outside)


def _apart(heights: Sequence[float], rooms: Sequence[float]) -> list[float]:
    """The ascending heights, pushed up until each has its room, then down as far as the panel's top asks for.

    Args:
        rooms: what each takes up, half of it above and half below.
    """
    gaps = [(below + above) / 2 for below, above in pairwise(rooms)]
    spots: list[float] = []
    for height, gap in zip(heights, [0.0, *gaps], strict=True):
        spots.append(max(height, spots[-1] + gap) if spots else height)
    ceiling = 1.0
    for index, gap in zip(reversed(range(len(spots))), [*reversed(gaps), 0.0], strict=True):
        spots[index] = min(spots[index], ceiling)
        ceiling = spots[index] - gap
    return spots


def _name(row: Row) -> str:
    return textwrap.fill(row.label, 24)


def _caption(table: Table) -> str:
    entries = [entry for row in table.rows for entry in row.entries]
    counts = sorted({entry.expected for entry in entries if entry.mean is not None})
    sentences = ["Markers: the result of one seed."]
    if counts != [1]:
        seeds = " or ".join(map(str, counts))
        sentences = [f"Markers: mean over {seeds} seeds; bars: ± standard deviation (n - 1); faint points: the seeds."]
    sentences.append(f"{' or '.join(map(str, table.test_images))} test images.")
    if table.axis != "task":
        groups = dict.fromkeys(row.group for row in table.rows)
        lines = "; ".join(f"{_LINE_NAMES[group]}: {wording.GROUP_TITLES[group].lower()}" for group in groups)
        sentences.append(f"{lines.capitalize()}.")
    sentences.append("Points are shifted sideways only for legibility.")
    if left_out := sum(entry.state in ("incomplete", "failed", "pending") for entry in entries):
        sentences.append(f"Incomplete cells are not drawn ({left_out}).")
    return " ".join(sentences)


def _file_name(table: Table) -> str:
    words = ["accuracy", table.grid, table.preset, table.setting[:8], f"protocol{table.protocol}"]
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", word).strip("._") for word in words)


def _save(figure: Figure, path: Path, metadata: dict[str, Any]) -> None:
    """Whole or not at all, and without the time of day: the same figure is the same file."""
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:], metadata=metadata)
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content.getvalue())
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
