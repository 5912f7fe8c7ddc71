"""`lgbench run`: computes the stages that a plan lacks and prints the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from learngene_bench.cli import common
from learngene_bench.cli.computing import Computation, conclude_run
from learngene_bench.cli.executor_options import add_executor_options, options_of
from learngene_bench.cli.plan import print_doubts
from learngene_bench.cli.sweep import run_sweep
from learngene_bench.cli.track import print_where
from learngene_bench.contracts.tracker import usable_trackers
from learngene_bench.execution.executors import make_executor
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import Request, build_request
from learngene_bench.planning.sweep import make_sweep
from learngene_bench.runs.store import Runs
from learngene_bench.schema.seeds import parse_seeds
from learngene_bench.tracking.run import FOLDER

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
    seeds: common.SeedsOption = "1",
    runs: common.NewRunsOption = None,
    settings: common.SetOption = None,
    plugin: common.PluginOption = None,
    quick: common.QuickOption = False,
    equal_budget: common.EqualBudgetOption = False,
    sweep: common.SweepOption = None,
    trials: common.TrialsOption = None,
    trial_seed: common.TrialSeedOption = 0,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try stages again that failed in an earlier run.")
    ] = False,
    executor: ExecutorOption = "local",
    track: common.TrackOption = None,
    **given: Any,
) -> int:
    """Measure methods on a grid. Finished stages are reused, interrupted ones continue."""
    chosen = make_executor(executor, options_of(executor, run, given))
    trackers = usable_trackers(track or ())
    registry = common.registry_of(plugin)

    wanted = parse_seeds(seeds)

    def build(further: Sequence[str]) -> Request:
        every = [*(settings or ()), *further]
        request = build_request(common.joined(method), grid, preset, wanted, every, registry, quick, equal_budget)
        return replace(request, device=chosen.device_kind(request.preset.compute), processes=chosen.processes)

    space = common.sweep_space(sweep, trials, trial_seed, settings, registry)
    runs = common.runs_folder(runs, quick)
    common.refuse_mixing(runs, quick)
    debug, command = bool(context.obj), common.command_line()
    computation = Computation(chosen, Runs(runs), command, plugin or [], retry_failed, debug, trackers)
    print_where(trackers, runs / FOLDER, common.console())
    if space is None:
        plan = make_plan(build(()))
        print_doubts(plan, common.console())
        state = computation.compute([plan])
        if state.handed_over:
            return 0
        return conclude_run(computation, state, plan)
    planned = make_sweep(build, space)
    print_doubts(planned.default, common.console())
    return run_sweep(computation, planned)
