"""From a plan to what would be submitted: what is left to do, what earlier jobs do already, in which arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngene_bench.config.preset import Compute
from learngene_bench.execution.estimate import rate
from learngene_bench.execution.local import Retry, first_look
from learngene_bench.execution.slurm import scheduler, submissions, submit
from learngene_bench.execution.slurm.job import Job
from learngene_bench.execution.slurm.layout import Array, arrange
from learngene_bench.execution.slurm.settings import SlurmSettings
from learngene_bench.planning.plan import Plan, Stage
from learngene_bench.runs.store import Runs, State
from learngene_bench.util import source_code
from learngene_bench.util.errors import UserError


@dataclass(frozen=True)
class Prepared:
    """What a submission would be.

    Attributes:
        live: stages that jobs of earlier submissions will compute, with the identity of the job.
        running: stages that a run on some machine computes just now.
        failed: error by address, of stages that are not tried again.
        blocked: stages whose input is among those.
        side_by_side: stages that one job computes at the same time.
    """

    arrays: list[Array]
    done: int
    live: dict[str, str]
    running: set[str]
    failed: dict[str, str]
    blocked: set[str]
    side_by_side: int


def prepare(
    plan: Plan,
    runs: Runs,
    settings: SlurmSettings,
    limits: scheduler.Limits,
    *,
    retry: Retry,
    cluster: bool = True,
) -> Prepared:
    """Looks at the files and the scheduler; changes nothing.

    Args:
        cluster: whether to ask the scheduler which jobs there are.

    Raises:
        UserError: the resources of a job do not fit together, or the scheduler does not answer.
    """
    side_by_side = _side_by_side(plan.preset.compute, settings)
    earlier = submissions.read(runs)
    queued = {job for user in submissions.users(earlier) for job in scheduler.queue(user)} if cluster else set()
    live = {address: job for address, job in submissions.job_of_stage(earlier).items() if job in queued}
    look = first_look(plan.stages, runs, retry)
    settled = look.done | look.failed.keys() | look.blocked
    left = {address for address in plan.stages if address not in settled}
    running = {
        address for address in left - live.keys() if runs.stage_dir(plan.stages[address]).state() is State.RUNNING
    }
    states = {address: State.DONE if address in look.done else State.WAITING for address in plan.stages}
    arrays = arrange(
        plan.stages,
        left - live.keys() - running,
        live,
        rate(plan, runs, states, plan.preset.compute, on_gpu=settings.gpus_per_node > 0),
        settings,
        limits,
        side_by_side,
    )
    mine = {address: job for address, job in live.items() if address in left}
    return Prepared(arrays, len(look.done), mine, running, look.failed, look.blocked, side_by_side)


def hand_over(
    plan: Plan,
    runs: Runs,
    prepared: Prepared,
    settings: SlurmSettings,
    enter: Callable[[Stage], object],
    *,
    plugins: Sequence[Path],
    command: list[str],
    snapshot: bool,
) -> submissions.Submission:
    """Writes the configurations of all stages, then submits.

    Args:
        enter: writes the configuration of a stage.
        snapshot: whether the jobs run a frozen copy of the code.
    """
    folder = submissions.new_folder(runs)
    code_folder, files = None, [Path(plugin).resolve() for plugin in plugins]
    if snapshot:
        code_folder, files = source_code.snapshot(folder / "code", files)
    for array in prepared.arrays:
        for task in array.tasks:
            for address in task.stages:
                stage = plan.stages[address]
                enter(stage)
                if runs.stage_dir(stage).failed.exists():
                    runs.stage_dir(stage).clear_failure()

    def make_job(stages: tuple[str, ...]) -> Job:
        return Job(
            runs=runs.root.resolve(),
            stages=[(plan.stages[address].kind, address) for address in stages],
            plugins=files,
            compute=plan.preset.compute,
            workers=prepared.side_by_side,
            per_gpu=settings.per_gpu,
            processes=settings.processes_per_model,
            code=source_code.identity(),
        )

    made: list[dict[str, Any]] = submit.submit(
        folder,
        prepared.arrays,
        settings,
        make_job,
        command=command,
        code=source_code.identity(),
        code_folder=code_folder,
    )
    return submissions.Submission(folder, {"arrays": made})


def _side_by_side(compute: Compute, settings: SlurmSettings) -> int:
    """How many stages one job computes at the same time: one for each GPU, or as many as its cores hold."""
    processes, nodes, gpus = settings.processes_per_model, settings.nodes, settings.gpus_per_node
    if nodes > 1 and processes == 1:
        raise UserError(f"--nodes {nodes} needs --processes-per-model: one process does not span nodes")
    if processes % nodes:
        raise UserError(f"{processes} processes for one model do not spread evenly over {nodes} nodes")
    if settings.cpus_per_task < compute.threads:
        raise UserError(f"--cpus-per-task {settings.cpus_per_task}: the preset computes with {compute.threads} threads")
    if processes > 1:
        if gpus and gpus * nodes != processes:
            raise UserError(
                f"{processes} processes for one model need a GPU each: {nodes} nodes with {gpus} have {nodes * gpus}"
            )
        return 1
    if gpus and compute.device != "cpu":
        return gpus * settings.per_gpu
    return settings.cpus_per_task // compute.threads
