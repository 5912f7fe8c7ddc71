"""Lays out a figure in inches (title, panels, legend, caption) and saves it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from learngene_bench.results.formats.layout import wrap_label
from learngene_bench.results.plots import style
from learngene_bench.results.plots.style import GREY, SMALL_SIZE, TITLE_SIZE, WIDTHS, Look
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.inference import Inference, inferences
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.util.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 300
_MARGIN = 0.08
_LEFT, _ABOVE, _BETWEEN = 0.5, 0.2, 0.08
"""Room left of a panel, above it, and between two panels, in inches."""
_LABEL = 0.37
"""Distance of the vertical axis' label from the panel, in inches."""
_LETTER_WIDTH, _LINE_HEIGHT, _LEGEND_LINE = 0.0071, 0.0196, 0.024
"""Inches per point of the font size."""
_BAR = 0.3
"""Height of a colour bar with its numbers, in inches."""
_KEY = 0.3
"""Length of a line in the legend, in inches."""


class Page:
    """Panels of equal size, row by row, between a title and a caption that explain the figure without further text.

    All lengths are in inches.

    Args:
        title: subject and conditions.
        caption: how to read the figure.
        count: number of panels.
        across: largest number of panels side by side.
        height: height of a panel, without its title and axis.
        columns: width in columns of a two-column paper, 1 or 2; a single panel takes one column unless `wide`.
        beside: room right of each panel, for names.
        below: room below each panel, for its axis.
        legend: looks of the lines by name; empty if the names stand at the lines.
        left: room left of each panel, for its axis.
        wide: give a single panel the whole width.
        bar: leave room for a colour bar below the panels.
    """

    def __init__(
        self,
        title: str,
        caption: str,
        count: int,
        across: int,
        height: float,
        columns: int,
        beside: float = 0.0,
        below: float = 0.42,
        legend: Mapping[str, Look] = MappingProxyType({}),
        left: float = _LEFT,
        wide: bool = False,
        bar: bool = False,
    ) -> None:
        from matplotlib.figure import Figure

        self._across, self._height, self._beside, self._below = min(across, count), height, beside, below
        self._left = left
        self._width = WIDTHS[columns if wide else min(columns, count)]
        above, under = self._wrapped(title, TITLE_SIZE), self._wrapped(caption, SMALL_SIZE)
        self._top = _MARGIN + _LINE_HEIGHT * TITLE_SIZE * len(above) + 0.04
        rows = -(-count // self._across)
        foot = _MARGIN + _LINE_HEIGHT * SMALL_SIZE * len(under) + _BAR * bar
        self.bar_height = foot - 0.5 * _BAR
        """Distance of the colour bar from the bottom, in inches."""
        entries = self._legend_rows(legend)
        keys = _LEGEND_LINE * SMALL_SIZE * len(entries)
        self._total = self._top + rows * (_ABOVE + height + below) + keys + foot
        self.figure = Figure(figsize=(self._width, self._total), dpi=_DPI)
        self._write(above, 1 - _MARGIN / self._total, va="top", size=TITLE_SIZE)
        self._write(under, _MARGIN / self._total, va="bottom", size=SMALL_SIZE, color=GREY)
        for number, row in enumerate(entries):
            self._draw_legend(row, foot + keys - (number + 0.5) * _LEGEND_LINE * SMALL_SIZE)

    def panel(self, index: int, title: str) -> Axes:
        """Adds the axes of a panel; panels are numbered from 0."""
        row, column = divmod(index, self._across)
        share = (self._width - _MARGIN) / self._across
        width = share - self._left - self._beside - _BETWEEN
        top = self._top + row * (_ABOVE + self._height + self._below) + _ABOVE
        left = column * share + self._left
        axes = self.figure.add_axes(
            (
                left / self._width,
                (self._total - top - self._height) / self._total,
                width / self._width,
                self._height / self._total,
            )
        )
        axes.set_title(title, pad=4)
        axes.yaxis.set_label_coords(-_LABEL / width, 0.5)
        return axes

    def save(self, folder: Path, name: str) -> list[Path]:
        """Writes NAME.png and NAME.pdf, without a time stamp: the same figure gives the same bytes.

        Raises:
            UserError: the folder cannot be written to.
        """
        written = []
        for suffix in (".png", ".pdf"):
            path = folder / f"{name}{suffix}"
            write_bytes(path, self.content(suffix))
            written.append(path)
        return written

    def content(self, suffix: str) -> bytes:
        """Returns the bytes of the figure as a .png or .pdf file."""
        metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None}}[suffix]
        content = io.BytesIO()
        self.figure.savefig(content, format=suffix[1:], metadata=metadata)
        return content.getvalue()

    def _write(self, lines: Sequence[str], y: float, **how: Any) -> None:
        self.figure.text(_MARGIN / self._width, y, "\n".join(lines), linespacing=1.2, **how)

    def _legend_rows(self, looks: Mapping[str, Look]) -> list[list[tuple[float, str, Look]]]:
        """Returns the legend's rows, with as many columns as fit; an entry is (inches from the left, name, look)."""
        entries = list(looks.items())
        for across in range(len(entries), 0, -1):
            down = -(-len(entries) // across)
            columns = [entries[start : start + down] for start in range(0, len(entries), down)]
            widths = [_KEY + 0.2 + _LETTER_WIDTH * SMALL_SIZE * max(len(name) for name, _ in c) for c in columns]
            if sum(widths) <= self._width - _MARGIN or across == 1:
                lefts = [_MARGIN + sum(widths[:number]) for number in range(len(columns))]
                positioned = [[(left, *entry) for entry in c] for left, c in zip(lefts, columns, strict=True)]
                return [[c[row] for c in positioned if row < len(c)] for row in range(down)]
        return []

    def _draw_legend(self, row: Sequence[tuple[float, str, Look]], height: float) -> None:
        from matplotlib.lines import Line2D

        y = height / self._total
        for left, name, look in row:
            key = [(left + part * _KEY) / self._width for part in (0, 0.5, 1)]
            line = Line2D(key, [y] * 3, linestyle=look.line, markevery=[1], **look.markers)
            self.figure.add_artist(line)
            self.figure.text((left + _KEY + 0.06) / self._width, y, name, va="center_baseline", size=SMALL_SIZE)

    def _wrapped(self, text: str, size: float) -> list[str]:
        """Wraps the text at the width of the figure, measured with the real font."""
        text = text.replace(" %", "\u00a0%")
        room = self._width - 2 * _MARGIN
        letters = int(room / (_LETTER_WIDTH * size))
        lines = wrap_label(text, letters, 0)
        while any(_text_width(line, size) > room for line in lines) and letters > 1:
            letters -= 1
            lines = wrap_label(text, letters, 0)
        return lines


class Drawing:
    """Draws one kind of figure.

    Args:
        layout: lays out the figures of some results, each with the name of its files.
    """

    def __init__(self, layout: Callable[[Results, int], Iterator[tuple[str, Page]]]) -> None:
        self._layout = layout
        self.__doc__ = layout.__doc__

    def pages(self, results: Results, columns: int = 2) -> list[tuple[str, Page]]:
        """Lays out the figures and returns each with the name of its files; the arguments are those of a call."""
        with style.drawing():
            return list(self._layout(results, columns))

    def __call__(self, results: Results, folder: Path, columns: int = 2) -> list[Path]:
        """Draws the figures as PNG and PDF; the same results give the same bytes.

        Args:
            results: the records to draw, as `load` read them.
            folder: output folder; created if it does not exist.
            columns: width of the figures in columns of a two-column paper, 1 or 2.

        Returns:
            The files written; empty if there is nothing to draw, as where no cell is complete.

        Raises:
            UserError: the folder cannot be written to.
        """
        with style.drawing():
            return [path for name, page in self._layout(results, columns) for path in page.save(folder, name)]


def saved_by_sample(kind: str) -> Callable[[Callable[[Inference, int], Page]], Drawing]:
    """Makes a `Drawing` of a function that lays out the statistics of one sample; names of files begin with `kind`.

    If some methods have dashes, a table has a second figure: all methods, over the columns without dashes.
    """

    def decorate(page: Callable[[Inference, int], Page]) -> Drawing:
        def pages(results: Results, columns: int) -> Iterator[tuple[str, Page]]:
            for found in inferences(make_tables(results)):
                yield style.file_name(kind, found.sample.table, *found.sample.suffix), page(found, columns)

        pages.__doc__ = page.__doc__
        return Drawing(pages)

    return decorate


def _text_width(text: str, size: float) -> float:
    """Measures a line of text, in inches."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    font.set_size(size, _DPI)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / _DPI
