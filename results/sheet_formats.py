"""Computed tables in each format but LaTeX, which has a file of its own."""

from __future__ import annotations

import csv as csv_format
import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from learngene_bench.results.exports import finite, harmless
from learngene_bench.results.markdown import escaped, line
from learngene_bench.results.sheet import Sheet
from learngene_bench.results.terminal import label, width
from learngene_bench.results.wording import GROUP_TITLES, numbered

_SPAN_WIDTH = 9
"""Of what stands above several columns, on a terminal: it is above each."""


def sheet_terminal(sheets: Sequence[Sheet], console: Console) -> None:
    """Prints the sheets; columns for which there is no room go below the others. Nothing is wrapped or cut."""
    told: set[str] = set()
    for sheet in sheets:
        console.print(Text(sheet.title, style="bold"))
        console.print(Text(sheet.subtitle))
        console.print()
        for indices in _parts(sheet, console) if sheet.lines else []:
            console.print(_grid(sheet, indices))
            console.print()
        for sentence in sheet.findings:
            console.print(Text(sentence))
        for note in sheet.notes:
            if note not in told:
                console.print(Text(note, style="dim"))
        told.update(sheet.notes)
        for note in numbered(sheet.footnotes):
            console.print(Text(note, style="dim"))
        console.print()


def _parts(sheet: Sheet, console: Console) -> list[list[int]]:
    """The columns, in as many parts as the width asks for; those of one span stay together where they can."""

    def fits(indices: list[int]) -> bool:
        return width(_grid(sheet, indices), console) <= console.width

    parts: list[list[int]] = [[]]
    for span in sheet.spans():
        together = list(span)
        for indices in [together] if fits(together) else [[index] for index in together]:
            if fits([*parts[-1], *indices]):
                parts[-1] += indices
            else:
                parts.append(indices)
    return [part for part in parts if part]


def _grid(sheet: Sheet, indices: Sequence[int]) -> Grid:
    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    headers = [
        [
            *textwrap.wrap(sheet.headings[index].span, _SPAN_WIDTH, break_long_words=False, break_on_hyphens=False),
            sheet.headings[index].label,
        ]
        for index in indices
    ]
    corner = [text for text in (sheet.corner.span, sheet.corner.label) if text]
    height = max(map(len, [corner, *headers]))
    grid.add_column(_bottom(corner, height), no_wrap=True)
    for header in headers:
        grid.add_column(_bottom(header, height), justify="right", no_wrap=True)
    for group, lines in sheet.groups():
        grid.add_row(Text(GROUP_TITLES[group], style="italic"))
        for row in lines:
            grid.add_row(label(row.label), *(Text(row.cells[index]) for index in indices))
    return grid


def _bottom(lines: list[str], height: int) -> Text:
    return Text("\n".join([*[""] * (height - len(lines)), *lines]))


def sheet_markdown(sheets: Sequence[Sheet]) -> str:
    return "\n".join(text for sheet in sheets for text in _markdown(sheet))


def _markdown(sheet: Sheet) -> Iterable[str]:
    yield f"### {escaped(sheet.title)}"
    yield ""
    yield escaped(sheet.subtitle)
    yield ""
    if sheet.lines:
        yield line(map(escaped, ["", sheet.corner.text, *(heading.text for heading in sheet.headings)]))
        yield line(["---", "---", *["--:"] * len(sheet.headings)])
        for group, lines in sheet.groups():
            for position, row in enumerate(lines):
                title = GROUP_TITLES[group] if position == 0 else ""
                yield line([title, *map(escaped, [row.label, *row.cells])])
        yield ""
    for sentence in sheet.findings:
        yield f"- **{escaped(sentence)}**"
    for note in [*sheet.notes, *numbered(sheet.footnotes)]:
        yield f"- {escaped(note)}"
    yield ""


def sheet_csv(sheets: Sequence[Sheet]) -> str:
    """The data of sheets of one kind, under the names of their keys."""
    text = io.StringIO()
    rows = [row for sheet in sheets for row in sheet.data]
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    writer.writerows([harmless(value) for value in row.values()] for row in rows)
    return text.getvalue()


def sheet_json(sheets: Sequence[Sheet]) -> list[dict[str, Any]]:
    """What stands under a sheet's name in the JSON report: words as printed, numbers unrounded or null."""
    return [
        {
            "name": sheet.name,
            "title": sheet.title,
            "subtitle": sheet.subtitle,
            "findings": list(sheet.findings),
            "notes": list(sheet.notes),
            "rows": [{key: finite(value) for key, value in row.items()} for row in sheet.data],
        }
        for sheet in sheets
    ]
