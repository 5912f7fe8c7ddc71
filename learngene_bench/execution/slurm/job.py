"""What a job does on its node: it computes its stages in a pool of workers, like a run on one machine.

Inputs that are not there, as the job that was to compute them is lost, are computed first; an input that another job
computes is waited for; a stage whose input failed is left out. So a job only needs files, and may be started again at
any time, by submitit, by `scontrol requeue` or after the death of its node.

The process that submitit starts never imports torch: it is the parent of the workers and hears the scheduler's signals.

    USR2 (preemption, end of the time limit)    the workers save where they are; submitit requeues the job
    TERM (scancel, requeue from outside)        the workers save where they are; the scheduler does the rest
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
from learngene_bench.execution.local import GRACE, Execution, execute_plan
from learngene_bench.execution.pool import Crew
from learngene_bench.execution.resources import slots
from learngene_bench.execution.slurm import submissions
from learngene_bench.execution.worker import output_to
from learngene_bench.planning.plan import Stage
from learngene_bench.runs.store import Runs, stage_of
from learngene_bench.util import interrupt, source_code
from learngene_bench.util.files import address_of
from learngene_bench.util.hardware import visible_gpus

PATIENCE = 600
"""Seconds after SIGTERM in which the scheduler ends the job, or says that it is to be requeued."""
BUSY = 10
"""Seconds between two looks at a stage that another job computes."""
TURNS = 3
"""Turns in a row without progress after which a job is not requeued again."""


@dataclass
class Job:
    """The work of one job; submitit writes it to a file and runs it on a node.

    Attributes:
        stages: kind and address of each.
        workers: that compute side by side, where there are no GPUs.
        processes: that compute one stage together, each a task of this job; 1 for a pool of workers.
        code: the identity of the code at submission.
        seen: how far its stages were when it was requeued last.
        turns: how often it was requeued in a row without getting any further.
    """

    runs: Path
    stages: list[tuple[str, str]]
    plugins: list[Path]
    compute: Compute
    workers: int
    per_gpu: int
    processes: int
    code: dict[str, Any]
    seen: str = ""
    turns: int = 0
    told: set[str] = field(default_factory=set)

    def __call__(self) -> None:
        if source_code.differs(self.code):
            submissions.note_other_code(Path(os.environ["SUBMITIT_FOLDER"]).parent, self.code)
            _say("WARNING: this is not the code that was submitted (--snapshot freezes it)")
        loaded = Runs(self.runs).load_with_inputs(self.stages)
        stages = {address: stage_of(file) for address, file in loaded.items()}
        if self.processes > 1:
            self._compute_together(list(stages.values()))
        else:
            self._compute_in_a_pool(stages)

    def checkpoint(self) -> DelayedSubmission | None:
        """What submitit submits in this job's place; None, for no more turns, if it does not get any further."""
        reached = self._reached()
        self.turns = self.turns + 1 if reached == self.seen else 0
        self.seen = reached
        return DelayedSubmission(self) if self.turns < TURNS else None

    def _compute_in_a_pool(self, stages: dict[str, Stage]) -> None:
        places = slots(self.compute, None, self.per_gpu if visible_gpus() else None)
        if not places[0].gpus:
            places = places[:1] * self.workers
        with _scheduler_signals() as heard:
            try:
                # The scheduler has chosen the cores. What failed before this turn is not tried again in it.
                crew = Crew(places[: len(stages)], cores=0)
                execute_plan(stages, Runs(self.runs), crew, plugins=self.plugins, retry="nothing", watch=self._tell)
            except KeyboardInterrupt:
                heard.obey()

    def _tell(self, execution: Execution) -> None:
        self.told |= execution.reused
        for address in [*execution.done, *execution.failed]:
            if address not in self.told:
                error = execution.failed.get(address)
                _say(f"{execution.stages[address].label}: {f'failed: {error}' if error else 'done'}")
                self.told.add(address)

    def _compute_together(self, stages: list[Stage]) -> None:
        """One stage after the other, by all tasks of the job, each of which comes here.

        What happens to a stage is agreed on by all, so that they take the same way through this.
        """
        from learngene_bench.distributed import join_job
        from learngene_bench.execution.stages import execute
        from learngene_bench.plugins.registry import Registry

        world, registry = join_job(), Registry(self.plugins)
        ends: dict[str, str] = {}
        with _scheduler_signals(ask_only=True) as heard:
            while stages:
                stage = stages.pop(0)
                if any(ends.get(needed) in ("failed", "blocked") for needed in stage.inputs.values()):
                    ends[stage.address] = "blocked"
                    continue
                log = Runs(self.runs).folder(stage.kind, stage.address).log
                with output_to(log) if world.is_rank0 else nullcontext():
                    state = execute(Runs(self.runs), stage.kind, stage.address, registry, retry_failed=False)
                _say(f"{stage.label}: {state}")
                ends[stage.address] = state
                if state == "stopped":
                    break
                if state == "busy":
                    stages.insert(0, stage)
                    time.sleep(BUSY)
            if heard.numbers and world.is_rank0:
                heard.obey()

    def _reached(self) -> str:
        """Changes whenever a stage ends, or saves: it saves only what is further than what it continued from."""
        folders = [Runs(self.runs).folder(kind, address) for kind, address in self.stages]
        saved = [sorted((p.name, p.stat().st_mtime_ns) for p in folder.checkpoints.glob("*.pt")) for folder in folders]
        return address_of([[folder.state() for folder in folders], saved])


class _Heard:
    """Signals of the scheduler, which stop the work like Ctrl-C, and what is to be done then."""

    def __init__(self) -> None:
        self.requeue: Any = signal.getsignal(signal.SIGUSR2)  # submitit's
        self.numbers: list[int] = []

    def interrupt(self, number: int, frame: Any) -> None:
        """For a process that has workers."""
        self.numbers.append(number)
        if len(self.numbers) == 1:
            raise KeyboardInterrupt

    def ask(self, number: int, frame: Any) -> None:
        """For a process that computes: it comes to a safe point soon, or is not waited for."""
        self.numbers.append(number)
        interrupt.ask()
        signal.signal(signal.SIGALRM, self.obey)
        signal.alarm(int(GRACE))

    def obey(self, *_: Any) -> None:
        """Called when all is saved."""
        if not self.numbers:
            raise KeyboardInterrupt
        limit = time.monotonic() + PATIENCE
        while signal.SIGUSR2 not in self.numbers and time.monotonic() < limit:
            time.sleep(0.1)  # a job that ended by itself now would count as complete, and not be requeued
        if signal.SIGUSR2 in self.numbers:
            self.requeue(signal.SIGUSR2, None)
        sys.exit(128 + signal.SIGTERM)


@contextmanager
def _scheduler_signals(ask_only: bool = False) -> Iterator[_Heard]:
    heard = _Heard()
    handler = heard.ask if ask_only else heard.interrupt
    before = {number: signal.signal(number, handler) for number in (signal.SIGUSR2, signal.SIGTERM)}
    try:
        yield heard
    finally:
        signal.alarm(0)
        for number, previous in before.items():
            signal.signal(number, previous)


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", flush=True)
