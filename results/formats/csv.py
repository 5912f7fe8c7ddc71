"""Writes rows for spreadsheets, data frames and scripts."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.tables import tidy
from learngene_bench.results.tables.report_table import ReportTable


def csv(tables: Sequence[ReportTable]) -> str:
    """Returns the data of tables of one kind, unrounded: what they are comparable within, then their own columns."""
    rows = [{**table.identity, **row} for table in tables for row in table.data]
    return csv_text(rows, list(dict.fromkeys(name for row in rows for name in row)))


def cells_csv(results: Results) -> str:
    """Returns one row for each cell and seed; the columns are those of `tidy`."""
    return csv_text(tidy.rows(results), tidy.columns(results))


def csv_text(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Returns a header of these names and a line for each row; what a row lacks is empty."""
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow(map(_harmless, names))
    writer.writerows([_harmless(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    """Puts an apostrophe before a text that begins like a formula, which a spreadsheet would run."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return value
