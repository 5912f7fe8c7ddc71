"""The plan of several grids together: what each costs alone, and what all of them cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from learngene_bench.config.loader import load_grid, shipped_files
from learngene_bench.config.preset import Compute
from learngene_bench.execution.estimate import GPU_RATE, Rate, estimate_rate
from learngene_bench.execution.executors import make_executor
from learngene_bench.planning.plan import Plan
from learngene_bench.planning.planner import make_plan
from learngene_bench.planning.request import Request
from learngene_bench.runs.disk import Space, checkpoint_bytes, size, space_of_stages
from learngene_bench.runs.store import Runs, State
from learngene_bench.schema.constants import STAGE_KINDS
from learngene_bench.util.errors import UserError
from learngene_bench.util.words import counted

ALL = "all"
"""The value of `--grid` that stands for every grid of the suite."""
ARRAY_SIZE = 1001
"""Jobs of one array under SLURM's default settings."""
COLUMNS = 72
"""Columns of a terminal that has room for the numbers of genes and ancestors."""


def grid_names(given: Sequence[str] | None) -> tuple[list[str], bool]:
    """Returns the grids that `--grid` names, and whether it names all of the suite's; `depth` by default.

    Names are separated by commas, or the option is repeated.

    Raises:
        UserError: a name is empty.
    """
    names = [name.strip() for text in given or ["depth"] for name in text.split(",")]
    if not all(names):
        raise UserError("--grid: a name is empty, as in --grid depth,width")
    every = [one for name in names for one in (shipped_files("grid") if name == ALL else [name])]
    return list(dict.fromkeys(every)), ALL in names


def methods_of(grid: str, given: str | None) -> str | None:
    """Returns the methods of one of several grids: those given, else the grid's own, else all."""
    return given or (None if load_grid(grid).methods else ALL)


@dataclass(frozen=True)
class Amount:
    """Stages that are not done, and what they take.

    Attributes:
        counts: number of stages by kind.
        flops: their operations.
        space: disk space that they keep.
        jobs: number of jobs of SLURM.
        calls: calls of sbatch that submit them.
    """

    counts: Counter[str]
    flops: float
    space: Space
    jobs: int
    calls: int

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            self.counts + other.counts,
            self.flops + other.flops,
            self.space + other.space,
            self.jobs + other.jobs,
            self.calls + other.calls,
        )


@dataclass(frozen=True)
class SeveralGrids:
    """The plans of several grids.

    Attributes:
        alone: what is left of each grid, as if it were the only one.
        together: what is left of all of them, in runs of one after the other: each stage once.
        distinct: number of stages of all grids, each once.
        skipped: grids of the suite that the preset has nothing for, with the reason.
        rate: operations per second of one worker.
        unit: what a worker is.
        source: where the rate comes from.
        checkpoint: bytes of the largest checkpoint.
    """

    plans: Sequence[Plan]
    alone: Sequence[Amount]
    together: Amount
    distinct: int
    skipped: Mapping[str, str]
    rate: float
    unit: str
    source: str
    checkpoint: int

    @property
    def named(self) -> int:
        """Number of stages of all grids, those of several grids counted for each."""
        return sum(len(plan.stages) for plan in self.plans)

    def hours(self, amount: Amount) -> float:
        """Returns the hours that one worker takes."""
        return amount.flops / self.rate / 3600


def plan_grids(
    build: Callable[[str], Request], grids: Sequence[str], may_skip: bool, runs: Runs, rate: float | None
) -> SeveralGrids:
    """Plans several grids.

    Args:
        build: makes the request for a grid.
        may_skip: leaves out a grid that cannot be planned for this preset.
        rate: operations per second of one worker; None for that of finished stages, or an assumption.

    Raises:
        UserError: a grid cannot be planned.
    """
    plans, skipped = [], {}
    for name in grids:
        try:
            plans.append(make_plan(build(name)))
        except UserError as error:
            if not may_skip or (name == grids[-1] and not plans):
                raise
            skipped[name] = str(error)
    stages = {address: stage for plan in plans for address, stage in plan.stages.items()}
    states = {address: runs.stage_dir(stage).state() for address, stage in stages.items()}
    done = {address for address, state in states.items() if state is State.DONE}
    compute = plans[0].preset.compute
    found = estimate_rate(stages, runs, states, compute, on_gpu=compute.device != "cpu")
    used, unit, source = _rate(found, rate, compute)
    alone, together, counted_before = [], Amount(Counter(), 0.0, Space(), 0, 0), set(done)
    for plan in plans:
        space = space_of_stages(plan)
        alone.append(_amount(plan, plan.stages.keys() - done, space))
        together += _amount(plan, plan.stages.keys() - counted_before, space)
        counted_before |= plan.stages.keys()
    checkpoint = max(map(checkpoint_bytes, plans))
    return SeveralGrids(plans, alone, together, len(stages), skipped, used, unit, source, checkpoint)


