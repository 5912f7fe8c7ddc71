"""`lgbench doctor`: what is installed and what this machine has, what is missing, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from learngene_bench.cli import common, doctor_machine, doctor_software
from learngene_bench.cli.doctor_findings import Finding, Verdict, findings_of
from learngene_bench.execution.torch_probe import LIMIT
from learngene_bench.util.words import counted

STYLES = {Verdict.OK: "green", Verdict.LACKS: "yellow", Verdict.FAULT: "bold red"}


def doctor(
    runs: common.RunsOption = Path("runs"),
    limit: Annotated[
        float, typer.Option("--limit", min=1, help="Seconds that importing torch and trying the GPUs may take.")
    ] = LIMIT,
    format: common.FormatOption = common.Format.TABLE,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> int:
    """Check what is installed and what this machine has. Exit status 0: lgbench run has all that it needs; 1: not."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "learngene-bench": doctor_software.suite,
        "packages": doctor_software.packages,
        "torch": partial(doctor_software.torch, limit),
        "machine": doctor_machine.machine,
        "folders": partial(doctor_machine.folders, runs),
        "site file": doctor_machine.site,
        "SLURM": doctor_machine.slurm,
        "TeX": doctor_machine.tex,
    }
    as_json = json or format is common.Format.JSON
    console = common.console()
    with nullcontext() if as_json else console.status("importing torch takes a few seconds, from a slow disk a minute"):
        found = [finding for subject, check in checks.items() for finding in findings_of(subject, check)]
    status = int(any(finding.verdict is Verdict.FAULT for finding in found))
    if as_json:
        common.print_json({"status": status, "findings": [asdict(finding) for finding in found]})
    else:
        _print(found, console)
    return status


def _print(found: list[Finding], console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found:
        text = Text(finding.text)
        if finding.meaning:
            text = Text.assemble(text, "\n", (finding.meaning, "" if finding.verdict is Verdict.FAULT else "dim"))
        table.add_row(Text(finding.verdict, STYLES[finding.verdict]), Text(finding.subject), text)
    console.print(table)
    faults, missing = (
        sum(finding.verdict is verdict for finding in found) for verdict in (Verdict.FAULT, Verdict.LACKS)
    )
    if faults:
        console.print(f"\n{counted(faults, 'fault')}: lgbench run fails, or will soon; below each is what to do")
    else:
        rest = f"; what lacks ({missing}) is not needed" if missing else ""
        console.print(f"\nlgbench run has all that it needs{rest}")
