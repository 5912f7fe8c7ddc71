"""`lgbench cancel`: ends jobs of a runs folder. Finished stages are kept, running ones save checkpoints."""

from __future__ import annotations

from pathlib import Path

from learngene_bench.cli import common
from learngene_bench.execution.executors import ask_for_jobs, cancel_jobs
from learngene_bench.runs.listing import list_stages
from learngene_bench.runs.lookup import find
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError
from learngene_bench.util.words import counted


def cancel(cells: common.StagesArgument = None, runs: common.RunsOption = Path("runs")) -> None:
    """Cancel jobs that wait or run for a runs folder."""
    stages = list_stages(Runs(runs))
    wanted = {stage.address for query in cells or [""] for stage in find(stages, query)}
    report = ask_for_jobs(runs, ())
    if report.error:
        raise UserError(report.error)
    jobs = sorted({job for address, job in report.job_of.items() if address in wanted and job in report.live})
    if not jobs:
        raise UserError(f"{runs}: no job of this folder waits or runs (a run on this machine is stopped with Ctrl-C)")
    others = {address for address, job in report.job_of.items() if job in jobs} - wanted
    cancel_jobs(runs, jobs)
    console = common.console()
    beside = f", and {counted(len(others), 'stage')} in the same jobs" if others else ""
    console.print(f"cancelled {counted(len(jobs), 'job')}{beside}")
    console.print("finished stages are kept; the same lgbench run, or lgbench retry, submits the rest again")
