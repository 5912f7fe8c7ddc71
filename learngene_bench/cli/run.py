"""`lgbench run`: computes what a plan lacks and prints the table."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from learngene_bench.cli import common, submit
from learngene_bench.cli import slurm_options as on_slurm
from learngene_bench.execution.local import Execution, Retry, execute_plan
from learngene_bench.execution.pool import Crew
from learngene_bench.execution.resources import device_kind, local_device, slots
from learngene_bench.execution.slurm.settings import SlurmSettings, slurm_settings
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import build_request
from learngene_bench.plugins.registry import Registry
from learngene_bench.runs.manifest import describe_cell, write_manifest
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.provenance import SourceCode
from learngene_bench.schema.stage import Execution as StageExecution
from learngene_bench.util import source_code
from learngene_bench.util.files import write_text

if TYPE_CHECKING:
    from learngene_bench.results import Results


def run(
    method: common.MethodOption = None,
    grid: common.GridOption = "depth",
    preset: common.PresetOption = "digits",
    seeds: common.SeedsOption = 1,
    runs: common.RunsOption = Path("runs"),
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default as many as fit on this machine.")
    ] = None,
    per_gpu: Annotated[
        int | None, typer.Option("--per-gpu", min=1, help="Workers that share a GPU; 1 by default.")
    ] = None,
    settings: common.SetOption = None,
    plugin: common.PluginOption = None,
    quick: common.QuickOption = False,
    equal_budget: common.EqualBudgetOption = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")] = False,
    processes: Annotated[
        int | None,
        typer.Option("--processes-per-model", min=1, help="That train one model together, on a GPU each."),
    ] = None,
    executor: on_slurm.ExecutorOption = on_slurm.Executor.LOCAL,
    partition: on_slurm.PartitionOption = None,
    account: on_slurm.AccountOption = None,
    time: on_slurm.TimeOption = None,
    nodes: on_slurm.NodesOption = None,
    gpus_per_node: on_slurm.GpusOption = None,
    cpus_per_task: on_slurm.CpusOption = None,
    mem: on_slurm.MemOption = None,
    cells_per_job: on_slurm.CellsPerJobOption = None,
    max_parallel: on_slurm.MaxParallelOption = None,
    set_slurm: on_slurm.SetSlurmOption = None,
    snapshot: on_slurm.SnapshotOption = False,
    wait: on_slurm.WaitOption = False,
    dry_run: on_slurm.DryRunOption = False,
    format: on_slurm.DryRunFormatOption = common.Format.TABLE,
) -> int:
    """Measure methods on a grid; what is done already is not done again, what was interrupted continues."""
    asked = {
        "partition": partition,
        "account": account,
        "time": time,
        "nodes": nodes,
        "gpus_per_node": gpus_per_node,
        "cpus_per_task": cpus_per_task,
        "mem": mem,
        "cells_per_job": cells_per_job,
        "max_parallel": max_parallel,
    }
    if executor is on_slurm.Executor.LOCAL:
        on_slurm.refuse({**asked, "set_slurm": set_slurm, "snapshot": snapshot, "wait": wait, "dry_run": dry_run})
    registry = Registry(plugin or [])
    request = build_request(common.joined(method), grid, preset, seeds, settings, registry, quick, equal_budget)
    more = {"per_gpu": per_gpu, "processes_per_model": processes}
    compute = request.preset.compute
    if executor is on_slurm.Executor.LOCAL:
        device = local_device(compute)
    else:
        resources = slurm_settings({**asked, **more}, set_slurm or [])
        device = device_kind(compute, has_gpus=resources.gpus_per_node > 0)
        processes = resources.processes_per_model
    plan = make_plan(replace(request, device=device, processes=processes or 1))
    work = _Work(plan, Runs(runs), plugin or [], "failed" if retry_failed else "died", common.command_line())
    if executor is on_slurm.Executor.LOCAL:
        return _run_here(work, workers, per_gpu, processes or 1)
    if dry_run:
        as_json = format is common.Format.JSON
        submit.dry_run(plan, work.runs, resources, common.console(), retry=work.retry, as_json=as_json)
        return 0
    return _run_on_slurm(work, resources, snapshot=snapshot, wait=wait)


@dataclass(frozen=True)
class _Work:
    """What is to be computed, wherever."""

    plan: Plan
    runs: Runs
    plugins: list[Path]
    retry: Retry
    command: list[str]

    def begin(self) -> Callable[[Stage], object]:
        """Writes down what this run intends; gives what writes the configuration of a stage."""
        self.runs.check_writable()
        write_manifest(self.plan, self.runs, self.command)
        execution_of = _execution_of(self.plan, self.command)
        return lambda stage: self.runs.write_config(stage, execution_of(stage))


def _run_here(work: _Work, workers: int | None, per_gpu: int | None, processes: int) -> int:
    if not all(work.runs.stage_dir(stage).state() is State.DONE for stage in work.plan.stages.values()):
        for task in work.plan.tasks:  # before hours of training on the source for a task that is not there
            task.check_available()
    settings = work.plan.preset.compute
    crew = Crew(slots(settings, workers, per_gpu, processes), settings.threads * processes, processes)
    console = common.console()
    execution = compute(
        work.plan.stages, work.runs, crew, console, enter=work.begin(), plugins=work.plugins, retry=work.retry
    )
    return _conclude(work.plan, execution, work.runs, console)


def compute(
    stages: Mapping[str, Stage],
    runs: Runs,
    crew: Crew,
    console: Console,
    *,
    enter: Callable[[Stage], object],
    plugins: Sequence[Path],
    retry: Retry,
) -> Execution:
    """`execute_plan`, shown while it goes on; signals that end a process let the workers save where they are."""
    from learngene_bench.cli.display import Display

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    display = Display(stages, runs, console)
    with display:
        return execute_plan(stages, runs, crew, enter=enter, plugins=plugins, retry=retry, watch=display.update)


def _run_on_slurm(work: _Work, resources: SlurmSettings, *, snapshot: bool, wait: bool) -> int:
    console = common.console()
    submit.submit(
        work.plan,
        work.runs,
        resources,
        console,
        begin=work.begin,
        plugins=work.plugins,
        retry=work.retry,
        command=work.command,
        snapshot=snapshot,
    )
    if not wait:
        return 0
    return _conclude(work.plan, submit.follow(work.plan, work.runs, console), work.runs, console)


def _execution_of(plan: Plan, command: list[str]) -> Callable[[Stage], StageExecution]:
    """What a stage's worker needs to know beside the stage."""
    cells = {cell.address: describe_cell(cell, plan) for cell in plan.cells}
    code = SourceCode(**source_code.identity())

    def execution_of(stage: Stage) -> StageExecution:
        return StageExecution(
            command=tuple(command),
            code=code,
            checkpoint_seconds=plan.preset.compute.checkpoint_seconds,
            num_workers=plan.preset.compute.num_workers,
            data=dict(plan.preset.data),
            task_data=dict(plan.task_data[stage.address]) if stage.address in plan.task_data else None,
            files={found: str(path.resolve()) for found, path in plan.files.items()},
            description=cells.get(stage.address),
        )

    return execution_of


