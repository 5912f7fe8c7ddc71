"""The executor `slurm`: stages as arrays of jobs of a SLURM cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from rich.console import Console

from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import Executor, JobReport, RunState, Work
from learngene_bench.execution.slurm import scheduler, submissions
from learngene_bench.execution.slurm.options import SlurmOptions
from learngene_bench.execution.slurm.prepare import prepare, submit_prepared
from learngene_bench.execution.slurm.summary import as_json, print_failures, print_summary
from learngene_bench.execution.status import StageState, rest_after, stage_statuses
from learngene_bench.runs.lease import acquire
from learngene_bench.runs.store import Runs
from learngene_bench.schema.constants import DeviceKind
from learngene_bench.util.errors import UserError
from learngene_bench.util.terminal import TerminalConsole

FOLLOW_SECONDS = 3.0
"""Time between two looks at the jobs, with `--wait`."""


class SlurmExecutor(Executor):
    """Submits stages as arrays of jobs; what runs on the nodes is in `job`."""

    name = "slurm"
    title = "jobs of a SLURM cluster"
    Options = SlurmOptions
    options: SlurmOptions
    on_this_machine = False

    @property
    def processes(self) -> int:
        return self.options.processes_per_model

    def device_kind(self, compute: Compute) -> DeviceKind:
        if compute.device == "auto":
            return "cuda" if self.options.gpus_per_node else "cpu"
        return compute.device

    def run(self, work: Work) -> RunState:
        console = TerminalConsole(highlight=False)
        if self.options.dry_run:
            self._dry_run(work, console)
            return RunState(work.stages, handed_over=True)
        self._submit(work, console)
        return self._follow(work, console) if self.options.wait else RunState(work.stages, handed_over=True)

    @classmethod
    def status(cls, runs: Path, unfinished: Collection[str]) -> JobReport:
        """Asks squeue once, and sacct for the jobs of unfinished stages that squeue does not list."""
        made = submissions.read(runs)
        job_of = submissions.job_of_stage(made)
        other = submissions.jobs_of_other_code(made)
        notes = [f"jobs that ran other code than was submitted: {', '.join(other)} (--snapshot freezes it)"] * bool(
            other
        )
        try:
            live = {job: status for user in submissions.users(made) for job, status in scheduler.queue(user).items()}
        except UserError as error:
            return JobReport(job_of, notes=notes, error=str(error))
        gone = {job_of[address] for address in unfinished if address in job_of} - live.keys()
        ended = scheduler.history(job.partition("_")[0] for job in gone)
        return JobReport(job_of, live, ended, notes)

    @classmethod
    def cancel(cls, runs: Path, jobs: Iterable[str]) -> None:
        scheduler.cancel(list(jobs))

    @classmethod
    def logs(cls, runs: Path, address: str) -> list[Path]:
        return [
            path
            for submission in submissions.read(runs)
            for job, addresses in submission.jobs.items()
            if address in addresses
            for path in submission.output(job)
        ]

    def _dry_run(self, work: Work, console: Console) -> None:
        """Prints what would be submitted; works without a cluster too, with SLURM's default limits."""
        cluster = scheduler.answers()
        limits = scheduler.limits(self.options.partition) if cluster else scheduler.Limits(1001, None)
        prepared = prepare(work, self.options, limits, ask_cluster=cluster)
        if self.options.format == "json":
            print(json.dumps(as_json(work, prepared, self.options), indent=1))
            return
        if not cluster:
            console.print("no SLURM controller answers here: arrays of 1001 jobs at most, no time limit of a partition")
        print_summary(prepared, "to submit", console)

    def _submit(self, work: Work, console: Console) -> None:
        """Submits what is left to do and no job does yet.

        Raises:
            UserError: no cluster answers, it refuses, or another process submits from this runs folder just now.
        """
        limits = scheduler.limits(self.options.partition)
        work.begin()
        folder = work.runs / self.name
        folder.mkdir(exist_ok=True)
        with acquire(folder) as held:
            if not held:
                raise UserError(
                    f"{work.runs}: another lgbench run is submitting from this folder just now; try again soon"
                )
            prepared = prepare(work, self.options, limits)
            if prepared.arrays:
                submit_prepared(work, prepared, self.options)
        print_summary(prepared, "submitted", console)
        print_failures(work, prepared, console)
        console.print(f"follow with: lgbench status --watch --runs {work.runs}", soft_wrap=True)

    def _follow(self, work: Work, console: Console) -> RunState:
        """Shows the jobs until no stage waits or runs any more.

        Raises:
            KeyboardInterrupt: the user has seen enough; the jobs go on.
        """
        reused: set[str] | None = None
        try:
            while True:
                began = time.monotonic()
                found = stage_statuses(Runs(work.runs), work.stages.values())
                by = {state: {one.address for one in found if one.state is state} for state in StageState}
                reused = by[StageState.DONE] if reused is None else reused
                lost = by[StageState.FAILED] | by[StageState.LOST] | by[StageState.CANCELLED]
                state = RunState(
                    work.stages,
                    reused=reused,
                    done=by[StageState.DONE],
                    running=by[StageState.RUNNING],
                    failed={one.address: one.message for one in found if one.address in lost},
                    blocked=by[StageState.BLOCKED],
                )
                work.watch(state)
                if not by[StageState.RUNNING] and not by[StageState.QUEUED]:
                    return state
                time.sleep(rest_after(time.monotonic() - began, FOLLOW_SECONDS))
        except KeyboardInterrupt:
            console.print("the jobs go on; lgbench status --watch follows them, lgbench cancel ends them")
            raise
