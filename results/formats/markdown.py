"""Renders tables as GitHub Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from learngene_bench.results.formats.layout import numbered, superscripts
from learngene_bench.results.tables.report_table import Block, ReportCell, ReportTable, group_title

_META = re.compile(r"([\\`*_{}\[\]<>|#~$&])")

_HIGHLIGHTS = {"": "{}", "best": "**{}**", "second": "<ins>{}</ins>"}


def markdown(tables: Sequence[ReportTable]) -> str:
    """Returns the tables one below the other, each block of a table by itself."""
    return "\n".join(line for table in tables for line in _lines(table))


def _lines(table: ReportTable) -> Iterator[str]:
    yield f"### {escaped(table.title)}"
    yield ""
    yield escaped(table.subtitle)
    yield ""
    for block in table.blocks() if table.rows else []:
        yield from _block(block, table.corner)
        yield ""
    yield from (f"- **{escaped(sentence)}**" for sentence in table.conclusions)
    notes = [*table.legend_sentence(), *table.notes, *numbered(table.footnotes)]
    yield from (f"- {escaped(note)}" for note in notes)
    yield ""


def _block(block: Block, corner: str) -> Iterator[str]:
    yield table_row(map(escaped, ["", block.title or corner, *(column.text for column in block.columns)]))
    yield table_row(["---", "---", *["--:"] * len(block.columns)])
    for group, rows in block.groups():
        for position, row in enumerate(rows):
            title = group_title(group) if position == 0 else ""
            label = escaped(row.label) + superscripts(row.footnotes)
            yield table_row([title, label, *map(_cell, row.cells)])


def _cell(cell: ReportCell) -> str:
    spread = f" ±{cell.spread_text}" if cell.spread_text else ""
    return _HIGHLIGHTS[cell.highlight].format(escaped(cell.text)) + spread + superscripts(cell.footnotes)


def table_row(cells: Iterable[str]) -> str:
    """Returns one line of a table from its cells, which are Markdown already."""
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """Escapes a name from a plugin or setting, so that it never opens a cell, a link or a tag."""
    return _META.sub(r"\\\1", text)
