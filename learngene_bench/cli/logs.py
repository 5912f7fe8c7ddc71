"""`lgbench logs`: output of a stage, its failure, and the output of its jobs."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console

from learngene_bench.cli import common
from learngene_bench.cli.measured import measured
from learngene_bench.execution.executors import job_logs
from learngene_bench.execution.status import StageState, planned_stages, stage_statuses
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.runs.listing import list_stages
from learngene_bench.runs.lookup import find_one
from learngene_bench.runs.store import StageFolder
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.cost import Cost
from learngene_bench.util.durations import duration
from learngene_bench.util.errors import UserError
from learngene_bench.util.files import read_bytes


def logs(cell: common.StageArgument, runs: common.RunsOption = Path("runs")) -> None:
    """Print the output of a cell, gene or ancestor, its failure, and the output of its jobs."""
    store = open_runs(runs)
    address = find_one(list_stages(store), common.query_of(cell)).address
    (status,) = (one for one in stage_statuses(store, planned_stages(store)) if one.address == address)
    folder = store.folder(status.kind, address)
    console = common.console()
    message = f", {status.message}" if status.message else ""
    console.print(f"{status.label}: {status.state}{message}", markup=False, soft_wrap=True)
    if status.state is StageState.DONE:
        _print_record(console, folder, status.kind)
    _print(console, folder.log)
    if folder.failed.exists() and (failure := folder.read_failure_if_there()):
        console.print(f"[dim]{folder.failed}[/]", soft_wrap=True)
        console.print(failure.traceback or "", markup=False, soft_wrap=True)
    for path in job_logs(runs, address):
        _print(console, path)


def _print_record(console: Console, folder: StageFolder, kind: StageKind) -> None:
    """Prints what a finished stage gave, what it cost, and how it was computed."""
    record, execution = folder.read_any_record(kind), folder.read_config().execution
    phases = {name: cost.seconds for name, cost in record.cost if isinstance(cost, Cost) and cost.seconds}
    seconds = ", ".join(f"{name} {duration(spent)}" for name, spent in phases.items())
    lines = {"measured": measured(folder, kind), "took": seconds, "record": str(folder.result)}
    lines["command"] = shlex.join(execution.command)
    for name, text in lines.items():
        if text:
            console.print(f"{name:10}{text}", markup=False, soft_wrap=True)


def _print(console: Console, path: Path) -> None:
    text = _text(path)
    console.print(f"[dim]{path}{'' if text else ': nothing'}[/]", soft_wrap=True)
    if text:
        console.print(text, end="" if text.endswith("\n") else "\n", markup=False, soft_wrap=True)


def _text(path: Path) -> str:
    """Reads a log; a link is not followed, as it might show any file as the log of a stage."""
    if path.is_symlink():
        raise UserError(f"{path}: a symbolic link, which is not followed")
    try:
        return read_bytes(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
