"""Prepares the records for the leaderboard's script, small enough that one page holds ten thousand of them.

The CSV of all cells is there once, to be downloaded and to be read: column by column, as what stands in a column packs
well. What it does not have of a record is beside it in rows of the same order; what is the same for many records
is written once and referred to by its position. Learning curves keep their accuracies, to a tenth of a
percent and at most `_POINTS` of them; losses and the statistics of tensors stay in the record files.
"""

from __future__ import annotations

import base64
import json
import math
import re
import shlex
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.tables import tidy
from learngene_bench.results.tables.measure import measure_names
from learngene_bench.schema.constants import FOLDER_DIGITS, PHASES
from learngene_bench.schema.metric import CurvePoint
from learngene_bench.schema.provenance import Provenance
from learngene_bench.schema.subject import PlannedCell

_POINTS = 40
"""Largest number of points of a learning curve; a screen cannot show more."""

_CSV_FIELD = re.compile(r'(?:^|,)((?:"[^"]*")+|[^,]*)')


class PageData:
    """The rows of the CSV, and what else there is to say of each."""

    def __init__(self, results: Results) -> None:
        self._rows = tidy.rows(results)
        self._results = results
        self._positions = {(row["setting"], row["address"]): position for position, row in enumerate(self._rows)}
        self._cells = {cell.address: cell for manifest in results.manifests for cell in manifest.cells}
        self._cells |= {record.address: record.planned() for record in results.records.values()}

    def positions(self, setting: str, addresses: Iterable[str]) -> list[int]:
        """Returns the rows of these cells in the table of a setting."""
        return [self._positions[setting, address] for address in addresses]

    @property
    def records(self) -> int:
        """Number of records; a record in the tables of two settings counts once."""
        return len({row["address"] for row in self._rows if row["state"] == "done"})

    def content(self) -> dict[str, Any]:
        """Returns the JSON content: `rows`, the lists that their numbers refer to, names for columns of the CSV."""
        shared: dict[str, dict[str, int]] = {"settings": {}, "cells": {}, "runs": {}, "epochs": {}}
        rows = [self._row(row, shared) for row in self._rows]
        lists = {name: [json.loads(text) for text in texts] for name, texts in shared.items()}
        metrics = measure_names(self._results.records.values())
        return {"rows": rows, "phases": PHASES, "metrics": metrics, "folder_digits": FOLDER_DIGITS, **lists}

    def _row(self, row: dict[str, Any], shared: dict[str, dict[str, int]]) -> dict[str, Any]:
        def share(name: str, value: Any) -> int:
            return shared[name].setdefault(compact_json(value), len(shared[name]))

        if row["state"] == "dash":
            return {}
        facts = {
            "setting": share("settings", _setting(row)),
            "cell": share("cells", _cell(self._cells[row["address"]])),
        }
        if row["state"] != "done":
            return {**facts, "error": row["reason"]}
        record = self._results.records[row["address"][:FOLDER_DIGITS]]
        found = details(record)
        points = _thinned([point for point in found.curve if math.isfinite(_top1(point))])
        return {
            **facts,
            "run": share("runs", _run(record, found.provenance)),
            "started": found.provenance.started,
            "finished": found.provenance.finished,
            "epochs": share("epochs", [_plain(point.epoch) for point in points]),
            "steps": _steps(points),
        }


def by_column(csv: str) -> str:
    """The fields of a CSV, as they stand there, one in a line: those of the first column, of the second, and so on.

    No field holds a line break: names are `fields.printable`.
    """
    rows = [_CSV_FIELD.findall(line) for line in csv.splitlines()]
    return "\n".join(field for column in zip(*rows, strict=True) for field in column)


def packed(text: str) -> str:
    """The text deflated, as base64: what a browser's DecompressionStream("deflate") reads."""
    return base64.b64encode(zlib.compress(text.encode(), level=9)).decode("ascii")


def compact_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _setting(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("setting", "setting_description", "protocol", "preset", "equal_budget_iterations")
    return {name: row[name] for name in names}


def _cell(cell: PlannedCell) -> dict[str, Any]:
    return {
        "method": cell.method,
        "options": cell.variant or "defaults",
        "task": cell.task,
        "source": cell.source,
        "size": cell.size,
        **{name: _plain(fact) for name, fact in cell.target.items()},
        "stored_parameters": cell.parameters.stored,
        "model_parameters": cell.parameters.model,
    }


def _run(record: Record, provenance: Provenance) -> dict[str, Any]:
    """Returns what the records of one run on one machine have in common."""
    return {
        "command": shlex.join(provenance.command),
        "suite": {"commit": provenance.git.commit, "uncommitted_changes": provenance.git.dirty},
        "hardware": {name: _plain(fact) for name, fact in provenance.hardware.items()},
        "versions": {name: _plain(fact) for name, fact in provenance.versions.items()},
        "data": {**{name: _plain(fact) for name, fact in provenance.data.items()}, "test_images": record.test_images},
    }


def _plain(fact: Any) -> Any:
    """A fact as a single value that JSON has."""
    if isinstance(fact, float):
        return fact if math.isfinite(fact) else str(fact)
    return fact if fact is None or isinstance(fact, str | int) else json.dumps(fact)


def _top1(point: CurvePoint) -> float:
    return (point.metrics or {}).get("top1", math.nan)


def _thinned(points: list[CurvePoint]) -> list[CurvePoint]:
    """At most _POINTS of them, evenly, with the first and the last."""
    if len(points) <= _POINTS:
        return points
    return [points[round(index * (len(points) - 1) / (_POINTS - 1))] for index in range(_POINTS)]


def _steps(points: Sequence[CurvePoint]) -> list[int]:
    """The accuracies in tenths of a percent, each as what is added to the one before: small numbers pack well."""
    tenths = [0, *(round(_top1(point) * 10) for point in points)]
    return [after - before for before, after in pairwise(tenths)]
