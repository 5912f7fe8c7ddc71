"""`lgbench report`: tables from records."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from learngene_bench.cli import common
from learngene_bench.errors import UserError
from learngene_bench.files import write_text


class ReportFormat(StrEnum):
    TABLE = "table"
    CSV = "csv"
    MARKDOWN = "markdown"
    JSON = "json"


class Metric(StrEnum):
    TOP1 = "top1"
    TOP1_INITIAL = "top1_initial"


class Reference(StrEnum):
    PUBLISHED = "published"


def report(
    runs: Annotated[list[Path] | None, typer.Argument(help="Runs folders; several are merged. Default: runs.")] = None,
    format: Annotated[ReportFormat, typer.Option("--format", help="How it is written.")] = ReportFormat.TABLE,
    metric: Annotated[
        Metric | None, typer.Option("--metric", help="After tuning, before any ordinary training; both when not given.")
    ] = None,
    compare: Annotated[
        Reference | None, typer.Option("--compare", help="Also method means beside those of the paper.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file to write to.")] = None,
) -> None:
    """Print the tables of a runs folder."""
    if compare and metric is Metric.TOP1_INITIAL:
        raise UserError("--compare published needs accuracies after tuning, the paper prints no others: --metric top1")
    from learngene_bench import results
    from learngene_bench.results import render

    found = results.load(runs or [Path("runs")])
    metrics = [metric] if metric else list(Metric)
    made = [table for name in metrics for table in results.tables(found, metric=name)]
    compared = results.comparisons(made) if compare else []
    sheets = results.comparison_sheets(compared)
    if format is ReportFormat.TABLE and output is None:
        render.terminal(made, common.console())
        render.sheet_terminal(sheets, common.console())
        return
    if format is ReportFormat.CSV:
        text = render.sheet_csv(sheets) if compare else render.csv(found)
    elif format is ReportFormat.JSON:
        more = {"comparisons": results.comparison_json(compared)} if compare else {}
        text = render.json(made, found, **more)
    else:
        text = "\n".join(filter(None, [render.markdown(made), render.sheet_markdown(sheets)]))
    if output is None:
        print(text, end="" if text.endswith("\n") else "\n")
    else:
        write_text(output, text)
