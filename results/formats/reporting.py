"""A report: some tables of some results, as a text in one format or as a folder with everything."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from learngene_bench.results import plots
from learngene_bench.results.formats import render
from learngene_bench.results.records.selection import grids, of_grid
from learngene_bench.results.records.types import METRICS, Results
from learngene_bench.results.tables.comparison import Comparison, comparisons
from learngene_bench.results.tables.comparison_formats import comparison_json, comparison_sheets
from learngene_bench.results.tables.cost_sheets import cost_sheets
from learngene_bench.results.tables.inference_sheets import statistics_sheets
from learngene_bench.results.tables.instinct_sheets import instinct_sheets
from learngene_bench.results.tables.sheet import Sheet
from learngene_bench.results.tables.table import Table
from learngene_bench.results.tables.tabulate import make_tables
from learngene_bench.util.errors import UserError, unknown
from learngene_bench.util.files import write_text

COMPUTED: Mapping[str, Callable[[Results], list[Sheet]]] = {
    "cost": cost_sheets,
    "instinct": instinct_sheets,
    "statistics": lambda results: statistics_sheets(make_tables(results)),
}
"""The tables that are no grid's, by name."""

_WIDTH = 120
"""Of a text file, in characters."""


@dataclass(frozen=True)
class Report:
    """What is to be written.

    Attributes:
        results: what all of it is made of.
        tables: of accuracies.
        comparisons: of these tables with the paper's.
        computed: sheets by their name in COMPUTED.
    """

    results: Results
    tables: Sequence[Table]
    comparisons: Sequence[Comparison]
    computed: Mapping[str, Sequence[Sheet]]

    @property
    def sheets(self) -> list[Sheet]:
        return [*comparison_sheets(self.comparisons), *(sheet for sheets in self.computed.values() for sheet in sheets)]

    @property
    def items(self) -> list[Table | Sheet]:
        return [*self.tables, *self.sheets]


def make(
    results: Results,
    name: str | None = None,
    metrics: Sequence[str] = METRICS,
    compare: bool = False,
    computed: Collection[str] = (),
) -> Report:
    """A report of accuracies, or of what is computed from them.

    Args:
        name: of a grid, or in COMPUTED: only that, both where both are called so; else all grids.
        metrics: which accuracies.
        compare: whether they stand beside the paper's.
        computed: which of COMPUTED follow the accuracies.

    Raises:
        UserError: there is nothing of this name, or nothing at all.
    """
    names = {grid.name for grid in grids(results)}
    if not names:
        raise UserError("nothing to report: no plan and no record; `lgbench run` makes both")
    if name is not None and name in COMPUTED:
        of_name = of_grid(results, name) if name in names else None  # a grid may be called what is computed from it
        made = [table for metric in metrics for table in make_tables(of_name, metric)] if of_name else []
        return Report(results, made, (), {name: COMPUTED[name](results)})
    if name is not None:
        if name not in names:
            raise unknown("table", name, {*names, *COMPUTED})
        results = of_grid(results, name)
    made = [table for metric in metrics for table in make_tables(results, metric)]
    return Report(
        results, made, comparisons(made) if compare else (), {kind: COMPUTED[kind](results) for kind in computed}
    )


def terminal(report: Report, console: Console) -> None:
    render.terminal(report.tables, console)
    render.sheet_terminal(report.sheets, console)


def text(report: Report) -> str:
    """As on a terminal of 120 characters without styles."""
    output = io.StringIO()
    terminal(report, Console(file=output, width=_WIDTH, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in output.getvalue().splitlines())


def markdown(report: Report) -> str:
    return "\n".join(filter(None, [render.markdown(report.tables), render.sheet_markdown(report.sheets)]))


def csv(report: Report) -> str:
    """The rows of the sheets, if there are any, else those of the cells.

    Raises:
        UserError: the sheets have rows of several kinds.
    """
    files = _sheet_files(report)
    if len(files) > 1:
        kinds = ", ".join(name.removesuffix(".csv") for name in files)
        raise UserError(f"rows of several kinds ({kinds}) do not fit into one CSV: -o FOLDER writes a file for each")
    return next(iter(files.values()), None) or render.csv(report.results)


def json(report: Report) -> str:
    more = {"comparisons": comparison_json(report.comparisons)} if report.comparisons else {}
    more |= {name: render.sheet_json(sheets) for name, sheets in report.computed.items()}
    return render.json(report.tables, report.results, **more)


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "table": text,
    "csv": csv,
    "csv-wide": lambda report: render.wide_csv(report.tables),
    "markdown": markdown,
    "latex": lambda report: render.latex(report.items),
    "latex-document": lambda report: render.latex_document(render.latex(report.items)),
    "latex-numbers": lambda report: render.latex_macros(report.tables),
    "html": lambda report: render.html(report.items, report.results),
    "json": json,
}
"""From a report to a text; each ends with a line's end."""

_ENDINGS = {".txt": "table", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html", ".json": "json"}


def by_ending(path: Path) -> str:
    """The format that a file's name asks for.

    Raises:
        UserError: none.
    """
    if path.suffix not in _ENDINGS:
        raise UserError(f"{path}: no format has this ending; give --format, or one of {', '.join(_ENDINGS)}")
    return _ENDINGS[path.suffix]


def write(report: Report, folder: Path) -> list[Path]:
    """Writes the report in every format, with each LaTeX table as a file of its own, and its figures.

    Returns:
        The files.

    Raises:
        UserError: the folder cannot be written to.
    """
    floats = {f"latex/{name}.tex": text for name, text in render.latex_floats(report.items).items()}
    document = "".join(f"\\input{{{name}}}\n\\clearpage\n" for name in floats)
    texts = {
        "tables.txt": text(report),
        "tables.md": markdown(report),
        "tables.tex": render.latex_document(document),
        **floats,
        "latex/numbers.tex": render.latex_macros(report.tables),
        "cells.csv": render.csv(report.results),
        "wide.csv": render.wide_csv(report.tables),
        **_sheet_files(report),
        "report.json": json(report),
        "report.html": render.html(report.items, report.results),
    }
    for name, content in texts.items():
        write_text(folder / name, content)
    figures = [path for draw in plots.KINDS.values() for path in draw(report.results, folder / "figures", 2)]
    return [*(folder / name for name in texts), *figures]


def _sheet_files(report: Report) -> dict[str, str]:
    """The rows of the sheets, by a file for each kind that has any."""
    kinds: dict[str, list[Sheet]] = {}
    for sheet in report.sheets:
        if sheet.data:
            kinds.setdefault(sheet.name, []).append(sheet)
    return {f"{kind}.csv": render.sheet_csv(sheets) for kind, sheets in kinds.items()}
