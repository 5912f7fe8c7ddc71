"""The contract of an executor: the place where the stages of a plan are computed, and their order.

    class Sequential(Executor):
        name, title = "sequential", "One stage after the other, each in a process of its own"

        def run(self, work):
            work.begin()
            state = work.initial_state()
            while stages := state.ready():
                done = subprocess.run(work.command(stages[0]), stdout=subprocess.PIPE, text=True)
                work.apply(state, stages[0].address, Outcome.read(done.stdout))
                state.block()
                work.watch(state)
            return state

Its entry point stands in the group `learngene_bench.executors`. `lgbench run --executor NAME` takes every field of its
`Options` as an option. A stage needs nothing but files: its configuration, which `Work.begin` writes, and the results
of its inputs. So it may be computed on any machine that sees the runs folder, and be started again at any time.
Nothing here imports torch.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from learngene_bench.config.preset import Compute
from learngene_bench.config.section import Section
from learngene_bench.schema.constants import STAGE_KINDS, DeviceKind, StageKind
from learngene_bench.util.entry_points import Plugins
from learngene_bench.util.errors import UserError

Retry = Literal["never", "crashed", "all"]
"""Stages that failed in an earlier run and are tried again: none, those whose process died, all."""

JOB_VARIABLE = "LGBENCH_JOB"
"""Environment variable of a process that computes stages for a job: the job's id, which `lgbench status` looks up."""

OutcomeState = Literal["done", "failed", "busy", "stopped", "died", "refused"]

RETRY_SECONDS = 2.0
"""Time until a stage that another run holds is ready to be asked for again."""


class StageInfo(Protocol):
    """One piece of work with a result of its own, as executors see it."""

    @property
    def address(self) -> str:
        """64 hexadecimal digits that stand for everything the result depends on."""

    @property
    def kind(self) -> StageKind: ...

    @property
    def label(self) -> str:
        """A short description for people, such as `wave micro depth 6 seed 0`."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """Addresses of the stages whose results it reads, by role."""

    @property
    def flops(self) -> float:
        """Estimated floating-point operations; 0 where they are not known beforehand."""

    @property
    def group(self) -> tuple[str, ...]:
        """Kind, method and width: stages of one group cost about the same."""


@dataclass
class RunState:
    """The state of every stage of one run, as its executor sees it; shown to the user while the run goes on.

    Attributes:
        stages: all stages by address, inputs before the stages that need them.
        reused: stages that were done before this run.
        failed: error messages by address.
        blocked: stages that cannot be computed, because an input failed.
        held_elsewhere: stages that another run computes, with the time (`time.monotonic`) to ask for them again.
        waiting: for what running stages wait that have not begun, one line each, by address.
        stopping: True after Ctrl-C, while running stages save their checkpoints.
        handed_over: True if the stages are computed after `Executor.run` has returned.
    """

    stages: Mapping[str, StageInfo]
    reused: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    held_elsewhere: dict[str, float] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    stopping: bool = False
    handed_over: bool = False

    @property
    def finished(self) -> bool:
        """True if nothing is left to compute."""
        return len(self.done) + len(self.failed) + len(self.blocked) == len(self.stages)

    def ready(self) -> list[StageInfo]:
        """Lists the stages that can start now, those first that most other work waits for."""
        settled = self.done | self.running | self.failed.keys() | self.blocked
        now = time.monotonic()
        settled |= {address for address, when in self.held_elsewhere.items() if now < when}
        waiting = [stage for address, stage in self.stages.items() if address not in settled]
        ready = [stage for stage in waiting if self.done.issuperset(stage.inputs.values())]
        return sorted(
            ready, key=lambda stage: (stage.address in self.held_elsewhere, STAGE_KINDS.index(stage.kind), -stage.flops)
        )

    def block(self) -> None:
        """Marks the stages that a failed input keeps from being computed."""
        lost = self.failed.keys() | self.blocked
        settled = lost | self.done  # a cell may be done while its gene, whose folder was deleted, is computed again
        for address, stage in self.stages.items():
            if address not in settled and not lost.isdisjoint(stage.inputs.values()):
                self.blocked.add(address)
                lost.add(address)


@dataclass(frozen=True)
class Outcome:
    """The end of one attempt to compute a stage.

    Attributes:
        state: done or failed (the stage's folder says the rest), busy (another run holds the stage), stopped (it was
            asked to and has saved a checkpoint), died (the process was killed or hangs), refused (something that the
            user must put right).
        error: one line for died and refused.
    """

    state: OutcomeState
    error: str = ""

    @classmethod
    def read(cls, text: str) -> Outcome:
        """Reads what `Work.command` prints; anything else means that the process died."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return cls("died", "its process was killed or ended before it was done")


