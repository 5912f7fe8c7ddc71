"""`lgbench plan`: what a run would do, what is done already, what cannot exist, and about what it costs.

Several grids have one summary: `plan_grids`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from learngene_bench.cli import common, plan_grids
from learngene_bench.cli.sweep import selected_trials
from learngene_bench.config.preset import QUICK
from learngene_bench.execution.estimate import estimate_rate, longest_chain
from learngene_bench.execution.resources import device_kind_here, worker_slots
from learngene_bench.planning.lengths import length_doubts, length_lines, lengths
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import Request, build_request
from learngene_bench.planning.sweep import SweepPlan, make_sweep, places_of
from learngene_bench.runs.disk import Space, space_of_stages
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.constants import STAGE_KINDS
from learngene_bench.schema.seeds import parse_seeds
from learngene_bench.schema.subject import PlannedCell, Subject
from learngene_bench.util.durations import duration
from learngene_bench.util.errors import UserError
from learngene_bench.util.words import counted

WIDE = 25, 7
"""Columns of a terminal that a table without costs takes at most, and that each of its places takes."""


def plan(
    method: common.MethodOption = None,
    grid: common.GridsOption = None,
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
    rate: common.RateOption = None,
    format: common.FormatOption = common.Format.TABLE,
) -> None:
    """Print what `run` with the same options would do, without doing it; for several grids, what all of them cost."""
    registry = common.registry_of(plugin)
    grids, asks_for_all = plan_grids.grid_names(grid)
    wanted, given = parse_seeds(seeds), common.joined(method)
    if rate is not None and not (0 < rate < math.inf):
        raise UserError(f"--rate {rate}: operations per second are needed, such as 5e13")

    def request_of(grid: str, methods: str | None, further: Sequence[str]) -> Request:
        every = [*(settings or ()), *further]
        request = build_request(methods, grid, preset, wanted, every, registry, quick, equal_budget)
        return replace(request, device=device_kind_here(request.preset.compute))

    def build(further: Sequence[str]) -> Request:
        return request_of(grids[0], given, further)

    runs = common.runs_folder(runs, quick)
    space = common.sweep_space(sweep, trials, trial_seed, settings, registry)
    if len(grids) > 1:
        if space is not None:
            raise UserError("--sweep is planned for one grid at a time")
        found = plan_grids.plan_grids(
            lambda name: request_of(name, plan_grids.methods_of(name, given), ()),
            grids,
            asks_for_all,
            Runs(runs),
            rate,
        )
        if format is common.Format.JSON:
            common.print_json(plan_grids.several_as_json(found))
        else:
            plan_grids.print_several(found, common.console())
        return
    made = make_plan(build(())) if space is None else plan_of_sweep(make_sweep(build, space), Runs(runs))
    states = {address: Runs(runs).stage_dir(stage).state() for address, stage in made.stages.items()}
    estimate = estimate_of(made, Runs(runs), states, rate)
    if format is common.Format.JSON:
        common.print_json(as_json(made, states, estimate))
    else:
        print_plan(made, states, estimate, common.console())


def plan_of_sweep(sweep: SweepPlan, runs: Runs) -> Plan:
    """Returns a plan of everything in a sweep: its trials, the default, and what is selected as far as that is known.

    The cells of a row and a target are then those of all its trials, and those on test images.
    """
    from learngene_bench.results import load

    known = (runs.root / "plans").is_dir()
    selected = sweep.selected(selected_trials(load([runs.root]), sweep)) if known else []
    every = [sweep.default, *sweep.trials, *selected]
    cells: dict[str, PlannedCell] = {}
    for plan in every:
        default = {address: place[1] for address, place in places_of(plan).items()} if plan.sweep else {}
        for cell in plan.cells:
            variant = default.get(cell.address, cell.variant)
            cells.setdefault(cell.address, cell.model_copy(update={"variant": variant}))
    return replace(
        sweep.default,
        cells=list(cells.values()),
        stages={address: stage for plan in reversed(every) for address, stage in plan.stages.items()},
        sweep=sweep.sweep,
    )


def estimate_of(plan: Plan, runs: Runs, states: dict[str, State], given: float | None = None) -> dict[str, Any]:
    """Operations, seconds and disk space of what is not done.

    Args:
        given: operations per second of a worker; None for the rate of finished stages of this plan, or an assumption.
    """
    left = sum(stage.flops for address, stage in plan.stages.items() if states[address] is not State.DONE)
    compute = plan.preset.compute
    slots = worker_slots(compute, workers=None)
    rate = estimate_rate(plan.stages, runs, states, compute, on_gpu=bool(slots[0].gpus))
    flops = given or rate.flops
    space = space_of_stages(plan)
    disk = Space.total(space[address] for address, state in states.items() if state is not State.DONE)
    waiting = sum(state is not State.DONE for state in states.values())
    # The longest chain cannot be shared between workers.
    most = max(left / len(slots), longest_chain(plan.stages, states))
    return {
        "stages": waiting,
        "flops": left,
        "seconds": most / flops if waiting else 0.0,
        "workers": len(slots),
        "rate": flops,
        "rate_from": "--rate" if given else rate.source,
        "disk": asdict(disk),
    }


def as_json(plan: Plan, states: dict[str, State], estimate: dict[str, Any]) -> dict[str, Any]:
    """Returns a plan, the states of its stages by address, and the estimate as plain values."""
    return {
        "preset": plan.preset.name,
        "grid": plan.grid.name,
        "setting": plan.setting,
        **({"sweep": plan.sweep.model_dump(mode="json", exclude={"role", "rows"})} if plan.sweep else {}),
        "cells": [{**cell.model_dump(mode="json"), "state": states[cell.address]} for cell in plan.cells],
        "dashes": [
            dash.model_dump(mode="json", include={"method", "variant", "size", "task", "target", "reason"})
            for dash in plan.unsupported
        ],
        "stages": [
            {"address": address, "kind": stage.kind, "label": stage.label, "state": states[address]}
            | {"inputs": dict(stage.inputs), "flops": stage.flops}
            for address, stage in plan.stages.items()
        ],
        "lengths": [asdict(length) for length in lengths(plan)],
        "estimate": estimate,
    }


Place = float | str


def _place(plan: Plan, found: Subject) -> Place:
    """Returns the place of a cell or dash on the grid's axis."""
    place = found.along(plan.grid.axis)
    return place if isinstance(place, str) else float(place or 0)


