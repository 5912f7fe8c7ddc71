"""Runs a sweep: trials on validation images, a selection from their records, then measurements on test images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from learngene_bench.cli.computing import Computation, conclude
from learngene_bench.contracts.executor import RunState
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.sweep import Place, SweepPlan, places_of
from learngene_bench.runs.store import Runs, State
from learngene_bench.util.files import canonical

if TYPE_CHECKING:
    from learngene_bench.results import Results


def run_sweep(computation: Computation, sweep: SweepPlan) -> int:
    """Computes a sweep, and prints its tables.

    Returns:
        The exit status of the command.
    """
    computed = compute_sweep(computation, sweep)
    if computed is None:
        return 0
    states, plans = computed
    address = sweep.sweep.address
    return conclude(computation, states, plans, address, lambda results: results.of_sweep(address))


def compute_sweep(computation: Computation, sweep: SweepPlan) -> tuple[list[RunState], list[Plan]] | None:
    """Computes the trials of a sweep, selects by them, and measures what is selected and the default on test images.

    Returns:
        How the stages ended, and all plans; None if a scheduler has the stages now.
    """
    from learngene_bench.results import load

    trials = computation.compute(sweep.trials)
    again = "run the same command again when they are done: it selects, and measures on test images"
    if trials.handed_over and not _settled(computation.runs, sweep):
        computation.console.print(f"trials on validation images: {again}", soft_wrap=True)
        return None
    chosen = selected_trials(load([computation.runs.root]), sweep)
    plans = [sweep.default, *sweep.selected(chosen)]
    second = computation.compute(plans)
    return None if second.handed_over else ([trials, second], [*plans, *sweep.trials])


def selected_trials(results: Results, sweep: SweepPlan) -> dict[Place, dict[str, str]]:
    """Returns the settings that are selected by the records there are, by place."""
    from learngene_bench.results.records.sweeps import sweeps

    planned = {place for plan in sweep.trials for place in places_of(plan).values()}
    chosen = {}
    for found in sweeps(results.of_sweep(sweep.sweep.address).manifests):
        if found.plan.grid == sweep.default.grid.name:
            for place in found.places():
                row, column = place
                target = canonical(dict(column.target))
                key = row.method, row.variant, column.size, column.task, target, column.share, column.horizon
                choice = found.choice(place, results)
                if choice.selected and key in planned:
                    chosen[key] = dict(choice.selected.settings)
    return chosen


def _settled(runs: Runs, sweep: SweepPlan) -> bool:
    """Returns whether every trial is done or failed."""
    stages = {address: stage for plan in sweep.trials for address, stage in plan.stages.items()}
    return all(runs.stage_dir(stage).state() in (State.DONE, State.FAILED) for stage in stages.values())
