"""Renders all tables as one HTML page that stands alone, the leaderboard, with every record behind its number.

The page is a static document that can be read and printed as it is; its script sorts, filters and shows records. It
asks nothing of a network, and its content security policy lets nothing run but the script that lies in `page/`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from learngene_bench.results.formats.csv import cells_csv, csv
from learngene_bench.results.formats.latex import floats
from learngene_bench.results.formats.layout import superscripts
from learngene_bench.results.formats.page_data import PageData, by_column, compact_json, packed
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables.report_table import Block, ReportColumn, ReportTable, group_title
from learngene_bench.schema.constants import GROUPS

_PAGE = Path(__file__).parent / "page"

_SCRIPTS = ("page.js", "tables.js", "curves.js", "records.js")


@dataclass(frozen=True)
class _Block:
    """One block of a table; a `<table>` of its own, as wide as a screen.

    Attributes:
        facts: numbers that all of its targets have in common.
        spans: headings above neighbouring columns, each with the number of columns and a class for the script.
        spread: whether any cell has a standard deviation to leave room for.
        records: positions of the records behind each cell, by label of the row, in the order of the columns.
    """

    id: str
    block: Block
    facts: str
    spans: Sequence[tuple[str, int, str]]
    spread: bool
    records: Mapping[str, Sequence[Sequence[int]]]


@dataclass(frozen=True)
class _Section:
    """A table of the page."""

    id: str
    table: ReportTable
    blocks: Sequence[_Block]


@dataclass(frozen=True)
class _Filter:
    """A choice among the tables, columns or rows; values with the words for them."""

    name: str
    title: str
    choices: Mapping[str, str]


def html(tables: Sequence[ReportTable], results: Results, title: str = "Leaderboard") -> str:
    """Returns the page, a function of the records alone: the same records give the same bytes, where zlib is the same.

    Args:
        tables: the tables, from top to bottom.
        results: the results that they were made from.
        title: heading of the page.

    Raises:
        UserError: a record's file is gone since, or damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    page_data = PageData(results)
    latex = floats(tables)
    sections = [_section(name, table, page_data) for name, table in zip(latex, tables, strict=True)]
    files = {f"{name}.tex": text for name, text in latex.items()}
    files |= {f"{section.id}.csv": csv([section.table]) for section in sections}
    data = {
        "cells": packed(by_column(cells_csv(results))),
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
        summary=_summary([table for table in tables if table.kind == "metric"], page_data.records),
        filters=_filters(tables),
        group_title=group_title,
        superscripts=superscripts,
        policy=_policy(script, style),
        style=style,
        script=script,
        data=data,
    )


def _section(id: str, table: ReportTable, page_data: PageData) -> _Section:
    blocks = [
        _block(f"{id}-{place}", table, block, page_data)
        for place, block in enumerate(table.blocks() if table.rows else [], start=1)
    ]
    return _Section(id, table, blocks)


def _block(id: str, table: ReportTable, block: Block, page_data: PageData) -> _Block:
    targets = [column.facts for column in block.columns if column.facts]
    facts = {name: {target.get(name) for target in targets} for name in ("width", "heads", "depth")}
    spans = []
    for (span, kind), columns in groupby(block.columns, key=lambda column: (column.span, _kind(column))):
        title = span.capitalize() if kind == "axis" else span
        spans.append((title or ("Task" if kind == "axis" else ""), len(list(columns)), kind))
    return _Block(
        id=id,
        block=block,
        facts=", ".join(f"{name} {value}" for name, values in facts.items() if len(values) == 1 for value in values),
        spans=spans,
        spread=any(cell.spread_text for row in block.rows for cell in row.cells),
        records={
            row.label: [page_data.positions(table.identity["setting"], cell.addresses) for cell in row.cells]
            for row in block.rows
        },
    )


def _kind(column: ReportColumn) -> str:
    """The class of a heading: "axis" above targets, "mean-space" above means over them."""
    if column.facts:
        return "axis"
    return "mean-space" if column.block and not column.priority else ""


def _filters(tables: Sequence[ReportTable]) -> list[_Filter]:
    """The filters among whose choices there is a choice."""
    metrics = {
        table.identity["metric"]: table.title.partition(", by ")[0] for table in tables if table.kind == "metric"
    }
    groups = {row.group for table in tables for row in table.rows}
    facts = [column.facts for table in tables for column in table.columns if column.facts]
    filters = [
        _Filter("metric", "Metric", metrics),
        _Filter("task", "Task", {fact["task"]: fact["task"] for fact in facts}),
        _Filter("size", "Size", {fact["size"]: fact["size"] for fact in facts}),
        _Filter("family", "Family", {name: group_title(name) for name in GROUPS if name in groups}),
    ]
    return [choice for choice in filters if len(choice.choices) > 1]


def _summary(tables: Sequence[ReportTable], records: int) -> list[str]:
    """Counts what the page holds."""
    counts: dict[str, set[Any]] = {
        "method": {(row.facts["method"], row.facts["variant"]) for table in tables for row in table.rows},
        "target": {
            tuple((name, value) for name, value in sorted(column.facts.items()) if name != "size")
            for table in tables
            for column in table.columns
            if column.facts
        },
        "setting": {(table.identity["protocol"], table.identity["setting"]) for table in tables},
    }
    protocols = ", ".join(str(protocol) for protocol in sorted({table.identity["protocol"] for table in tables}))
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
