"""How every stage of a runs folder stands: what its files say, joined with what the scheduler says of its job."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from learngene_bench.execution.slurm import scheduler, submissions
from learngene_bench.execution.slurm.scheduler import Job
from learngene_bench.planning.plan import Stage
from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.schema.manifest import PlannedStage
from learngene_bench.schema.progress import Progress
from learngene_bench.util.errors import UserError


class Standing(StrEnum):
    """In the order in which they are told.

    QUEUED stages are in a job that waits, or that runs and has not come to them yet. LOST ones were to be computed by
    a job that is gone, and are not done. BLOCKED ones need an input that failed.
    """

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    WAITING = "waiting"
    INTERRUPTED = "interrupted"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"
    LOST = "lost"
    FAILED = "failed"


@dataclass(frozen=True)
class Situation:
    """How one stage stands.

    Attributes:
        progress: how far it is; None where it has not begun.
        job: that was to compute it last, if any.
        remark: the error, why its job waits, how its job ended.
    """

    address: str
    kind: str
    label: str
    standing: Standing
    progress: Progress | None
    job: str | None
    remark: str


@dataclass(frozen=True)
class Scheduler:
    """What the scheduler says of the jobs of a runs folder.

    Attributes:
        job_of: by address, the job that was to compute a stage last.
        other_code: jobs that found other code than was submitted.
        trouble: why the scheduler could not be asked; then nothing is known of jobs.
    """

    job_of: Mapping[str, str] = field(default_factory=dict)
    live: Mapping[str, Job] = field(default_factory=dict)
    ended: Mapping[str, Job] = field(default_factory=dict)
    other_code: Sequence[str] = ()
    trouble: str = ""


def ask_scheduler(runs: Runs, unfinished: Iterable[str]) -> Scheduler:
    """Asks for the jobs of stages that are not done: squeue once, sacct for those that squeue does not have."""
    made = submissions.read(runs)
    if not made:
        return Scheduler()
    job_of = submissions.job_of_stage(made)
    try:
        live = {name: job for user in submissions.users(made) for name, job in scheduler.queue(user).items()}
    except UserError as error:
        return Scheduler(job_of, other_code=submissions.jobs_of_other_code(made), trouble=str(error))
    gone = {job_of[address] for address in unfinished if address in job_of} - live.keys()
    ended = scheduler.history(job.partition("_")[0] for job in gone)
    return Scheduler(job_of, live, ended, submissions.jobs_of_other_code(made))


def situations(runs: Runs, stages: Iterable[Stage | PlannedStage], asked: Scheduler | None = None) -> list[Situation]:
    """How stages stand.

    Args:
        stages: the stages, inputs before those that need them.
        asked: what the scheduler said; by default it is asked if there is a stage that is neither done nor failed.
    """
    listed = [(stage, runs.folder(stage.kind, stage.address)) for stage in stages]
    states = [folder.state() for _, folder in listed]
    if asked is None:
        settled = (State.DONE, State.FAILED)
        unfinished = [stage.address for (stage, _), state in zip(listed, states, strict=True) if state not in settled]
        asked = ask_scheduler(runs, unfinished) if unfinished else Scheduler()
    found: dict[str, Situation] = {}
    for (stage, folder), state in zip(listed, states, strict=True):
        inputs = [found[address] for address in stage.inputs.values() if address in found]
        found[stage.address] = _situation(stage, folder, state, inputs, asked)
    return list(found.values())


def seconds_left(progress: Progress | None) -> float | None:
    """Of the phase that a stage is in, from its own pace when it last said so."""
    if progress is None or progress.seconds_left is None:
        return None
    return max(0.0, progress.seconds_left - (time.time() - progress.time))


def _situation(
    stage: Stage | PlannedStage, folder: StageFolder, state: State, inputs: list[Situation], asked: Scheduler
) -> Situation:
    job = asked.job_of.get(stage.address)
    standing, remark = _standing(folder, state, inputs, job, asked)
    begun = standing in (Standing.RUNNING, Standing.INTERRUPTED, Standing.LOST, Standing.QUEUED, Standing.CANCELLED)
    progress = folder.read_progress() if begun else None
    return Situation(stage.address, stage.kind, stage.label, standing, progress, job, remark)


def _standing(
    folder: StageFolder, state: State, inputs: list[Situation], job: str | None, asked: Scheduler
) -> tuple[Standing, str]:
    if state is State.DONE:
        return Standing.DONE, ""
    if state is State.FAILED:
        return Standing.FAILED, folder.read_failure().error
    if state is State.RUNNING:
        claim = folder.current_lease()
        owner = claim.owner if claim else None
        if owner and owner.job and not asked.trouble and owner.job not in asked.live:
            return Standing.LOST, _end_of(owner.job, asked)
        return Standing.RUNNING, owner.place if owner else ""
    if job and job in asked.live:
        waits = asked.live[job]
        return Standing.QUEUED, waits.reason if waits.state == "PENDING" else ""
    if any(needed.standing in (Standing.FAILED, Standing.BLOCKED) for needed in inputs):
        return Standing.BLOCKED, ""
    if job and not asked.trouble:
        ended = asked.ended.get(job)
        cancelled = ended is not None and ended.state == "CANCELLED"
        return Standing.CANCELLED if cancelled else Standing.LOST, _end_of(job, asked)
    return Standing(state), ""


def _end_of(job: str, asked: Scheduler) -> str:
    ended = asked.ended.get(job)
    return f"job {job} is gone: {ended.state if ended else 'the scheduler does not know it any more'}"
