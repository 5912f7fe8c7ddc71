"""`lgbench status`: state of the stages of a runs folder, from its files and from executors with jobs there."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.cli.measured import measured
from learngene_bench.contracts.executor import JobReport
from learngene_bench.execution.status import (
    StageState,
    StageStatus,
    planned_stages,
    rest_after,
    seconds_left,
    stage_statuses,
    statuses_and_jobs,
)
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.runs.store import Runs
from learngene_bench.schema.constants import STAGE_KINDS
from learngene_bench.schema.manifest import PlannedStage
from learngene_bench.tracking.problems import reported_problems
from learngene_bench.tracking.run import FOLDER as TRACKINGS
from learngene_bench.util.durations import duration
from learngene_bench.util.words import counted

MOST_LISTED = 40
"""Stages of one state that are listed; a grid has thousands."""
FILES_SECONDS, JOBS_SECONDS = 2.0, 15.0
"""Time between two looks at the files, and between two questions to the schedulers, with --watch."""

LISTED = (StageState.RUNNING, StageState.INTERRUPTED, StageState.CANCELLED, StageState.LOST, StageState.FAILED)


def status(
    runs: common.RunsOption = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Repeat until nothing runs.")] = False,
    every: Annotated[bool, typer.Option("--all", help="List every stage, also the finished ones.")] = False,
    format: common.FormatOption = common.Format.TABLE,
) -> None:
    """Print which stages are running, queued, done, failed, lost or waiting."""
    folder = open_runs(runs)
    stages = planned_stages(folder)
    if format is common.Format.JSON:
        found = stage_statuses(folder, stages)
        common.print_json({"runs": str(runs), "stages": [_as_json(one) for one in found]})
    elif watch:
        _watch(folder, stages, common.console())
    else:
        found, jobs = statuses_and_jobs(folder, stages)
        console = common.console()
        console.print(_view(folder, found, jobs), soft_wrap=True)
        if every:
            console.print(_listing(folder, found))
        else:
            console.print(Text("--all lists every stage, with its address", style="dim"), soft_wrap=True)


def _watch(runs: Runs, stages: Sequence[PlannedStage], console: Console) -> None:
    jobs, asked, shown = JobReport(), -math.inf, ""
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            began = time.monotonic()
            if began - asked > JOBS_SECONDS:
                found, jobs = statuses_and_jobs(runs, stages)
                asked = began
            else:
                found = stage_statuses(runs, stages, jobs)
            view = _view(runs, found, jobs)
            if live:
                live.update(view, refresh=True)
            elif (text := "\n".join(map(str, view.renderables))) != shown:  # a file or a pipe gets what changed
                console.print(view, soft_wrap=True)
                shown = text
            if not any(one.state in (StageState.RUNNING, StageState.QUEUED) for one in found):
                return
            time.sleep(rest_after(time.monotonic() - began, FILES_SECONDS))


def _view(runs: Runs, found: Sequence[StageStatus], jobs: JobReport) -> Group:
    counts = Counter((one.kind, one.state) for one in found)
    lines = []
    for kind in STAGE_KINDS:
        parts = [f"{counts[kind, state]} {state}" for state in StageState if counts[kind, state]]
        if parts:
            lines.append(Text(f"{kind + 's':10} {', '.join(parts)}"))
    for state in LISTED:
        listed = [one for one in found if one.state is state]
        lines += [Text(f"{state:12} {one.label}: {_words(one)}") for one in listed[:MOST_LISTED]]
        if len(listed) > MOST_LISTED:
            lines.append(Text(f"{'':12} and {len(listed) - MOST_LISTED} more (--format json lists all)", style="dim"))
    reasons = Counter(
        one.message for one in found if one.state is StageState.QUEUED and one.message not in ("", "None")
    )
    lines += [Text(f"{'queued':12} {count} for {reason}") for reason, count in reasons.most_common()]
    for path, problems in reported_problems(runs.root / TRACKINGS).items():
        text = f"{path.stem}: {counted(len(problems), 'problem')} in {path}, the last: {problems[-1]}"
        lines.append(Text(text, style="yellow"))
    lines += [Text(note, style="yellow") for note in jobs.notes]
    if jobs.error:
        lines.append(Text(f"from the files alone: {jobs.error}", style="yellow"))
    if any(one.state is StageState.RUNNING for one in found):
        text = "kill PROCESS, on its machine, or lgbench cancel for a job, ends what should not run"
        lines.append(Text(text, style="dim"))
    if any(one.state in (StageState.FAILED, StageState.LOST, StageState.CANCELLED) for one in found):
        lines.append(Text("lgbench logs CELL tells more, lgbench retry tries again", style="dim"))
    return Group(*lines)


def _listing(runs: Runs, found: Sequence[StageStatus]) -> Table:
    """Returns a line for each stage: its address, its name, its state, and what it gave."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for column in ("address", "label", "state", "words"):
        table.add_column(no_wrap=column == "address", overflow="fold")
    for one in found:
        done = one.state is StageState.DONE
        words = measured(runs.folder(one.kind, one.address), one.kind) if done else _words(one)
        table.add_row(*map(Text, (one.address[:8], one.label, one.state, words)))
    return table


def _words(one: StageStatus) -> str:
    if one.state is StageState.FAILED:
        return one.message
    parts = [_progress(one)]
    left = seconds_left(one.progress)
    if one.state is StageState.RUNNING and left is not None:
        parts.append(f"{duration(left)} left in it")
    if one.state in (StageState.RUNNING, StageState.LOST, StageState.CANCELLED):
        parts.append(one.message)
    return ", ".join(filter(None, parts))


def _progress(one: StageStatus) -> str:
    progress = one.progress
    if progress is None:
        return "starting" if one.state is StageState.RUNNING else ""
    measured = "".join(f", {name} {value:.1f}" for name, value in list(progress.metrics.items())[:1])
    return f"{progress.phase} {progress.epoch:.1f}/{progress.epochs:.1f}{measured}"


def _as_json(one: StageStatus) -> dict[str, Any]:
    progress = one.progress.model_dump() if one.progress else {}
    return {**asdict(one), "progress": progress, "seconds_left": seconds_left(one.progress)}