def _conclude(plan: Plan, execution: Execution, runs: Runs, console: Any) -> int:
    """Prints the tables of this run, writes them beside the records, says where everything lies."""
    from learngene_bench import results
    from learngene_bench.results.formats.reporting import make, print_report

    found = results.load([runs.root]).of_setting(plan.equal_budget_of or plan.setting)
    if found.records:
        print_report(make(found, plan.grid.name), console)
        for kind, path in _write_report(found, plan, execution, runs).items():
            console.print(f"{kind:10}{path}", soft_wrap=True)
    failures = [(plan.stages[address].label, error) for address, error in execution.failed.items()]
    for label, error in failures:
        console.print(f"[red]failed[/]    {escape(label)}: {escape(error)}", soft_wrap=True)
    if execution.blocked:
        console.print(f"not run   {len(execution.blocked)} stages whose input failed")
    if failures:
        console.print(
            "run again with --retry-failed to try once more (what died is tried again without); "
            "failed.json and log.txt tell more",
            soft_wrap=True,
        )
    return 1 if failures else 0


def _write_report(found: Results, plan: Plan, execution: Execution, runs: Runs) -> dict[str, Path]:
    """Writes the tables as CSV and Markdown and the figures; says where they and the records lie."""
    from learngene_bench.results import plots
    from learngene_bench.results.formats.reporting import FORMATS, make

    folder = runs.root / "report" / f"{plan.preset.name}-{plan.setting[:8]}"
    report = make(found)
    texts = {
        "CSV": (folder / "cells.csv", FORMATS["csv"](report)),
        "Markdown": (folder / "tables.md", FORMATS["markdown"](report)),
    }
    for path, text in texts.values():
        write_text(path, text)
    drawn = sorted(folder.glob("*.png"))
    if not drawn or execution.done - execution.reused:
        drawn = [path for path in plots.accuracy(found, folder) if path.suffix == ".png"]
    figures = {"plot" if i == 0 else f"plot {i + 1}": path for i, path in enumerate(drawn)}
    return {"records": runs.root / "cell", **{kind: path for kind, (path, _) in texts.items()}, **figures}
