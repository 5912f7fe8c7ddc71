"""A cluster with a simulated clock: SLURM's queue, nodes that fail, and jobs that compute stages in real files.

What a job does on its node is what `execution.slurm.job` does there, with the suite's own parts: `Runs`, `StageWork`,
`RunState`, the lease, `StagesJob.checkpoint`, `StageFolder.finish`. Simulated are the passage of time, the training,
and the scheduler, whose rules are:

- A job waits for the jobs and arrays that its array names (`afterany`). Then it starts on any free GPU, those first
  that were submitted first, at most `parallel` of its array at the same time. A job has one GPU. Nobody else uses the
  cluster.
- A node fails with a rate for each of its GPUs. Its jobs die without a word, and are queued again `NOTICED` later; the
  node comes back after `repair_hours`.
- A running job is preempted with a rate for each of its hours: it saves a checkpoint and is queued again. In a share of
  the cases (`hard`) there is no time to save.
- `SIGNAL_SECONDS` before its time limit a job saves a checkpoint, and submitit queues it again, unless it made no
  progress three times (`StagesJob.checkpoint`).
- A job that is queued again starts after `REQUEUED` at the earliest, and keeps its place.
- An attempt to compute a stage fails by itself with probability `stage_failures`, at a moment that is drawn: half of
  the time its process dies (out of memory), half of the time the method raises an error (numbers that are not finite).

A checkpoint that was written before a sudden end is written when that end comes: between two ends nobody reads it.
"""

from __future__ import annotations

import heapq
import json
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cluster_parts.commands import Submitted
from cluster_parts.jobs import Array, Hours, Job, Node, Rates
from cluster_parts.records import record_of
from learngene_bench.contracts.executor import RETRY_SECONDS, Outcome, StageInfo
from learngene_bench.execution.slurm.job import StagesJob
from learngene_bench.execution.slurm.submit import SIGNAL_SECONDS
from learngene_bench.execution.work import StageWork
from learngene_bench.runs import lease
from learngene_bench.runs.lease import STALE_SECONDS
from learngene_bench.runs.store import Runs, StageFolder, stage_of
from learngene_bench.schema.manifest import PlannedStage
from learngene_bench.schema.owner import Owner
from learngene_bench.schema.progress import Progress
from learngene_bench.util.files import write_whole

REQUEUED = 120.0
"""Time after which SLURM starts a job at the earliest that was queued again, seconds."""
NOTICED = 300.0
"""Time until SLURM notices that a node is gone (SlurmdTimeout), seconds."""
HOUR = 3600.0


