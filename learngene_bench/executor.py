"""Computing the stages of a plan in a pool of worker processes on this machine."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learngene_bench.config import Compute
from learngene_bench.errors import UserError
from learngene_bench.files import read_json
from learngene_bench.plan import Stage
from learngene_bench.store import Runs, State

TICK = 0.25
"""Seconds between two looks at the workers, and so between two calls of `watch`."""


@dataclass
class Execution:
    """How the stages of one run stand; what `watch` is shown.

    Attributes:
        reused: stages that were done before this run.
        failed: error by address; a stage that could not be started because an input failed is in `blocked`.
        elsewhere: stages that another run was computing when last asked for; they are asked for again after all others.
    """

    stages: Mapping[str, Stage]
    reused: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    elsewhere: set[str] = field(default_factory=set)

    def ready(self) -> list[Stage]:
        """Stages that can start now: those that most work waits for first."""
        settled = self.done | self.running | self.failed.keys() | self.blocked
        waiting = [stage for address, stage in self.stages.items() if address not in settled]
        order = {"ancestor": 0, "gene": 1, "cell": 2}
        ready = [stage for stage in waiting if all(address in self.done for address in stage.inputs.values())]
        return sorted(ready, key=lambda stage: (stage.address in self.elsewhere, order[stage.kind], -stage.flops))

    def block(self) -> None:
        """Marks what can no longer be computed."""
        for address, stage in self.stages.items():  # inputs come before those that need them
            lost = self.failed.keys() | self.blocked
            if address not in lost and any(needed in lost for needed in stage.inputs.values()):
                self.blocked.add(address)

    @property
    def finished(self) -> bool:
        return len(self.done) + len(self.failed) + len(self.blocked) == len(self.stages)


def execute_plan(
    stages: Mapping[str, Stage],
    runs: Runs,
    execution_of: Callable[[Stage], Mapping[str, Any]],
    *,
    workers: int,
    plugins: Sequence[Path] = (),
    retry_failed: bool = False,
    watch: Callable[[Execution], None] = lambda execution: None,
) -> Execution:
    """Computes every stage that is not done, each after its inputs; one failure does not stop the others.

    Args:
        stages: by address, inputs before those that need them.
        execution_of: what a stage's worker needs to know beside the stage.
        retry_failed: whether stages that failed in an earlier run are tried again.
        watch: called a few times a second, and once at the end.

    Raises:
        UserError: a worker met something the user must put right (a full disk, a damaged file).
    """
    state = Execution(stages)
    for address, stage in stages.items():
        found = runs.of(stage).state()
        if found is State.DONE:
            state.done.add(address)
        elif found is State.FAILED and not retry_failed:
            state.failed[address] = _error_of(runs.of(stage).failed)
    state.reused = set(state.done)
    state.block()
    with _Pool(runs, workers, plugins) as pool:
        while not state.finished:
            for stage in state.ready()[: pool.free()]:
                if stage.address in state.elsewhere:
                    time.sleep(TICK)
                else:
                    runs.enter(stage, execution_of(stage))
                pool.start(stage)
                state.running.add(stage.address)
            watch(state)
            for address, answer in pool.answers(TICK):
                state.running.discard(address)
                if answer["state"] == "done":
                    state.done.add(address)
                elif answer["state"] == "failed":
                    state.failed[address] = _error_of(runs.of(stages[address]).failed)
                elif answer["state"] == "died":
                    state.failed[address] = answer["error"]
                elif answer["state"] == "refused":
                    raise UserError(answer["error"])
                else:
                    state.elsewhere.add(address)
            state.block()
    watch(state)
    return state


def _error_of(failed: Path) -> str:
    return str(read_json(failed, "failure").get("error", "unknown error"))


class _Pool:
    """Worker processes, started when first needed, ended with the `with` block."""

    def __init__(self, runs: Runs, size: int, plugins: Sequence[Path]) -> None:
        # -P: the code of this process, not that of another checkout in the current folder.
        self.command = [sys.executable, "-P", "-m", "learngene_bench.worker", str(runs.root.resolve())]
        self.command += [str(Path(plugin).resolve()) for plugin in plugins]
        self.size = size
        self.log = runs.root / "workers.log"
        self.selector = selectors.DefaultSelector()
        self.idle: list[_Worker] = []
        self.busy: dict[str, _Worker] = {}

    def __enter__(self) -> _Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in {*self.idle, *self.busy.values()}:
            worker.end()
        self.selector.close()

    def free(self) -> int:
        return self.size - len(self.busy)

    def start(self, stage: Stage) -> None:
        worker = self.idle.pop() if self.idle else self._new_worker()
        self.busy[stage.address] = worker
        with suppress(BrokenPipeError):  # it died while it was idle, which its output tells next
            worker.ask(stage)

    def answers(self, timeout: float) -> Iterable[tuple[str, dict[str, Any]]]:
        """Addresses and answers of workers that are through, after at most `timeout` seconds."""
        for key, _ in self.selector.select(timeout):
            worker: _Worker = key.data
            address = next((address for address, other in self.busy.items() if other is worker), None)
            if address is None:  # an idle one died
                self.selector.unregister(worker.output)
                self.idle.remove(worker)
                continue
            del self.busy[address]
            answer = worker.answer()
            if answer is None:
                self.selector.unregister(worker.output)
                error = f"its worker {worker.cause_of_death()}; {self.log} may tell why"
                yield address, {"state": "died", "error": error}
            else:
                self.idle.append(worker)
                yield address, answer

    def _new_worker(self) -> _Worker:
        environment = dict(os.environ)
        gpus = visible_gpus()
        if gpus:  # each worker sees one: that which the fewest living workers have
            taken = [worker.gpu for worker in [*self.idle, *self.busy.values()]]
            environment["CUDA_VISIBLE_DEVICES"] = min(gpus, key=taken.count)
        worker = _Worker(self.command, environment, self.log)
        self.selector.register(worker.output, selectors.EVENT_READ, worker)
        return worker


class _Worker:
    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                text=True,
                bufsize=1,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        self.gpu = environment.get("CUDA_VISIBLE_DEVICES")

    def ask(self, stage: Stage) -> None:
        self.input.write(json.dumps({"kind": stage.kind, "address": stage.address}) + "\n")

    def answer(self) -> dict[str, Any] | None:
        """One line, which a worker writes whole; None if it died."""
        line = self.output.readline()
        return json.loads(line) if line.endswith("\n") else None

    def cause_of_death(self) -> str:
        code = self.process.wait()
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"

    def end(self) -> None:
        """Closes its input, which ends it at once."""
        with suppress(BrokenPipeError):
            self.input.close()
        self.output.close()
        self.process.wait()


def visible_gpus() -> list[str]:
    """GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes; without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device.strip() for device in visible.split(",") if device.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def default_workers(compute: Compute) -> int:
    """As many workers as GPUs, or as fit on the cores of the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gpus = 0 if compute.device == "cpu" else len(visible_gpus())
    return gpus or max(1, cores // compute.threads)
