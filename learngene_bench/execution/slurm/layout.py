"""Which arrays of jobs the stages of a plan become: pure arithmetic, so that `--dry-run` can show it anywhere.

An array holds stages of one kind, one method and one width, which need about the same time. It starts when the jobs
that compute its inputs have ended, well or not: a stage whose input failed is found out by its job, and an input that
was lost with its job is computed there. So the number of submissions is bounded by kinds x methods x widths, and one
more for each `array_size` tasks.

With `max_parallel` there is one array for each kind, each waiting for the one before, and longer ones in parts that
wait for each other: SLURM caps single arrays only, and the cap is for all jobs together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from math import ceil

from learngene_bench.execution.estimate import Rate
from learngene_bench.execution.slurm.scheduler import Limits
from learngene_bench.execution.slurm.settings import SlurmSettings
from learngene_bench.planning.plan import Stage
from learngene_bench.schema.stage import AncestorConfig, CellConfig, GeneConfig, TeacherConfig

SAFETY = 3.0
"""How much longer than estimated a job may take before it has to be continued in another turn."""
START = 10
"""Minutes beside the work itself: imports, data, a slow file system."""
LONGEST_LIST = 100
"""Tasks that a dependency names one by one; more are named by their whole array."""


@dataclass(frozen=True)
class Task:
    """What one job computes.

    Attributes:
        stages: addresses.
        seconds: estimated; None where nobody can tell.
    """

    stages: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Array:
    """One call of sbatch.

    Attributes:
        after: tasks that must have ended: number of an earlier array, and of the task in it, None for all of it.
        after_jobs: the same, of earlier submissions, by identity.
        minutes: the time limit; None for the partition's own.
    """

    name: str
    tasks: tuple[Task, ...]
    minutes: int | None
    after: tuple[tuple[int, int | None], ...] = ()
    after_jobs: tuple[str, ...] = ()
    parallel: int | None = None


@dataclass
class _Placed:
    """Where the stages laid out so far are."""

    arrays: list[Array] = field(default_factory=list)
    where: dict[str, tuple[int, int]] = field(default_factory=dict)


def arrange(
    stages: Mapping[str, Stage],
    todo: set[str],
    live: Mapping[str, str],
    rate: Rate,
    settings: SlurmSettings,
    limits: Limits,
    side_by_side: int,
) -> list[Array]:
    """Lays the stages that are to do out in arrays, each after those it waits for.

    Args:
        stages: by address, inputs before those that need them.
        live: stages that jobs of earlier submissions will compute, with the identity of the job.
        side_by_side: stages that one job computes at the same time.
    """
    placed = _Placed()
    order = {"ancestor": 0, "gene": 1, "cell": 2}
    chosen = sorted((stages[address] for address in stages if address in todo), key=lambda s: order[s.kind])
    key = (lambda stage: (stage.kind,)) if settings.max_parallel else _alike
    groups: dict[tuple[str, ...], list[Stage]] = {}
    for stage in chosen:
        groups.setdefault(key(stage), []).append(stage)
    for name, members in groups.items():
        size = settings.cells_per_job if members[0].kind == "cell" else None
        tasks = _bundled(members, size or side_by_side, side_by_side, rate)
        for first in range(0, len(tasks), limits.array_size):
            _place(
                placed,
                "-".join(filter(None, name)),
                tasks[first : first + limits.array_size],
                stages,
                live,
                settings,
                limits,
            )
    return placed.arrays


def _alike(stage: Stage) -> tuple[str, ...]:
    """What stages of about the same cost share."""
    config = stage.config
    if isinstance(config, TeacherConfig):
        return stage.kind, "", ""
    assert isinstance(config, AncestorConfig | GeneConfig | CellConfig)
    method = "" if isinstance(config, AncestorConfig) else config.method.name
    model = config.target if isinstance(config, CellConfig) else config.spec
    return stage.kind, method, f"width{model['width']}"


def _bundled(members: list[Stage], size: int, side_by_side: int, rate: Rate) -> list[Task]:
    tasks = []
    for first in range(0, len(members), size):
        bundle = members[first : first + size]
        seconds = [rate.seconds(stage) for stage in bundle]
        known = [value for value in seconds if value is not None]
        longest = max(known, default=0.0)
        total = max(longest, sum(known) / side_by_side) if len(known) == len(bundle) else None
        tasks.append(Task(tuple(stage.address for stage in bundle), total))
    return tasks


def _place(
    placed: _Placed,
    name: str,
    tasks: list[Task],
    stages: Mapping[str, Stage],
    live: Mapping[str, str],
    settings: SlurmSettings,
    limits: Limits,
) -> None:
    needed = {found for task in tasks for address in task.stages for found in stages[address].inputs.values()}
    after: tuple[tuple[int, int | None], ...]
    if settings.max_parallel:
        after = ((len(placed.arrays) - 1, None),) if placed.arrays else ()
    else:
        after = _shortened({placed.where[address] for address in needed if address in placed.where}, placed.arrays)
    number = len(placed.arrays)
    placed.where |= {address: (number, place) for place, task in enumerate(tasks) for address in task.stages}
    placed.arrays.append(
        Array(
            name=name,
            tasks=tuple(tasks),
            minutes=_minutes(tasks, settings, limits),
            after=after,
            after_jobs=tuple(sorted({live[address] for address in needed if address in live})),
            parallel=settings.max_parallel,
        )
    )


def _shortened(needed: set[tuple[int, int]], arrays: list[Array]) -> tuple[tuple[int, int | None], ...]:
    """Whole arrays instead of all, or very many, of their tasks."""
    named: list[tuple[int, int | None]] = []
    for number, pairs in groupby(sorted(needed), key=lambda pair: pair[0]):
        tasks = [task for _, task in pairs]
        whole = len(tasks) == len(arrays[number].tasks) or len(tasks) > LONGEST_LIST
        named += [(number, None)] if whole else [(number, task) for task in tasks]
    return tuple(named)


def _minutes(tasks: list[Task], settings: SlurmSettings, limits: Limits) -> int | None:
    """Enough for the longest task; what is not through then continues in another turn."""
    most = min((value for value in (settings.minutes, limits.minutes) if value is not None), default=None)
    seconds = [task.seconds for task in tasks if task.seconds is not None]
    if len(seconds) < len(tasks):
        return most
    wanted = ceil(SAFETY * max(seconds) / 60) + START
    return wanted if most is None else min(wanted, most)
