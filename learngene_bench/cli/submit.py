"""`lgbench run --executor slurm`: what is submitted, in words and as JSON, and following it to its end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from learngene_bench.cli.display import Display, duration
from learngene_bench.execution.local import Execution, Retry
from learngene_bench.execution.slurm import prepare, scheduler
from learngene_bench.execution.slurm.layout import Array
from learngene_bench.execution.slurm.settings import SlurmSettings
from learngene_bench.execution.slurm.submit import parameters
from learngene_bench.execution.status import Standing, situations
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.runs.lease import claimed
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError

LOOK = 3.0
"""Seconds between two looks at the jobs, while following them."""


def dry_run(
    plan: Plan,
    runs: Runs,
    settings: SlurmSettings,
    console: Console,
    *,
    retry: Retry,
    as_json: bool,
) -> None:
    """Prints what would be submitted; works without a cluster too, with SLURM's default limits."""
    cluster = scheduler.is_there()
    limits = scheduler.limits(settings.partition) if cluster else scheduler.Limits(1001, None)
    prepared = prepare.prepare(plan, runs, settings, limits, retry=retry, cluster=cluster)
    if as_json:
        print(json.dumps(_as_json(plan, prepared, settings), indent=1))
        return
    if not cluster:
        console.print("no SLURM controller answers here: arrays of 1001 tasks at most, no time limit of a partition")
    _print(prepared, console)


def submit(
    plan: Plan,
    runs: Runs,
    settings: SlurmSettings,
    console: Console,
    *,
    begin: Callable[[], Callable[[Stage], object]],
    plugins: list[Path],
    retry: Retry,
    command: list[str],
    snapshot: bool,
) -> None:
    """Submits what is left to do and no job does yet.

    Args:
        begin: writes down what the run intends; gives what writes the configuration of a stage.

    Raises:
        UserError: no cluster answers, it refuses, or another process submits from this runs folder just now.
    """
    limits = scheduler.limits(settings.partition)
    enter = begin()
    (runs.root / "slurm").mkdir(exist_ok=True)
    with claimed(runs.root / "slurm") as held:
        if not held:
            raise UserError(f"{runs.root}: another lgbench run is submitting from this folder just now; try again soon")
        prepared = prepare.prepare(plan, runs, settings, limits, retry=retry)
        if prepared.arrays:
            prepare.hand_over(
                plan,
                runs,
                prepared,
                settings,
                enter,
                plugins=plugins,
                command=command,
                snapshot=snapshot,
            )
    _print(prepared, console, "submitted")
    for address, error in prepared.failed.items():
        console.print(f"[red]failed[/]    {escape(plan.stages[address].label)}: {escape(error)}", soft_wrap=True)
    if prepared.failed:
        console.print("not tried again: --retry-failed does", soft_wrap=True)
    console.print(f"follow with: lgbench status --watch --runs {runs.root}", soft_wrap=True)


def _print(prepared: prepare.Prepared, console: Console, verb: str = "to submit") -> None:
    if prepared.arrays:
        table = Table(box=None, pad_edge=False)
        for heading, justify in (("array", "left"), ("jobs", "right"), ("stages", "right"), ("time limit", "right")):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        table.add_column("after", overflow="fold")
        for array in prepared.arrays:
            stages = sum(len(task.stages) for task in array.tasks)
            limit = duration(60 * array.minutes) if array.minutes else "none"
            table.add_row(
                *map(Text, (array.name, str(len(array.tasks)), str(stages), limit, _after(array, prepared.arrays)))
            )
        console.print(table)
    jobs = sum(len(array.tasks) for array in prepared.arrays)
    stages = sum(len(task.stages) for array in prepared.arrays for task in array.tasks)
    parts = [f"{verb}: {stages} stages in {jobs} jobs, {len(prepared.arrays)} calls of sbatch"]
    parts += [f"{prepared.done} stages are done"] if prepared.done else []
    parts += [f"{len(prepared.live)} are in jobs submitted before"] if prepared.live else []
    parts += [f"{len(prepared.running)} run elsewhere"] if prepared.running else []
    parts += [f"{len(prepared.failed)} failed"] if prepared.failed else []
    parts += [f"{len(prepared.blocked)} have an input that failed"] if prepared.blocked else []
    console.print("; ".join(parts), soft_wrap=True)


def _after(array: Array, arrays: list[Array]) -> str:
    names = [arrays[number].name + ("" if task is None else f" [{task}]") for number, task in array.after]
    return ", ".join([*names, *(f"job {job}" for job in array.after_jobs)])


def _as_json(plan: Plan, prepared: prepare.Prepared, settings: SlurmSettings) -> dict[str, Any]:
    arrays = []
    for array in prepared.arrays:
        named = [{"jobs": [f"JOB-OF:{other.name}[{i}]" for i in range(len(other.tasks))]} for other in prepared.arrays]
        labels = [[plan.stages[address].label for address in task.stages] for task in array.tasks]
        options = parameters(array, named, settings, None)
        arrays.append({**asdict(array), "labels": labels, "options": options})
    counts = {"done": prepared.done, "side_by_side": prepared.side_by_side}
    lists = {"live": prepared.live, "running": sorted(prepared.running), "failed": prepared.failed}
    return {**counts, **lists, "blocked": sorted(prepared.blocked), "arrays": arrays}


def follow(plan: Plan, runs: Runs, console: Console) -> Execution:
    """Shows the jobs until none of the plan's stages waits or runs any more.

    Raises:
        KeyboardInterrupt: a person has seen enough; the jobs go on.
    """
    display = Display(plan.stages, runs, console)
    reused: set[str] | None = None
    try:
        with display:
            while True:
                found = situations(runs, plan.stages.values())
                by = {standing: {s.address for s in found if s.standing is standing} for standing in Standing}
                gone = [s for s in found if s.standing in (Standing.FAILED, Standing.LOST, Standing.CANCELLED)]
                reused = by[Standing.DONE] if reused is None else reused
                execution = Execution(
                    plan.stages,
                    reused=reused,
                    done=by[Standing.DONE],
                    running=by[Standing.RUNNING],
                    failed={s.address: s.remark for s in gone},
                    blocked=by[Standing.BLOCKED],
                )
                display.update(execution)
                if not by[Standing.RUNNING] and not by[Standing.QUEUED]:
                    return execution
                time.sleep(LOOK)
    except KeyboardInterrupt:
        console.print("the jobs go on; lgbench status --watch follows them, lgbench cancel ends them")
        raise
