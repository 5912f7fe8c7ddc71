"""`lgbench run`: computes the stages that a plan lacks and prints the tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from learngene_bench.cli import common
from learngene_bench.cli.display import Display, print_failures, print_warnings
from learngene_bench.cli.executor_options import add_executor_options, options_of
from learngene_bench.cli.plan import print_doubts
from learngene_bench.config.preset import QUICK
from learngene_bench.contracts.executor import Executor, RunState, StageInfo
from learngene_bench.execution.executors import make_executor
from learngene_bench.execution.work import StageWork
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import settings_anywhere
from learngene_bench.runs.manifest import describe_cell, write_manifest
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.provenance import SourceCode
from learngene_bench.schema.stage import Execution
from learngene_bench.util import source_code
from learngene_bench.util.errors import UserError, describe_error
from learngene_bench.util.files import write_text

if TYPE_CHECKING:
    from learngene_bench.results import Results

ExecutorOption = Annotated[
    str,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Place where stages are computed: inline (in this process, so that breakpoint() works in a method), local "
        "(worker processes on this machine), slurm (jobs of a cluster), or another installed executor. Defaults of "
        "their options: ~/.config/lgbench/site.toml.",
    ),
]


@add_executor_options
def run(
    context: typer.Context,
    method: common.MethodOption = None,
    grid: common.GridOption = "depth",
    preset: common.PresetOption = "digits",
    seeds: common.SeedsOption = 1,
    runs: common.NewRunsOption = None,
    settings: common.SetOption = None,
    plugin: common.PluginOption = None,
    quick: common.QuickOption = False,
    equal_budget: common.EqualBudgetOption = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try stages again that failed in an earlier run.")
    ] = False,
    executor: ExecutorOption = "local",
    **given: Any,
) -> int:
    """Measure methods on a grid. Finished stages are reused, interrupted ones continue."""
    chosen = make_executor(executor, options_of(executor, run, given))
    registry = common.registry_of(plugin)
    request = build_request(common.joined(method), grid, preset, seeds, settings, registry, quick, equal_budget)
    device = chosen.device_kind(request.preset.compute)
    plan = make_plan(replace(request, device=device, processes=chosen.processes))
    runs = common.runs_folder(runs, quick)
    store, command, plugins = Runs(runs), common.command_line(), plugin or []
    if quick and not all(manifest.is_quick for manifest in store.manifests()):
        raise UserError(f"{runs} holds results that are not quick: give --quick a folder of its own, or none")
    if chosen.on_this_machine:
        _check_data(plan, store)

    def begin(stages: Sequence[StageInfo]) -> None:
        write_manifest(plan, store, command)
        execution_of = _execution_of(plan, command, chosen, plugins)
        for stage in stages:
            store.write_config(plan.stages[stage.address], execution_of(stage))

    console = common.console()
    print_doubts(plan, console)
    with Display(plan.stages, store, console, plain=chosen.shares_terminal, debug=bool(context.obj)) as display:
        state = chosen.run(
            StageWork(
                stages=dict(plan.stages),
                runs=runs,
                compute=plan.preset.compute,
                plugins=plugins,
                retry="all" if retry_failed else "crashed",
                command_line=command,
                on_begin=begin,
                on_change=display.update,
            )
        )
    return 0 if state.handed_over else _conclude(plan, state, store, console)


def _check_data(plan: Plan, store: Runs) -> None:
    """Raises `UserError` if data of a task are missing, before hours of training on the source."""
    if not all(store.stage_dir(stage).state() is State.DONE for stage in plan.stages.values()):
        for task in plan.tasks:
            task.check_available()


def _execution_of(
    plan: Plan, command: list[str], executor: Executor, plugins: Sequence[Path]
) -> Callable[[StageInfo], Execution]:
    """Returns a function that says what a stage's worker needs to know beside the stage."""
    cells = {cell.address: describe_cell(cell, plan) for cell in plan.cells}
    code = SourceCode(**source_code.identity())

    def execution_of(stage: StageInfo) -> Execution:
        return Execution(
            command=tuple(command),
            code=code,
            executor=executor.name,
            executor_options=executor.options.model_dump(mode="json", exclude_defaults=True),
            plugins=tuple(str(path.resolve()) for path in plugins),
            checkpoint_seconds=plan.preset.compute.checkpoint_seconds,
            num_workers=plan.preset.compute.num_workers,
            data=settings_anywhere(plan.preset.data),
            task_data=settings_anywhere(plan.task_data[stage.address]) if stage.address in plan.task_data else None,
            files={found: str(path.resolve()) for found, path in plan.files.items()},
            description=cells.get(stage.address),
        )

    return execution_of


def _conclude(plan: Plan, state: RunState, runs: Runs, console: Console) -> int:
    """Prints the tables of this run, reasons to doubt it and failures; returns the exit status."""
    status = _report(plan, state, runs, console)
    print_warnings(plan.stages.values(), runs, console)
    return max(status, print_failures(state, console))


def _report(plan: Plan, state: RunState, runs: Runs, console: Console) -> int:
    """Writes the tables beside the records, prints them, and draws the figures; says where everything is.

    Returns 1 if that goes wrong, which no record depends on.
    """
    from learngene_bench import results
    from learngene_bench.results.formats.reporting import make, print_report

    folder = runs.root / "report" / f"{plan.preset.name}-{plan.setting[:8]}"
    try:
        found = results.load([runs.root]).of_setting(plan.equal_budget_of or plan.setting)
        if not found.records:
            return 0
        written = _write_tables(found, folder)
        if plan.preset.name.endswith(QUICK):
            console.print("a quick run: it shows that everything runs, its numbers mean nothing\n", soft_wrap=True)
        print_report(make(found, plan.grid.name), console)
        written |= _draw(found, folder, is_new=bool(state.done - state.reused))
        for kind, path in {"records": runs.root / "cell", **written}.items():
            console.print(f"{kind:10}{path}", soft_wrap=True)
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        console.print(
            f"the report failed ({describe_error(error)}); the records are complete, and "
            f"lgbench --debug report --runs {runs.root} shows where it fails",
            markup=False,
            soft_wrap=True,
        )
        return 1
    return 0


def _write_tables(found: Results, folder: Path) -> dict[str, Path]:
    """Writes the tables as CSV and Markdown; returns where they are."""
    from learngene_bench.results.formats.reporting import FORMATS, make

    report, written = make(found), {"CSV": folder / "cells.csv", "Markdown": folder / "tables.md"}
    for kind, path in written.items():
        write_text(path, FORMATS[kind.lower()](report))
    return written


def _draw(found: Results, folder: Path, is_new: bool) -> dict[str, Path]:
    """Draws the figures, unless all is as it was when they were drawn; returns where they are."""
    from learngene_bench.results import plots

    drawn = sorted(folder.glob("*.png"))
    if not drawn or is_new:
        drawn = [path for path in plots.accuracy(found, folder) if path.suffix == ".png"]
    return {"plot" if number == 0 else f"plot {number + 1}": path for number, path in enumerate(drawn)}
