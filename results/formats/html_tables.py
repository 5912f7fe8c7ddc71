"""Renders tables as plain HTML without a page around it: for notebooks, which show it among other things."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from learngene_bench.results.formats.layout import numbered, superscripts
from learngene_bench.results.tables.report_table import Block, ReportCell, ReportTable, group_title

_HIGHLIGHTS = {"": "{}", "best": "<b>{}</b>", "second": "<u>{}</u>"}
_LEFT = ' style="text-align: left"'


def html_tables(tables: Sequence[ReportTable]) -> str:
    """Returns the tables one below the other, each block of a table by itself; names and notes are escaped."""
    return "\n".join(line for table in tables for line in _lines(table))


def _lines(table: ReportTable) -> Iterator[str]:
    yield f"<h4>{escape(table.title)}</h4>"
    yield f"<p>{escape(table.subtitle)}</p>"
    for block in table.blocks() if table.rows else []:
        yield from _block(block, table.corner)
    notes = [*table.conclusions, *table.legend_sentence(), *table.notes, *numbered(table.footnotes)]
    if notes:
        yield "<details><summary>Notes</summary><ul>"
        yield from (f"<li>{escape(note)}</li>" for note in notes)
        yield "</ul></details>"


def _block(block: Block, corner: str) -> Iterator[str]:
    yield "<table><thead><tr>"
    yield f"<th{_LEFT}>{escape(block.title or corner)}</th>"
    yield from (
        f'<th colspan="{len(list(columns))}">{escape(span)}</th>'
        for span, columns in groupby(block.columns, key=lambda column: column.span)
    )
    yield f"</tr><tr><th{_LEFT}></th>"
    yield from (f"<th>{escape(column.label)}</th>" for column in block.columns)
    yield "</tr></thead><tbody>"
    for group, rows in block.groups():
        yield f'<tr><td colspan="{1 + len(block.columns)}"{_LEFT}><i>{escape(group_title(group))}</i></td></tr>'
        for row in rows:
            label = escape(row.label) + superscripts(row.footnotes)
            yield f"<tr><td{_LEFT}>{label}</td>{''.join(map(_cell, row.cells))}</tr>"
    yield "</tbody></table>"


def _cell(cell: ReportCell) -> str:
    spread = f" <small>±{escape(cell.spread_text)}</small>" if cell.spread_text else ""
    return f"<td>{_HIGHLIGHTS[cell.highlight].format(escape(cell.text))}{spread}{superscripts(cell.footnotes)}</td>"
