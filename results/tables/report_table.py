"""The one table type that every format renders: metrics, comparisons, costs and statistics all become a `ReportTable`.

A table is complete before a format sees it. Every number has its text, every note is a sentence, and what belongs
together says so. A format decides only on layout: how a highlight looks, how text is escaped, what fits side by side.

    ReportTable   identity (what its numbers are comparable within), title, notes, footnotes
      columns     block > span > label, for example "micro" > "depth" > "4"
      rows        group, label
        cells     text ("91.0", "2/3", "—"), value and spread unrounded, highlight, footnote numbers

Formats: `formats/terminal.py`, `markdown.py`, `latex.py`, `csv.py`, `json.py`, `html.py`. To add a table, write a
function that returns `ReportTable`s; to add a format, a function that takes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

Highlight = Literal["", "best", "second"]

NOTHING = "—"
"""The text of a cell for which there can be no number."""

_FOOTNOTE_LENGTH = 200


def slug(*words: str) -> str:
    """Joins words to a name for files and labels, in letters, digits and hyphens."""
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", word).strip("-") for word in words)


def group_title(group: str) -> str:
    """Returns what stands above or beside the rows of a group of methods, such as "Learngene"."""
    return group.capitalize()


@dataclass(frozen=True)
class ReportColumn:
    """One column of numbers.

    Attributes:
        label: heading of this column alone.
        span: heading that neighbours with the same span share, above their labels.
        block: name of the model size whose columns stand together. A narrow format prints blocks one below the other,
            a wide one side by side. Columns without a block belong to all blocks.
        priority: 0 for columns that are always shown; of the others, those with the highest priority number are left
            out first where there is no room.
        higher_is_better: direction of the numbers; None if neither is good, as of a count.
        facts: size, task and numbers of the target, for columns of one target; for filters.
    """

    label: str
    span: str = ""
    block: str = ""
    priority: int = 0
    higher_is_better: bool | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The heading in one line."""
        return f"{self.span} {self.label}".strip()


@dataclass(frozen=True)
class ReportCell:
    """One entry of a table.

    Attributes:
        text: what is printed, without spread and footnote numbers; empty where nothing is planned.
        value: the unrounded number, to sort by and for other programs; None where `text` is not a number.
        spread: unrounded standard deviation over seeds; None if there is none.
        spread_text: what is printed of it, without the sign ±.
        highlight: "best" or "second" of its column.
        footnotes: numbers of the table's footnotes, from 1.
        addresses: the cells (measurements) behind the number, planned or done, by seed.
    """

    text: str
    value: float | None = None
    spread: float | None = None
    spread_text: str = ""
    highlight: Highlight = ""
    footnotes: tuple[int, ...] = ()
    addresses: tuple[str, ...] = ()


def number(value: float | None, write: Callable[[float], str]) -> ReportCell:
    """Makes the cell of a number, or of a missing one.

    Args:
        value: the number; None prints as a dash.
        write: turns the number into text.
    """
    return ReportCell(NOTHING if value is None else write(value), value)


@dataclass(frozen=True)
class ReportRow:
    """One row, usually of a method.

    Attributes:
        group: group of methods (`schema` has the list); rows of a group stand together.
        label: different for any two rows of a table.
        cells: one for each column.
        footnotes: numbers of the footnotes that the label refers to.
        facts: names behind the label, such as method and variant.
    """

    group: str
    label: str
    cells: tuple[ReportCell, ...]
    footnotes: tuple[int, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """The part of a table that is printed in one piece: the columns of one model size, and the shared ones.

    Attributes:
        title: name of the size; empty in a table without blocks.
        columns: a subset of the table's columns, in their order.
        rows: the rows that have anything there, with the cells of these columns only.
    """

    title: str
    columns: tuple[ReportColumn, ...]
    rows: tuple[ReportRow, ...]

    def groups(self) -> list[tuple[str, list[ReportRow]]]:
        """Returns the groups of rows from top to bottom."""
        return [(group, list(rows)) for group, rows in groupby(self.rows, key=lambda row: row.group)]

    def up_to(self, priority: int) -> Block:
        """Returns the block without the columns of a higher priority number."""
        return self.select(place for place, column in enumerate(self.columns) if column.priority <= priority)

    def select(self, places: Iterable[int]) -> Block:
        """Returns the block with some of its columns only, by their positions."""
        places = list(places)
        columns = tuple(self.columns[place] for place in places)
        rows = tuple(replace(row, cells=tuple(row.cells[place] for place in places)) for row in self.rows)
        return Block(self.title, columns, rows)


@dataclass(frozen=True)
class ReportTable:
    """A table that is ready for every format.

    Attributes:
        kind: what the numbers are, such as "metric", "cost" or "comparison"; rows of `data` have the same keys in all
            tables of a kind.
        name: for files and labels, in letters, digits and hyphens; not always different from other tables' names.
        identity: what the numbers are comparable within: protocol, setting, preset, grid, axis, metric, ...; the first
            columns of the CSV.
        subtitle: the same in words.
        corner: heading above the labels of the rows.
        conclusions: what the numbers say, in sentences.
        notes: what a reader must know of the numbers; tables below each other may share notes.
        legend: meaning of each highlight in use, in words that follow "Bold: ".
        footnotes: what footnote numbers in rows and cells refer to, from 1.
        data: the same numbers for other programs, unrounded, a mapping for each row of the CSV (after `identity`).
        macro_words: beginning of the names of LaTeX commands for the table's numbers; empty if they get none.
    """

    kind: str
    name: str
    title: str
    subtitle: str
    identity: Mapping[str, Any]
    columns: tuple[ReportColumn, ...]
    rows: tuple[ReportRow, ...]
    corner: str = ""
    conclusions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    legend: Mapping[Highlight, str] = field(default_factory=dict)
    footnotes: tuple[str, ...] = ()
    data: tuple[Mapping[str, Any], ...] = ()
    macro_words: tuple[str, ...] = ()

    def blocks(self) -> list[Block]:
        """Returns the table cut into its blocks; a table without blocks is a single one.

        A row that has nothing planned in a block is left out there.
        """
        titles = dict.fromkeys(column.block for column in self.columns if column.block) or {"": None}
        return [self._block(title) for title in titles]

    def _block(self, title: str) -> Block:
        inside = [place for place, column in enumerate(self.columns) if column.block == title]
        rows = tuple(row for row in self.rows if any(row.cells[place].text for place in inside))
        chosen = (place for place, column in enumerate(self.columns) if column.block in ("", title))
        return Block(title, self.columns, rows).select(chosen)

    def legend_sentence(self, best: str = "Bold", second: str = "underlined") -> list[str]:
        """Explains the highlights in one sentence; returns no sentence if nothing is highlighted.

        Args:
            best: how the format shows the best of a column.
            second: how it shows the second.
        """
        looks: dict[Highlight, str] = {"best": best, "second": second}
        parts = [f"{look}: {self.legend[name]}" for name, look in looks.items() if name in self.legend]
        return [f"{'; '.join(parts)}."] if parts else []


class Footnotes:
    """Collects footnote texts in the order in which a reader meets them, each once."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Returns the number of a footnote, from 1, after adding it if it is new. Cuts long texts."""
        if len(text) > _FOOTNOTE_LENGTH:
            text = f"{text[:_FOOTNOTE_LENGTH]}..."
        return self._numbers.setdefault(text, len(self._numbers) + 1)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._numbers)
