"""The job on its node: it computes its stages in a pool of workers, like a run on one machine.

It computes inputs first that are missing because their own job was lost, waits for inputs that another job computes,
and skips stages whose input failed. So a job only needs files, and may be started again at any time: by submitit, by
`scontrol requeue`, or after the death of its node.

The process that submitit starts never imports torch: it is the parent of the workers and receives the scheduler's
signals.

    USR2 (preemption, end of the time limit)    the workers save checkpoints; submitit requeues the job
    TERM (scancel, requeue from outside)        the workers save checkpoints; the scheduler does the rest
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from submitit.helpers import DelayedSubmission

from learngene_bench.config.preset import Compute
from learngene_bench.contracts.executor import JOB_VARIABLE, RunState, StageInfo
from learngene_bench.execution.local import STOP_SECONDS, run_in_pool
from learngene_bench.execution.resources import PoolConfig, WorkerSlot, worker_slots
from learngene_bench.execution.slurm import submissions
from learngene_bench.execution.work import StageWork
from learngene_bench.execution.worker import output_to
from learngene_bench.runs.store import Runs, stage_of
from learngene_bench.tracking.processes import part_with_trackers
from learngene_bench.util import interrupt, source_code
from learngene_bench.util.files import address_of
from learngene_bench.util.hardware import visible_gpus
from learngene_bench.util.streams import accept_any_text

TERM_WAIT = 600
"""Time after SIGTERM in which the scheduler ends the job, or says that it is to be requeued, seconds."""
BUSY_SECONDS = 10
"""Time between two looks at a stage that another job computes."""
MOST_REQUEUES = 3
"""Requeues in a row without progress after which a job is not requeued again."""


@dataclass
class StagesJob:
    """The work of one job; submitit writes it to a file and runs it on a node.

    Attributes:
        stages: kind and address of each.
        workers: number of stages computed at the same time, where there are no GPUs.
        processes: number of processes that compute one stage together, each a task of this job; 1 for a pool.
        code: identity of the code at submission.
        last_progress: fingerprint of the stages' progress when the job was last requeued.
        requeues: number of times it was requeued in a row without progress.
        reported: addresses of the stages whose end was printed.
        waited_for: addresses of the stages of which it was printed that another process computes them.
    """

    runs: Path
    stages: list[tuple[str, str]]
    plugins: list[Path]
    compute: Compute
    workers: int
    per_gpu: int
    processes: int
    code: dict[str, Any]
    last_progress: str = ""
    requeues: int = 0
    reported: set[str] = field(default_factory=set)
    waited_for: set[str] = field(default_factory=set)

    def __call__(self) -> None:
        """Computes the stages; called by submitit on the node."""
        accept_any_text("utf-8")
        job = submissions.current_job_id()
        os.environ[JOB_VARIABLE] = job
        if source_code.has_changed(self.code):
            submissions.record_code_mismatch(Path(os.environ["SUBMITIT_FOLDER"]).parent, job, self.code)
            _log("WARNING: this is not the code that was submitted (--snapshot freezes it)")
        loaded = Runs(self.runs).load_with_inputs(self.stages)
        stages: dict[str, StageInfo] = {address: stage_of(file) for address, file in loaded.items()}
        if self.processes > 1:
            self._compute_together(list(stages.values()))
        else:
            self._compute_in_a_pool(stages)

    def checkpoint(self) -> DelayedSubmission | None:
        """Returns what submitit submits in this job's place; None, so that it ends, if it makes no progress."""
        progress = self._progress()
        self.requeues = self.requeues + 1 if progress == self.last_progress else 0
        self.last_progress = progress
        return DelayedSubmission(self) if self.requeues < MOST_REQUEUES else None

    def _compute_in_a_pool(self, stages: dict[str, StageInfo]) -> None:
        # A stage that failed before this start of the job is not tried again in it.
        work = StageWork(stages, self.runs, self.compute, self.plugins, retry="never", on_change=self._report)
        with _scheduler_signals() as received:
            try:
                run_in_pool(work, PoolConfig(self.slots()[: len(stages)]))
            except KeyboardInterrupt:
                received.exit_as_asked()

    def slots(self) -> list[WorkerSlot]:
        """Divides the node's GPUs among workers; where none computes, as many workers as the job was submitted for."""
        if self.compute.device == "cpu" or not visible_gpus():
            return [WorkerSlot()] * self.workers
        return worker_slots(self.compute, None, self.per_gpu)

    def _report(self, state: RunState) -> None:
        """Prints a line for every stage that has ended, or is computed by another process."""
        self.reported |= state.reused
        for address in [*state.done, *state.failed]:
            if address not in self.reported:
                error = state.failed.get(address)
                _log(f"{state.stages[address].label}: {f'failed: {error}' if error else 'done'}")
                self.reported.add(address)
        for address in state.held_elsewhere.keys() - self.waited_for:
            stage = state.stages[address]
            lease = Runs(self.runs).folder(stage.kind, address).current_lease()
            _log(f"waiting for {stage.label}{f': computed by {lease.words}' if lease else ''}")
            self.waited_for.add(address)

    def _compute_together(self, stages: list[StageInfo]) -> None:
        """Computes one stage after the other with all tasks of the job, each of which calls this.

        All tasks agree on the outcome of a stage, so all take the same branches here.
        """
        from learngene_bench.distributed import join_job
        from learngene_bench.execution.stages import execute
        from learngene_bench.plugins.registry import Registry

        world, registry = join_job(), Registry(self.plugins)
        outcomes: dict[str, str] = {}
        with _scheduler_signals(request_only=True) as received:
            while stages:
                stage = stages.pop(0)
                if any(outcomes.get(needed) in ("failed", "blocked") for needed in stage.inputs.values()):
                    outcomes[stage.address] = "blocked"
                    continue
                log = Runs(self.runs).folder(stage.kind, stage.address).log
                with output_to(log) if world.is_rank0 else nullcontext():
                    outcome = execute(Runs(self.runs), stage.kind, stage.address, registry, retry_failed=False)
                _log(f"{stage.label}: {outcome}")
                outcomes[stage.address] = outcome
                if outcome == "stopped":
                    break
                if outcome == "busy":
                    stages.insert(0, stage)
                    time.sleep(BUSY_SECONDS)
            part_with_trackers()
            if received.numbers and world.is_rank0:
                received.exit_as_asked()

    def _progress(self) -> str:
        """Returns a text that changes whenever a stage ends, or saves a checkpoint."""
        folders = [Runs(self.runs).folder(kind, address) for kind, address in self.stages]
        saved = [sorted((p.name, p.stat().st_mtime_ns) for p in folder.checkpoints.glob("*.pt")) for folder in folders]
        return address_of([[folder.state() for folder in folders], saved])


