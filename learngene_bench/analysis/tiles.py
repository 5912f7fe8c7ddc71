"""Pictures of one shape in rows and columns, within a panel of a page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from learngene_bench.results.plots.style import SMALL_SIZE, WIDTHS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from learngene_bench.results.plots.page import Page

_GAP = 0.05
LETTER_WIDTH, _LINE_HEIGHT = 0.0079 * SMALL_SIZE, 0.0175 * SMALL_SIZE
"""Sizes of a letter and of a line of small text, in inches."""
_MARGIN = 0.08
LARGEST = 0.95
"""Largest width of a tile, in inches."""


@dataclass(frozen=True)
class Tiles:
    """Layout of tiles in rows and columns with names beside them; lengths in inches.

    Args:
        rows: names to the left of the tiles, one line each.
        columns: names above the tiles, wrapped to a tile's width.
        across: number of such blocks side by side on a page of two columns.
        note: height below each tile for a number.
        ratio: height of a tile, divided by its width.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    across: int = 1
    note: float = 0.0
    ratio: float = 1.0

    @property
    def left(self) -> float:
        return LETTER_WIDTH * max(map(len, self.rows), default=0) + 0.12

    @property
    def side(self) -> float:
        """Width of a tile."""
        room = (WIDTHS[2] - _MARGIN) / self.across - self.left - 0.1
        return min(LARGEST, room / len(self.columns) - _GAP)

    @property
    def head(self) -> float:
        return _LINE_HEIGHT * max(len(self._wrapped(name)) for name in self.columns) + 0.03

    @property
    def height(self) -> float:
        return self.head + len(self.rows) * (self.ratio * self.side + self.note + _GAP)

    def _wrapped(self, name: str) -> list[str]:
        return textwrap.wrap(name, max(4, int((self.side + _GAP) / LETTER_WIDTH))) or [""]

    def place(self, panel: Axes) -> list[list[Axes]]:
        """Makes the axes of every tile, row by row, inside a panel of this height."""
        figure: Any = panel.figure
        width, height = figure.get_size_inches()
        box = panel.get_position()
        panel.set_axis_off()
        top, tall = box.y1 * height - self.head, self.ratio * self.side
        placed = []
        for row, name in enumerate(self.rows):
            bottom = top - row * (tall + self.note + _GAP) - tall
            line = []
            for column, title in enumerate(self.columns):
                left = box.x0 * width + column * (self.side + _GAP)
                axes = figure.add_axes((left / width, bottom / height, self.side / width, tall / height))
                axes.set(xticks=[], yticks=[])
                axes.grid(False)
                for spine in axes.spines.values():
                    spine.set(visible=True, linewidth=0.4, color="#999999")
                if row == 0:
                    text = "\n".join(self._wrapped(title))
                    axes.set_title(text, size=SMALL_SIZE, pad=2, loc="center", linespacing=1.05)
                if column == 0:
                    axes.text(-0.06, 0.5, name, transform=axes.transAxes, ha="right", va="center", size=SMALL_SIZE)
                line.append(axes)
            placed.append(line)
        return placed


def color_bar(page: Page, image: Any, label: str, width: float = 1.6) -> None:
    """Draws a horizontal colour scale where the page leaves room for it."""
    figure = page.figure
    across, down = figure.get_size_inches()
    bottom = page.bar_height
    axes = figure.add_axes(((across - _MARGIN - 0.1 - width) / across, bottom / down, width / across, 0.07 / down))
    bar: Any = figure.colorbar(image, cax=axes, orientation="horizontal")
    bar.outline.set_linewidth(0.4)
    axes.tick_params(labelsize=SMALL_SIZE - 1, length=2, pad=1)
    axes.text(-0.04, 0.5, label, transform=axes.transAxes, ha="right", va="center", size=SMALL_SIZE)


def spread(count: int, most: int) -> list[int]:
    """Chooses at most `most` of `count` places: the first, the last, and others evenly between."""
    if count <= most:
        return list(range(count))
    return sorted({round(step * (count - 1) / (most - 1)) for step in range(most)})
