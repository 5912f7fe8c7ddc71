"""Defines the style of all figures: sizes, colours, markers and lines.

Each method has a colour (Okabe and Ito's palette, safe for colour-blind readers) and a marker of its own, in every
figure, and each group of methods a line style, so figures can be read in greyscale. Figures have the size at which a
two-column paper prints them, so the printed fonts have the sizes given here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from learngene_bench.results.tables.equal_budget import at_equal_budget
from learngene_bench.results.tables.metric_table import MetricTable

WIDTHS = {1: 3.35, 2: 7.0}
"""Width in inches of a figure across one or both columns of a two-column paper."""

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 8.5, 7.5, 6.5
"""Font sizes in points: figure title; axes; captions and names at lines."""

GREY = "#555555"
"""Colour of everything that is not a method: captions, leaders, fronts."""

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_SHAPES = 2 * len(_MARKERS)
"""Number of markers, each filled and hollow."""
_SALT = 39925129
"""Number by which all methods of the suite differ in colour or marker, at most five have one colour, and the seven that
most often stand in one figure have seven.

A method that is added may need another number, found by trying (`tests/results/test_looks.py`); figures then change.
"""
_LINES: dict[str, Any] = {
    "direct": ("dotted", (0, (1, 1.5))),
    "transfer": ("dashed", (0, (5, 2))),
    "learngene": ("solid", "-"),
    "pre-training": ("dash-dotted", (0, (6, 1.5, 1, 1.5))),
    "other": ("dash-dot-dotted", (0, (3, 1, 1, 1, 1, 1))),
}
"""Name and pattern of the lines of each group of methods."""

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure on every machine
    "font.size": TEXT_SIZE,
    "axes.titlesize": TEXT_SIZE,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.fontsize": SMALL_SIZE,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.0,
    "pdf.fonttype": 42,  # journals ask for embedded TrueType
    "text.parse_math": False,  # a dollar sign in a method's name is a dollar sign
}


def drawing() -> AbstractContextManager[None]:
    """Enters the style, independent of the user's matplotlibrc; make and save figures inside this context."""
    from matplotlib import style

    return style.context(["default", _SETTINGS])


@dataclass(frozen=True)
class Look:
    """Appearance of a method, the same in all figures; the line style is that of its group.

    Attributes:
        face: fill colour of the marker; white makes it hollow.
    """

    color: str
    marker: str
    face: str
    line: Any

    @property
    def markers(self) -> dict[str, Any]:
        """Keyword arguments for every matplotlib call that draws markers."""
        return {"color": self.color, "marker": self.marker, "markerfacecolor": self.face, "markeredgewidth": 0.8}


class Labelled(Protocol):
    """Anything that has a look: a row of a table, a model."""

    @property
    def label(self) -> str: ...

    @property
    def group(self) -> str: ...

    @property
    def method(self) -> str: ...

    @property
    def variant(self) -> str: ...


def looks(rows: Sequence[Labelled]) -> dict[str, Look]:
    """Returns the look of each row by its label.

    The name of a method decides its look, whatever other rows there are. Its variants have its colour, and other
    markers. Where that would give two rows of a figure one look, the later one takes the next marker that is free.
    """
    made: dict[str, Look] = {}
    taken: set[tuple[int, int]] = set()
    for row in sorted(rows, key=lambda row: bool(row.variant)):
        number = _number(row.method)
        color, shape = number % len(_COLORS), number // len(_COLORS) % _SHAPES
        if row.variant:
            shape += 1 + _number(row.variant) % (_SHAPES - 1)
        free = (one % _SHAPES for one in range(shape, shape + _SHAPES) if (color, one % _SHAPES) not in taken)
        shape = next(free, shape % _SHAPES)
        taken.add((color, shape))
        hollow, marker = divmod(shape, len(_MARKERS))
        face = "white" if hollow else _COLORS[color]
        made[row.label] = Look(_COLORS[color], _MARKERS[marker], face, _LINES[row.group][1])
    return {row.label: made[row.label] for row in rows}


def _number(name: str) -> int:
    """Returns a number that depends on a name alone."""
    return int.from_bytes(hashlib.sha256(f"{_SALT}{name}".encode()).digest()[:8], "big")


def line_styles(rows: Sequence[Labelled]) -> str:
    """Explains the line styles of these rows in one sentence."""
    groups = dict.fromkeys(row.group for row in rows)
    text = "; ".join(f"{_LINES[group][0]}: {group}" for group in groups)
    return f"{text.capitalize()}."


def conditions(table: MetricTable) -> str:
    """Returns the end of a title: the conditions under which the numbers are comparable."""
    budget = f" {at_equal_budget(table.equal_budget)}" if table.equal_budget else ""
    return f"{budget}: {table.subtitle}"


def metric_name(table: MetricTable) -> str:
    """Returns the metric's name as it stands within a sentence: "top-1 accuracy"."""
    title = table.measure.spec.title
    return title if title.isupper() else title[:1].lower() + title[1:]


def metric_unit(table: MetricTable) -> str:
    """Returns the unit of differences of the metric as it stands in a sentence: "in percentage points"."""
    unit = table.measure.spec.unit
    return f"in {'percentage points' if unit == '%' else unit or 'units of the metric'}"


def file_name(kind: str, table: MetricTable, *more: str) -> str:
    """Returns a file name for a figure, safe whatever the grid and the preset are called."""
    source = table.source
    words = [kind, source.name, *more, source.preset, source.setting[:8], f"protocol{source.protocol}"]
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", word).strip("._") for word in words)
