"""The leaderboard: all tables as one HTML page that stands alone, with every record behind its number.

The page is a static document that can be read and printed as it is; its script sorts, filters and shows records. It
asks nothing of a network, and its content security policy lets nothing run but the script that lies in `page/`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learngene_bench.results.formats.exports import csv, wide_csv
from learngene_bench.results.formats.latex import floats
from learngene_bench.results.formats.page_data import PageData, by_column, compact_json, packed
from learngene_bench.results.formats.sheet_formats import sheet_csv
from learngene_bench.results.records.selection import ColumnKey, Grid, RowKey, grids
from learngene_bench.results.records.types import METRICS, Results
from learngene_bench.results.tables import wording
from learngene_bench.results.tables.sheet import Sheet
from learngene_bench.results.tables.table import Row, Table
from learngene_bench.schema.constants import GROUPS

_PAGE = Path(__file__).parent / "page"

_SCRIPTS = ("page.js", "tables.js", "curves.js", "records.js")

_METRIC_TITLES = {"top1": "after tuning", "top1_initial": "as initialized"}
assert tuple(_METRIC_TITLES) == METRICS


@dataclass(frozen=True)
class _Block:
    """One size of a table; a `<table>` of its own, as wide as a screen.

    Attributes:
        facts: what its targets have in common.
        indices: of the table's columns.
        groups: rows by group.
        spread: whether any entry has a standard deviation to leave room for.
    """

    id: str
    size: str
    facts: str
    indices: range
    groups: Mapping[str, Sequence[Row]]
    spread: bool


@dataclass(frozen=True)
class _Section:
    """A table of the page.

    Attributes:
        blocks: of a table of accuracies.
        records: positions of the records behind each of its entries, by label of the row and index of the column.
    """

    id: str
    item: Table | Sheet
    blocks: Sequence[_Block] = ()
    records: Mapping[tuple[str, int], Sequence[int]] = field(default_factory=dict)

    @property
    def template(self) -> str:
        return "table.html.jinja" if isinstance(self.item, Table) else "sheet.html.jinja"


@dataclass(frozen=True)
class _Filter:
    """A choice among the tables, columns or rows; values with the words for them."""

    name: str
    title: str
    choices: Mapping[str, str]


def html(items: Sequence[Table | Sheet], results: Results, title: str = "Leaderboard") -> str:
    """The page, a function of the records alone: the same records give the same bytes, where zlib is the same.

    Args:
        items: the tables, from top to bottom.
        results: what they were made of.
        title: what stands above them all.

    Raises:
        UserError: a record's file is gone since, or damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    page_data = PageData(results)
    of_table = {_key(grid, grid.name): grid for grid in grids(results)}
    latex = floats(items)
    sections = [
        _measured(name, item, of_table[_key(item, item.grid)], page_data)
        if isinstance(item, Table)
        else _Section(name, item)
        for name, item in zip(latex, items, strict=True)
    ]
    files = {f"{name}.tex": text for name, text in latex.items()}
    files |= {f"{section.id}.csv": _csv(section.item) for section in sections}
    data = {
        "cells": packed(by_column(csv(results))),
        "records": packed(compact_json(page_data.content())),
        "files": {name: packed(text) for name, text in files.items()},
    }
    style, script = _source("leaderboard.css"), "\n".join(map(_source, _SCRIPTS))
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("leaderboard.html.jinja").render(
        title=title,
        sections=sections,
        summary=_summary([item for item in items if isinstance(item, Table)], page_data.records),
        filters=_filters(items),
        wording=wording,
        policy=_policy(script, style),
        style=style,
        script=script,
        data=data,
    )


def _key(of: Table | Grid, grid: str) -> tuple[object, ...]:
    """What a table and the grid that it was made of have in common with no other."""
    return of.protocol, of.setting, of.axis, grid


def _csv(item: Table | Sheet) -> str:
    return wide_csv([item]) if isinstance(item, Table) else sheet_csv([item])


def _measured(id: str, table: Table, grid: Grid, page_data: PageData) -> _Section:
    columns = [ColumnKey(column.size, column.task, tuple(sorted(column.target.items()))) for column in table.columns]
    positions = {}
    for row in table.rows:
        for index, column in enumerate(columns):
            cells = grid.cells.get((RowKey(row.method, row.variant), column), {})
            positions[row.label, index] = page_data.positions(grid.setting, [cell for _, cell in sorted(cells.items())])
    blocks = [
        _block(f"{id}-{number}", table, size, indices)
        for number, (size, indices) in enumerate(table.sizes().items(), start=1)
    ]
    return _Section(id, table, blocks, positions)


def _block(id: str, table: Table, size: str, indices: range) -> _Block:
    groups = table.groups(indices)
    targets = [table.columns[index].target for index in indices]
    facts = {name: {target.get(name) for target in targets} for name in ("width", "heads", "depth")}
    entries = [row.entries[index] for rows in groups.values() for row in rows for index in indices]
    return _Block(
        id=id,
        size=size,
        facts=", ".join(f"{name} {value}" for name, values in facts.items() if len(values) == 1 for value in values),
        indices=indices,
        groups=groups,
        spread=any(wording.spread(entry) for entry in entries),
    )


def _filters(items: Sequence[Table | Sheet]) -> list[_Filter]:
    """Of all that the page holds; only those among which there is a choice."""
    made = [item for item in items if isinstance(item, Table)]
    metrics = {table.metric for table in made}
    groups = {row.group for item in items for row in (item.rows if isinstance(item, Table) else item.lines)}
    columns = [column for table in made for column in table.columns]
    filters = [
        _Filter("metric", "Accuracy", {name: title for name, title in _METRIC_TITLES.items() if name in metrics}),
        _Filter("task", "Task", {column.task: column.task for column in columns}),
        _Filter("size", "Size", {column.size: column.size for column in columns}),
        _Filter("family", "Family", {name: wording.GROUP_TITLES[name] for name in GROUPS if name in groups}),
    ]
    return [choice for choice in filters if len(choice.choices) > 1]


def _summary(made: Sequence[Table], records: int) -> list[str]:
    """What the page holds, in numbers."""
    counts: dict[str, set[Any]] = {
        "method": {(row.method, row.variant) for table in made for row in table.rows},
        "target": {(column.task, tuple(sorted(column.target.items()))) for table in made for column in table.columns},
        "setting": {(table.protocol, table.setting) for table in made},
    }
    protocols = ", ".join(str(protocol) for protocol in sorted({table.protocol for table in made}))
    facts = [_counted(len(found), what) for what, found in counts.items() if found]
    return [*facts, _counted(records, "record"), *([f"protocol {protocols}"] if protocols else [])]


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _source(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _policy(script: str, style: str) -> str:
    """A content security policy: nothing is fetched, and nothing runs or styles but these two."""
    script_hash, style_hash = (
        base64.b64encode(hashlib.sha256(source.encode()).digest()).decode() for source in (script, style)
    )
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src 'sha256-{script_hash}'; style-src 'sha256-{style_hash}'"
    )
