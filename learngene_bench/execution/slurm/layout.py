"""Divides the stages of a plan into arrays of jobs: pure arithmetic, so that `--dry-run` can show it anywhere.

An array holds stages of one kind, one method and one width, which take about the same time. It starts when the jobs
that compute its inputs have ended, successfully or not: a job skips a stage whose input failed, and computes an input
that was lost with its job. So the number of submissions is bounded by kinds x methods x widths, plus one for each
`array_size` jobs.

With `max_parallel` there is one array for each kind, each waiting for the one before, and longer ones in parts that
wait for each other: SLURM caps single arrays only, and the cap is for all jobs together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from math import ceil

from learngene_bench.contracts.executor import StageInfo
from learngene_bench.execution.estimate import Rate
from learngene_bench.execution.slurm.options import SlurmOptions
from learngene_bench.execution.slurm.scheduler import Limits
from learngene_bench.schema.constants import STAGE_KINDS

SAFETY = 3.0
"""Factor on the estimated time of a job; a job that takes longer is requeued and continues."""
START = 10
"""Minutes added for imports, data and a slow file system."""
MOST_NAMED = 100
"""Jobs that a dependency names one by one; more are named by their whole array."""


@dataclass(frozen=True)
class JobPlan:
    """The work of one job, an element of an array.

    Attributes:
        stages: addresses.
        seconds: estimated duration; None where it is not known.
    """

    stages: tuple[str, ...]
    seconds: float | None


@dataclass(frozen=True)
class Array:
    """One call of sbatch.

    Attributes:
        minutes: the time limit; None for the partition's own.
        after: jobs that must have ended, as number of an earlier array and of the job in it; None for all its jobs.
        after_jobs: ids of jobs of earlier submissions that must have ended.
        parallel: jobs that run at the same time, at most.
    """

    name: str
    jobs: tuple[JobPlan, ...]
    minutes: int | None
    after: tuple[tuple[int, int | None], ...] = ()
    after_jobs: tuple[str, ...] = ()
    parallel: int | None = None


@dataclass
class _Placed:
    """The arrays so far, and the array and job of each stage in them."""

    arrays: list[Array] = field(default_factory=list)
    where: dict[str, tuple[int, int]] = field(default_factory=dict)


def make_arrays(
    stages: Mapping[str, StageInfo],
    todo: set[str],
    live: Mapping[str, str],
    rate: Rate,
    options: SlurmOptions,
    limits: Limits,
    concurrent_stages: int,
) -> list[Array]:
    """Makes the arrays, each after those that it waits for.

    Args:
        stages: all stages of the plan by address, inputs before the stages that need them.
        todo: addresses of the stages to submit.
        live: ids of the jobs of earlier submissions by the address of a stage that they will compute.
        concurrent_stages: number of stages that one job computes at the same time.
    """
    placed = _Placed()
    chosen = sorted((stages[address] for address in stages if address in todo), key=lambda s: STAGE_KINDS.index(s.kind))
    groups: dict[tuple[str, ...], list[StageInfo]] = {}
    for stage in chosen:
        groups.setdefault((stage.kind,) if options.max_parallel else stage.group, []).append(stage)
    for group, members in groups.items():
        size = options.cells_per_job if members[0].kind == "cell" else None
        jobs = _bundled(members, size or concurrent_stages, concurrent_stages, rate)
        for first in range(0, len(jobs), limits.array_size):
            part = jobs[first : first + limits.array_size]
            _place(placed, "-".join(filter(None, group)), part, stages, live, options, limits)
    return placed.arrays


def first_jobs(arrays: Sequence[Array], room: int) -> list[Array]:
    """Keeps as many jobs as there is room for, in their order, so that what they wait for is kept too."""
    kept = []
    for array in arrays:
        jobs = array.jobs[: max(0, room)]
        if not jobs:
            break
        kept.append(replace(array, jobs=jobs))
        room -= len(array.jobs)
    return kept


def _bundled(members: list[StageInfo], size: int, concurrent_stages: int, rate: Rate) -> list[JobPlan]:
    jobs = []
    for first in range(0, len(members), size):
        bundle = members[first : first + size]
        seconds = [rate.seconds(stage) for stage in bundle]
        known = [value for value in seconds if value is not None]
        longest = max(known, default=0.0)
        total = max(longest, sum(known) / concurrent_stages) if len(known) == len(bundle) else None
        jobs.append(JobPlan(tuple(stage.address for stage in bundle), total))
    return jobs


def _place(
    placed: _Placed,
    name: str,
    jobs: list[JobPlan],
    stages: Mapping[str, StageInfo],
    live: Mapping[str, str],
    options: SlurmOptions,
    limits: Limits,
) -> None:
    needed = {found for job in jobs for address in job.stages for found in stages[address].inputs.values()}
    after: tuple[tuple[int, int | None], ...]
    if options.max_parallel:
        after = ((len(placed.arrays) - 1, None),) if placed.arrays else ()
    else:
        after = _shortened({placed.where[address] for address in needed if address in placed.where}, placed.arrays)
    number = len(placed.arrays)
    placed.where |= {address: (number, place) for place, job in enumerate(jobs) for address in job.stages}
    placed.arrays.append(
        Array(
            name=name,
            jobs=tuple(jobs),
            minutes=_minutes(jobs, options, limits),
            after=after,
            after_jobs=tuple(sorted({live[address] for address in needed if address in live})),
            parallel=options.max_parallel,
        )
    )


def _shortened(needed: set[tuple[int, int]], arrays: list[Array]) -> tuple[tuple[int, int | None], ...]:
    """Whole arrays instead of all, or very many, of their jobs."""
    named: list[tuple[int, int | None]] = []
    for number, pairs in groupby(sorted(needed), key=lambda pair: pair[0]):
        jobs = [job for _, job in pairs]
        whole = len(jobs) == len(arrays[number].jobs) or len(jobs) > MOST_NAMED
        named += [(number, None)] if whole else [(number, job) for job in jobs]
    return tuple(named)


def _minutes(jobs: list[JobPlan], options: SlurmOptions, limits: Limits) -> int | None:
    """Enough for the longest job; what is not through then continues in another turn."""
    most = min((value for value in (options.minutes, limits.minutes) if value is not None), default=None)
    seconds = [job.seconds for job in jobs if job.seconds is not None]
    if len(seconds) < len(jobs):
        return most
    wanted = ceil(SAFETY * max(seconds) / 60) + START
    return wanted if most is None else min(wanted, most)
