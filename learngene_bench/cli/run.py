"""`lgbench run`: computes what a plan lacks and prints the table."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from learngene_bench.cli import common
from learngene_bench.executor import Execution, execute_plan
from learngene_bench.files import write_text
from learngene_bench.manifest import about, write_manifest
from learngene_bench.plan import Plan, Stage
from learngene_bench.planner import make_plan
from learngene_bench.pool import Crew
from learngene_bench.registry import Registry
from learngene_bench.slots import slots
from learngene_bench.store import Runs

if TYPE_CHECKING:
    from learngene_bench.results import Results


def run(
    method: common.MethodOption,
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
) -> int:
    """Measure methods on a grid; what is done already is not done again, what was interrupted continues."""
    from learngene_bench.cli.display import Display

    registry = Registry(plugin or [])
    plan = make_plan(common.build_request(method, grid, preset, seeds, settings, registry, quick, equal_budget))
    compute = plan.preset.compute
    crew = Crew(slots(compute, workers, per_gpu), cores=compute.threads)
    folder = Runs(runs)
    folder.check_writable()
    command = common.command_line()
    manifest = write_manifest(plan, folder, command)
    console = common.console()
    display = Display(plan, folder, console)
    execution_of = _execution_of(plan, command)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with display:
        execution = execute_plan(
            plan.stages,
            folder,
            crew,
            enter=lambda stage: folder.enter(stage, execution_of(stage)),
            plugins=plugin or [],
            retry="failed" if retry_failed else "died",
            watch=display.update,
        )
    return _conclude(plan, execution, folder, manifest, console)


def _execution_of(plan: Plan, command: list[str]) -> Any:
    """What a stage's worker needs to know beside the stage."""
    cells = {cell.address: about(cell, plan) for cell in plan.cells}

    def execution_of(stage: Stage) -> Mapping[str, Any]:
        return {
            "command": command,
            "device": plan.preset.compute.device,
            "checkpoint_seconds": plan.preset.compute.checkpoint_seconds,
            "data": plan.preset.data,
            "files": {found: str(path.resolve()) for found, path in plan.files.items()},
            "about": cells.get(stage.address),
        }

    return execution_of


def _conclude(plan: Plan, execution: Execution, runs: Runs, manifest: Path, console: Any) -> int:
    """Prints the tables of this run, writes them beside the records, says where everything lies."""
    from learngene_bench import results
    from learngene_bench.results import render

    found = results.load([runs.root]).of_setting(plan.equal_budget_of or plan.setting)
    if found.records:
        render.terminal([t for metric in results.METRICS for t in results.tables(found, metric)], console)
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
    from learngene_bench.results import METRICS, plots, render, tables

    folder = runs.root / "report" / f"{plan.preset.name}-{plan.setting[:8]}"
    texts = {
        "CSV": (folder / "cells.csv", render.csv(found)),
        "Markdown": (folder / "tables.md", render.markdown([t for metric in METRICS for t in tables(found, metric)])),
    }
    for path, text in texts.values():
        write_text(path, text)
    drawn = sorted(folder.glob("*.png"))
    if not drawn or execution.done - execution.reused:
        drawn = [path for path in plots.accuracy(found, folder) if path.suffix == ".png"]
    figures = {"plot" if i == 0 else f"plot {i + 1}": path for i, path in enumerate(drawn)}
    return {"records": runs.root / "cell", **{kind: path for kind, (path, _) in texts.items()}, **figures}
