"""`lgbench status`: how the stages of a runs folder stand; from its files, joined with the scheduler's list of jobs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from learngene_bench.cli import common
from learngene_bench.cli.display import duration
from learngene_bench.execution.status import Scheduler, Situation, Standing, ask_scheduler, seconds_left, situations
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.runs.manifest import read_manifests
from learngene_bench.runs.store import Runs
from learngene_bench.schema.manifest import PlannedStage
from learngene_bench.util.errors import UserError

LINES = 40
"""Stages of one standing that are listed; a grid has thousands."""
LOOK, ASK = 2.0, 15.0
"""Seconds between two looks at the files, and between two questions to the scheduler, while watching."""

UNSETTLED = (Standing.RUNNING, Standing.QUEUED)


def status(
    runs: common.RunsOption = Path("runs"),
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again until nothing runs.")] = False,
    format: common.FormatOption = common.Format.TABLE,
) -> None:
    """Print what is running, queued, done, failed, lost or waiting."""
    folder = open_runs(runs)
    stages = planned_stages(folder)
    if format is common.Format.JSON:
        found = situations(folder, stages)
        print(json.dumps({"runs": str(runs), "stages": [_as_json(one) for one in found]}, indent=1))
    elif watch:
        _watch(folder, stages, common.console())
    else:
        asked = ask_scheduler(folder, [stage.address for stage in stages])
        common.console().print(_view(situations(folder, stages, asked), asked), soft_wrap=True)


def planned_stages(runs: Runs) -> list[PlannedStage]:
    """The stages of all plans of a runs folder, each once.

    Raises:
        UserError: there are none.
    """
    manifests = read_manifests(runs)
    if not manifests:
        raise UserError(f"{runs.root}: no runs here (lgbench run --runs {runs.root} starts one)")
    return list({stage.address: stage for manifest in manifests for stage in manifest.stages}.values())


def _watch(runs: Runs, stages: list[PlannedStage], console: Console) -> None:
    def ask() -> Scheduler:
        return ask_scheduler(runs, [stage.address for stage in stages])

    asked, at = ask(), time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = situations(runs, stages, asked)
            live.update(_view(found, asked), refresh=True)
            if not any(one.standing in UNSETTLED for one in found):
                return
            time.sleep(LOOK)
            if time.monotonic() - at > ASK:
                asked, at = ask(), time.monotonic()


def _view(found: Sequence[Situation], asked: Scheduler) -> Group:
    counts = Counter((one.kind, one.standing) for one in found)
    lines = []
    for kind in ("ancestor", "gene", "cell"):
        parts = [f"{counts[kind, standing]} {standing}" for standing in Standing if counts[kind, standing]]
        if parts:
            lines.append(Text(f"{kind + 's':10} {', '.join(parts)}"))
    for standing in (Standing.RUNNING, Standing.INTERRUPTED, Standing.CANCELLED, Standing.LOST, Standing.FAILED):
        these = [one for one in found if one.standing is standing]
        lines += [Text(f"{standing:12} {one.label}: {_words(one)}") for one in these[:LINES]]
        if len(these) > LINES:
            lines.append(Text(f"{'':12} and {len(these) - LINES} more (--format json lists all)", style="dim"))
    reasons = Counter(one.remark for one in found if one.standing is Standing.QUEUED and one.remark not in ("", "None"))
    lines += [Text(f"{'queued':12} {count} for {reason}") for reason, count in reasons.most_common()]
    if asked.other_code:
        jobs = ", ".join(asked.other_code)
        lines.append(
            Text(f"jobs that found other code than was submitted: {jobs} (--snapshot freezes it)", style="yellow")
        )
    if asked.trouble:
        lines.append(Text(f"from the files alone: {asked.trouble}", style="yellow"))
    if any(one.standing in (Standing.FAILED, Standing.LOST, Standing.CANCELLED) for one in found):
        lines.append(Text("lgbench logs CELL tells more, lgbench retry tries again", style="dim"))
    return Group(*lines)


def _words(one: Situation) -> str:
    if one.standing is Standing.FAILED:
        return one.remark
    parts = [_reached(one)]
    left = seconds_left(one.progress)
    if one.standing is Standing.RUNNING and left is not None:
        parts.append(f"{duration(left)} left in it")
    if one.standing in (Standing.LOST, Standing.CANCELLED):
        parts.append(one.remark)
    return ", ".join(filter(None, parts))


def _reached(one: Situation) -> str:
    progress = one.progress
    if progress is None:
        return "starting" if one.standing is Standing.RUNNING else ""
    measured = "".join(f", {name} {value:.1f}" for name, value in list(progress.metrics.items())[:1])
    return f"{progress.phase} {progress.epoch:.1f}/{progress.epochs:.1f}{measured}"


def _as_json(one: Situation) -> dict[str, Any]:
    progress = one.progress.model_dump() if one.progress else {}
    return {**asdict(one), "progress": progress, "state": one.standing, "seconds_left": seconds_left(one.progress)}