class Cluster:
    """The queue, the nodes and the jobs.

    Attributes:
        clock: seconds since the start.
        planned: all stages by address.
        computed, lost: seconds of training by address, of all stages, and those of them that were lost.
        done: seconds of training by address, of the stages that are done.
        done_at: time of the clock by address, at which they were.
        trouble: addresses of the stages that failed, or whose job is gone, since the user last looked.
        counts: how often what happened.
    """

    def __init__(self, runs: Runs, rates: Rates, seed: int) -> None:
        self.runs, self.rates, self.seed = runs, rates, seed
        self.planned: dict[str, PlannedStage] = {}
        self.clock, self.hours, self.counts = 0.0, Hours(), Counter[str]()
        self.chance = random.Random(seed)
        self.done: dict[str, float] = {}
        self.done_at: dict[str, float] = {}
        self.trouble: set[str] = set()
        self.computed: defaultdict[str, float] = defaultdict(float)
        self.lost: defaultdict[str, float] = defaultdict(float)
        self.attempts: Counter[str] = Counter()
        self.jobs: dict[str, Job] = {}
        self.ended: dict[str, str] = {}
        self.queue_seconds = 0.0
        self.most_running = self.most_queued = 0
        self._arrays: dict[str, Array] = {}
        self._dependents: defaultdict[str, list[Array]] = defaultdict(list)
        self._members: defaultdict[int, list[Job]] = defaultdict(list)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._ready: list[tuple[int, int, Job]] = []
        self._waiters: defaultdict[str, list[tuple[Job, int]]] = defaultdict(list)
        self._holders: dict[str, Job] = {}
        self._dead: dict[str, float] = {}
        self._free: list[tuple[int, int]] = []
        self.nodes = [Node(number) for number in range(rates.gpus // rates.node_gpus)]
        self._acting: Job | None = None
        for node in self.nodes:
            self._boot(node)

    @property
    def live(self) -> int:
        """Number of jobs that wait or run."""
        return len(self.jobs)

    @property
    def running(self) -> bool:
        """True if a job is on a node."""
        return any(node.jobs for node in self.nodes)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Lets something happen at a time of the clock."""
        self._numbers += 1
        heapq.heappush(self._events, (when, self._numbers, action))

    def run_until(self, limit: float) -> None:
        """Lets time pass until a time of the clock, or until no job is left."""
        while self.jobs and self._events and self._events[0][0] <= limit:
            when, _, action = heapq.heappop(self._events)
            self.clock = max(self.clock, when)
            action()
        if self.jobs:
            self.clock = max(self.clock, limit)

    # The queue.

    def submit(self, array: Submitted, stages: Mapping[str, tuple[str, ...]]) -> None:
        """Puts the jobs of an array into the queue, with the stages that each is to compute."""
        blockers = {id for id in array.after if id in self.jobs or (id in self._arrays and self._arrays[id].left)}
        made = Array(array, blockers, array.jobs)
        self._arrays[str(array.id)] = made
        for id in blockers:
            self._dependents[id].append(made)
        for task, id in enumerate(array.names()):
            self.jobs[id] = job = Job(id, made, task, stages[id])
            self._members[array.id].append(job)
        if not blockers:
            self._release(made)
        self.most_queued = max(self.most_queued, len(self.jobs))

    def start_jobs(self) -> None:
        """Starts the jobs that can start."""
        while self._free and self._ready:
            _, _, job = heapq.heappop(self._ready)
            if job.array.running >= job.array.submitted.parallel:
                job.array.held.append((*job.place, job))
                continue
            number, boots = self._free.pop()
            if self.nodes[number].boots == boots:
                self._start(job, self.nodes[number])
            else:
                heapq.heappush(self._ready, (*job.place, job))

    def queue(self) -> Iterator[tuple[str, str, str]]:
        """Yields what squeue prints of each job."""
        for job in self.jobs.values():
            reason = "Dependency" if job.array.blockers else "Resources"
            yield job.id, job.state, "None" if job.state == "RUNNING" else reason

    def show(self) -> None:
        """Brings the files of all stages at work to the present: the times of their leases, and how far they are."""
        for address, job in self._holders.items():
            self._pass(job)
            folder, total = self.runs.folder(self.planned[address].kind, address), self.seconds_of(address)
            self._date(folder)
            about: dict[str, Any] = {
                "phase": "training",
                "step": round(job.reached),
                "steps": round(total),
                "epoch": 0.0,
                "epochs": 1.0,
            }
            text = Progress(**about, metrics={}, seconds_left=total - job.reached, time=time.time()).model_dump_json()
            write_whole(folder.progress, partial(_write, text), durable=False)
        for address in self._dead:
            self._date(self.runs.folder(self.planned[address].kind, address))

    def _release(self, array: Array) -> None:
        for job in self._members.pop(array.submitted.id):
            self._make_ready(job)

    def _make_ready(self, job: Job) -> None:
        job.eligible = self.clock
        heapq.heappush(self._ready, (*job.place, job))

    def _gone(self, job: Job, state: str) -> None:
        """Takes a job out of the queue for good."""
        del self.jobs[job.id]
        self.ended[job.id] = state
        self.counts["jobs ended"] += 1
        assert job.run is not None
        left = set(job.stages) - job.run.done - job.run.blocked
        self.trouble |= {address for address in left if address not in self.done}
        array = job.array
        array.left -= 1
        for id in [job.id] + [str(array.submitted.id)] * (array.left == 0):
            for other in self._dependents.pop(id, []):
                other.blockers.discard(id)
                if not other.blockers:
                    self._release(other)
        job.work, job.run, job.files, job.requeuer = None, None, {}, None

    # Nodes.

    def _boot(self, node: Node) -> None:
        node.boots += 1
        self._free += [(node.number, node.boots)] * self.rates.node_gpus
        if self.rates.failures:
            when = self.chance.expovariate(self.rates.failures * self.rates.node_gpus) * HOUR
            self.at(self.clock + when, lambda: self._fail(node))
        self.start_jobs()

    def _fail(self, node: Node) -> None:
        self.counts["node failures"] += 1
        for job in list(node.jobs.values()):
            self.counts["jobs killed with their node"] += 1
            self._leave(job, "node failures", graceful=False)
            self._queue_again(job, NOTICED)
        node.boots += 1  # its free GPUs are gone
        self.hours.down += self.rates.repair_hours * HOUR * self.rates.node_gpus
        self.at(self.clock + self.rates.repair_hours * HOUR, lambda: self._boot(node))

    # A job on its node.

    def _start(self, job: Job, node: Node) -> None:
        job.turn += 1
        job.node, job.state, job.began = node, "RUNNING", self.clock
        job.doing, job.since = "starting", self.clock
        node.jobs[job.id] = job
        job.array.running += 1
        self.queue_seconds += self.clock - job.eligible
        self.counts["starts of jobs"] += 1
        self.most_running = max(self.most_running, self.counts["starts of jobs"] - self.counts["ends of jobs"])
        job.files = self.runs.load_with_inputs(self._kinds(job))
        stages: dict[str, StageInfo] = {address: stage_of(file) for address, file in job.files.items()}
        job.work = StageWork(stages, self.runs.root, job.files[job.stages[0]].compute, retry="never")
        job.run = job.work.initial_state()
        turn = job.turn
        self.at(self.clock + self.rates.start_seconds, lambda: self._next(job, turn))
        limit = self.clock + 60 * job.array.submitted.minutes - SIGNAL_SECONDS
        self.at(limit, lambda: self._time_is_up(job, turn))
        if self.rates.preemptions:
            when = self.clock + self.chance.expovariate(self.rates.preemptions) * HOUR
            if when < limit:
                self.at(when, lambda: self._preempt(job, turn))

    def _kinds(self, job: Job) -> list[tuple[str, str]]:
        return [(self.planned[address].kind, address) for address in job.stages]

    def _next(self, job: Job, turn: int) -> None:
        """Takes the next stage, as `run_in_pool` and the worker do."""
        if job.turn != turn:
            return
        self._pass(job)
        assert job.run is not None
        assert job.work is not None
        while not job.run.finished:
            ready = job.run.ready()
            if not ready:
                job.doing = "waiting"
                for address in job.run.held_elsewhere:
                    self._waiters[address].append((job, turn))
                return
            stage = ready[0]
            folder = self.runs.folder(stage.kind, stage.address)
            taken = self._take(job, folder)
            if taken is None:
                job.work.apply(job.run, stage.address, Outcome("busy"))
                job.run.held_elsewhere[stage.address] = inf
                holder = self._holders.get(stage.address)
                if holder is None:  # its owner is dead, and that cannot be seen yet
                    left = STALE_SECONDS - (self.clock - self._dead[stage.address])
                    self._wake_later(job, turn, stage.address, max(left, 0.0) + RETRY_SECONDS)
                continue
            if folder.result.exists():
                self._let_go(job, taken)
                job.work.apply(job.run, stage.address, Outcome("done"))
                continue
            if folder.failed.exists():
                folder.clear_failure()
            self._compute(job, turn, stage, folder, taken)
            return
        self._leave(job, "", graceful=True)
        self._gone(job, "COMPLETED")
        self.start_jobs()

    def _wake_later(self, job: Job, turn: int, address: str, seconds: float) -> None:
        def wake() -> None:
            if job.turn == turn and job.run is not None:
                job.run.held_elsewhere.pop(address, None)
                if job.doing == "waiting":
                    self._next(job, turn)

        self.at(self.clock + seconds, wake)

    def _compute(self, job: Job, turn: int, stage: StageInfo, folder: StageFolder, taken: Path) -> None:
        total, attempt = self.seconds_of(stage.address), self.attempts[stage.address]
        self.attempts[stage.address] += 1
        saved = folder.checkpoints / "training.pt"
        job.base = job.reached = json.loads(saved.read_text())["seconds"] if saved.exists() else 0.0
        self.counts["continued from a checkpoint"] += job.base > 0
        job.doing, job.since, job.taken = stage.address, self.clock, taken
        self._holders[stage.address] = job
        rest = total - job.base
        fate = random.Random(f"{self.seed} {stage.address} {attempt}")
        if fate.random() < self.rates.stage_failures:
            died = fate.random() < 0.5
            self.at(self.clock + rest * fate.random(), lambda: self._broken(job, turn, stage, died))
        else:
            self.at(self.clock + rest, lambda: self._finished(job, turn, stage))

    def seconds_of(self, address: str) -> float:
        """Returns the time that the training of a stage takes: the same at every attempt."""
        flops = self.planned[address].flops
        mean = flops / self.rates.speed if flops else self.rates.unknown_hours * HOUR
        return mean * random.Random(f"{self.seed} {address}").lognormvariate(0, self.rates.spread)

    def _finished(self, job: Job, turn: int, stage: StageInfo) -> None:
        if job.turn != turn:
            return
        self._pass(job)
        assert job.run is not None
        assert job.work is not None
        assert job.taken is not None
        folder, seconds = self.runs.folder(stage.kind, stage.address), self.seconds_of(stage.address)
        folder.finish(record_of(job.files[stage.address], self.planned[stage.address].flops, seconds))
        self._let_go(job, job.taken)
        self._holders.pop(stage.address)
        if stage.address in self.done:
            self.counts["stages done twice"] += 1
        self.done[stage.address] = seconds
        self.done_at[stage.address] = self.clock
        self.trouble.discard(stage.address)
        job.work.apply(job.run, stage.address, Outcome("done"))
        job.doing, job.taken = "starting", None
        self._wake(stage.address)
        self._next(job, turn)

    def _broken(self, job: Job, turn: int, stage: StageInfo, died: bool) -> None:
        """Ends an attempt: the process died, or the method raised an error."""
        if job.turn != turn:
            return
        self._pass(job)
        assert job.run is not None
        assert job.work is not None
        assert job.taken is not None
        self.counts["stages whose process died" if died else "stages with an error"] += 1
        if died:
            kept = self._checkpoint(job, stage.address, graceful=False)
            self._dead[stage.address] = self.clock
            job.work.apply(job.run, stage.address, Outcome("died", "its worker was killed by signal 9"))
        else:
            kept = 0.0
            self.runs.folder(stage.kind, stage.address).fail(stage.label, "ValueError: numbers that are not finite", "")
            self._let_go(job, job.taken)
            job.work.apply(job.run, stage.address, Outcome("failed"))
        self._lose(stage.address, "failures of stages", job.reached - kept)
        self.trouble.add(stage.address)
        self._holders.pop(stage.address)
        job.run.block()
        job.doing, job.taken = "starting", None
        self._wake(stage.address, STALE_SECONDS if died else 0.0)
        self._next(job, turn)

    # Interruptions.

    def _preempt(self, job: Job, turn: int) -> None:
        if job.turn == turn:
            self.counts["preemptions"] += 1
            self._leave(job, "preemption", graceful=self.chance.random() >= self.rates.hard)
            self._queue_again(job)
            self.start_jobs()

    def _time_is_up(self, job: Job, turn: int) -> None:
        if job.turn != turn:
            return
        self.counts["time limits"] += 1
        self._leave(job, "time limits", graceful=True)
        if job.requeuer is None:
            assert job.work is not None
            means: dict[str, Any] = {
                "plugins": [],
                "compute": job.work.compute,
                "workers": 1,
                "per_gpu": 1,
                "processes": 1,
                "code": {},
            }
            job.requeuer = StagesJob(self.runs.root, self._kinds(job), **means)
        if job.requeuer.checkpoint() is None:
            self.counts["jobs that were given up"] += 1
            self._gone(job, "FAILED")
        else:
            self._queue_again(job)
        self.start_jobs()

    def _leave(self, job: Job, cause: str, graceful: bool) -> None:
        """Ends this run of a job, with what is computed just now."""
        self._pass(job)
        assert job.node is not None
        if job.taken is not None:
            address = job.doing
            kept = self._checkpoint(job, address, graceful)
            self._lose(address, cause, job.reached - kept)
            del self._holders[address]
            if graceful:
                self._let_go(job, job.taken)
                self.hours.saving += self.rates.save_seconds
                self.hours.occupied += self.rates.save_seconds
            else:
                self._dead[address] = self.clock
            self._wake(address, 0.0 if graceful else STALE_SECONDS)
            job.taken = None
        self.hours.occupied += self.clock - job.began
        self.counts["ends of jobs"] += 1
        job.turn += 1
        job.array.running -= 1
        if job.array.held:
            heapq.heappush(self._ready, job.array.held.pop())
        del job.node.jobs[job.id]
        self._free.append((job.node.number, job.node.boots))
        job.node, job.doing, job.state = None, "", "PENDING"

    def _queue_again(self, job: Job, seconds: float = REQUEUED) -> None:
        self.counts["jobs queued again"] += 1

        def ready() -> None:
            self._make_ready(job)
            self.start_jobs()

        self.at(self.clock + seconds, ready)

    # The files of a stage.

    def _checkpoint(self, job: Job, address: str, graceful: bool) -> float:
        """Writes the last checkpoint that there was of a stage; returns the seconds of training in it."""
        file = job.files[address]
        interval = file.execution.checkpoint_seconds
        kept = job.reached if graceful else job.base + (job.reached - job.base) // interval * interval
        if kept > job.base:
            path, text = self.runs.folder(file.kind, address).checkpoints / "training.pt", json.dumps({"seconds": kept})
            write_whole(path, partial(_write, text), durable=False)
        return kept

    def _lose(self, address: str, cause: str, seconds: float) -> None:
        if seconds > 0:
            self.hours.lost[cause] += seconds
            self.lost[address] += seconds

    def _take(self, job: Job, folder: StageFolder) -> Path | None:
        self._date(folder)
        with self._as_process_of(job):
            taken = lease._take(folder.path)
        if taken is not None:
            self._dead.pop(folder.address, None)
        return taken

    def _let_go(self, job: Job, taken: Path) -> None:
        with self._as_process_of(job):
            lease._release(taken)

    @contextmanager
    def _as_process_of(self, job: Job) -> Iterator[None]:
        """Lets the lease's own code write down a process on the job's node as the owner."""
        assert job.node is not None
        place: dict[str, Any] = {"host": job.node.name, "pid_namespace": f"{job.node.name}-{job.node.boots}"}
        process = Owner(**place, pid=1000 + job.turn, start_ticks="1", job=job.id, since=time.time())
        with patch.object(lease, "_this_process", lambda: process):
            yield

    def _date(self, folder: StageFolder) -> None:
        """Gives the file of a lease the time of its last heartbeat, by the clock of this machine."""
        died = self._dead.get(folder.address)
        last = folder.current_lease()
        if last is not None:
            when = time.time() - (self.clock - died if died is not None else 0.0)
            os.utime(last.path, (when, when))

    def _wake(self, address: str, seconds: float = 0.0) -> None:
        """Lets the jobs that wait for a stage look again."""
        for job, turn in self._waiters.pop(address, []):
            self._wake_later(job, turn, address, seconds + RETRY_SECONDS)

    def _pass(self, job: Job) -> None:
        """Books the time since this was last called as what the job was doing."""
        seconds = self.clock - job.since
        if job.doing == "waiting":
            self.hours.waiting += seconds
        elif job.taken is not None:
            self.hours.computed += seconds
            self.computed[job.doing] += seconds
            job.reached += seconds
        else:
            self.hours.starting += seconds
        job.since = self.clock


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
