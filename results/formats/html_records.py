"""The records behind the numbers of a page, as its script knows them."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from learngene_bench.results.formats.html_predictions import right_images
from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Record, Results
from learngene_bench.results.statistics.paired import DIGITS
from learngene_bench.results.tables import reruns
from learngene_bench.results.tables.measure import Measure, find_measure
from learngene_bench.results.tables.numbers import way
from learngene_bench.results.tables.report_table import NOTHING, ReportTable
from learngene_bench.schema.constants import PHASES
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.record import CellRecord, Failure
from learngene_bench.schema.rerun import Rerun
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.durations import duration

_CURVE_POINTS = 40
"""Largest number of points of a learning curve; a screen shows no more."""


class PageRecords:
    """The records behind the numbers of a page, in the order in which the tables ask for them.

    What many records have in common (the run, the machine, the target) stands in the page once, as a fact.

    Args:
        results: where the records are.
        tables: the tables of the page; rows of those of metrics can be compared.
    """

    def __init__(self, results: Results, tables: Sequence[ReportTable]) -> None:
        self._results = results
        self._measures = _measures(tables, results)
        self._finetuned = [address for table in tables if self._is_finetuned(table) for address in _addresses(table)]
        self._cells = {cell.address: cell for manifest in results.manifests for cell in manifest.cells}
        self._cells |= {record.address: record.planned() for record in results.records.values()}
        self._positions: dict[str, int] = {}
        self._facts: dict[str, int] = {}

    def positions(self, addresses: Sequence[str]) -> list[int]:
        """Returns the positions of some cells in the list of records."""
        return [self._positions.setdefault(address, len(self._positions)) for address in addresses]

    def content(self) -> dict[str, Any]:
        """Returns all that the script knows of the records that `positions` was asked for."""
        rows = [self._row(self._cells[address]) for address in self._positions]
        images = right_images(self._with_predictions())
        for position, right in images.right.items():
            rows[position]["right"] = right
        return {
            "records": rows,
            "facts": [json.loads(fact) for fact in self._facts],
            "measures": {name: _about(measure) for name, measure in self._measures.items()},
            "images": images.facts(),
        }

    def _is_finetuned(self, table: ReportTable) -> bool:
        """Returns True for a table of a metric after fine-tuning, of which predictions are kept."""
        measure = self._measures.get(str(table.identity.get("metric")))
        return table.kind == "metric" and measure is not None and not measure.initial

    def _with_predictions(self) -> dict[int, Record]:
        """Returns the records that may have predictions, by their positions."""
        chosen = dict.fromkeys(address for address in self._finetuned if address in self._positions)
        found = {self._positions[address]: self._results.records.get(self._cells[address].folder) for address in chosen}
        return {position: record for position, record in found.items() if record}

    def _row(self, cell: PlannedCell) -> dict[str, Any]:
        facts: list[tuple[str, Mapping[str, Any]]] = [("Configuration", _configuration(cell))]
        row: dict[str, Any] = {"address": cell.folder, "seed": cell.seed}
        outcome = self._results.outcome(cell)
        if isinstance(outcome, Failure):
            row["error"] = outcome.error
        elif outcome:
            record = details(outcome)
            row |= {
                "metrics": _metrics(record),
                "values": self._values(outcome),
                "curve": _curve(record),
                "cost": [[phase, *_spent(record.cost[phase])] for phase in PHASES],
                "time": f"{record.provenance.started} to {record.provenance.finished}",
            }
            facts += _origin(record)
            facts += [
                (f"{reruns.HEADING} {line.by}", _rerun(line)) for line in self._results.reruns.get(cell.folder, ())
            ]
        row["facts"] = [self._fact(title, values) for title, values in facts]
        return row

    def _values(self, record: Record) -> dict[str, float]:
        """Returns the values of a record that tables show, by measure; without those that are no numbers of it."""
        found = {name: record.metrics.get(name) for name in self._measures}
        return {
            name: round(value, DIGITS)
            for name, value in found.items()
            if value is not None and self._measures[name].usable(value)
        }

    def _fact(self, title: str, values: Mapping[str, Any]) -> int:
        """Returns the position of a fact in the list of facts."""
        fact = [title, {name: _plain(value) for name, value in values.items()}]
        return self._facts.setdefault(json.dumps(fact, ensure_ascii=False), len(self._facts))


def _measures(tables: Sequence[ReportTable], results: Results) -> dict[str, Measure]:
    """Returns the measures that tables of metrics show, by name; without those that no record has."""
    names = dict.fromkeys(str(table.identity["metric"]) for table in tables if table.kind == "metric")
    found = {name: find_measure(results.records.values(), name) for name in names if results.records}
    return {name: measure for name, measure in found.items() if measure}


def _addresses(table: ReportTable) -> Iterator[str]:
    """Yields the cells behind the numbers of a table."""
    return (address for row in table.rows for cell in row.cells for address in cell.addresses)


def _about(measure: Measure) -> dict[str, Any]:
    spec = measure.spec
    return {
        "title": spec.title,
        "unit": spec.unit,
        "decimals": spec.decimals,
        "sign": int(measure.sign),
        "initial": measure.initial,
    }


def _configuration(cell: PlannedCell) -> dict[str, Any]:
    named = {"method": cell.method, "options": cell.variant or "defaults", "task": cell.task, "source": cell.source}
    tuned = {"horizon": way("horizon", cell.horizon)} if cell.horizon != 1 else {}
    tuned |= {"share": way("share", cell.share)} if cell.share != 100 else {}
    tuned |= {"gene_seed": str(cell.gene_seed)} if cell.gene_seed is not None else {}
    parameters = {f"{name} parameters": number for name, number in cell.parameters}
    return {**named, **tuned, "size": cell.size, **cell.target, **parameters}


def _origin(record: CellRecord) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns where a record comes from: its setting, then everything that the records of one run share."""
    found = record.provenance
    setting = {"setting": record.setting, "description": record.setting_description, "protocol": record.protocol}
    run = {"command": shlex.join(found.command), "commit": found.git.commit, "uncommitted_changes": found.git.dirty}
    data = {**found.data, f"{record.evaluation.split} images": record.evaluation.images}
    return [
        ("Setting", {**setting, "preset": record.preset}),
        ("Run", run),
        ("Hardware", found.hardware),
        ("Versions", found.versions),
        ("Data", data),
    ]


