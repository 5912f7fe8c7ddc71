"""`lgbench check METHOD`: whether an initializer keeps the contract, check by check."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.planning.method_spec import parse_methods
from learngene_bench.util.words import counted

if TYPE_CHECKING:
    from learngene_bench.conformance.runner import ConformanceReport, Outcome

STATUS, CHECK = 7, 12
"""Columns of a terminal for the status and for the name of a check."""
STYLES = {"passed": "green", "failed": "bold red", "note": "yellow", "skipped": "dim"}


def check(
    context: typer.Context,
    method: Annotated[str, typer.Argument(help="A name, several, 'all', or NAME:OPTION=VALUE for a variant.")],
    plugin: common.PluginOption = None,
    format: common.FormatOption = common.Format.TABLE,
) -> int:
    """Test whether a method keeps the contract of an initializer, on models and data in miniature.

    Exit status 0: every check passed; 1: one failed; 2: no such method.

    --debug shows every problem with its traceback.
    """
    choices = parse_methods(method, common.registry_of(plugin), {})
    console, reports = common.console(), []
    as_table = format is common.Format.TABLE

    from learngene_bench.conformance.runner import check as conformance_of

    for choice in choices:
        with (
            console.status(f"trying {choice.registered.kind.name}; this takes up to a minute")
            if as_table
            else nullcontext()
        ):
            report = conformance_of(choice.registered, choice.options)
        reports.append(report)
        if as_table:
            _print(report, console, debug=bool(context.obj))
    if format is common.Format.JSON:
        common.print_json([_as_json(report) for report in reports])
    elif len(reports) > 1:
        failed = [report.method for report in reports if not report.passed]
        console.print(f"{len(reports) - len(failed)} of {counted(len(reports), 'method')} passed")
    return 0 if all(report.passed for report in reports) else 1


def _print(report: ConformanceReport, console: Console, debug: bool) -> None:
    options = ", ".join(f"{name}={value}" for name, value in report.options.items())
    origin = f"{report.method}{f' ({options})' * bool(options)}, from {report.origin}"
    console.print(Text(origin, style="bold"), soft_wrap=True)
    for outcome in report.outcomes:
        first, *more = outcome.detail.splitlines() or [""]
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_column(width=STATUS, no_wrap=True)
        row.add_column(width=CHECK, no_wrap=True)
        row.add_column(overflow="fold")
        row.add_row(
            Text(_shown(outcome), STYLES[outcome.status]),
            outcome.check,
            Text.assemble(outcome.promise, (f" ({first})" * bool(first), "dim")),
        )
        console.print(row)
        for line in more if debug else []:
            console.print(Text(f"    {line}", style="dim"), soft_wrap=True)
        _print_problems(outcome, console, debug)
    failed = sum(outcome.status == "failed" for outcome in report.outcomes)
    passed = sum(outcome.status == "passed" for outcome in report.outcomes)
    summary = f"{passed} passed, {failed} failed in {report.seconds:.0f} s"
    if not debug:
        summary += "; --debug shows " + ("every problem and the tracebacks" if failed else "more")
    console.print(Text(f"{summary}\n"))


def _shown(outcome: Outcome) -> str:
    """The status, so that a failure is seen without colours too."""
    return outcome.status.upper() if outcome.status == "failed" else outcome.status


def _print_problems(outcome: Outcome, console: Console, debug: bool) -> None:
    for problem in outcome.problems if debug else outcome.problems[:1]:
        console.print(Text(f"    {problem.where}: {problem.what}"), soft_wrap=True)
        if debug and problem.traceback:
            console.print(Text(problem.traceback, style="dim"), soft_wrap=True)
    if not debug and len(outcome.problems) > 1:
        console.print(Text(f"    and {len(outcome.problems) - 1} more like this", style="dim"))


def _as_json(report: ConformanceReport) -> dict[str, Any]:
    return {
        "method": report.method,
        "options": dict(report.options),
        "origin": report.origin,
        "passed": report.passed,
        "seconds": round(report.seconds, 3),
        "checks": [asdict(outcome) for outcome in report.outcomes],
    }
