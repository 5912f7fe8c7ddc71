"""Writes tables and cells as one JSON document."""

from __future__ import annotations

import json as json_format
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from learngene_bench.results.tables.report_table import ReportTable

JSON_SCHEMA_VERSION = 2


def json(tables: Sequence[ReportTable], cells: Iterable[Mapping[str, Any]]) -> str:
    """Returns an object of schema_version, tables and cells. Numbers are unrounded; what is not finite is null.

    Args:
        tables: each becomes an object with the fields of `ReportTable`.
        cells: the rows of the CSV of all cells (`tidy.rows`).
    """
    document = {
        "schema_version": JSON_SCHEMA_VERSION,
        "tables": [asdict(table) for table in tables],
        "cells": list(cells),
    }
    return json_format.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
