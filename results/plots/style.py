"""One style for every figure: sizes, colours, markers and lines.

Every method has a colour (Okabe and Ito's, which colour-blind readers can tell apart) and a marker, every group of
methods a line style: the figures can be read in greyscale. They are made at the size at which a two-column paper prints
them, so that no letter shrinks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from learngene_bench.results.tables import wording
from learngene_bench.results.tables.table import Table

WIDTHS = {1: 3.35, 2: 7.0}
"""Inches: of a figure across one column, and across both, of a two-column paper."""

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 8.5, 7.5, 6.5
"""Points: of the figure's title; of axes; of names at lines, and of captions."""

GREY = "#555555"
"""Of what is no method: captions, leaders, fronts."""

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
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
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # the one font that matplotlib brings along: the same figure everywhere
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
    """The style, whatever the user's own matplotlibrc says; figures are made and saved within."""
    from matplotlib import style

    return style.context(["default", _SETTINGS])


@dataclass(frozen=True)
class Look:
    """How a method is drawn, the same in every figure of a table: colour and marker are its own, the line its group's.

    Attributes:
        face: what the marker is filled with; white makes it hollow.
    """

    color: str
    marker: str
    face: str
    line: Any

    @property
    def markers(self) -> dict[str, Any]:
        """For matplotlib, whatever draws markers."""
        return {"color": self.color, "marker": self.marker, "markerfacecolor": self.face, "markeredgewidth": 0.8}


class Drawn(Protocol):
    """What has a look: a row of a table, a model."""

    @property
    def label(self) -> str: ...

    @property
    def group(self) -> str: ...


def looks(rows: Sequence[Drawn]) -> dict[str, Look]:
    """The look of every row, by its label; sixteen of them differ in marker or filling."""
    made = {}
    for index, row in enumerate(rows):
        color = _COLORS[index % len(_COLORS)]
        hollow = index // len(_MARKERS) % 2
        made[row.label] = Look(color, _MARKERS[index % len(_MARKERS)], "white" if hollow else color, _LINES[row.group])
    return made


def line_styles(rows: Sequence[Drawn]) -> str:
    """What each line style stands for, as a sentence."""
    groups = dict.fromkeys(row.group for row in rows)
    text = "; ".join(f"{_LINE_NAMES[group]}: {wording.GROUP_TITLES[group].lower()}" for group in groups)
    return f"{text.capitalize()}."


def complete(table: Table) -> bool:
    """Whether any entry is, so that there is something to draw."""
    return any(entry.mean is not None for row in table.rows for entry in row.entries)


def conditions(table: Table) -> str:
    """What stands at the end of a title: under which conditions the numbers are comparable."""
    budget = f" {wording.at_equal_budget(table.equal_budget)}" if table.equal_budget else ""
    return f"{budget}: {table.subtitle}"


def file_name(kind: str, table: Table, *more: str) -> str:
    """A name that is safe as a file's, whatever a preset is called."""
    words = [kind, table.grid, *more, table.preset, table.setting[:8], f"protocol{table.protocol}"]
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", word).strip("._") for word in words)
