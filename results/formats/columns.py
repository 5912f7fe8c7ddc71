"""Columns of text on a terminal: how wide they are, which stand side by side, and the lines that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from learngene_bench.results.tables.wording import GROUP_TITLES, wrapped

_GAP = 2
_LABEL_WIDTH = 14

_Row = TypeVar("_Row")
Groups = Sequence[tuple[str, Sequence[_Row]]]
"""Rows by group, of whatever type."""


@dataclass(frozen=True)
class Column:
    """One column; the labels on the left are one, too.

    Attributes:
        header: its lines; those of all columns end at the same height.
        cells: one for each row; only labels may have several lines.
    """

    header: tuple[str, ...]
    cells: Sequence[Text]

    @cached_property
    def width(self) -> int:
        cells = (line for cell in self.cells for line in cell.plain.splitlines())
        return max(map(cell_len, [*self.header, *cells]), default=0)


def labels(header: tuple[str, ...], groups: Groups[_Row], name: Callable[[_Row], str]) -> Column:
    """The names of rows, below those of their groups."""
    cells = []
    for group, rows in groups:
        cells.append(Text(GROUP_TITLES[group], style="italic"))
        cells += [Text("\n".join(f" {line}" for line in wrapped(name(row), _LABEL_WIDTH))) for row in rows]
    return Column(header, cells)


def column(header: tuple[str, ...], groups: Groups[_Row], cell: Callable[[_Row], Text]) -> Column:
    """What stands beside the rows."""
    return Column(header, [text for _, rows in groups for text in (Text(), *map(cell, rows))])


def width(columns: Sequence[Column]) -> int:
    """Of the columns side by side."""
    return sum(column.width for column in columns) + _GAP * (len(columns) - 1)


def divided(left: Column, spans: Sequence[Sequence[Column]], room: int) -> list[list[Column]]:
    """All columns in as many blocks as it takes to fit, each with what stands left; a span stays together if it can."""
    blocks: list[list[Column]] = []
    for span in spans:
        for columns in [span] if width([left, *span]) <= room else [[column] for column in span]:
            if blocks and width([*blocks[-1], *columns]) <= room:
                blocks[-1] += columns
            else:
                blocks.append([left, *columns])
    return blocks


def show(columns: Sequence[Column], console: Console) -> None:
    """Prints a block: labels to the left, numbers to the right. Nothing is wrapped or cut."""
    for line in _lines(columns):
        line.rstrip()
        console.print(line, soft_wrap=True)


def _lines(columns: Sequence[Column]) -> Iterator[Text]:
    height = max(len(column.header) for column in columns)
    for number in range(height):
        lines = [("",) * (height - len(column.header)) + column.header for column in columns]
        yield _line([Text(line[number]) for line in lines], columns)
    yield Text("─" * width(columns))
    for left, *others in zip(*(column.cells for column in columns), strict=True):
        first, *more = left.split("\n") or [left]
        yield _line([first, *others], columns)
        yield from more


def _line(texts: Sequence[Text], columns: Sequence[Column]) -> Text:
    line, end = texts[0].copy(), columns[0].width
    for text, column in zip(texts[1:], columns[1:], strict=True):
        end += _GAP + column.width
        line.append(" " * (end - line.cell_len - text.cell_len))
        line.append_text(text)
    return line
