"""Status of every stage of a runs folder: what its files say, joined with what the executors say of their jobs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from learngene_bench.contracts.executor import JobReport
from learngene_bench.execution.executors import ask_for_jobs
from learngene_bench.runs.store import Runs, StageFolder, State
from learngene_bench.schema.constants import StageKind
from learngene_bench.schema.manifest import PlannedStage, nothing_in
from learngene_bench.schema.progress import Progress


class StageState(StrEnum):
    """States of a stage, in the order in which they are listed.

    QUEUED stages are in a job that waits, or that runs and has not come to them yet. LOST stages were in a job that is
    gone, and are not done. BLOCKED stages need an input that failed.
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


SETTLED = (State.DONE, State.FAILED)
"""States of the store that no scheduler is asked about."""
REST = 9.0
"""Seconds of rest for each second that a look takes: among 100,000 stages, looking would keep the file system busy."""
HAVE_PROGRESS = frozenset(
    {StageState.RUNNING, StageState.INTERRUPTED, StageState.LOST, StageState.QUEUED, StageState.CANCELLED}
)


@dataclass(frozen=True)
class StageStatus:
    """Status of one stage.

    Attributes:
        progress: None where it has not begun, or is at its end.
        job: id of the latest job that was to compute it, if any.
        message: the error, why its job waits, where it runs, or how its job ended.
    """

    address: str
    kind: StageKind
    label: str
    state: StageState
    progress: Progress | None
    job: str | None
    message: str


class Listed(Protocol):
    """A stage as a plan lists it."""

    @property
    def address(self) -> str: ...

    @property
    def kind(self) -> StageKind: ...

    @property
    def label(self) -> str: ...

    @property
    def inputs(self) -> Mapping[str, str]: ...


def planned_stages(runs: Runs) -> list[PlannedStage]:
    """Reads the stages of all plans of a runs folder, each once.

    Raises:
        UserError: there are none.
    """
    manifests = runs.manifests()
    if not manifests:
        raise nothing_in(runs.root, "runs")
    return list({stage.address: stage for manifest in manifests for stage in manifest.stages}.values())


def stage_statuses(runs: Runs, stages: Iterable[Listed], jobs: JobReport | None = None) -> list[StageStatus]:
    """Finds the status of stages.

    Args:
        stages: inputs before the stages that need them.
        jobs: what the executors said; by default they are asked if a stage is neither done nor failed.
    """
    read = _States(runs, stages)
    if jobs is None:
        jobs = ask_for_jobs(runs.root, read.unfinished) if read.unfinished else JobReport()
    return read.joined_with(jobs)


def statuses_and_jobs(runs: Runs, stages: Iterable[Listed]) -> tuple[list[StageStatus], JobReport]:
    """Finds the status of stages, and what the executors said of jobs; of ended ones, what unfinished stages need."""
    read = _States(runs, stages)
    jobs = ask_for_jobs(runs.root, read.unfinished)
    return read.joined_with(jobs), jobs


def rest_after(look: float, least: float) -> float:
    """Returns the seconds until the next look, after one that took `look` seconds; `least` seconds at least."""
    return max(least, REST * look)


class _States:
    """States of stages, read from their files once."""

    def __init__(self, runs: Runs, stages: Iterable[Listed]) -> None:
        folders = [(stage, runs.folder(stage.kind, stage.address)) for stage in stages]
        self.read = [(stage, folder, folder.state()) for stage, folder in folders]

    @property
    def unfinished(self) -> list[str]:
        """Addresses of the stages whose jobs are of interest."""
        return [stage.address for stage, _, state in self.read if state not in SETTLED]

    def joined_with(self, jobs: JobReport) -> list[StageStatus]:
        """Returns the status of each stage."""
        found: dict[str, StageStatus] = {}
        for stage, folder, before in self.read:
            job = jobs.job_of.get(stage.address)
            gone = job is not None and job not in jobs.live and before not in SETTLED
            state = folder.state() if gone else before  # its job may have ended well since the files were read
            inputs = [found[address] for address in stage.inputs.values() if address in found]
            found[stage.address] = _status(stage, folder, state, inputs, jobs)
        return list(found.values())


def seconds_left(progress: Progress | None) -> float | None:
    """Estimates the rest of the training that a stage is in, from its pace when it last wrote its progress."""
    if progress is None or progress.seconds_left is None:
        return None
    return max(0.0, progress.seconds_left - (time.time() - progress.time))


def _status(
    stage: Listed, folder: StageFolder, state: State, inputs: Sequence[StageStatus], jobs: JobReport
) -> StageStatus:
    job = jobs.job_of.get(stage.address)
    found, message = _state(folder, state, inputs, job, jobs)
    progress = folder.read_progress() if found in HAVE_PROGRESS else None
    return StageStatus(stage.address, stage.kind, stage.label, found, progress, job, message)


def _state(
    folder: StageFolder, state: State, inputs: Sequence[StageStatus], job: str | None, jobs: JobReport
) -> tuple[StageState, str]:
    if state is State.DONE:
        return StageState.DONE, ""
    if state is State.FAILED and (failure := folder.read_failure_if_there()):
        return StageState.FAILED, failure.error
    if state in (State.RUNNING, State.FAILED):  # failed, and another process has begun the next attempt meanwhile
        lease = folder.current_lease()
        owner = lease.owner if lease else None
        if owner and owner.job and not jobs.error and owner.job not in jobs.live:
            return StageState.LOST, _end_of_job(owner.job, jobs)
        return StageState.RUNNING, lease.words if lease else ""
    if job and job in jobs.live:
        status = jobs.live[job]
        return StageState.QUEUED, status.reason if status.state == "PENDING" else ""
    if any(needed.state in (StageState.FAILED, StageState.BLOCKED) for needed in inputs):
        return StageState.BLOCKED, ""
    if job and not jobs.error:
        ended = jobs.ended.get(job)
        cancelled = ended is not None and ended.state == "CANCELLED"
        return StageState.CANCELLED if cancelled else StageState.LOST, _end_of_job(job, jobs)
    return StageState(state), ""


def _end_of_job(job: str, jobs: JobReport) -> str:
    ended = jobs.ended.get(job)
    return f"job {job} is gone: {ended.state if ended else 'the scheduler does not know it any more'}"
