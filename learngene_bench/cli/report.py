"""Defines `lgbench report`: tables from records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learngene_bench.cli import common
from learngene_bench.schema.leaderboard import is_leaderboard
from learngene_bench.util.errors import UserError

if TYPE_CHECKING:
    from learngene_bench.results import Results


class ReportFormat(StrEnum):
    TABLE = "table"
    CSV = "csv"
    CSV_WIDE = "csv-wide"
    MARKDOWN = "markdown"
    LATEX = "latex"
    LATEX_DOCUMENT = "latex-document"
    LATEX_NUMBERS = "latex-numbers"
    HTML = "html"
    JSON = "json"
    PARQUET = "parquet"


_CELLS = (ReportFormat.CSV, ReportFormat.CSV_WIDE, ReportFormat.PARQUET)
"""Formats that write the cells rather than what is computed from them, unless that is asked for."""


class Reference(StrEnum):
    PUBLISHED = "published"


def report(
    folders: common.NoFolders = None,
    runs: common.RunsOptions = None,
    table: Annotated[
        str | None,
        typer.Option(
            "--table",
            metavar="NAME",
            help="Name of a grid; or of computed tables: cost, compute, instinct, statistics, horizon, data-size, "
            "growth, sweep, variance, predictions, calibration, shifts.",
        ),
    ] = None,
    format: Annotated[
        ReportFormat | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help=f"{', '.join(ReportFormat)}. csv and parquet have a row for each cell and seed, csv-wide one for "
            "each method; latex is for \\input, latex-numbers a command for each number. Default: by the ending of the "
            "file, or table.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Name of a metric, such as top1, or of its value before fine-tuning, such as top1_initial. "
            "Default: the primary metric of each grid, both after and before.",
        ),
    ] = None,
    compare: Annotated[
        Reference | None, typer.Option("--compare", help="Add the means of methods beside the paper's.")
    ] = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Add intervals, ranks and tests over all targets and tasks of a table."),
    ] = False,
    appendix: Annotated[
        bool,
        typer.Option(
            "--appendix",
            help="Write everything that the records allow as one LaTeX document, with figures, to the folder -o.",
        ),
    ] = False,
    targets: common.CountsOption = None,
    goal: Annotated[
        float | None,
        typer.Option(
            "--goal",
            metavar="NUMBER",
            help="Over total compute: metric to be reached. Default: what each reference ends with.",
        ),
    ] = None,
    resource: common.ResourceOption = None,
    method: common.ChosenMethods = None,
    preset: common.ChosenPresets = None,
    setting: common.ChosenSettings = None,
    output: Annotated[
        Path | None,
        common.path_option("-o", "--output", help="File to write; or folder, for all formats and the figures."),
    ] = None,
) -> None:
    """Print the tables of a runs folder, or write them to files."""
    from learngene_bench import results
    from learngene_bench.results.formats import reporting
    from learngene_bench.results.tables.measure import INITIAL

    common.refuse_folders(folders)
    if table in reporting.COMPUTED and (compare or statistics):
        raise UserError(f"--compare and --statistics are for tables of metrics, not for --table {table}")
    if metric and metric.endswith(INITIAL) and (statistics or table in reporting.COMPUTED):
        raise UserError(f"only results after fine-tuning have this table: --metric {metric.removesuffix(INITIAL)}")
    if output and output.is_dir() and format:
        raise UserError(f"{output} is a folder: without --format it gets all of them")
    if output is None and format in reporting.BINARY:
        raise UserError(f"--format {format} is for a file: -o cells.{format}")
    if appendix:
        if given := [name for name, value in (("--table", table), ("--format", format), ("--metric", metric)) if value]:
            raise UserError(f"--appendix has every table: leave out {given[0]}")
        if output is None or output.is_file() or output.suffix:
            raise UserError("--appendix writes several files: give -o FOLDER")
        _write_appendix(results.load_chosen(runs or [Path("runs")], method, preset, setting), runs, output)
        return
    to_folder = output is not None and format is None and (output.is_dir() or not output.suffix)
    compute = common.compute_choice(targets, resource, goal)
    if compute and not (table == reporting.COMPUTE or (to_folder and table is None)):
        raise UserError(f"--targets, --goal and --resource are options of --table {reporting.COMPUTE}")
    kind = format or (ReportFormat.TABLE if output is None or to_folder else reporting.by_ending(output))
    computed = [*(["statistics"] if statistics else []), *([] if kind in _CELLS else reporting.WHERE_MEASURED)]
    made = reporting.make(
        results.load_chosen(runs or [Path("runs")], method, preset, setting),
        name=table,
        metric=metric,
        compare=compare is not None,
        computed=reporting.COMPUTED if to_folder and not table else computed,
        compute=compute,
    )
    made = replace(made, title=_title(runs or []))
    if output is None and kind == ReportFormat.TABLE:
        reporting.print_report(made, common.console())
    elif output is None:
        print(reporting.FORMATS[kind](made), end="")
    elif to_folder:
        for path in reporting.write(made, output):
            print(path)
    else:
        reporting.write_file(made, output, kind)


def _write_appendix(found: Results, runs: list[Path] | None, output: Path) -> None:
    """Writes the appendix, with the citations of those methods that are installed, and names its files."""
    from learngene_bench.plugins.registry import Registry
    from learngene_bench.results.formats.appendix import write_appendix

    registry = Registry()
    citations = {name: registry.get(name).kind.citation for name in registry.names()}
    for path in write_appendix(found, runs or [Path("runs")], output, citations, _title(runs or [])):
        print(path)


def _title(folders: Sequence[Path]) -> str:
    """Returns the heading of a page: only what was published is a leaderboard."""
    if folders and all(is_leaderboard(folder) for folder in folders):
        return f"Leaderboard {', '.join(folder.resolve().name for folder in folders)}"
    return "Results"
