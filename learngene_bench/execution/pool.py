"""A pool of worker processes on this machine, each in a place of its own, asked for one stage after another."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learngene_bench.execution.resources import Cores, Slot
from learngene_bench.planning.plan import Stage
from learngene_bench.runs.store import Runs
from learngene_bench.util.hardware import CORE_SHARERS, usable_cores
from learngene_bench.util.signals import IGNORED, held_back


@dataclass(frozen=True)
class Crew:
    """Who computes on this machine.

    Attributes:
        slots: the place of each worker.
        cores: of one worker, to be pinned to where it has no GPU and the machine has as many; 0 for no pinning.
        processes: that compute one stage together; see `distributed`.
    """

    slots: Sequence[Slot]
    cores: int = 1
    processes: int = 1


class Pool:
    """Worker processes, started when first needed, ended with the `with` block."""

    def __init__(self, runs: Runs, crew: Crew, plugins: Sequence[Path]) -> None:
        # -P: the code of this process, not that of another checkout in the current folder.
        self.command = [sys.executable, "-P", "-m", "learngene_bench.execution.worker", str(runs.root.resolve())]
        self.command += [str(crew.processes), *(str(Path(plugin).resolve()) for plugin in plugins)]
        self.log = runs.root / "workers.log"
        self.selector = selectors.DefaultSelector()
        self.cores = Cores(usable_cores())
        self.vacant = self._places(crew)
        self.idle: list[_Worker] = []
        self.busy: dict[str, _Worker] = {}

    def _places(self, crew: Crew) -> list[_Place]:
        """All workers are pinned or none is: one that floats would disturb those that are."""
        slots = list(crew.slots)
        cores = [] if slots[0].gpus or not crew.cores else sorted(self.cores.take(crew.cores * len(slots)))
        mine = [cores[i * crew.cores : (i + 1) * crew.cores] for i in range(len(slots))]
        sharing = 1 if cores else len(slots)
        return [_Place(slot, frozenset(pinned), sharing) for slot, pinned in zip(slots, mine, strict=True)]

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in {*self.idle, *self.busy.values()}:
            worker.end()
        self.selector.close()
        self.cores.release()

    def free(self) -> int:
        return len(self.vacant) + len(self.idle)

    def start(self, stage: Stage) -> None:
        worker = self.idle.pop() if self.idle else self._new_worker(self.vacant.pop(0))
        self.busy[stage.address] = worker
        worker.tell({"kind": stage.kind, "address": stage.address})

    def answers(self, timeout: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """Addresses and answers of workers that are through, after at most `timeout` seconds."""
        for key, _ in self.selector.select(timeout):
            worker: _Worker = key.data
            address = next((address for address, other in self.busy.items() if other is worker), None)
            answer = worker.answer()
            if answer is None:
                self.selector.unregister(worker.output)
                self.vacant.append(worker.place)
            if address is None:
                if worker in self.idle:
                    self.idle.remove(worker)
                continue
            del self.busy[address]
            if answer is None:
                error = f"its worker {worker.cause_of_death()}; {self.log} may tell why"
                yield address, {"state": "died", "error": error}
            else:
                self.idle.append(worker)
                yield address, answer

    def stop(self, seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """Asks all workers to save where they are and waits for their answers, `seconds` at most."""
        limit = time.monotonic() + seconds
        for worker in self.busy.values():
            worker.tell({"stop": True})
        while self.busy and time.monotonic() < limit:
            yield from self.answers(limit - time.monotonic())

    def _new_worker(self, place: _Place) -> _Worker:
        worker = _Worker(self.command, place, self.log)
        self.selector.register(worker.output, selectors.EVENT_READ, worker)
        return worker


@dataclass(frozen=True)
class _Place:
    slot: Slot
    cores: frozenset[int]
    sharing: int

    def environment(self) -> dict[str, str]:
        return {**self.slot.environment(), CORE_SHARERS: str(self.sharing)}


class _Worker:
    def __init__(self, command: Sequence[str], place: _Place, log: Path) -> None:
        self.place = place
        with log.open("a") as errors, held_back(IGNORED):
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=os.environ | place.environment(),
                text=True,
                bufsize=1,
                process_group=0,  # what the terminal sends is for the parent, which tells its workers
            )
        if place.cores:
            with suppress(OSError):  # it is dead already, which its output tells next
                os.sched_setaffinity(self.process.pid, place.cores)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout

    def tell(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # it died, which its output tells next
            self.input.write(json.dumps(message) + "\n")

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
