"""Writes tables and cells as one JSON document."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic_core import to_jsonable_python

from learngene_bench.results.tables.report_table import ReportTable

JSON_SCHEMA_VERSION = 2


def json(tables: Sequence[ReportTable], cells: Iterable[Mapping[str, Any]]) -> str:
    """Returns an object of schema_version, tables and cells. Numbers are unrounded; what is not finite is null.

    Args:
        tables: each becomes an object with the fields of `ReportTable`.
        cells: the rows of the CSV of all cells (`tidy.rows`).
    """
    document = {"schema_version": JSON_SCHEMA_VERSION, "tables": list(tables), "cells": list(cells)}
    finite = to_jsonable_python(document, inf_nan_mode="null")
    return json_format.dumps(finite, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
