"""Tables on a terminal of any width: first columns are left out, last the targets go below each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.text import Text

from learngene_bench.results.formats.columns import Column, column, divided, labels, show, width
from learngene_bench.results.tables import wording
from learngene_bench.results.tables.table import Entry, Row, Table


@dataclass(frozen=True)
class _Detail:
    """What is shown beside the means, and what the note says is missing."""

    costs: bool
    initialize: bool
    spread: bool
    missing: str


_DETAILS = (
    _Detail(costs=True, initialize=True, spread=True, missing=""),
    _Detail(costs=True, initialize=False, spread=True, missing="the Init. columns"),
    _Detail(costs=True, initialize=False, spread=False, missing="the Init. columns and ±"),
    _Detail(costs=False, initialize=False, spread=False, missing="Epoch, Para., the Init. columns and ±"),
)

_STYLES = {"best": "bold", "second": "underline"}


@dataclass(frozen=True)
class _Marks:
    """How the best and the second of a column show: by style, or by a sign where the output has no styles."""

    best: str
    second: str
    signs: bool


@dataclass(frozen=True)
class _Block:
    """The columns of one size; those of a span stay together if the block is divided."""

    labels: Column
    spans: Sequence[Sequence[Column]]

    @property
    def width(self) -> int:
        return width([self.labels, *(column for span in self.spans for column in span)])


def terminal(tables: Sequence[Table], console: Console) -> None:
    """Prints the tables, each size in a block of its own.

    What does not fit is left out with a note in this order: the cost of initializing, the spread, the other costs.
    If even the means do not fit side by side, a block is divided. Numbers are never wrapped or cut.
    """
    told: set[str] = set()
    for table in tables:
        _print(table, console, told)


def _print(table: Table, console: Console, told: set[str]) -> None:
    """Prints one table with its notes, except those that stand under an earlier one already (`told`)."""
    styled = console.color_system is not None
    marks = _Marks("Bold", "underlined", signs=False) if styled else _Marks("*", "_", signs=True)
    for detail in _DETAILS:
        blocks = [_block(table, size, detail, marks) for size in table.sizes()]
        if all(block.width <= console.width for block in blocks):
            break
    console.print(Text(table.title, style="bold"))
    console.print(Text(table.subtitle))
    console.print()
    for block in blocks:
        for columns in divided(block.labels, block.spans, console.width):
            show(columns, console)
            console.print()
    notes = [*wording.notes(table, marks.best, marks.second), *wording.footnotes(table)]
    if detail.missing:
        notes.insert(0, f"Left out on this narrow terminal: {detail.missing}.")
    for note in notes:
        if note not in told:
            console.print(Text(note, style="dim"))
    # Footnotes have numbers of their own in each table, so they are always repeated.
    told.update(notes[: len(notes) - len(table.footnotes)])
    console.print()


def _block(table: Table, size: str, detail: _Detail, marks: _Marks) -> _Block:
    indices = table.sizes()[size]
    groups = list(table.groups(indices).items())
    corner = (size, "" if table.axis == "task" else table.axis)

    def costs() -> Iterator[Column]:
        yield column(("Epoch",), groups, lambda row: Text(wording.epochs(row)))
        yield column(("Para.",), groups, lambda row: Text(wording.parameters(row.costs[size])))

    def entries(index: int) -> Column:
        # What follows a number must not push it out of its column.
        room = max(len(_suffix(row.entries[index], marks)) for row in table.rows)
        header = table.columns[index].label + " " * room
        return column((header,), groups, lambda row: _entry(row.entries[index], room, detail, marks))

    def means() -> Iterator[Column]:
        room = any(mean.footnotes for row in table.rows for mean in row.means.get(size, ()))
        for number, title in enumerate(wording.mean_titles(table)):
            header = tuple(line + " " * room for line in title.rsplit(" ", 1))
            yield column(header, groups, partial(_mean, size=size, number=number, room=room))

    def initialize() -> Iterator[Column]:
        for header, name in ((("Init.", "iter."), "initialize_iterations"), (("Init.", "s"), "initialize_seconds")):
            yield column(header, groups, partial(_initialize, size=size, name=name))

    spans = [
        list(costs()) if detail.costs else [],
        *([entries(index)] for index in indices),
        list(means()),
        list(initialize()) if detail.initialize else [],
    ]
    return _Block(labels(corner, groups, lambda row: row.label), spans)


def _initialize(row: Row, size: str, name: str) -> Text:
    return Text(wording.initialize(row.costs[size], getattr(row.costs[size], name)))


def _entry(entry: Entry, room: int, detail: _Detail, marks: _Marks) -> Text:
    value = wording.value(entry)
    spread = wording.spread(entry) if detail.spread else ""
    text = Text(value + spread + _suffix(entry, marks).ljust(room))
    if entry.mark:
        text.stylize(_STYLES[entry.mark], 0, len(value))
    return text


def _mean(row: Row, size: str, number: int, room: int) -> Text:
    mean = row.means[size][number]
    return Text(wording.mean(mean) + wording.superscripts(mean).ljust(room))


def _suffix(entry: Entry, marks: _Marks) -> str:
    sign = {"best": marks.best, "second": marks.second}.get(entry.mark, "") if marks.signs else ""
    return sign + wording.superscripts(entry)