def _rerun(line: Rerun) -> dict[str, Any]:
    """Returns what came out when somebody computed a record once more, and with what."""
    return {
        "numbers": line.outcome,
        **({"what_differs": differs} if (differs := reruns.what_differs(line)) else {}),
        **({"reasons_for_other_numbers": "; ".join(line.obstacles)} if line.obstacles else {}),
        "finished": line.date,
        **({} if line.seconds is None else {"took": duration(line.seconds)}),
        "commit": line.code.commit,
        "uncommitted_changes": line.code.dirty,
        **line.hardware,
        **line.versions,
    }


def _spent(cost: Cost) -> list[Any]:
    """Returns the amounts of a phase in the order of `Cost`; a dash for parameters that were not counted."""
    counted = NOTHING if cost.counted_parameters is None else cost.counted_parameters
    return [_plain(value) for value in {**dict(cost), "parameters": counted}.values()]


def _metrics(record: CellRecord) -> list[list[Any]]:
    """Returns heading and values (as initialized, after fine-tuning) of each metric, the primary one first."""
    rows: list[list[Any]] = []
    for name in dict.fromkeys([record.primary_metric, *record.metrics]):
        spec = record.metric_specs[name]
        values = record.initial_metrics.get(name, math.nan), record.metrics[name]
        rows.append([Measure(spec).heading, *(f"{value:.{spec.decimals + 1}f}" for value in values)])
    return rows


def _curve(record: CellRecord) -> list[list[Any]]:
    """Returns (epoch, primary metric) at no more than `_CURVE_POINTS` points, evenly, with the first and the last."""
    values = [(point.epoch, (point.metrics or {}).get(record.primary_metric, math.nan)) for point in record.curve]
    points = [[_plain(epoch), _plain(value)] for epoch, value in values if math.isfinite(value)]
    last = min(len(points), _CURVE_POINTS) - 1
    return [points[round(index * (len(points) - 1) / max(1, last))] for index in range(last + 1)]


def _plain(value: Any) -> Any:
    """Returns a value that JSON has: numbers of six digits, whole ones without a point, other values as text."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        rounded = float(f"{value:.6g}")
        return int(rounded) if rounded.is_integer() else rounded
    return value if value is None or isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)
