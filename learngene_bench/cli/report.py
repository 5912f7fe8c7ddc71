"""`lgbench report`: tables from records."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from learngene_bench.cli import common
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import write_text


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


class Metric(StrEnum):
    TOP1 = "top1"
    TOP1_INITIAL = "top1_initial"


class Reference(StrEnum):
    PUBLISHED = "published"


def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Runs folders; several are merged. Default: runs.")] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", help="Only the tables of this grid; or what is computed: cost, instinct, statistics."),
    ] = None,
    format: Annotated[
        ReportFormat | None,
        typer.Option(
            "--format",
            help="How it is written: csv has a row for each cell and seed, csv-wide one for each method; latex is for "
            "\\input, latex-numbers a command for each number. Default: by the ending of the file, or table.",
        ),
    ] = None,
    metric: Annotated[
        Metric | None, typer.Option("--metric", help="After tuning, before any ordinary training; both when not given.")
    ] = None,
    compare: Annotated[
        Reference | None, typer.Option("--compare", help="Also method means beside those of the paper.")
    ] = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Also intervals, ranks and tests over all targets and tasks of a table."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A file to write to; or a folder, for all formats and the figures."),
    ] = None,
) -> None:
    """Print the tables of a runs folder, or write them to files."""
    from learngene_bench import results
    from learngene_bench.results.formats import reporting

    if table in reporting.COMPUTED and (metric or compare or statistics):
        raise UserError(f"--metric, --compare and --statistics are for tables of accuracies, not for --table {table}")
    if compare and metric is Metric.TOP1_INITIAL:
        raise UserError("--compare published needs accuracies after tuning, the paper prints no others: --metric top1")
    if statistics and metric is Metric.TOP1_INITIAL:
        raise UserError("--statistics are of accuracies after tuning: --metric top1")
    if output and output.is_dir() and format:
        raise UserError(f"{output} is a folder: without --format it gets all of them")
    to_folder = output is not None and format is None and (output.is_dir() or not output.suffix)
    kind = format or (ReportFormat.TABLE if output is None or to_folder else reporting.by_ending(output))
    made = reporting.make(
        results.load(runs or [Path("runs")]),
        name=table,
        metrics=[metric] if metric else list(Metric),
        compare=compare is not None,
        computed=reporting.COMPUTED if to_folder and not table else ["statistics"] if statistics else (),
    )
    if output is None and kind == ReportFormat.TABLE:
        reporting.terminal(made, common.console())
    elif output is None:
        print(reporting.FORMATS[kind](made), end="")
    elif to_folder:
        for path in reporting.write(made, output):
            print(path)
    else:
        write_text(output, reporting.FORMATS[kind](made))
