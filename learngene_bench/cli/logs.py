"""`lgbench logs`: what a stage printed, how it failed, what its job said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from learngene_bench.cli import common
from learngene_bench.cli.choice import choose_one
from learngene_bench.cli.status import planned_stages
from learngene_bench.execution.slurm import submissions
from learngene_bench.execution.status import situations
from learngene_bench.runs.store import Runs


def logs(
    cell: Annotated[str, typer.Argument(metavar="CELL", help="The beginning of an address, or words of the label.")],
    runs: common.RunsOption = Path("runs"),
) -> None:
    """Print what a cell, gene or ancestor left: its output, its failure, the output of its job."""
    folder = Runs(runs)
    one = choose_one(situations(folder, planned_stages(folder)), cell)
    stage = folder.folder(one.kind, one.address)
    console = common.console()
    console.print(f"{one.label}: {one.standing}{f', {one.remark}' if one.remark else ''}", markup=False, soft_wrap=True)
    _print(console, stage.log)
    if stage.failed.exists():
        console.print(f"[dim]{stage.failed}[/]", soft_wrap=True)
        console.print(stage.read_failure().traceback or "", markup=False, soft_wrap=True)
    for submission in submissions.read(folder):
        for job, addresses in submission.jobs.items():
            if one.address in addresses:
                for path in submission.output(job):
                    _print(console, path)


def _print(console: Console, path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    console.print(f"[dim]{path}{'' if text else ': nothing'}[/]", soft_wrap=True)
    if text:
        console.print(text, end="" if text.endswith("\n") else "\n", markup=False, soft_wrap=True)