class Work(ABC):
    """The stages of one run and the means to compute them; made by `lgbench run`, `retry` and `rerun`.

    Attributes:
        stages: all stages by address, inputs before the stages that need them; some may be done already.
        runs: the runs folder.
        plugins: files with initializers that the stages need.
        compute: device, threads and precision of every stage.
        retry: which stages that failed earlier are tried again.
        command_line: the command of the user, for records.
    """

    stages: Mapping[str, StageInfo]
    runs: Path
    plugins: Sequence[Path]
    compute: Compute
    retry: Retry
    command_line: Sequence[str]

    @abstractmethod
    def begin(self) -> None:
        """Writes the plan and the configuration of every stage that is not done. Call it before anything is computed.

        Raises:
            UserError: the runs folder cannot be written to.
        """

    @abstractmethod
    def initial_state(self) -> RunState:
        """Reads from the files which stages are done, and which failed and are not tried again."""

    @abstractmethod
    def compute_here(self, stage: StageInfo) -> Outcome:
        """Computes a stage in this process. Raises `UserError` for what the user must put right."""

    @abstractmethod
    def command(self, stage: StageInfo) -> list[str]:
        """Builds the command that computes a stage in another process, on any machine that sees the runs folder.

        It prints what `Outcome.read` reads to standard output and everything else to standard error. SIGTERM makes it
        save a checkpoint and end.
        """

    @abstractmethod
    def apply(self, state: RunState, address: str, outcome: Outcome) -> None:
        """Enters the outcome of a stage into the state of the run.

        The death of the process that computed a stage is recorded as the stage's failure.

        Raises:
            UserError: the stage met something that the user must put right, such as a full disk.
        """

    @abstractmethod
    def watch(self, state: RunState) -> None:
        """Shows the state of the run to the user. Call it a few times a second while stages are running."""

    @abstractmethod
    def clear_failure(self, stage: StageInfo) -> None:
        """Deletes the record of an earlier failure, so that the stage can be tried again."""


@dataclass(frozen=True)
class JobStatus:
    """A job as its scheduler sees it.

    Attributes:
        state: PENDING, RUNNING, CANCELLED, FAILED, ... in the scheduler's own words.
        reason: why it waits.
    """

    id: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class JobReport:
    """The jobs of one executor for a runs folder.

    Attributes:
        job_of: id of the latest job of each stage, by address.
        live: jobs that wait or run, by id.
        ended: jobs that have ended, by id, as far as the scheduler remembers them.
        notes: lines for the user, such as jobs that ran other code than was submitted.
        error: why the scheduler could not be asked; nothing is known of jobs then.
    """

    job_of: Mapping[str, str] = field(default_factory=dict)
    live: Mapping[str, JobStatus] = field(default_factory=dict)
    ended: Mapping[str, JobStatus] = field(default_factory=dict)
    notes: Sequence[str] = ()
    error: str = ""


class Executor(ABC):
    """One way to compute the stages of a plan.

    `status`, `cancel` and `logs` are for executors whose jobs go on after `lgbench run` has ended. They are called on
    the class, as the process that submitted the jobs is long gone; what they need must be in files, which an executor
    keeps in a folder of its name inside the runs folder. They are called only if that folder exists.
    """

    name: ClassVar[str]
    """Name for users: `lgbench run --executor NAME`."""
    title: ClassVar[str]
    """A few words for the help text."""
    Options: ClassVar[type[Section]] = Section
    """Its settings: options of `lgbench run`, and defaults in the table `[NAME]` of the user's site file."""
    on_this_machine: ClassVar[bool] = True
    """False if stages are computed on other machines, which may see other data and other GPUs."""
    shares_terminal: ClassVar[bool] = False
    """True if stages print to the terminal of `lgbench run` and read from it: progress is shown as plain lines then."""

    def __init__(self, options: Section) -> None:
        self.options = options

    @property
    def processes(self) -> int:
        """Number of processes that train one model together; part of the addresses of stages if more than 1."""
        return 1

    @abstractmethod
    def device_kind(self, compute: Compute) -> DeviceKind:
        """Resolves `compute.device = "auto"` to the device that stages will be computed on; part of their addresses."""

    @abstractmethod
    def run(self, work: Work) -> RunState:
        """Computes every stage that is not done, each after its inputs; a failed stage does not stop the others.

        Raises:
            UserError: something the user must put right.
            KeyboardInterrupt: the user stopped the run; running stages have saved their checkpoints.
        """

    @classmethod
    def status(cls, runs: Path, unfinished: Collection[str]) -> JobReport:
        """Asks for the jobs of a runs folder.

        Args:
            unfinished: addresses of stages that are not done, whose jobs are of interest.
        """
        return JobReport()

    @classmethod
    def cancel(cls, runs: Path, jobs: Iterable[str]) -> None:
        """Ends jobs, by id. Raises `UserError` with what the scheduler says."""
        raise UserError(f"executor {cls.name}: it has no jobs that could be cancelled")

    @classmethod
    def logs(cls, runs: Path, address: str) -> list[Path]:
        """Lists the files that hold what the jobs of a stage printed."""
        return []


EXECUTORS: Plugins[Executor] = Plugins("learngene_bench.executors", "executor", Executor)
"""All executors by name."""
