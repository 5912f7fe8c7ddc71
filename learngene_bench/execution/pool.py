"""A pool of worker processes on this machine, each asked for one stage after another.

`concurrent.futures` ends the whole pool when one worker is killed; here the stage that it computed is recorded as
failed and a new worker takes its place. Workers end with this process, however it ends, as their input ends; one that
does not, as its method keeps the interpreter to itself, is killed.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from learngene_bench.contracts.executor import Outcome, StageInfo
from learngene_bench.execution.resources import PoolConfig, WorkerSlot
from learngene_bench.util.files import open_log
from learngene_bench.util.signals import IGNORED, blocked

PARTING_SECONDS = 5.0
"""Time that workers have to end by themselves."""


class Pool:
    """Worker processes, started when first needed and ended with the `with` block.

    Attributes:
        waiting: one line for each busy stage that says for what it waits, by address.
    """

    def __init__(self, runs: Path, config: PoolConfig, plugins: Sequence[Path]) -> None:
        # -P: the code of this process, not that of another checkout in the current folder.
        self.command = [sys.executable, "-P", "-m", "learngene_bench.execution.worker", str(runs.resolve())]
        self.command += [str(config.processes), *(str(Path(plugin).resolve()) for plugin in plugins)]
        self.log = runs / "workers.log"
        self.config = config
        self.selector = selectors.DefaultSelector()
        self.vacant = list(config.slots)
        self.idle: list[_Worker] = []
        self.busy: dict[str, _Worker] = {}
        self.waiting: dict[str, str] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        workers = {*self.idle, *self.busy.values()}
        for worker in workers:
            worker.close()
        limit = time.monotonic() + PARTING_SECONDS
        for worker in workers:
            worker.end(limit)
        self.selector.close()

    def free(self) -> int:
        """Counts the workers that could start a stage now."""
        return len(self.vacant) + len(self.idle)

    def start(self, stage: StageInfo) -> None:
        """Asks a free worker for a stage."""
        worker = self.idle.pop() if self.idle else self._new_worker(self.vacant.pop(0))
        self.busy[stage.address] = worker
        worker.send({"kind": stage.kind, "address": stage.address})

    def outcomes(self, timeout: float) -> Iterator[tuple[str, Outcome]]:
        """Yields address and outcome of stages that ended, after at most `timeout` seconds."""
        for key, _ in self.selector.select(timeout):
            worker: _Worker = key.data
            address = next((address for address, other in self.busy.items() if other is worker), None)
            for message in worker.receive():
                if address and message and "waiting" in message:
                    self.waiting[address] = message["waiting"]
                    continue
                if message is None:
                    self.selector.unregister(worker.output)
                    self.vacant.append(worker.slot)
                if address is None:
                    if worker in self.idle:
                        self.idle.remove(worker)
                    continue
                del self.busy[address]
                self.waiting.pop(address, None)
                if message is None:
                    yield address, Outcome("died", f"its worker {worker.cause_of_death()}; {self.log} may tell why")
                else:
                    self.idle.append(worker)
                    yield address, Outcome(**message)

    def stop(self, seconds: float) -> Iterator[tuple[str, Outcome]]:
        """Asks all workers to save a checkpoint and stop, and yields their outcomes for at most `seconds`."""
        limit = time.monotonic() + seconds
        for worker in self.busy.values():
            worker.send({"stop": True})
        while self.busy and time.monotonic() < limit:
            yield from self.outcomes(limit - time.monotonic())

    def _new_worker(self, slot: WorkerSlot) -> _Worker:
        worker = _Worker(self.command, slot, self.config.environment(slot), self.log)
        self.selector.register(worker.output, selectors.EVENT_READ, worker)
        return worker


class _Worker:
    def __init__(self, command: Sequence[str], slot: WorkerSlot, environment: dict[str, str], log: Path) -> None:
        self.slot = slot
        with open_log(log) as errors, blocked(IGNORED):
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | environment,
                text=True,
                bufsize=1,
                process_group=0,  # what the terminal sends is for the parent, which tells its workers
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output, self.rest = self.process.stdin, self.process.stdout, b""

    def send(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # it died, which its output tells next
            self.input.write(json.dumps(message) + "\n")

    def receive(self) -> list[dict[str, Any] | None]:
        """Reads the lines that have come, which a worker writes whole; the last one is None if the worker died."""
        content = os.read(self.output.fileno(), 65536)
        *lines, self.rest = (self.rest + content).split(b"\n")
        return [*map(json.loads, lines), *([] if content else [None])]

    def cause_of_death(self) -> str:
        code = self.process.wait()
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"

    def close(self) -> None:
        """Closes the worker's input, which ends it at once if it can."""
        with suppress(BrokenPipeError):
            self.input.close()
        self.output.close()

    def end(self, limit: float) -> None:
        """Waits for the worker's end, and kills it with all that it has started at `limit` (`time.monotonic`)."""
        try:
            self.process.wait(max(0.0, limit - time.monotonic()))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
