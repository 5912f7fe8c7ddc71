"""Parts of a simulated cluster: its rates, its nodes, arrays and jobs, and the hours that they spent."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from cluster_parts.commands import Submitted
from learngene_bench.contracts.executor import RunState
from learngene_bench.execution.estimate import GPU_RATE
from learngene_bench.execution.slurm.job import StagesJob
from learngene_bench.execution.work import StageWork
from learngene_bench.schema.stage import StageFile


@dataclass(frozen=True)
class Rates:
    """Size and speed of the cluster, and rates of what goes wrong there.

    Attributes:
        gpus: GPUs of all nodes.
        node_gpus: GPUs of one node.
        failures: failures of nodes, by GPU and hour.
        preemptions: preemptions, by running job and hour.
        hard: share of the preemptions that leave no time to save a checkpoint.
        stage_failures: probability that an attempt to compute a stage fails by itself.
        repair_hours: time until a node is back.
        start_seconds: time from the start of a job to the first step of training.
        save_seconds: time that saving a checkpoint takes.
        speed: operations per second of a GPU.
        spread: standard deviation of the logarithm of the time that equal stages take.
        unknown_hours: time of a stage whose operations the plan does not know.
    """

    gpus: int = 1000
    node_gpus: int = 4
    failures: float = 1e-4
    preemptions: float = 0.02
    hard: float = 0.1
    stage_failures: float = 0.002
    repair_hours: float = 12.0
    start_seconds: float = 90.0
    save_seconds: float = 10.0
    speed: float = GPU_RATE
    spread: float = 0.2
    unknown_hours: float = 10.0


@dataclass
class Hours:
    """Seconds of GPUs, by what they did.

    Attributes:
        occupied: held by a job, from the start of the job to its end.
        starting: from the start of a job to the first step of training, and jobs that found nothing to compute.
        waiting: jobs that waited on their node for a stage that another job computes.
        saving: saving checkpoints when a job has to leave.
        computed: training, whatever became of it.
        lost: training whose result was lost, by cause.
        down: GPUs of nodes that failed, until they are back.
    """

    occupied: float = 0.0
    starting: float = 0.0
    waiting: float = 0.0
    saving: float = 0.0
    computed: float = 0.0
    lost: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    down: float = 0.0


@dataclass
class Node:
    """A node: the jobs on it, and how many times it was started."""

    number: int
    boots: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"node{self.number:04}"


@dataclass
class Array:
    """An array of jobs in the queue."""

    submitted: Submitted
    blockers: set[str]
    left: int
    running: int = 0
    held: list[tuple[int, int, Job]] = field(default_factory=list)


@dataclass
class Job:
    """A job: what it is to compute, and what it does just now.

    Attributes:
        turn: number of starts and ends so far; an event of an earlier turn is void.
        node: the node that it runs on.
        began: when this run of it began.
        doing: starting, waiting, or the address of the stage that it computes.
        since: until when its time is booked.
        base: seconds of training in the checkpoint from which the job continued its stage.
        reached: seconds of training of that stage so far.
        taken: the file of the lease of that stage.
    """

    id: str
    array: Array
    task: int
    stages: tuple[str, ...]
    turn: int = 0
    node: Node | None = None
    state: str = "PENDING"
    began: float = 0.0
    eligible: float = 0.0
    doing: str = ""
    since: float = 0.0
    base: float = 0.0
    reached: float = 0.0
    taken: Path | None = None
    work: StageWork | None = None
    files: dict[str, StageFile] = field(default_factory=dict)
    run: RunState | None = None
    requeuer: StagesJob | None = None

    @property
    def place(self) -> tuple[int, int]:
        """The order in which jobs start."""
        return self.array.submitted.id, self.task
