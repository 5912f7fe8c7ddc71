"""Prints tables on a terminal of any width. Nothing is ever cut: first columns are left out, then tables divided."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from learngene_bench.results.formats.layout import numbered, superscripts, wrap_label
from learngene_bench.results.tables.report_table import Block, ReportCell, ReportColumn, ReportTable, group_title

_LABEL_WIDTH = 14
_SPAN_WIDTH = 9
_FILE_WIDTH = 120

_DETAILS = ((3, True), (2, True), (1, True), (1, False), (0, False))
"""Highest priority of the columns that are shown, and whether spreads are; the first that fits is taken."""

_STYLES = {"": "", "best": "bold", "second": "underline"}
_SIGNS = {"": "", "best": "*", "second": "_"}


def terminal(tables: Sequence[ReportTable], console: Console) -> None:
    """Prints the tables below each other. A note that several of them have is printed once."""
    printed: set[str] = set()
    for table in tables:
        _print(table, console, printed)
        printed.update(table.notes)


def text(tables: Sequence[ReportTable]) -> str:
    """Returns what a terminal of 120 characters without styles would show."""
    output = io.StringIO()
    terminal(tables, Console(file=output, width=_FILE_WIDTH, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


def _print(table: ReportTable, console: Console, printed: set[str]) -> None:
    styled = console.color_system is not None
    priority, spreads = _most_that_fits(table, console)
    for words, style in ((table.title, "bold"), (table.subtitle, "")):
        console.print(Text("\n".join(wrap_label(words, console.width, 0)), style=style))
    console.print()
    for block in table.blocks() if table.rows else []:
        for part in _divided(block.up_to(priority), table.corner, spreads, console):
            _print_grid(_grid(part, table.corner, spreads, styled), console)
            console.print()
    for sentence in table.conclusions:
        console.print(Text(sentence))
    left_out = list(_names(column for column in table.blocks()[0].columns if column.priority > priority))
    if not spreads and any(cell.spread_text for row in table.rows for cell in row.cells):
        left_out.append("±")
    notes = [f"Left out on this narrow terminal: {', '.join(left_out)}."] if left_out else []
    notes += table.legend_sentence() if styled else table.legend_sentence("*", "_")
    notes += [note for note in table.notes if note not in printed]
    for note in [*notes, *numbered(table.footnotes)]:
        console.print(Text(note, style="dim"))
    console.print()


def _names(columns: Iterable[ReportColumn]) -> Iterator[str]:
    """Yields the headings, those of neighbours below one span together: "Mean (here, paper)"."""
    for span, neighbours in groupby(columns, key=lambda column: column.span):
        together = list(neighbours)
        if span and len(together) > 1:
            yield f"{span} ({', '.join(column.label for column in together)})"
        else:
            yield from (column.text for column in together)


def _print_grid(grid: Table, console: Console) -> None:
    """Prints a grid in its own width, were it wider than the terminal, and without spaces at the ends of lines."""
    for segments in console.render_lines(grid, console.options.update(width=_width(grid, console)), pad=False):
        line = Text.assemble(*((segment.text, segment.style or "") for segment in segments))
        line.rstrip()
        console.print(line, soft_wrap=True)


def _most_that_fits(table: ReportTable, console: Console) -> tuple[int, bool]:
    """Returns the first of `_DETAILS` with which every block fits, else the last."""
    for priority, spreads in _DETAILS:
        if all(_fits(block.up_to(priority), table.corner, spreads, console) for block in table.blocks()):
            return priority, spreads
    return _DETAILS[-1]


def _fits(block: Block, corner: str, spreads: bool, console: Console) -> bool:
    return _width(_grid(block, corner, spreads, console.color_system is not None), console) <= console.width


def _width(grid: Table, console: Console) -> int:
    """The width without any wrapping."""
    return console.measure(grid, options=console.options.update(width=100_000)).maximum


def _divided(block: Block, corner: str, spreads: bool, console: Console) -> Iterator[Block]:
    """Yields the block in as many parts as it takes to fit; columns of a span stay together if they can."""

    def fits(places: Sequence[int]) -> bool:
        return _fits(block.select(places), corner, spreads, console)

    units: list[list[int]] = []
    for _, neighbours in groupby(range(len(block.columns)), key=lambda place: block.columns[place].span or place):
        places = list(neighbours)
        units += [places] if fits(places) else [[place] for place in places]
    part: list[int] = []
    for unit in units:
        if part and not fits([*part, *unit]):
            yield block.select(part)
            part = []
        part += unit
    yield block.select(part)


def _grid(block: Block, corner: str, spreads: bool, styled: bool) -> Table:
    """The columns side by side, with the labels to their left."""
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="")
    grid.add_column(Text(f"{block.title}\n{corner}".strip()), no_wrap=True)
    bodies = []
    for place, column in enumerate(block.columns):
        width = max([_SPAN_WIDTH, *map(cell_len, column.span.split())])
        span = textwrap.wrap(column.span, width, break_long_words=False, break_on_hyphens=False)
        header = "\n".join(filter(None, [*span, column.label]))
        grid.add_column(Text(header, justify="right"), no_wrap=True)
        least = max((cell_len(line) for line in header.splitlines()), default=0)
        bodies.append(_column([row.cells[place] for row in block.rows], least, spreads, styled))
    rows = iter(zip(*bodies, strict=True)) if bodies else iter(() for _ in block.rows)
    for group, members in block.groups():
        grid.add_row(Text(group_title(group), style="italic"))
        for row in members:
            label = "\n ".join(wrap_label(row.label + superscripts(row.footnotes), _LABEL_WIDTH))
            grid.add_row(Text(f" {label}"), *next(rows))
    return grid


def _column(cells: Sequence[ReportCell], least: int, spreads: bool, styled: bool) -> list[Text]:
    """The cells of a column that has at least this width, with the numbers right-aligned before what follows them."""
    numbers = [cell.text + (f"±{cell.spread_text}" if spreads and cell.spread_text else "") for cell in cells]
    suffixes = [("" if styled else _SIGNS[cell.highlight]) + superscripts(cell.footnotes) for cell in cells]
    room = max(map(cell_len, suffixes), default=0)
    width = max([least - room, *map(cell_len, numbers)])
    texts = []
    for cell, printed, suffix in zip(cells, numbers, suffixes, strict=True):
        line = Text(" " * (width - cell_len(printed)))
        line.append(printed[: len(cell.text)], style=_STYLES[cell.highlight] if styled else "")
        line.append(printed[len(cell.text) :] + suffix + " " * (room - cell_len(suffix)))
        texts.append(line)
    return texts
