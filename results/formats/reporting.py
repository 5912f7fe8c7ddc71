"""Makes a report: some tables of some results, as a text in one format or as a folder with everything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from learngene_bench.results import plots
from learngene_bench.results.formats.csv import cells_csv, csv
from learngene_bench.results.formats.html import html
from learngene_bench.results.formats.json import json
from learngene_bench.results.formats.latex import document, floats, latex
from learngene_bench.results.formats.latex_macros import macros
from learngene_bench.results.formats.markdown import markdown
from learngene_bench.results.formats.parquet import parquet
from learngene_bench.results.formats.terminal import terminal, text
from learngene_bench.results.records.selection import of_grid, table_cells
from learngene_bench.results.records.types import Results
from learngene_bench.results.tables import published, tidy
from learngene_bench.results.tables.calibration_report import calibration_reports
from learngene_bench.results.tables.comparison import comparisons
from learngene_bench.results.tables.comparison_report import comparison_reports
from learngene_bench.results.tables.compute import ComputeChoice
from learngene_bench.results.tables.compute_report import compute_reports
from learngene_bench.results.tables.cost_report import cost_reports
from learngene_bench.results.tables.gap_report import gap_reports
from learngene_bench.results.tables.growth_report import growth_reports
from learngene_bench.results.tables.inference_report import statistics_reports
from learngene_bench.results.tables.learning_report import learning_reports
from learngene_bench.results.tables.measure import INITIAL
from learngene_bench.results.tables.metric_report import metric_reports
from learngene_bench.results.tables.metric_table import MetricTable
from learngene_bench.results.tables.predictions_report import prediction_reports
from learngene_bench.results.tables.report_table import ReportTable
from learngene_bench.results.tables.reported import reported_reports
from learngene_bench.results.tables.shifts_report import shift_reports
from learngene_bench.results.tables.sweep_report import sweep_reports
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.results.tables.variance_report import variance_reports
from learngene_bench.util.errors import UserError, unknown
from learngene_bench.util.files import write_bytes, write_text

COMPUTE = "compute"
"""Name of the tables over total compute in `COMPUTED`, which have options of their own."""

WHERE_MEASURED = ("sweep", "variance")
"""Names of tables in `COMPUTED` that every report has: there are none where nothing was measured for them."""

Tables = Callable[[Sequence[MetricTable], Results], list[ReportTable]]

COMPUTED: Mapping[str, Tables] = {
    "cost": cost_reports,
    COMPUTE: compute_reports,
    "instinct": learning_reports,
    "statistics": lambda tables, results: statistics_reports(tables),
    "horizon": partial(gap_reports, axis="horizon"),
    "data-size": partial(gap_reports, axis="share"),
    "growth": growth_reports,
    "sweep": sweep_reports,
    "variance": variance_reports,
    "predictions": prediction_reports,
    "calibration": calibration_reports,
    "shifts": shift_reports,
}
"""Tables that are computed from all metric tables after fine-tuning, by the name that `--table` takes."""


@dataclass(frozen=True)
class ResultsReport:
    """Tables to be written.

    Attributes:
        results: the results that all of them were made from.
        metrics: tables of metrics.
        derived: tables that were computed from these.
        title: heading of the page.
    """

    results: Results
    metrics: Sequence[ReportTable]
    derived: Sequence[ReportTable]
    title: str = "Results"

    @property
    def tables(self) -> list[ReportTable]:
        """All tables, in the order in which they are written."""
        return [*self.metrics, *self.derived]


def make(
    results: Results,
    name: str | None = None,
    metric: str | None = None,
    compare: bool = False,
    computed: Collection[str] = (),
    compute: ComputeChoice | None = None,
) -> ResultsReport:
    """Makes a report of metrics, or of what is computed from them.

    Args:
        results: what `load` read.
        name: name of a grid, or one of `COMPUTED`, or both: only these tables. None for all grids.
        metric: name of a metric, or of its value before fine-tuning; None for both values of the primary metric.
        compare: True to put method means beside the paper's.
        computed: those of `COMPUTED` that follow the metrics.
        compute: choices for the tables over total compute.

    Raises:
        UserError: there is nothing of this name, or nothing at all, or nothing that the paper prints.
    """
    names = {grid.name for grid in table_cells(results)}
    if not names:
        raise UserError("nothing to report: no plan and no record; `lgbench run` makes both")
    if name is not None and name not in {*names, *COMPUTED}:
        raise unknown("table", name, {*names, *COMPUTED})
    after = None if metric is None else metric.removesuffix(INITIAL)
    made_by: dict[str, Tables] = {**COMPUTED, COMPUTE: partial(compute_reports, choice=compute)}
    if name is not None and name in COMPUTED:
        own = metric_reports(_metric_tables(of_grid(results, name), metric)) if name in names else []
        derived = made_by[name](make_tables(results, after), results)
        if not own and not derived:
            grids = ", ".join(sorted(names))
            raise UserError(f"nothing to report: no table {name!r} follows from results of the grids here ({grids})")
        return ResultsReport(results, own, derived)
    if name is not None:
        results = of_grid(results, name)
    tables = _metric_tables(results, metric)
    derived = _beside_the_paper(tables) if compare else []
    if computed:
        finetuned = make_tables(results, after)
        derived += [report for kind in computed for report in made_by[kind](finetuned, results)]
    return ResultsReport(results, metric_reports(tables), derived)


def _metric_tables(results: Results, metric: str | None) -> list[MetricTable]:
    if metric is not None:
        return make_tables(results, metric)
    return [table for initial in (False, True) for table in make_tables(results, initial=initial)]


def _beside_the_paper(tables: Sequence[MetricTable]) -> list[ReportTable]:
    found = [*comparison_reports(comparisons(tables)), *reported_reports(tables)]
    if not found:
        raise UserError(f"--compare published needs what the paper prints: --metric {published.paper()['metric']}")
    return found


def print_report(report: ResultsReport, console: Console) -> None:
    """Prints the report on a terminal."""
    terminal(report.tables, console)


def _csv(report: ResultsReport) -> str:
    """The data of the derived tables, if there are any, else the rows of the cells.

    Raises:
        UserError: there are derived tables of several kinds.
    """
    files = _derived_csv(report)
    if len(files) > 1:
        kinds = ", ".join(name.removesuffix(".csv") for name in files)
        raise UserError(f"rows of several kinds ({kinds}) do not fit into one CSV: -o FOLDER writes a file for each")
    return next(iter(files.values()), None) or cells_csv(report.results)


def _parquet(report: ResultsReport) -> bytes:
    """The rows of the cells.

    Raises:
        UserError: derived tables are asked for, or pyarrow is not installed.
    """
    if files := _derived_csv(report):
        kinds = ", ".join(name.removesuffix(".csv") for name in files)
        raise UserError(f"Parquet has the rows of cells; those of {kinds} are written by --format csv")
    return parquet(report.results)


def _derived_csv(report: ResultsReport) -> dict[str, str]:
    """The data of the derived tables, by a file for each kind that has any."""
    kinds: dict[str, list[ReportTable]] = {}
    for table in report.derived:
        if table.data:
            kinds.setdefault(table.kind, []).append(table)
    return {f"{kind}.csv": csv(tables) for kind, tables in kinds.items()}


FORMATS: Mapping[str, Callable[[ResultsReport], str]] = {
    "table": lambda report: text(report.tables),
    "csv": _csv,
    "csv-wide": lambda report: csv(report.metrics),
    "markdown": lambda report: markdown(report.tables),
    "latex": lambda report: latex(report.tables),
    "latex-document": lambda report: document(latex(report.tables)),
    "latex-numbers": lambda report: macros(report.tables),
    "html": lambda report: html(report.tables, report.results, report.title),
    "json": lambda report: json(report.tables, tidy.rows(report.results)),
}
"""Functions from a report to a text, by the name of the format; each text ends with a line's end."""