def print_plan(plan: Plan, states: dict[str, State], estimate: dict[str, Any], console: Console) -> None:
    """Prints a plan as a table of cells done of cells planned, with reasons, doubts and the estimate."""
    table = Table(title=Text(f"{plan.grid.title}, preset {plan.setting_description}"), title_justify="left", box=None)
    table.add_column(
        "method", overflow="fold", min_width=max(len("method"), *(len(row.method) for row in plan.methods))
    )
    table.add_column("size", no_wrap=True)
    reasons: list[str] = []
    cells: dict[tuple[str, str, str, Place], list[PlannedCell]] = {}
    for cell in plan.cells:
        cells.setdefault((cell.method, cell.variant, cell.size, _place(plan, cell)), []).append(cell)
    dashes = {(dash.method, dash.variant, dash.size, _place(plan, dash)): dash.reason for dash in plan.unsupported}
    places = list(dict.fromkeys(place for *_, place in [*cells, *dashes]))
    if plan.grid.axis == "depth and width":
        sizes = {
            _place(plan, found): (found.target["width"], found.target["depth"])
            for found in (*plan.cells, *plan.unsupported)
        }
        places.sort(key=lambda place: sizes[place])
    elif plan.grid.axis != "task":
        places.sort(key=float)
    costs = console.width >= WIDE[0] + WIDE[1] * len(places)
    for place in places:
        heading = place if isinstance(place, str) else f"{place:g}"
        table.add_column(heading, justify="right", overflow="fold" if isinstance(place, str) else "ellipsis")
    for heading in ("Para. (M)", "Epoch") if costs else ():
        table.add_column(heading, justify="right", no_wrap=True)
    for row in plan.methods:
        for size in plan.sizes():
            own = [cell for place in places for cell in cells.get((row.method, row.variant, size, place), [])]
            marks = []
            for place in places:
                here = (row.method, row.variant, size, place)
                if here in dashes:
                    if dashes[here] not in reasons:
                        reasons.append(dashes[here])
                    marks.append(f"-[{reasons.index(dashes[here]) + 1}]")
                else:
                    marks.append(_mark([states[cell.address] for cell in cells[here]]) if here in cells else "")
            if not any(marks):
                continue
            name = row.method + (f" ({row.variant})" if row.variant else "")
            table.add_row(*map(Text, [name, size, *marks, *(_costs(own) if costs else ())]))
    console.print(table)
    for number, reason in enumerate(reasons, start=1):
        console.print(Text(f"[{number}] {reason}"))
    if plan.sweep:
        keys = ", ".join(f"{swept.key}={swept.values}" for swept in plan.sweep.swept)
        console.print(Text(f"{plan.sweep.trials} trials of every method on validation images: {keys}"))
        console.print(
            "then, on test images, the default and what is selected, which is planned when all trials of a method at "
            "a target are done"
        )
    for line in length_lines(plan):
        console.print(Text(line))
    print_doubts(plan, console)
    counts = Counter(stage.kind for address, stage in plan.stages.items() if states[address] is not State.DONE)
    todo = ", ".join(counted(counts[kind], kind) for kind in STAGE_KINDS)
    if estimate["stages"]:
        console.print(f"to compute: {todo}")
        rate = f"rate from {estimate['rate_from']}; teachers and evaluation not counted"
        console.print(
            f"estimate: {estimate['flops']:.2g} operations, about {duration(estimate['seconds'])} with "
            f"{counted(estimate['workers'], 'worker')} ({rate})"
        )
        console.print(f"disk: {Space(**estimate['disk']).words}")
    else:
        console.print("nothing to compute: all of it is done")
    console.print(Text("numbers: cells done of cells planned", style="dim"))


def print_doubts(plan: Plan, console: Console) -> None:
    """Prints what a reader of the numbers must know of the data, and what makes no sense for their size."""
    for remark in dict.fromkeys(remark for task in plan.tasks for remark in task.dataset.remarks()):
        console.print(Text(remark), soft_wrap=True)
    if not plan.preset.name.endswith(QUICK):
        for doubt in length_doubts(plan):
            console.print(Text.assemble(("warning", "bold red"), f": {doubt}"), soft_wrap=True)


def _costs(cells: list[PlannedCell]) -> tuple[str, str]:
    """The parameter column in millions, a mean where it depends on the target, and epochs of preparation."""
    stored = [cell.parameters.stored for cell in cells]
    epochs = cells[0].prepare_epochs if cells else None
    length = "-" if epochs is None else f"{round(epochs, 1):g}"
    return f"{sum(stored) / len(stored) / 1e6:.3f}" if stored else "", length


def _mark(states: list[State]) -> str:
    done = sum(state is State.DONE for state in states)
    failed = sum(state is State.FAILED for state in states)
    return f"{done}/{len(states)}" + (f" {failed} failed" if failed else "")
