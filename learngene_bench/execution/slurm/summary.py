"""Tables and JSON of a submission, for the user."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from learngene_bench.contracts.executor import Work
from learngene_bench.execution.slurm.layout import Array
from learngene_bench.execution.slurm.options import SlurmOptions
from learngene_bench.execution.slurm.prepare import PreparedSubmission
from learngene_bench.execution.slurm.submit import parameters
from learngene_bench.util.durations import duration
from learngene_bench.util.words import counted

_COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("array", "left"),
    ("jobs", "right"),
    ("stages", "right"),
    ("time limit", "right"),
)


def print_summary(prepared: PreparedSubmission, verb: str, console: Console) -> None:
    """Prints the arrays and the number of stages that are done, in earlier jobs, or not tried again.

    Args:
        verb: "submitted" or "to submit".
    """
    if prepared.arrays:
        table = Table(box=None, pad_edge=False)
        for heading, justify in _COLUMNS:
            table.add_column(heading, justify=justify, overflow="fold")
        table.add_column("after", overflow="fold")
        for array in prepared.arrays:
            stages = sum(len(job.stages) for job in array.jobs)
            limit = duration(60 * array.minutes) if array.minutes else "none"
            cells = (array.name, str(len(array.jobs)), str(stages), limit, _after(array, prepared.arrays))
            table.add_row(*map(Text, cells))
        console.print(table)
    jobs = sum(len(array.jobs) for array in prepared.arrays)
    stages = sum(len(job.stages) for array in prepared.arrays for job in array.jobs)
    calls = counted(len(prepared.arrays), "call")
    parts = [f"{verb}: {counted(stages, 'stage')} in {counted(jobs, 'job')}, {calls} of sbatch"]
    parts += [f"{prepared.done} stages are done"] if prepared.done else []
    parts += [f"{len(prepared.live)} are in jobs submitted before"] if prepared.live else []
    parts += [f"{len(prepared.running)} run elsewhere"] if prepared.running else []
    parts += [f"{len(prepared.failed)} failed"] if prepared.failed else []
    parts += [f"{len(prepared.blocked)} have an input that failed"] if prepared.blocked else []
    parts += [f"{prepared.later} are left for later"] if prepared.later else []
    console.print("; ".join(parts), soft_wrap=True)
    if prepared.later:
        console.print("the same command again, when the queue is shorter, submits what is left", soft_wrap=True)


def print_failures(work: Work, prepared: PreparedSubmission, console: Console) -> None:
    """Prints the stages that failed before and are not tried again."""
    for address, error in prepared.failed.items():
        console.print(f"[red]failed[/]    {escape(work.stages[address].label)}: {escape(error)}", soft_wrap=True)
    if prepared.failed:
        console.print("not tried again: --retry-failed does", soft_wrap=True)


def as_json(work: Work, prepared: PreparedSubmission, options: SlurmOptions) -> dict[str, Any]:
    """Returns everything about a submission, with the options of sbatch."""
    names = [[f"JOB-OF:{array.name}[{i}]" for i in range(len(array.jobs))] for array in prepared.arrays]
    arrays = []
    for array in prepared.arrays:
        labels = [[work.stages[address].label for address in job.stages] for job in array.jobs]
        arrays.append({**asdict(array), "labels": labels, "options": parameters(array, names, options, None)})
    counts = {"done": prepared.done, "later": prepared.later, "concurrent_stages": prepared.concurrent_stages}
    lists = {"live": prepared.live, "running": sorted(prepared.running), "failed": prepared.failed}
    return {**counts, **lists, "blocked": sorted(prepared.blocked), "arrays": arrays}


def _after(array: Array, arrays: list[Array]) -> str:
    names = [arrays[number].name + ("" if job is None else f" [{job}]") for number, job in array.after]
    return ", ".join([*names, *(f"job {job}" for job in array.after_jobs)])
