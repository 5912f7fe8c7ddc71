"""`lgbench logs`: output of a stage, its failure, and the output of its jobs."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from learngene_bench.cli import common
from learngene_bench.execution.executors import job_logs
from learngene_bench.execution.status import planned_stages, stage_statuses
from learngene_bench.runs.leaderboard import open_runs
from learngene_bench.runs.listing import list_stages
from learngene_bench.runs.lookup import find_one
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
    _print(console, folder.log)
    if folder.failed.exists():
        console.print(f"[dim]{folder.failed}[/]", soft_wrap=True)
        console.print(folder.read_failure().traceback or "", markup=False, soft_wrap=True)
    for path in job_logs(runs, address):
        _print(console, path)


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
