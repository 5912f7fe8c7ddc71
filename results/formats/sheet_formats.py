"""Computed tables in each format but LaTeX, which has a file of its own."""

from __future__ import annotations

import csv as csv_format
import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from learngene_bench.results.formats.columns import Column, column, divided, labels, show
from learngene_bench.results.formats.exports import finite, harmless
from learngene_bench.results.formats.markdown import escaped, line
from learngene_bench.results.tables.sheet import Sheet
from learngene_bench.results.tables.wording import GROUP_TITLES, numbered

_SPAN_WIDTH = 9
"""Of what stands above several columns, on a terminal: it is above each."""


def sheet_terminal(sheets: Sequence[Sheet], console: Console) -> None:
    """Prints the sheets; columns for which there is no room go below the others. Nothing is wrapped or cut."""
    told: set[str] = set()
    for sheet in sheets:
        console.print(Text(sheet.title, style="bold"))
        console.print(Text(sheet.subtitle))
        console.print()
        left = labels(
            tuple(filter(None, (sheet.corner.span, sheet.corner.label))), sheet.groups(), lambda line: line.label
        )
        spans = [[_column(sheet, index) for index in indices] for indices in sheet.spans()]
        for columns in divided(left, spans, console.width) if sheet.lines else []:
            show(columns, console)
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


def _column(sheet: Sheet, index: int) -> Column:
    heading = sheet.headings[index]
    span = textwrap.wrap(heading.span, _SPAN_WIDTH, break_long_words=False, break_on_hyphens=False)
    return column((*span, heading.label), sheet.groups(), lambda line: Text(line.cells[index]))


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
