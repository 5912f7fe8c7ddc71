"""Renders all tables as one HTML page that stands alone, with every record behind its numbers.

The page is a static document that can be read and printed as it is. Its script sorts and filters the tables and opens
records, which the page holds as plain JSON. It asks nothing of a network, and its content security policy lets nothing
run but the script that lies in `page/`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from learngene_bench.results.formats.csv import csv
from learngene_bench.results.formats.latex import floats
from learngene_bench.results.formats.picture import HEIGHT, LEFT, WIDTH, picture
from learngene_bench.results.records.details import details
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables import reruns
from learngene_bench.results.tables.measure import Measure
from learngene_bench.results.tables.numbers import way
from learngene_bench.results.tables.report_table import NOTHING, ReportTable, group_title
from learngene_bench.schema.constants import PHASES
from learngene_bench.schema.cost import Cost
from learngene_bench.schema.record import CellRecord, Failure
from learngene_bench.schema.rerun import Rerun
from learngene_bench.schema.subject import PlannedCell
from learngene_bench.util.durations import duration

_PAGE = Path(__file__).parent / "page"
_CURVE_POINTS = 40
"""Largest number of points of a learning curve; a screen shows no more."""


def html(tables: Sequence[ReportTable], results: Results, title: str = "Results") -> str:
    """Returns the page; the same records give the same bytes.

    Args:
        tables: the tables from top to bottom.
        results: the records behind their numbers.
        title: heading of the page.

    Raises:
        UserError: a record's file has gone since it was read, or is damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    latex = floats(tables)
    sections = dict(zip(latex, tables, strict=True))
    files = {f"{name}.tex": text for name, text in latex.items()}
    files |= {f"{name}.csv": csv([table]) for name, table in sections.items()}
    style, script = ((_PAGE / name).read_text(encoding="utf-8") for name in ("leaderboard.css", "leaderboard.js"))
    records = _PageRecords(results)
    environment = Environment(
        loader=FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment.get_template("leaderboard.html.jinja").render(
        title=title,
        sections=sections,
        choices=_choices(tables),
        group_title=group_title,
        picture=picture,
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        positions=records.positions,
        data=lambda: {**records.content(), "files": files},  # after the tables, which say what records they need
        policy=_policy(script, style),
        style=style,
        script=script,
    )


def _choices(tables: Sequence[ReportTable]) -> dict[str, dict[str, str]]:
    """Returns what the page can be filtered by: titles by value, of each kind that leaves a choice."""
    facts = [column.facts for table in tables for column in table.columns]
    settings = {str(table.identity["setting"]): table.subtitle for table in tables if "setting" in table.identity}
    groups = {row.group: group_title(row.group) for table in tables for row in table.rows}
    found = {name: {str(fact[name]): str(fact[name]) for fact in facts if name in fact} for name in ("task", "size")}
    every = {"setting": settings} | found | {"group": groups}
    return {name: titles for name, titles in every.items() if len(titles) > 1}


class _PageRecords:
    """The records behind the numbers of a page, in the order in which the tables ask for them.

    What many records have in common (the run, the machine, the target) stands in the page once, as a fact.
    """

    def __init__(self, results: Results) -> None:
        self._results = results
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
        return {"records": rows, "facts": [json.loads(fact) for fact in self._facts]}

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

    def _fact(self, title: str, values: Mapping[str, Any]) -> int:
        """Returns the position of a fact in the list of facts."""
        fact = [title, {name: _plain(value) for name, value in values.items()}]
        return self._facts.setdefault(json.dumps(fact, ensure_ascii=False), len(self._facts))


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


def _policy(script: str, style: str) -> str:
    """Returns a content security policy: nothing is fetched, and nothing runs or styles but these two."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'"
    )