BINARY: Mapping[str, Callable[[ResultsReport], bytes]] = {"parquet": _parquet}
"""Functions from a report to the bytes of a file, by the name of the format."""

_ENDINGS = {
    ".txt": "table",
    ".csv": "csv",
    ".md": "markdown",
    ".tex": "latex",
    ".html": "html",
    ".json": "json",
    ".parquet": "parquet",
}


def by_ending(path: Path) -> str:
    """Returns the format that a file's name asks for.

    Raises:
        UserError: no format has this ending.
    """
    if path.suffix not in _ENDINGS:
        raise UserError(f"{path}: no format has this ending; give --format, or one of {', '.join(_ENDINGS)}")
    return _ENDINGS[path.suffix]


def write_file(report: ResultsReport, path: Path, kind: str) -> None:
    """Writes the report in one format.

    Raises:
        UserError: the file cannot be written, or a package is missing for the format.
    """
    if kind in BINARY:
        write_bytes(path, BINARY[kind](report))
    else:
        write_text(path, FORMATS[kind](report))


def write(report: ResultsReport, folder: Path) -> list[Path]:
    """Writes the report in every format, with each LaTeX table as a file of its own, and its figures.

    Returns:
        The files.

    Raises:
        UserError: the folder cannot be written to.
    """
    inputs = {f"latex/{name}.tex": content for name, content in floats(report.tables).items()}
    texts = {
        "tables.txt": FORMATS["table"](report),
        "tables.md": FORMATS["markdown"](report),
        "tables.tex": document("".join(f"\\input{{{name}}}\n\\clearpage\n" for name in inputs)),
        **inputs,
        "latex/numbers.tex": FORMATS["latex-numbers"](report),
        "cells.csv": cells_csv(report.results),
        "wide.csv": FORMATS["csv-wide"](report),
        **_derived_csv(report),
        "report.json": FORMATS["json"](report),
        "report.html": FORMATS["html"](report),
    }
    for name, content in texts.items():
        write_text(folder / name, content)
    figures = [path for draw in plots.KINDS.values() for path in draw(report.results, folder / "figures", 2)]
    return [*(folder / name for name in texts), *figures]