def _rate(found: Rate, given: float | None, compute: Compute) -> tuple[float, str, str]:
    """Returns the rate, what it is the rate of, and where it comes from."""
    unit = "CPU" if compute.device == "cpu" else "GPU"
    if given is not None:
        return given, unit, "--rate"
    if found.measured:
        return found.flops, "worker", "measured on finished stages"
    return found.flops, unit, "an assumption, --rate gives another"


def _amount(plan: Plan, left: set[str], space: Mapping[str, Space]) -> Amount:
    """Counts what stages of a plan, by address, take; with jobs as the executor `slurm` makes them."""
    from learngene_bench.execution.slurm.layout import make_arrays
    from learngene_bench.execution.slurm.options import SlurmOptions
    from learngene_bench.execution.slurm.prepare import concurrent_stages
    from learngene_bench.execution.slurm.scheduler import Limits

    options, compute = make_executor("slurm", {}).options, plan.preset.compute
    assert isinstance(options, SlurmOptions)
    least = {"cpus_per_task": max(options.cpus_per_task, compute.threads)}
    if not options.gpus_per_node and compute.device != "cpu":
        least["gpus_per_node"] = 1
    options = options.model_copy(update=least)
    limits, rate = Limits(ARRAY_SIZE, None), Rate(GPU_RATE, measured=False)
    arrays = make_arrays(plan.stages, left, {}, rate, options, limits, concurrent_stages(compute, options))
    return Amount(
        Counter(plan.stages[address].kind for address in left),
        sum(stage.flops for address, stage in plan.stages.items() if address in left),
        Space.total(space[address] for address in left),
        sum(len(array.jobs) for array in arrays),
        len(arrays),
    )


def several_as_json(found: SeveralGrids) -> dict[str, Any]:
    """Returns the plans of several grids as plain values."""
    rows = [
        {"grid": plan.grid.name, "setting": plan.setting, "stages": len(plan.stages), **_as_json(amount, found)}
        for plan, amount in zip(found.plans, found.alone, strict=True)
    ]
    return {
        "preset": found.plans[0].preset.name,
        "grids": rows,
        "together": {"stages": found.distinct, **_as_json(found.together, found)},
        "skipped": dict(found.skipped),
        "rate": found.rate,
        "rate_of": found.unit,
        "rate_from": found.source,
        "checkpoint_bytes": found.checkpoint,
    }


def _as_json(amount: Amount, found: SeveralGrids) -> dict[str, Any]:
    return {
        "left": {kind: amount.counts[kind] for kind in STAGE_KINDS},
        "flops": amount.flops,
        "hours": found.hours(amount),
        "disk": asdict(amount.space),
        "jobs": amount.jobs,
        "calls": amount.calls,
    }


def print_several(found: SeveralGrids, console: Console) -> None:
    """Prints a row for each grid, and what all of them take together."""
    title = f"{counted(len(found.plans), 'grid')}, preset {found.plans[0].preset.name}"
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    kinds = ("cell", "gene", "ancestor") if console.width >= COLUMNS else ("cell",)
    table.add_column("grid", overflow="fold")
    for heading in (*(f"{kind}s" for kind in kinds), f"{found.unit}-hours", "disk", "jobs"):
        table.add_column(heading, justify="right", overflow="fold")
    rows = {plan.grid.name: amount for plan, amount in zip(found.plans, found.alone, strict=True)}
    for name, amount in (rows | {"together": found.together}).items():
        counts = [f"{amount.counts[kind]:,}" for kind in kinds]
        words = [name, *counts, _hours(found.hours(amount)), size(amount.space.bytes), f"{amount.jobs:,}"]
        table.add_row(*map(Text, words))
    console.print(table)
    every = found.together
    lines = [
        f"Each row is that of the grid alone. The last one counts each stage once: {found.distinct:,} of "
        f"{found.named:,}. What is done is left out.",
        f"to compute: {', '.join(counted(every.counts[kind], kind) for kind in STAGE_KINDS)}",
        f"time: {_hours(found.hours(every))} {found.unit}-hours: {every.flops:.2g} operations at {found.rate:.2g} a "
        f"second of each {found.unit} ({found.source}); teachers and evaluation not counted",
        f"disk: {every.space.words}, without teachers and hypernetworks; while it is computed, a stage has up to "
        f"{size(2 * found.checkpoint)} more",
        f"jobs: {counted(every.jobs, 'job')} of SLURM with one GPU each, unless site.toml says otherwise, in "
        f"{counted(every.calls, 'call')} of sbatch with at most {ARRAY_SIZE} jobs each",
        *(f"left out: {name}: {reason}" for name, reason in found.skipped.items()),
    ]
    for line in lines:
        console.print(Text(line))


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 or not hours else f"{hours:.2g}"
