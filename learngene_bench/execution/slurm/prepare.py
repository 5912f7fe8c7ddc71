"""Prepares a submission: what is left to do, what earlier jobs do already, in which arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import Work
from learngene_bench.execution.estimate import estimate_rate
from learngene_bench.execution.slurm import scheduler, submissions, submit
from learngene_bench.execution.slurm.job import StagesJob
from learngene_bench.execution.slurm.layout import Array, first_jobs, make_arrays
from learngene_bench.execution.slurm.options import SlurmOptions
from learngene_bench.plugins.own_modules import find_imports
from learngene_bench.runs.store import Runs, State
from learngene_bench.util import source_code
from learngene_bench.util.errors import UserError


@dataclass(frozen=True)
class PreparedSubmission:
    """A submission before it is made.

    Attributes:
        done: number of stages that are done.
        live: ids of the jobs of earlier submissions, by the address of a stage that they will compute.
        running: addresses of stages that another run computes now.
        failed: error messages by address, of stages that are not tried again.
        blocked: addresses of stages whose input is among those.
        concurrent_stages: number of stages that one job computes at the same time.
        later: number of stages that are not submitted yet, as the queue must not hold more jobs.
    """

    arrays: list[Array]
    done: int
    live: dict[str, str]
    running: set[str]
    failed: dict[str, str]
    blocked: set[str]
    concurrent_stages: int
    later: int = 0


def prepare(
    work: Work, options: SlurmOptions, limits: scheduler.Limits, *, ask_cluster: bool = True
) -> PreparedSubmission:
    """Looks at the files and asks the scheduler for jobs; changes nothing.

    Args:
        ask_cluster: False where there is no cluster.

    Raises:
        UserError: the resources of a job do not fit together, or the scheduler does not answer.
    """
    concurrent = concurrent_stages(work.compute, options)
    earlier = submissions.read(work.runs)
    users = submissions.users(earlier) | ({submit.user_name()} if options.max_submitted else set())
    queued = {job for user in users for job in scheduler.queue(user)} if ask_cluster else set()
    live = {address: job for address, job in submissions.job_of_stage(earlier).items() if job in queued}
    state = work.initial_state()
    settled = state.done | state.failed.keys() | state.blocked
    left = {address for address in work.stages if address not in settled}
    runs = Runs(work.runs)
    running = {
        address
        for address in left - live.keys()
        if runs.folder(work.stages[address].kind, address).state() is State.RUNNING
    }
    states = {address: State.DONE if address in state.done else State.WAITING for address in work.stages}
    rate = estimate_rate(work.stages, runs, states, work.compute, on_gpu=options.gpus_per_node > 0)
    arrays = make_arrays(work.stages, left - live.keys() - running, live, rate, options, limits, concurrent)
    later = 0
    if options.max_submitted is not None:
        kept = first_jobs(arrays, options.max_submitted - len(queued))
        later = _stages_in(arrays) - _stages_in(kept)
        arrays = kept
    mine = {address: job for address, job in live.items() if address in left}
    return PreparedSubmission(arrays, len(state.done), mine, running, state.failed, state.blocked, concurrent, later)


def _stages_in(arrays: Sequence[Array]) -> int:
    return sum(len(job.stages) for array in arrays for job in array.jobs)


def submit_prepared(work: Work, prepared: PreparedSubmission, options: SlurmOptions) -> None:
    """Submits the arrays; stages that failed before are tried again.

    Raises:
        UserError: the scheduler refuses one.
    """
    folder = submissions.new_folder(work.runs)
    code_folder, plugins = None, [Path(plugin).resolve() for plugin in work.plugins]
    if options.snapshot:
        modules = {name: path for plugin in plugins for name, path in find_imports(plugin).modules.items()}
        code_folder, plugins = source_code.snapshot(folder / "code", plugins, modules)
    for array in prepared.arrays:
        for job in array.jobs:
            for address in job.stages:
                work.clear_failure(work.stages[address])

    def make_job(stages: tuple[str, ...]) -> StagesJob:
        return StagesJob(
            runs=work.runs.resolve(),
            stages=[(work.stages[address].kind, address) for address in stages],
            plugins=plugins,
            compute=work.compute,
            workers=prepared.concurrent_stages,
            per_gpu=options.per_gpu,
            processes=options.processes_per_model,
            code=source_code.identity(),
        )

    submit.submit(folder, prepared.arrays, options, make_job, command=work.command_line, code_folder=code_folder)


def concurrent_stages(compute: Compute, options: SlurmOptions) -> int:
    """Counts the stages that one job computes at the same time: one for each GPU, or as many as its cores hold.

    Raises:
        UserError: nodes, processes, GPUs and threads do not fit together.
    """
    processes, nodes, gpus = options.processes_per_model, options.nodes, options.gpus_per_node
    if nodes > 1 and processes == 1:
        raise UserError(f"--nodes {nodes} needs --processes-per-model: one process does not span nodes")
    if processes % nodes:
        raise UserError(f"{processes} processes for one model do not spread evenly over {nodes} nodes")
    if options.cpus_per_task < compute.threads:
        raise UserError(f"--cpus-per-task {options.cpus_per_task}: the preset computes with {compute.threads} threads")
    if processes > 1:
        if gpus and gpus * nodes != processes:
            raise UserError(
                f"{processes} processes for one model need a GPU each: {nodes} nodes with {gpus} have {nodes * gpus}"
            )
        return 1
    if gpus and compute.device != "cpu":
        return gpus * options.per_gpu
    return options.cpus_per_task // compute.threads
