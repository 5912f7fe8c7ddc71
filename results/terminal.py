"""Tables on a terminal of any width: first columns are left out, last the targets go below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from learngene_bench.results import wording
from learngene_bench.results.table import Costs, Entry, Mean, Row, Table

_LABEL_WIDTH = 14


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
    detail = next((choice for choice in _DETAILS if _fits(table, choice, marks, console)), _DETAILS[-1])
    console.print(Text(table.title, style="bold"))
    console.print(Text(table.subtitle))
    for size in table.sizes():
        for part in _parts(table, size, detail, marks, console):
            console.print()
            console.print(_grid(table, part, detail, marks))
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


def _fits(table: Table, detail: _Detail, marks: _Marks, console: Console) -> bool:
    return all(
        width(_grid(table, _Part(size, tuple(indices), means=True), detail, marks), console) <= console.width
        for size, indices in table.sizes().items()
    )


def width(grid: Grid, console: Console) -> int:
    """The width at which nothing is cut."""
    return Measurement.get(console, console.options.update(max_width=10_000), grid).maximum


@dataclass(frozen=True)
class _Part:
    """Columns of one size that stand side by side; the means over all columns of the size stand in its last part."""

    size: str
    indices: tuple[int, ...]
    means: bool


def _parts(table: Table, size: str, detail: _Detail, marks: _Marks, console: Console) -> list[_Part]:
    """The columns of one size, in as many parts as the width asks for."""

    def fits(part: _Part) -> bool:
        return width(_grid(table, part, detail, marks), console) <= console.width

    parts: list[_Part] = []
    for index in table.sizes()[size]:
        longer = _Part(size, (*parts[-1].indices, index), means=False) if parts else None
        if longer and fits(longer):
            parts[-1] = longer
        else:
            parts.append(_Part(size, (index,), means=False))
    if not wording.mean_titles(table):
        return parts
    with_means = replace(parts[-1], means=True)
    return [*parts[:-1], with_means] if fits(with_means) else [*parts, _Part(size, (), means=True)]


def _grid(table: Table, part: _Part, detail: _Detail, marks: _Marks) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    grid.add_column(Text(f"{part.size}\n{'' if table.axis == 'task' else table.axis}"), no_wrap=True)
    for header in _headers(table, part, detail):
        grid.add_column(Text(header), justify="right", no_wrap=True)
    # What follows a number must not push it out of its column.
    rooms = {index: max(len(_suffix(row.entries[index], marks)) for row in table.rows) for index in part.indices}
    footnoted = part.means and any(mean.footnotes for row in table.rows for mean in row.means.get(part.size, ()))
    for group, rows in table.groups(part.indices or table.sizes()[part.size]).items():
        grid.add_row(Text(wording.GROUP_TITLES[group], style="italic"))
        for row in rows:
            entries = [_entry(row.entries[index], rooms[index], detail, marks) for index in part.indices]
            means = [_mean(mean, footnoted) for mean in row.means.get(part.size, ()) if part.means]
            before, after = _costs(row, row.costs[part.size], detail)
            grid.add_row(label(row.label), *map(Text, before), *entries, *means, *map(Text, after))
    return grid


def label(name: str) -> Text:
    """The name, below that of its group."""
    return Text("\n".join(f" {line}" for line in wording.wrapped(name, _LABEL_WIDTH)))


def _headers(table: Table, part: _Part, detail: _Detail) -> list[str]:
    costs = ["\nEpoch", "\nPara."] if detail.costs else []
    initialize = ["Init.\niter.", "Init.\ns"] if detail.initialize else []
    entries = [f"\n{table.columns[index].label}" for index in part.indices]
    means = ["\n".join(title.rpartition(" ")[::2]) for title in wording.mean_titles(table) if part.means]
    return [*costs, *entries, *means, *initialize]


def _costs(row: Row, costs: Costs, detail: _Detail) -> tuple[list[str], list[str]]:
    """What stands before the entries of a row and what after them."""
    before = [wording.epochs(row), wording.parameters(costs)]
    after = [wording.initialize(costs, amount) for amount in (costs.initialize_iterations, costs.initialize_seconds)]
    return before if detail.costs else [], after if detail.initialize else []


def _entry(entry: Entry, room: int, detail: _Detail, marks: _Marks) -> Text:
    text = Text.assemble((wording.value(entry), _STYLES.get(entry.mark, "")))
    text.append(wording.spread(entry) if detail.spread else "")
    return text.append(_suffix(entry, marks).ljust(room))


def _mean(mean: Mean, footnoted: bool) -> Text:
    return Text(wording.mean(mean) + wording.superscripts(mean).ljust(footnoted))


def _suffix(entry: Entry, marks: _Marks) -> str:
    sign = {"best": marks.best, "second": marks.second}.get(entry.mark, "") if marks.signs else ""
    return sign + wording.superscripts(entry)
