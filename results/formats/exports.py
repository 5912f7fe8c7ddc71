"""Tables and cells for other programs: CSV and JSON."""

from __future__ import annotations

import csv as csv_format
import io
import json as json_format
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from learngene_bench.results.records.types import Results
from learngene_bench.results.tables import tidy
from learngene_bench.results.tables.table import Entry, Row, Table
from learngene_bench.results.tables.wording import epochs, on_axis

JSON_SCHEMA_VERSION = 1


def csv(results: Results) -> str:
    """One line for each cell and seed; the columns are those of `tidy.COLUMNS`."""
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow(tidy.COLUMNS)
    for row in tidy.rows(results):
        writer.writerow([harmless(row[name]) for name in tidy.COLUMNS])
    return text.getvalue()


def wide_csv(tables: Sequence[Table]) -> str:
    """One line for each row of a table; for each target its mean, sample standard deviation and number of seeds.

    A mean that is not of all planned seeds is left empty; `missing` counts the cells that are planned and not there.
    """
    rows = [_wide(table, row) for table in tables for row in table.rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv_format.writer(text, lineterminator="\n")
    writer.writerow(map(harmless, names))
    writer.writerows([harmless(row.get(name)) for name in names] for row in rows)
    return text.getvalue()


def _wide(table: Table, row: Row) -> dict[str, Any]:
    about = ("protocol", "setting", "setting_description", "preset", "grid", "axis", "metric")
    facts: dict[str, Any] = {name: getattr(table, name) for name in about}
    facts["equal_budget_iterations"] = table.equal_budget and table.equal_budget.iterations
    facts |= {name: getattr(row, name) for name in ("group", "method", "variant")}
    facts["title"] = row.label
    facts["prepare_epochs"] = epochs(row) if row.prepare_epochs else None
    facts["missing"] = sum(entry.expected - len(entry.values) for entry in row.entries)
    for size, indices in table.sizes().items():
        facts[f"{size} stored_parameters"] = row.costs[size].stored_parameters
        for index in indices:
            entry, target = row.entries[index], f"{size} {on_axis(table.axis, [table.columns[index].label])}"
            facts |= {target: entry.mean, f"{target} sd": entry.standard_deviation, f"{target} n": len(entry.values)}
    return facts


def json(tables: Sequence[Table], results: Results, **more: Any) -> str:
    """An object of schema_version, tables (as printed, with their unrounded numbers) and cells (as in the CSV).

    What is not finite is null.

    Args:
        more: what else the object holds, by key.
    """
    document = {
        "schema_version": JSON_SCHEMA_VERSION,
        "tables": [_table(table) for table in tables],
        "cells": [{name: finite(value) for name, value in row.items()} for row in tidy.rows(results)],
        **more,
    }
    return json_format.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def harmless(value: Any) -> Any:
    """A spreadsheet runs a text that begins like a formula; an apostrophe makes it a text again."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@")):
        return f"'{value}"
    return value


def finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _table(table: Table) -> dict[str, Any]:
    names = ("title", "metric", "grid", "axis", "preset", "setting", "setting_description", "protocol")
    return {
        **{name: getattr(table, name) for name in names},
        "equal_budget": table.equal_budget and table.equal_budget.model_dump(),
        "budgets": list(table.budgets),
        "columns": [asdict(column) for column in table.columns],
        "rows": [_row(row) for row in table.rows],
        "test_images": list(table.test_images),
        "superseded": table.superseded,
        "footnotes": list(table.footnotes),
    }


def _row(row: Row) -> dict[str, Any]:
    names = ("group", "method", "variant", "label")
    return {
        **{name: getattr(row, name) for name in names},
        "prepare_epochs": list(row.prepare_epochs),
        "costs": {size: asdict(costs) for size, costs in row.costs.items()},
        "entries": [_entry(entry) for entry in row.entries],
        "means": {size: [asdict(mean) for mean in means] for size, means in row.means.items()},
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "state": entry.state,
        "expected": entry.expected,
        "mean": entry.mean,
        "standard_deviation": entry.standard_deviation,
        "values": {str(seed): value for seed, value in entry.values.items()},
        "mark": entry.mark,
        "footnotes": list(entry.footnotes),
    }