class _ReceivedSignals:
    """Signals of the scheduler, which stop the work like Ctrl-C, and what is to be done then."""

    def __init__(self) -> None:
        self.requeue: Any = signal.getsignal(signal.SIGUSR2)  # submitit's
        self.numbers: list[int] = []

    def interrupt(self, number: int, frame: Any) -> None:
        """Handles a signal in a process that has workers."""
        self.numbers.append(number)
        if len(self.numbers) == 1:
            raise KeyboardInterrupt

    def request_stop(self, number: int, frame: Any) -> None:
        """Handles a signal in a process that computes: it reaches a safe point soon, or is not waited for."""
        self.numbers.append(number)
        interrupt.request_stop()
        signal.signal(signal.SIGALRM, self.exit_as_asked)
        signal.alarm(int(STOP_SECONDS))

    def exit_as_asked(self, *_: Any) -> None:
        """Ends the process, or lets submitit requeue the job; called when checkpoints are saved."""
        if not self.numbers:
            raise KeyboardInterrupt
        limit = time.monotonic() + TERM_WAIT
        while signal.SIGUSR2 not in self.numbers and time.monotonic() < limit:
            time.sleep(0.1)  # a job that ended by itself now would count as complete, and not be requeued
        if signal.SIGUSR2 in self.numbers:
            self.requeue(signal.SIGUSR2, None)
        sys.exit(128 + signal.SIGTERM)


@contextmanager
def _scheduler_signals(request_only: bool = False) -> Iterator[_ReceivedSignals]:
    received = _ReceivedSignals()
    handler = received.request_stop if request_only else received.interrupt
    before = {number: signal.signal(number, handler) for number in (signal.SIGUSR2, signal.SIGTERM)}
    try:
        yield received
    finally:
        signal.alarm(0)
        for number, previous in before.items():
            signal.signal(number, previous)


def _log(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", flush=True)
