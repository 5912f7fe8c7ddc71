"""`lgbench cancel`: takes jobs of a runs folder off the cluster; what is done is kept, what runs saves where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from learngene_bench.cli import common
from learngene_bench.cli.choice import choose
from learngene_bench.cli.status import planned_stages
from learngene_bench.execution.slurm import scheduler
from learngene_bench.execution.status import ask_scheduler, situations
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError


def cancel(
    cells: Annotated[
        list[str] | None, typer.Argument(metavar="[CELL]...", help="Addresses, or words of labels. Default: all.")
    ] = None,
    runs: common.RunsOption = Path("runs"),
) -> None:
    """Cancel the jobs that wait or run for a runs folder."""
    folder = Runs(runs)
    stages = planned_stages(folder)
    asked = ask_scheduler(folder, [])
    if asked.trouble:
        raise UserError(asked.trouble)
    meant = choose(situations(folder, stages, asked), cells) if cells else None
    addresses = {one.address for one in meant} if meant is not None else asked.job_of.keys()
    jobs = sorted({job for address, job in asked.job_of.items() if address in addresses and job in asked.live})
    if not jobs:
        raise UserError(f"{runs}: no job of this folder waits or runs (a run on this machine is stopped with Ctrl-C)")
    others = {address for address, job in asked.job_of.items() if job in jobs} - set(addresses)
    scheduler.cancel(jobs)
    console = common.console()
    console.print(f"cancelled {len(jobs)} jobs" + (f", and {len(others)} stages in the same jobs" if others else ""))
    console.print("what is done is kept; the same lgbench run, or lgbench retry, submits the rest again")
