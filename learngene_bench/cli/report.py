"""`lgbench report`: tables from records."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from learngene_bench.cli import common
from learngene_bench.files import write_text


class ReportFormat(StrEnum):
    TABLE = "table"
    CSV = "csv"
    MARKDOWN = "markdown"
    JSON = "json"


class Metric(StrEnum):
    TOP1 = "top1"
    TOP1_INITIAL = "top1_initial"


def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Runs folders; several are merged. Default: runs.")] = None,
    format: Annotated[ReportFormat, typer.Option("--format", help="How it is written.")] = ReportFormat.TABLE,
    metric: Annotated[
        Metric | None, typer.Option("--metric", help="After tuning, before any ordinary training; both when not given.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file to write to.")] = None,
) -> None:
    """Print the tables of a runs folder."""
    from learngene_bench import results
    from learngene_bench.results import render

    found = results.load(runs or [Path("runs")])
    metrics = [metric] if metric else list(Metric)
    made = [table for name in metrics for table in results.tables(found, metric=name)]
    if format is ReportFormat.TABLE and output is None:
        render.terminal(made, common.console())
        return
    if format is ReportFormat.CSV:
        text = render.csv(found)
    elif format is ReportFormat.JSON:
        text = render.json(made, found)
    else:
        text = render.markdown(made)
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        write_text(output, text)
