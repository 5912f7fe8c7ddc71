"""`lgbench retry`: computes failed and lost stages again, from their configurations, as they were computed before.

Code that the runs folder names is not run: plugins, and options that might be commands, are given again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from learngene_bench.cli import common
from learngene_bench.cli.display import Display, print_failures
from learngene_bench.cli.executor_options import add_executor_options, options_of
from learngene_bench.execution.executors import make_executor
from learngene_bench.execution.retry import batches, check_plugins, stages_to_retry
from learngene_bench.execution.status import planned_stages, stage_statuses
from learngene_bench.execution.work import StageWork
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.listing import list_stages
from learngene_bench.runs.lookup import find
from learngene_bench.runs.store import Runs
from learngene_bench.util.errors import UserError


@add_executor_options
def retry(
    context: typer.Context,
    cells: common.StagesArgument = None,
    runs: common.RunsOption = Path("runs"),
    plugin: common.PluginOption = None,
    **given: Any,
) -> int:
    """Compute stages again that failed, or were lost, cancelled or interrupted, and those that need them."""
    store = Runs(runs)
    planned, stages = planned_stages(store), list_stages(store)
    wanted = {stage.address for query in cells for stage in find(stages, query)} if cells else None
    picked = stages_to_retry(planned, stage_statuses(store, planned), wanted)
    if not picked:
        raise UserError(f"{runs}: nothing of that failed or was lost (lgbench status --runs {runs} shows all stages)")
    exit_status, console, found = 0, common.console(), batches(store, picked)
    check_plugins(store, found, Registry(plugin or []))
    executors = [
        make_executor(batch.executor, options_of(batch.executor, retry, given), batch.executor_options)
        for batch in found
    ]
    for batch, executor in zip(found, executors, strict=True):
        with Display(batch.stages, store, console, plain=executor.shares_terminal, debug=bool(context.obj)) as display:
            work = StageWork(
                stages=dict(batch.stages),
                runs=runs,
                compute=batch.compute,
                plugins=plugin or [],
                retry="all",  # a failure is forgotten when its stage begins: stopped before, it is still known
                command_line=batch.command,
                on_change=display.update,
            )
            state = executor.run(work)
        if not state.handed_over:
            exit_status = max(exit_status, print_failures(state, console))
    console.print(f"tables: lgbench report --runs {runs}", soft_wrap=True)
    return exit_status
